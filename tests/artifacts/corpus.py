"""Hostile model files, made by hand, byte by byte. Nothing here is ever loaded: payloads only exist as bytes.

Run ``python -m tests.artifacts.corpus FOLDER`` to write all of them, to try another scanner on.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Files = Mapping[str, bytes]
CALL = b"cos\nsystem\n(S'true'\ntR."
"""Protocol 0: os.system('true')."""


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """A file or folder that no gate may allow.

    Args:
        name: For test ids.
        files: Name to bytes; one file named ``""`` is a subject of a single file.
        rule: A rule that has to be among its error findings; empty where UNDECIDED is the right answer.
    """

    name: str
    files: Files
    rule: str = ""


def one(name: str, content: bytes, rule: str = "") -> Hostile:
    """A subject of a single file."""
    return Hostile(name=name, files={"": content}, rule=f"artifact-scan.{rule}" if rule else "")


# --- an assembler for pickles


def text(value: str) -> bytes:
    """SHORT_BINUNICODE."""
    raw = value.encode()
    return b"\x8c" + bytes([len(raw)]) + raw


def unicode(value: str) -> bytes:
    """BINUNICODE."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def stack_global(module: str, name: str) -> bytes:
    """Two texts and STACK_GLOBAL."""
    return text(module) + text(name) + b"\x93"


def global_(module: str, name: str) -> bytes:
    """GLOBAL."""
    return f"c{module}\n{name}\n".encode()


def called(module: str, name: str, argument: str = "true") -> bytes:
    """A pickle of protocol 4 that calls a global with one text."""
    return b"\x80\x04" + stack_global(module, name) + text(argument) + b"\x85R."


def framed(body: bytes, *, size: int | None = None) -> bytes:
    """PROTO 4 and one FRAME around `body`."""
    return b"\x80\x04\x95" + struct.pack("<Q", len(body) if size is None else size) + body


SYSTEM = global_("os", "system")
ODICT = global_("collections", "OrderedDict") + b")R"

GADGETS: Mapping[str, tuple[str, str]] = {
    "os.system": ("os", "system"),
    "posix.system": ("posix", "system"),
    "nt.system": ("nt", "system"),
    "subprocess.Popen": ("subprocess", "Popen"),
    "builtins.eval": ("builtins", "eval"),
    "builtins.exec": ("builtins", "exec"),
    "builtins.getattr": ("builtins", "getattr"),
    "builtins.__import__": ("builtins", "__import__"),
    "builtins.compile": ("builtins", "compile"),
    "importlib.import_module": ("importlib", "import_module"),
    "marshal.loads": ("marshal", "loads"),
    "pickle.loads": ("pickle", "loads"),
    "types.FunctionType": ("types", "FunctionType"),
    "functools.partial": ("functools", "partial"),
    "operator.attrgetter": ("operator", "attrgetter"),
    "operator.methodcaller": ("operator", "methodcaller"),
    "io.open": ("io", "open"),
    "shutil.rmtree": ("shutil", "rmtree"),
    "webbrowser.open": ("webbrowser", "open"),
    "runpy.run_path": ("runpy", "run_path"),
    "ctypes.CDLL": ("ctypes", "CDLL"),
    "requests.get": ("requests", "get"),
    "urllib.request.urlopen": ("urllib.request", "urlopen"),
    "socket.create_connection": ("socket", "create_connection"),
    # CVE-2025-1716: installs a package while it is unpickled.
    "cve-2025-1716-pip.main": ("pip", "main"),
    "cve-2025-1716-pip._internal.main": ("pip._internal", "main"),
    # CVE-2025-10157 / GHSA-f7qq-56ww-84cr: a submodule of a listed module.
    "cve-2025-10157-asyncio": ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
    # GHSA-655q-fx9r-782v, GHSA-769v-p64c-89pr, GHSA-9gvj-pp9x-gcfr and their kin: library functions that run text.
    # GHSA-gx77-x2pv-48v7: the three of CVE-2025-10155 to 10157; of those, another submodule.
    "ghsa-gx77-x2pv-48v7-base-subprocess": ("asyncio.base_subprocess", "BaseSubprocessTransport"),
    "ghsa-m273-6v24-x4m4-_operator.methodcaller": ("_operator", "methodcaller"),
    "ghsa-955r-x9j8-7rhh-_operator.attrgetter": ("_operator", "attrgetter"),
    "ghsa-84r2-jw7c-4r5q-_pickle.loads": ("_pickle", "loads"),
    "ghsa-vqmv-47xg-9wpr-venv.create": ("venv", "create"),
    "ghsa-hgrh-qx5j-jfwx-http.client": ("http.client", "HTTPSConnection"),
    "ghsa-46h3-79wf-xr6c-pdb.run": ("pdb", "run"),
    "ghsa-vvpj-8cmc-gx39-pkgutil.resolve_name": ("pkgutil", "resolve_name"),
    "timeit.timeit": ("timeit", "timeit"),
    "cProfile.run": ("cProfile", "run"),
    "profile.Profile.runctx": ("profile", "Profile.runctx"),
    "bdb.Bdb.run": ("bdb", "Bdb.run"),
    "trace.Trace.run": ("trace", "Trace.run"),
    "doctest.debug_script": ("doctest", "debug_script"),
    "code.InteractiveInterpreter.runcode": ("code", "InteractiveInterpreter.runcode"),
    "pydoc.pipepager": ("pydoc", "pipepager"),
    "idlelib.run.Executive.runcode": ("idlelib.run", "Executive.runcode"),
    "ensurepip._run_pip": ("ensurepip", "_run_pip"),
    "logging.config.listen": ("logging.config", "listen"),
    "uuid._get_command_stdout": ("uuid", "_get_command_stdout"),
    "lib2to3.Grammar.loads": ("lib2to3.pgen2.grammar", "Grammar.loads"),
    "numpy.runstring": ("numpy.testing._private.utils", "runstring"),
    "numpy.f2py.getlincoef": ("numpy.f2py.crackfortran", "getlincoef"),
    "torch.load": ("torch", "load"),
    "torch.hub.load": ("torch.hub", "load"),
    "torch.storage._load_from_bytes": ("torch.storage", "_load_from_bytes"),
    "torch._dynamo.guards": ("torch._dynamo.guards", "GuardBuilder.get"),
    "torch.utils._config_module": ("torch.utils._config_module", "ConfigModule.load_config"),
    "torch.jit.unsupported": ("torch.jit.unsupported_tensor_ops", "execWrapper"),
    "torch.fx.shape_env": ("torch.fx.experimental.symbolic_shapes", "ShapeEnv.evaluate_guards_expression"),
    "torch._tensor._rebuild_from_type_v2": ("torch._tensor", "_rebuild_from_type_v2"),
}


