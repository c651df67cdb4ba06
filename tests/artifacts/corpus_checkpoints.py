"""Hostile joblib dumps, torch files from before 1.6, distributed checkpoints and odd zips; payloads are only bytes."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

from tests.artifacts.corpus import (
    CALL,
    STORAGE,
    Entry,
    Hostile,
    called,
    global_,
    one,
    raw_zip,
    stack_global,
    tensor,
    text,
    torch_entries,
    unicode,
)

EVIL = called("os", "system")
WRAPPER = stack_global("joblib.numpy_pickle", "NumpyArrayWrapper") + b")\x81"
OLD_WRAPPER = stack_global("joblib.numpy_pickle_compat", "NDArrayWrapper") + b")\x81"
DTYPES = {
    "u1": stack_global("numpy", "dtype") + text("u1") + b"\x89\x88\x87R",
    "O8": stack_global("numpy", "dtype") + text("O8") + b"\x89\x88\x87R",
}


def wrapped(content: bytes, **changes: bytes) -> bytes:
    """A joblib dump of one array, without frames; fields of the wrapper's state can be given as opcodes."""
    fields = {
        "subclass": stack_global("numpy", "ndarray"), "shape": b"K\x04\x85", "order": text("C"),
        "dtype": DTYPES["u1"], "allow_mmap": b"\x89", "numpy_array_alignment_bytes": b"K\x10",
    } | changes  # fmt: skip
    state = b"}(" + b"".join(text(name) + value for name, value in fields.items() if value) + b"u"
    return b"\x80\x04" + WRAPPER + state + b"b" + content + b"."