def gadgets() -> list[Hostile]:
    """One known way to run code each, as a bare pickle of protocol 4."""
    return [one(f"gadget-{name}", called(*path), "unsafe-global") for name, path in GADGETS.items()]


def opcode_tricks() -> list[Hostile]:
    """One way each to hide what a pickle does from a reader that models it less than whole."""
    memo_overwrite = (
        b"\x80\x04" + text("collections") + b"q\x00" + text("OrderedDict") + b"q\x010" + b"0"
        + text("os") + b"q\x000" + text("system") + b"q\x010" + b"h\x00h\x01\x93" + text("true") + b"\x85R."
    )  # fmt: skip
    computed = b"\x80\x04" + stack_global("_codecs", "encode") + text("os") + text("latin1") + b"\x86R"
    return [
        one("protocol-0-reduce", CALL, "unsafe-global"),
        one("protocol-1-reduce", SYSTEM + b"(U\x04truetR.", "unsafe-global"),
        one("protocol-2-global", b"\x80\x02" + SYSTEM + unicode("true") + b"\x85R.", "unsafe-global"),
        one("framed-protocol-4", framed(called("os", "system")[2:]), "unsafe-global"),
        one("memo-overwritten-names", memo_overwrite, "unsafe-global"),
        one("stack-global-of-computed-text", computed + text("system") + b"\x93.", "unsafe-global"),
        one("stack-global-of-integers", b"\x80\x04K\x01K\x02\x93.", "unsafe-global"),
        one("stack-global-by-dup", b"\x80\x04" + text("os") + b"2\x93)R.", "unsafe-global"),
        one("stack-global-by-memoize", b"\x80\x04" + text("os") + b"\x94" + text("system") + b"\x9400"
            b"h\x00h\x01\x93" + text("true") + b"\x85R.", "unsafe-global"),
        one("unicode-escaped-name", b"V\\u006fs\nV\\u0073ystem\n\x93.", "unsafe-global"),
        one("string-escaped-name", b"S'\\x6fs'\nS'\\163ystem'\n\x93.", "unsafe-global"),
        one("dotted-name-past-an-allowed-one", b"\x80\x04" + stack_global("collections", "OrderedDict.fromkeys")
            + text("true") + b"\x85R.", "unsafe-global"),
        one("python-2-name", b"c__builtin__\neval\n(S'1'\ntR.", "unsafe-global"),
        one("python-2-name-without-mapping", b"\x80\x03c__builtin__\nset\n]\x85R.", "unsafe-global"),
        one("copy-reg-reconstructor", b"ccopy_reg\n_reconstructor\n(cos\nsystem\nc__builtin__\nobject\nNtR.",
            "unsafe-global"),
        one("inst", b"(S'true'\nios\nsystem\n.", "unsafe-call"),
        one("inst-of-an-allowed-name", b"(icollections\nOrderedDict\n.", "unsafe-call"),
        one("obj", b"(" + SYSTEM + b"S'true'\no.", "unsafe-call"),
        one("newobj", b"\x80\x02" + global_("subprocess", "Popen") + unicode("true") + b"\x85\x81.", "unsafe-call"),
        one("newobj-ex", b"\x80\x04" + stack_global("subprocess", "Popen") + text("true") + b"\x85}\x92.",
            "unsafe-call"),
        one("newobj-of-an-allowed-function", b"\x80\x02" + global_("collections", "OrderedDict") + b")\x81.",
            "unsafe-call"),
        one("reduce-of-a-constant", b"\x80\x02K\x01)R.", "unsafe-call"),
        one("reduce-with-a-list", b"\x80\x02" + global_("collections", "OrderedDict") + b"]R.", "unsafe-call"),
        one("build-sets-setstate", b"\x80\x02" + ODICT + b"}U\x0c__setstate__" + SYSTEM + b"sbU\x04trueb.",
            "unsafe-global"),
        one("build-sets-an-attribute", b"\x80\x02" + ODICT + b"}U\x05itemsK\x01sb.", "unsafe-call"),
        one("build-with-slots", b"\x80\x02" + ODICT + b"}}U\x05itemsK\x01s\x86b.", "unsafe-call"),
        one("build-on-a-dict", b"\x80\x02}}U\x01aK\x01sb.", "unsafe-call"),
        one("build-on-a-type", b"\x80\x02" + global_("collections", "OrderedDict") + b"}b.", "unsafe-call"),
        one("namespace-setstate", b"\x80\x02" + global_("argparse", "Namespace") + b")\x81}U\x0c__setstate__"
            + global_("_codecs", "encode") + b"sbU\x04trueb.", "unsafe-call"),
        one("sets-items-of-a-module", b"csys\nmodules\nS'os'\nNs.", "unsafe-global"),
        one("appends-to-an-object", b"\x80\x02" + ODICT + b"K\x01a.", "unsafe-call"),
        one("extends-an-object", b"\x80\x02" + ODICT + b"(K\x01K\x02e.", "unsafe-call"),
        one("adds-to-an-object", b"\x80\x04" + stack_global("collections", "OrderedDict") + b")R(K\x01\x90.",
            "unsafe-call"),
        one("ext1", b"\x80\x02\x82\x01)R.", "unsafe-extension"),
        one("ext2", b"\x80\x02\x83\x01\x01)R.", "unsafe-extension"),
        one("ext4", b"\x80\x02\x84\x01\x01\x00\x00)R.", "unsafe-extension"),
        one("persid", b"Pevil\n.", "unsafe-persistent-id"),
        one("binpersid", b"\x80\x02U\x04evilQ.", "unsafe-persistent-id"),
        one("storage-outside-of-an-archive", b"\x80\x02(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x01tQ.",
            "unsafe-persistent-id"),
        one("next-buffer", b"\x80\x05\x97.", "unsafe-persistent-id"),
        one("readonly-buffer", b"\x80\x05\x96\x01\0\0\0\0\0\0\0x\x98.", "unsafe-persistent-id"),
        one("called-then-popped", b"\x80\x02" + SYSTEM + b"U\x04true\x85R0}.", "unsafe-global"),
        one("called-then-popped-with-its-mark", b"\x80\x02(" + SYSTEM + b"U\x04true\x85R1}.", "unsafe-global"),
        one("called-before-it-breaks", b"\x80\x02" + SYSTEM + b"U\x04true\x85R\xff\xff", "unsafe-global"),
        one("called-without-stop", b"\x80\x02" + SYSTEM + b"U\x04true\x85R", "unsafe-global"),
        one("nested-torch-load", b"\x80\x02ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(CALL)) + CALL
            + b"\x85R.", "unsafe-global"),
    ]  # fmt: skip