PADDED = b"\x01\xffABCD"
MEMO_OF_ANOTHER = (
    b"\x80\x04" + text("numpy._core.multiarray") + b"\x94" + text("_reconstruct") + b"\x9400h\x00h\x01\x93"
    + stack_global("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R(K\x01K\x01\x85" + DTYPES["O8"]
    + b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89](Netb."
)  # fmt: skip
"""An array of one object. The memo's places 0 and 1 name its class, or whatever an outer pickle put there."""
WITHOUT_PADDING = {"numpy_array_alignment_bytes": b"N"}


def joblib_dumps() -> list[Hostile]:
    """What `joblib.load` reads differently from `pickle.load`, one trick each."""
    acts = CALL[:-1] + b"0"
    size = {"shape": b"K" + bytes([len(acts)]) + b"\x85"}
    evil_name = wrapped(PADDED, subclass=stack_global("os", "system"))
    objects = {"dtype": DTYPES["O8"]}
    cut = b"\x80\x04\x95" + struct.pack("<Q", len(wrapped(PADDED)) - 2) + wrapped(PADDED)[2:]
    cases = [
        ("subclass-outside-of-the-profile", evil_name),
        ("array-of-opcodes-that-act-in-pickle-load", wrapped(acts, **WITHOUT_PADDING, **size)),
        ("array-that-calls-what-is-known", wrapped(
            b"0" + global_("numpy", "dtype") + b"]R0}", **WITHOUT_PADDING,
            shape=b"K" + bytes([len(global_("numpy", "dtype")) + 5]) + b"\x85")),
        ("array-in-the-middle-of-a-frame", cut),
        ("array-cut-off", wrapped(b"\x01\xffAB")),
        ("array-larger-than-the-file", wrapped(PADDED, shape=b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85")),
        ("array-of-a-negative-size", wrapped(PADDED, shape=b"J\xff\xff\xff\xff\x85")),
        ("padding-that-hides-bytes", wrapped(b"\x04evilABCD")),
        ("padding-cut-off", wrapped(b"\xff\xff")),
        ("wrapper-without-a-dtype", wrapped(PADDED, dtype=b"")),
        ("wrapper-with-a-further-field", wrapped(PADDED, read=b"N")),
        ("wrapper-with-a-field-twice",
            wrapped(PADDED).replace(b"K\x10ub", b"K\x10" + text("shape") + b"K\x00\x85ub", 1)),
        ("wrapper-with-an-odd-order", wrapped(PADDED, order=text("X"))),
        ("wrapper-without-a-state", b"\x80\x04" + WRAPPER + b"Nb" + PADDED + b"."),
        ("wrapper-built-twice", wrapped(PADDED)[:-1].replace(b"\x81", b"\x81\x94", 1) + b"0h\x00}"
            + text("shape") + b")sbX."),
        ("objects-that-are-no-array", wrapped(pickle.dumps([1]), **objects)),
        ("objects-that-may-be-mapped", wrapped(pickle.dumps([1]), **objects, allow_mmap=b"\x88")),
        ("objects-that-act", wrapped(EVIL, **objects)),
        ("objects-that-are-no-pickle", wrapped(b"junk", **objects)),
        ("objects-that-act-with-the-memo-of-pickle-load", b"\x80\x04" + text("os") + b"\x94" + text("system")
            + b"\x9400" + wrapped(MEMO_OF_ANOTHER, **objects)[2:]),
        ("objects-with-a-wrapper-inside", wrapped(wrapped(PADDED), **objects)),
        ("call-behind-an-array", wrapped(PADDED)[:-1] + b"0" + EVIL[2:]),
        ("bytes-behind", wrapped(PADDED) + b"x"),
        ("old-wrapper", b"\x80\x04" + OLD_WRAPPER + b"}" + text("filename") + text("/etc/passwd") + b"sb."),
    ]  # fmt: skip
    plain = [one(f"joblib-{name}", content, "") for name, content in cases]
    packed = [one(f"joblib-zlib-{name}", zlib.compress(content), "") for name, content in cases[:3]]
    return plain + packed


def legacy(
    main: bytes, *, keys: bytes | None = None, storages: bytes = struct.pack("<q", 2) + STORAGE, version: int = 1001
) -> bytes:
    """A torch file from before 1.6 with these parts."""
    head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + pickle.dumps(version, 2) + pickle.dumps({"a": 1}, 2)
    return head + main + (pickle.dumps(["0"], 2) if keys is None else keys) + storages


# A storage's id has a sixth part there.
LEGACY_MAIN = tensor().replace(b"K\x02tQ", b"K\x02NtQ")


def legacy_files() -> list[Hostile]:
    """torch's older format with something in it that torch does not write, or that it reads past its memory."""

    def called_in(payload: bytes) -> bytes:
        return legacy(b"\x80\x02" + global_("os", "system") + payload)

    evil_storage = struct.pack("<q", len(EVIL)) + EVIL
    of_bytes = tensor(kind="ByteStorage", count=len(EVIL)).replace(b"tQ", b"NtQ", 1)
    return [
        one("torch-legacy-that-calls", called_in(unicode("true") + b"\x85R."), "unsafe-global"),
        one("torch-legacy-with-a-call-in-its-head", legacy(LEGACY_MAIN)[:15] + EVIL + legacy(LEGACY_MAIN)[15:],
            "unsafe-global"),
        one("torch-legacy-with-a-call-among-its-keys", legacy(LEGACY_MAIN, keys=EVIL), "unsafe-global"),
        one("torch-legacy-with-computed-keys", legacy(LEGACY_MAIN, keys=b"\x80\x02]K\x01a."), "torch-legacy"),
        one("torch-legacy-without-its-keys", legacy(LEGACY_MAIN, keys=b"", storages=b""), "torch-legacy"),
        one("torch-legacy-with-a-key-twice",
            legacy(LEGACY_MAIN, keys=pickle.dumps(["0", "0"], 2), storages=(struct.pack("<q", 2) + STORAGE) * 2),
            "torch-legacy"),
        one("torch-legacy-with-a-missing-storage", legacy(LEGACY_MAIN, keys=pickle.dumps([], 2), storages=b""),
            "torch-legacy"),
        one("torch-legacy-of-another-version", legacy(LEGACY_MAIN, version=1000), "torch-legacy"),
        one("torch-legacy-storage-cut-off", legacy(LEGACY_MAIN)[:-1], "torch-legacy"),
        one("torch-legacy-storage-of-another-size",
            legacy(LEGACY_MAIN, storages=struct.pack("<q", 3) + STORAGE + bytes(4)), "torch-legacy"),
        one("torch-legacy-cve-2026-24747-storage-in-two-sizes",
            legacy(b"\x80\x02]" + LEGACY_MAIN[2:-1] + b"a" + LEGACY_MAIN[2:-1].replace(b"K\x02NtQ", b"K\x63NtQ")
                   + b"a."), "unsafe-persistent-id"),
        one("torch-legacy-with-a-module",
            legacy(b"\x80\x02(U\x06moduleNNNtQ."), "unsafe-persistent-id"),
        one("torch-legacy-with-a-view", legacy(tensor().replace(b"tQ", b"K\x01tQ", 1)), "unsafe-persistent-id"),
        one("torch-legacy-with-bytes-behind", legacy(LEGACY_MAIN) + b"x", "trailing-data"),
        one("torch-legacy-with-a-pickle-as-storage", legacy(of_bytes, storages=evil_storage), "unsafe-global"),
        one("torch-legacy-tensor-larger-than-its-storage", legacy(LEGACY_MAIN.replace(b"K\x00K\x02", b"K\x00K\x09")),
            "unsafe-call"),
    ]  # fmt: skip


_DCP = "torch.distributed.checkpoint.metadata"


def made(module: str, name: str, **fields: bytes) -> bytes:
    """A dataclass and its fields, the values as opcodes."""
    state = b"}(" + b"".join(text(field) + value for field, value in fields.items()) + b"u"
    return stack_global(module, name) + b")\x81" + state + b"b"


def stored(path: str, offset: int, length: int, **more: bytes) -> bytes:
    """A `_StorageInfo`."""
    fields = {"relative_path": text(path), "offset": b"J" + struct.pack("<i", offset),
              "length": b"J" + struct.pack("<i", length)} | more  # fmt: skip
    return made("torch.distributed.checkpoint.filesystem", "_StorageInfo", **fields)


def metadata(info: bytes, **more: bytes) -> bytes:
    """A ``.metadata`` with one stretch."""
    index = made(_DCP, "MetadataIndex", fqn=text("w"), index=b"N")
    fields = {"state_dict_metadata": b"}", "storage_data": b"}" + index + info + b"s"} | more
    return b"\x80\x04" + made(_DCP, "Metadata", **fields) + b"."


def checkpoint_folders() -> list[Hostile]:
    """Folders of torch.distributed.checkpoint, whose metadata torch reads with plain `pickle.load`."""
    good = raw_zip(torch_entries())
    hidden = raw_zip(torch_entries(EVIL))
    outer = raw_zip(torch_entries(tensor(kind="ByteStorage", count=200, size=2),
                                  storages={"0": hidden[:200].ljust(200, b"\0")}))  # fmt: skip
    fine = metadata(stored("__0_0.distcp", 0, len(good)))

    def folder(name: str, meta: bytes, data: bytes = good, rule: str = "") -> Hostile:
        return Hostile(name=f"dcp-{name}", files={".metadata": meta, "__0_0.distcp": data}, rule=rule)

    return [
        folder("ghsa-h6w6-rm56-8m58-metadata-that-calls", EVIL, rule="artifact-scan.unsafe-global"),
        folder("pytorch-189308-call-in-planner-data", metadata(stored("__0_0.distcp", 0, len(good)),
               planner_data=EVIL[2:-1]), rule="artifact-scan.unsafe-global"),
        folder("archive-that-calls", fine, hidden, "artifact-scan.unsafe-global"),
        folder("second-archive-that-calls", fine, good + hidden, "artifact-scan.unsafe-global"),
        folder("file-that-is-a-pickle", fine, EVIL, "artifact-scan.unsafe-global"),
        folder("stretch-inside-a-tensor", metadata(stored("__0_0.distcp", outer.index(b"PK", 9), 200)), outer),
        folder("stretch-past-the-end", metadata(stored("__0_0.distcp", 0, len(good) + 1))),
        folder("path-that-leaves", metadata(stored("../x.distcp", 0, len(good)))),
        folder("path-that-is-absolute", metadata(stored("/etc/passwd", 0, 9))),
        folder("file-that-is-missing", metadata(stored("__1_0.distcp", 0, len(good)))),
        folder("with-a-transform", metadata(stored("__0_0.distcp", 0, len(good), transform_descriptors=b"]"))),
        folder("with-a-further-field", metadata(stored("__0_0.distcp", 0, len(good)), __reduce__=b"N")),
        folder("with-another-layout", metadata(stored("__0_0.distcp", 0, len(good)),
               planner_data=stack_global("torch.serialization", "_get_layout") + text("os.system") + b"\x85R")),
    ]  # fmt: skip


def with_end64(
    archive: bytes, *, at: int = 0, size: int = 0, offset: int = 0, count: int = 0, length: int = 44
) -> bytes:
    """The zip with a zip64 end of its directory; the arguments are added to what it should say."""
    end = archive[-22:]
    *_, total, directory, start, _ = struct.unpack("<4s4H2LH", end)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", length, 45, 45, 0, 0, total, total + count, directory + size,
                         start + offset)  # fmt: skip
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(archive) - 22 + at, 1)
    return archive[:-22] + record + locator + end


class _Pipe(io.BytesIO):
    """A file that cannot be sought, so that `zipfile` writes data descriptors."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def with_descriptors() -> bytes:
    """A torch archive as it comes out of a pipe."""
    out = _Pipe()
    with zipfile.ZipFile(out, "w") as archive:
        for entry in torch_entries():
            archive.writestr(entry.name, entry.data)
    return out.getvalue()


def with_extra(entries: list[Entry], extra: bytes, *, local: bool) -> bytes:
    """The zip with an extra field in the first member's directory entry, or in its local header."""
    archive = bytearray(raw_zip(entries))
    name = entries[0].name.encode()
    end = len(archive) - 22
    directory = int.from_bytes(archive[end + 16 : end + 20], "little")
    if local:
        archive[28:30] = struct.pack("<H", len(extra))
        archive[30 + len(name) : 30 + len(name)] = extra
        moved = archive[: directory + len(extra)]
        # Every other member moved by as much.
        rest = raw_zip(entries)[directory:]
        shifted = bytearray(rest)
        at, first = 0, True
        while shifted[at : at + 4] == b"PK\x01\x02":
            if not first:
                header = int.from_bytes(shifted[at + 42 : at + 46], "little") + len(extra)
                shifted[at + 42 : at + 46] = struct.pack("<L", header)
            first = False
            at += 46 + int.from_bytes(shifted[at + 28 : at + 30], "little")
        shifted[at + 16 : at + 20] = struct.pack("<L", directory + len(extra))
        return bytes(moved + shifted)
    archive[directory + 30 : directory + 32] = struct.pack("<H", len(extra))
    archive[directory + 46 + len(name) : directory + 46 + len(name)] = extra
    end += len(extra)
    size = int.from_bytes(archive[end + 12 : end + 16], "little") + len(extra)
    archive[end + 12 : end + 16] = struct.pack("<L", size)
    return bytes(archive)


def odd_zips() -> list[Hostile]:
    """zip64, data descriptors and extra fields that readers take differently."""
    fine, bad = raw_zip(torch_entries()), "zip-structure"
    piped = with_descriptors()
    descriptor = piped.index(b"PK\x07\x08")
    lying = bytearray(piped)
    lying[descriptor + 4] ^= 1
    unsigned = piped[:descriptor] + b"PK\0\0" + piped[descriptor + 4 :]
    other_name = b"archive/other.pkl"
    unicode_path = b"\x01" + struct.pack("<L", zlib.crc32(b"archive/data.pkl")) + other_name
    unicode_path = struct.pack("<HH", 0x7075, len(unicode_path)) + unicode_path
    zip64 = struct.pack("<HHQQ", 1, 16, 1, 1)
    entries = torch_entries()
    return [
        one("zip64-end-elsewhere", with_end64(fine, at=-1), bad),
        one("zip64-other-offset", with_end64(fine, offset=1), bad),
        one("zip64-other-size", with_end64(fine, size=1), bad),
        one("zip64-other-count", with_end64(fine, count=1), bad),
        one("zip64-end-of-an-odd-size", with_end64(fine, length=45), bad),
        one("zip64-field-that-nobody-asked-for", with_extra(entries, zip64, local=False), bad),
        one("zip64-field-in-the-local-header", with_extra(entries, zip64, local=True), bad),
        one("zip64-field-missing", raw_zip([Entry(name="a", data=b"x", size=0xFFFFFFFF)]), bad),
        one("extra-field-cut-off", with_extra(entries, b"\x01\x00\xff\x00", local=False), bad),
        one("extra-field-with-another-name", with_extra(entries, unicode_path, local=False), bad),
        one("extra-field-with-another-name-in-the-local-header", with_extra(entries, unicode_path, local=True), bad),
        one("descriptor-of-another-checksum", bytes(lying), bad),
        one("descriptor-without-its-signature", unsigned, bad),
        one("descriptor-flag-only-in-the-directory",
            raw_zip([replace(entry, flags=8, local_flags=0) for entry in entries]), bad),
        one("descriptor-flag-without-a-descriptor",
            raw_zip([replace(entry, flags=8) for entry in entries]), bad),
    ]  # fmt: skip


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (joblib_dumps, legacy_files, checkpoint_folders, odd_zips)