def broken_pickles() -> list[Hostile]:
    """Streams that readers take differently, or that only a broken writer makes."""
    deep = b"\x80\x02})" + b"\x85" * 500 + b"K\x01s."
    branching = b"\x80\x02})" + b"q\x00h\x00\x86" * 60 + b"K\x01s."
    return [
        one("trailing-bytes", pickle.dumps({}) + b"x", "trailing-data"),
        one("second-pickle", pickle.dumps({}) + b"\x80\x02" + SYSTEM + b"U\x04true\x85R.", "several-pickles"),
        one("no-stop", b"\x80\x02}", "malformed-pickle"),
        one("only-protocol", b"\x80\x04", "malformed-pickle"),
        one("stop-on-empty-stack", b"\x80\x02.", "malformed-pickle"),
        one("stop-with-values-left", b"\x80\x02}}.", "malformed-pickle"),
        one("stop-inside-a-mark", b"\x80\x02}(}.", "malformed-pickle"),
        one("missing-memo-key", b"\x80\x02h\x05.", "malformed-pickle"),
        one("missing-text-memo-key", b"\x80\x02g5\n.", "malformed-pickle"),
        one("huge-memo-index", b"\x80\x02}r\xff\xff\xff\xff.", "malformed-pickle"),
        one("unknown-opcode", b"\x80\x02\xff.", "malformed-pickle"),
        one("underflow", b"\x80\x02R.", "malformed-pickle"),
        one("tuple-without-mark", b"\x80\x02t.", "malformed-pickle"),
        one("takes-across-a-mark", b"\x80\x02K\x01(\x85.", "malformed-pickle"),
        one("truncated-binint", b"\x80\x02J\x01", "malformed-pickle"),
        one("truncated-text", b"\x80\x02X\xff\0\0\0abc.", "malformed-pickle"),
        one("truncated-bytes8", b"\x80\x04\x8e" + b"\xff" * 8 + b".", "malformed-pickle"),
        one("negative-long4", b"\x80\x02\x8b\xff\xff\xff\xff.", "malformed-pickle"),
        one("negative-binstring", b"\x80\x02T\xff\xff\xff\xff.", "malformed-pickle"),
        one("text-that-is-not-utf-8", b"\x80\x02X\x01\0\0\0\xff.", "malformed-pickle"),
        one("global-without-a-line-end", b"\x80\x02cos\nsystem", "malformed-pickle"),
        one("octal-integer", b"\x80\x02I010\n.", "malformed-pickle"),
        one("odd-escape", b"\x80\x02S'\\q'\n.", "malformed-pickle"),
        one("unquoted-string", b"\x80\x02Sabc\n.", "malformed-pickle"),
        one("key-without-value", b"\x80\x02}(K\x01u.", "malformed-pickle"),
        one("second-proto", b"\x80\x02}0\x80\x03}.", "malformed-pickle"),
        one("protocol-6", b"\x80\x06}.", ""),
        one("frame-longer-than-file", framed(b"}.", size=99), "malformed-pickle"),
        one("frame-shorter-than-opcode", framed(text("abcdef") + b".", size=4), "malformed-pickle"),
        one("frame-past-stop", framed(b"}.x"), "malformed-pickle"),
        one("frame-inside-a-frame", framed(b"\x95" + struct.pack("<Q", 2) + b"}."), "malformed-pickle"),
        one("key-that-nests-too-deep", deep, "malformed-pickle"),
        one("key-that-branches", branching, "malformed-pickle"),
        one("endless-marks", b"\x80\x02" + b"(" * 5000 + b"t" * 5000 + b"."),
        one("torch-legacy", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00.",
            "torch-legacy"),
    ]  # fmt: skip


def wrong_arguments() -> list[Hostile]:
    """Globals that a profile knows, with arguments that they must not have."""
    dtype = global_("numpy", "dtype") + b"U\x02O8\x89\x88\x87R"
    lying = dtype + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return [
        one("encode-with-a-codec", b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aU\x03zip\x86R.", "unsafe-call"),
        one("bytearray-of-a-size", b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "unsafe-call"),
        one("ordered-dict-of-a-global", b"\x80\x02ccollections\nOrderedDict\n" + SYSTEM + b"\x85R.", "unsafe-global"),
        one("defaultdict-that-calls", b"\x80\x02ccollections\ndefaultdict\n" + SYSTEM + b"\x85R.", "unsafe-global"),
        one("defaultdict-of-an-allowed-function",
            b"\x80\x02ccollections\ndefaultdict\nc_codecs\nencode\n\x85R.", "unsafe-call"),
        one("object-dtype-without-its-flag", b"\x80\x02" + lying + b".", "unsafe-call"),
        one("object-scalar", b"\x80\x02cnumpy._core.multiarray\nscalar\n" + dtype
            + b"U\x08AAAAAAAA\x86R.", "unsafe-call"),
        one("array-of-another-type", b"\x80\x02cnumpy._core.multiarray\n_reconstruct\nccollections\nOrderedDict\n"
            b"K\x00\x85c_codecs\nencode\nX\x01\0\0\0bU\x06latin1\x86R\x87R.", "unsafe-call"),
        one("structured-dtype", b"\x80\x02cnumpy\ndtype\nU\x02V8\x89\x88\x87R(K\x03U\x01|N(U\x01at}K\x08K\x01K\x10tb.",
            "unsafe-call"),
        one("device-of-a-number", b"\x80\x02ctorch\ndevice\nU\x04evil\x85R.", "unsafe-call"),
    ]  # fmt: skip


# --- a writer for zip files that can lie


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A member, and what its headers say of it."""

    name: str
    data: bytes
    method: int = 0
    flags: int = 0
    crc: int | None = None
    size: int | None = None
    local_name: str | None = None
    local_flags: int | None = None
    mode: int = 0
    gap: bytes = b""
    at: int | None = None


def raw_zip(entries: Sequence[Entry], *, prefix: bytes = b"", comment: bytes = b"", count: int | None = None) -> bytes:
    """A zip file with exactly these headers."""
    out, directory = bytearray(prefix), bytearray()
    for entry in entries:
        packed = entry.data
        if entry.method == zipfile.ZIP_DEFLATED:
            compressor = zlib.compressobj(wbits=-15)
            packed = compressor.compress(entry.data) + compressor.flush()
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        size = len(entry.data) if entry.size is None else entry.size
        name, local_name = entry.name.encode(), (entry.local_name or entry.name).encode()
        local_flags = entry.flags if entry.local_flags is None else entry.local_flags
        out += entry.gap
        at = len(out) if entry.at is None else entry.at
        if entry.at is None:
            out += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, local_flags, entry.method, 0, 0, crc, len(packed), size,
                               len(local_name), 0) + local_name + packed  # fmt: skip
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, entry.flags, entry.method, 0, 0, crc,
                                 len(packed), size, len(name), 0, 0, 0, 0, entry.mode << 16, at) + name  # fmt: skip
    total = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, total, total, len(directory), len(out), len(comment))
    return bytes(out + directory) + end + comment


STORAGE = struct.pack("<2f", 1.0, 2.0)


def tensor(*, key: str = "0", kind: str = "FloatStorage", count: int = 2, size: int = 2, stride: int = 1) -> bytes:
    """A state dict with one tensor, as torch writes it."""
    return (
        b"\x80\x02" + ODICT + unicode("w") + global_("torch._utils", "_rebuild_tensor_v2") + b"((" + unicode("storage")
        + global_("torch", kind) + unicode(key) + unicode("cpu") + b"K" + bytes([count]) + b"tQK\x00K" + bytes([size])
        + b"\x85K" + bytes([stride]) + b"\x85\x89" + ODICT + b"tRs."
    )  # fmt: skip


def torch_entries(
    main: bytes | None = None, extra: Sequence[Entry] = (), storages: Mapping[str, bytes] | None = None
) -> list[Entry]:
    """The members of a small torch archive."""
    held = {"0": STORAGE} if storages is None else storages
    return [
        Entry(name="archive/data.pkl", data=tensor() if main is None else main),
        Entry(name="archive/byteorder", data=b"little"),
        *(Entry(name=f"archive/data/{key}", data=data) for key, data in held.items()),
        Entry(name="archive/version", data=b"3\n"),
        *extra,
    ]


def changed(entries: list[Entry], name: str, **changes: object) -> list[Entry]:
    """The entries, with one of them saying something else."""
    return [Entry(**(vars(entry) | changes)) if entry.name == name else entry for entry in entries]


def archives() -> list[Hostile]:
    """Zip files that hide something or that readers take differently."""
    plain, evil = torch_entries(), b"\x80\x02" + SYSTEM + b"U\x04true\x85R."
    fine = raw_zip(plain)
    main, storage = "archive/data.pkl", "archive/data/0"
    return [
        one("torch-zip-hostile-main", raw_zip(torch_entries(evil)), "unsafe-global"),
        one("cve-2025-1889-second-pickle", raw_zip(torch_entries(extra=[Entry(name="archive/config.p", data=evil)])),
            "unsafe-global"),
        one("second-harmless-pickle", raw_zip(torch_entries(extra=[Entry(name="archive/x", data=pickle.dumps({}))])),
            "extra-pickle"),
        one("pickle-outside-of-the-root", raw_zip(torch_entries(extra=[Entry(name="other/data.pkl", data=evil)])),
            "unsafe-global"),
        one("pickle-as-unused-storage", raw_zip(torch_entries(storages={"0": STORAGE, "1": evil})), "unsafe-global"),
        one("pickle-as-used-storage", raw_zip(torch_entries(tensor(kind="ByteStorage", count=len(evil)),
            storages={"0": evil})), "unsafe-global"),
        one("unknown-bytes-as-unused-storage", raw_zip(torch_entries(storages={"0": STORAGE, "1": b"\xff\xfe\x00"}))),
        one("cve-2025-1944-local-name", raw_zip(changed(torch_entries(evil), main, local_name="archive/data.txt")),
            "zip-structure"),
        one("local-name-of-a-storage", raw_zip(changed(plain, storage, local_name="archive/data.pkl")),
            "zip-structure"),
        one("cve-2025-1945-encrypted-flag", raw_zip(changed(torch_entries(evil), main, flags=1)), "zip-encrypted"),
        one("encrypted-flag-in-the-local-header", raw_zip(changed(plain, main, local_flags=1)), "zip-encrypted"),
        one("strong-encryption-flag", raw_zip(changed(plain, storage, flags=0x41)), "zip-encrypted"),
        one("odd-flags", raw_zip(changed(plain, storage, flags=0x20)), "zip-structure"),
        one("cve-2025-10156-bad-crc", raw_zip(changed(torch_entries(evil), main, crc=1)), "unsafe-global"),
        one("bad-crc-of-a-storage", raw_zip(changed(plain, storage, crc=1)), "zip-checksum"),
        one("prefix", b"#!/bin/sh\n" + fine, ""),
        one("prefix-counted", raw_zip(plain, prefix=b"MZ junk"), ""),
        one("prefix-that-is-a-pickle", evil + fine, "unsafe-global"),
        one("suffix", fine + b"junk", "zip-structure"),
        one("comment", raw_zip(plain, comment=b"junk"), "zip-structure"),
        one("second-end-in-the-comment", raw_zip(plain, comment=fine[-22:]), ""),
        one("two-archives", raw_zip(torch_entries(evil)) + fine, "zip-structure"),
        one("duplicate-member", raw_zip([*plain, Entry(name=main, data=evil)]), "zip-duplicate"),
        one("duplicate-by-case", raw_zip([*plain, Entry(name="archive/DATA.pkl", data=evil)]), "zip-duplicate"),
        one("overlapping-members", raw_zip([*plain, Entry(name="archive/again", data=tensor(), at=0)]),
            "zip-structure"),
        one("gap-between-members", raw_zip(changed(plain, storage, gap=evil)), "zip-structure"),
        one("path-traversal", raw_zip(torch_entries(extra=[Entry(name="archive/../../x", data=b"x")])), "zip-path"),
        one("absolute-path", raw_zip(torch_entries(extra=[Entry(name="/etc/x", data=b"x")])), "zip-path"),
        one("backslash-path", raw_zip(torch_entries(extra=[Entry(name="archive\\x", data=b"x")])), "zip-path"),
        one("symbolic-link", raw_zip(torch_entries(extra=[Entry(name="archive/l", data=b"/etc", mode=0o120777)])),
            "zip-structure"),
        one("unread-compression", raw_zip(changed(plain, storage, method=12)), ""),
        one("size-lie-stored", raw_zip(changed(plain, storage, size=4)), "zip-structure"),
        one("size-lie-deflated", raw_zip(changed(changed(plain, storage, method=8), storage, size=4)),
            "zip-structure"),
        one("zip-bomb", raw_zip([Entry(name="a/b", data=bytes(40 << 20), method=8)]), ""),
        one("count-lie", raw_zip(plain, count=2), "zip-structure"),
        one("cut-off", fine[:-30], "zip-structure"),
        one("cut-in-half", fine[: len(fine) // 2], "zip-structure"),
        one("only-a-zip-magic", b"PK\x03\x04", "zip-structure"),
        one("empty-zip", raw_zip([]), ""),
        one("torchscript", raw_zip(torch_entries(extra=[Entry(name="archive/constants.pkl", data=b"\x80\x02)."),
            Entry(name="archive/code/__torch__.py", data=b"class M(Module): pass\n")])), "executable-format"),
        one("storage-that-is-missing", raw_zip(torch_entries(tensor(key="7"))), "unsafe-persistent-id"),
        one("cve-2026-24747-storage-size", raw_zip(torch_entries(tensor(count=200))), "unsafe-persistent-id"),
        one("storage-of-another-size", raw_zip(torch_entries(tensor(kind="DoubleStorage"))), "unsafe-persistent-id"),
        one("tensor-larger-than-its-storage", raw_zip(torch_entries(tensor(size=3))), "unsafe-call"),
        one("stride-past-the-storage", raw_zip(torch_entries(tensor(stride=9))), "unsafe-call"),
        one("odd-version-member", raw_zip(changed(plain, "archive/version", data=CALL)), "torch-archive"),
        one("zip-in-a-zip", raw_zip([Entry(name="x/model.pt", data=raw_zip(torch_entries(evil)))]), "unsafe-global"),
        one("zip-of-text", raw_zip([Entry(name="x/readme", data=b"hello\n")]), ""),
        one("zip-that-is-also-a-pickle", raw_zip([Entry(name="a\ncos\nsystem\n(S'true'\ntR.", data=b"x")]),
            "polyglot"),
    ]  # fmt: skip


def safetensors(header: object, data: bytes = b"", *, raw: bytes | None = None, length: int | None = None) -> bytes:
    """A safetensors file with this header."""
    text_ = json.dumps(header).encode() if raw is None else raw
    return struct.pack("<Q", len(text_) if length is None else length) + text_ + data


def _f32(*offsets: int, shape: object = (1,), dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def native_formats() -> list[Hostile]:
    """safetensors and numpy files whose header lies, and one that is a pickle as well."""
    polyglot_length = 0x58 | (0x80 << 8)  # reads as BINUNICODE of 0x80 bytes
    polyglot_header = b"{}" + b" " * (polyglot_length - 2)
    polyglot = bytearray(safetensors({}, raw=polyglot_header))
    bad = "malformed-safetensors"
    twice = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    array = io.BytesIO()
    array.write(b"\x93NUMPY\x01\x00")
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"
    object_array = array.getvalue() + struct.pack("<H", len(head)) + head
    plain = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    plain_array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(plain)) + plain
    code = b"{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': ()}\n"
    return [
        one("safetensors-gap", safetensors({"a": _f32(4, 8)}, bytes(8)), bad),
        one("safetensors-overlap", safetensors({"a": _f32(0, 4), "b": _f32(2, 6)}, bytes(6)), bad),
        one("safetensors-trailing", safetensors({"a": _f32(0, 4)}, bytes(5)), bad),
        one("safetensors-cut-off", safetensors({"a": _f32(0, 4)}, bytes(3)), bad),
        one("safetensors-shape", safetensors({"a": _f32(0, 4, shape=(2,))}, bytes(4)), bad),
        one("safetensors-shape-overflow", safetensors({"a": _f32(0, 4, shape=(1 << 40, 1 << 40))}, bytes(4)), bad),
        one("safetensors-shape-of-booleans", safetensors({"a": _f32(0, 4, shape=(True,))}, bytes(4)), bad),
        one("safetensors-negative", safetensors({"a": _f32(-4, 0)}, b""), bad),
        one("safetensors-unknown-dtype", safetensors({"a": _f32(0, 4, dtype="X32")}, bytes(4)), bad),
        one("safetensors-extra-field", safetensors({"a": _f32(0, 4) | {"code": "x"}}, bytes(4)), bad),
        one("safetensors-duplicate-key", safetensors({}, b"x", raw=twice), bad),
        one("safetensors-metadata", safetensors({"__metadata__": {"a": {"b": 1}}}), bad),
        one("safetensors-nan", safetensors({}, raw=b'{"a": NaN}'), bad),
        one("safetensors-no-json", safetensors({}, raw=b"{nothing"), bad),
        one("safetensors-deep-json", safetensors({}, raw=b'{"a":' * 100_000 + b"}" * 100_000), bad),
        one("safetensors-long-header", safetensors({}, length=100_000_001), bad),
        one("safetensors-header-past-the-end", safetensors({}, length=999), bad),
        one("safetensors-and-zip", safetensors({}) + raw_zip(torch_entries()), "polyglot"),
        one("safetensors-and-pickle", bytes(polyglot[:137]) + CALL + bytes(polyglot[137 + len(CALL) :]), ""),
        one("numpy-object-array", object_array + CALL, "unsafe-global"),
        one("numpy-object-array-trailing", object_array + pickle.dumps([1]) + b"x", "trailing-data"),
        one("numpy-cut-off", plain_array + bytes(7), "malformed-numpy"),
        one("numpy-trailing", plain_array + bytes(9), "malformed-numpy"),
        one("numpy-header-of-code", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(code)) + code, "malformed-numpy"),
        one("numpy-only-magic", b"\x93NUMPY", "malformed-numpy"),
        one("npz-with-object-array", raw_zip([Entry(name="a.npy", data=object_array + CALL)]), "unsafe-global"),
        one("npz-with-a-pickle", raw_zip([Entry(name="a.npy", data=plain_array + bytes(8)),
            Entry(name="b.npy", data=CALL)]), "unsafe-global"),
    ]  # fmt: skip


def disguises() -> list[Hostile]:
    """Pickles that look like something else, and what is no model at all."""
    return [
        Hostile(name="text-that-is-a-pickle", files={"README.md": CALL}, rule="artifact-scan.unsafe-global"),
        Hostile(name="cve-2025-10155-pickle-as-bin", files={"pytorch_model.bin": called("os", "system")},
                rule="artifact-scan.unsafe-global"),
        Hostile(name="pickle-as-jpg", files={"logo.jpg": called("os", "system")}, rule="artifact-scan.unsafe-global"),
        Hostile(name="pickle-as-safetensors", files={"model.safetensors": called("os", "system")},
                rule="artifact-scan.unsafe-global"),
        Hostile(name="pickle-beside-safetensors", files={"a.safetensors": safetensors({}), "b.txt": CALL},
                rule="artifact-scan.unsafe-global"),
        one("text-with-an-odd-integer-first", b"I0x10\n0" + CALL, "unsafe-global"),
        one("text-with-a-huge-integer-first", b"I" + b"1" * 5000 + b"\n0" + CALL, "unsafe-global"),
        one("text-with-an-odd-escape-first", b"S'\\q'\n0" + CALL, "unsafe-global"),
        one("text-whose-second-pickle-acts", b"Pnan\n." + CALL, "unsafe-global"),
        one("text-whose-third-pickle-acts", b"N.)." + CALL + b"\nhello\n", "unsafe-global"),
        one("text-that-ends-inside-inst", b"(S'true'\nios\nsystemX", "unsafe-call"),
        one("text-that-goes-on-after-the-call", CALL + b"\n# Model card\nhello\n", "unsafe-global"),
        one("hf-auto-map", json.dumps({"model_type": "x", "auto_map": {"AutoModel": "m.M"}}).encode(), "remote-code"),
        one("hf-auto-map-nested", json.dumps({"text_config": {"auto_map": {"AutoConfig": "c.C"}}}).encode(),
            "remote-code"),
        one("hf-auto-map-first-of-two", b'{"auto_map": {"AutoModel": "m.M"}, "auto_map": null}', "remote-code"),
        one("hf-trust-remote-code", b'{"trust_remote_code": true}', "remote-code"),
        one("hf-custom-pipelines", b'{"custom_pipelines": {"x": {"impl": "p.P"}}}', "remote-code"),
        one("seven-zip", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(40)),
        one("elf", b"\x7fELF\x02\x01\x01" + bytes(60), "executable-format"),
        one("windows-program", b"MZ\x90\x00" + bytes(60), "executable-format"),
        one("utf-16-text", "hello".encode("utf-16")),
        one("random-bytes", bytes(range(255, 0, -1))),
        one("empty", b""),
        one("one-byte", b"\x80"),
    ]  # fmt: skip


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (
    gadgets, opcode_tricks, broken_pickles, wrong_arguments, archives, native_formats, disguises,
)  # fmt: skip


def hostile() -> list[Hostile]:
    """Every hostile subject."""
    # These modules are written with the tools of this one.
    from tests.artifacts import (
        corpus_catboost,
        corpus_checkpoints,
        corpus_containers,
        corpus_gguf,
        corpus_hf,
        corpus_keras,
        corpus_profiles,
        corpus_readers,
        corpus_skops,
        corpus_templates,
        corpus_trees,
    )

    containers = (corpus_checkpoints, corpus_containers)
    beside = (*containers, corpus_catboost, corpus_gguf, corpus_hf, corpus_keras, corpus_profiles, corpus_readers,
              corpus_skops, corpus_templates, corpus_trees)  # fmt: skip
    return [case for group in (*GROUPS, *(given for module in beside for given in module.GROUPS)) for case in group()]


def main(folder: Path) -> None:
    """Write every hostile subject under `folder`."""
    for case in hostile():
        for name, content in case.files.items():
            target = folder / case.name / (name or "model")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
