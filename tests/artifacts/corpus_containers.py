"""Hostile compressed streams and tar files, made by hand; payloads only exist as bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence

from tests.artifacts.corpus import CALL, Hostile, called, one, raw_zip, safetensors, torch_entries

EVIL = called("os", "system")
SAFE = pickle.dumps({"a": 1})


def _lz4(data: bytes) -> bytes:
    import lz4.frame  # type: ignore[import-untyped]  # it ships no types

    packed: bytes = lz4.frame.compress(data)
    return packed


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "zstd": _zstd,
    "lz4": _lz4,
}
"""Format to its writer."""


def skippable(content: bytes) -> bytes:
    """A skippable frame, which zstd and lz4 share."""
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(content)) + content


def streams() -> list[Hostile]:
    """Pickles behind a compression, and streams that readers take differently."""
    cases = []
    for form, pack in PACKERS.items():
        packed = pack(EVIL)
        cases += [
            one(f"{form}-of-a-pickle", packed, "unsafe-global"),
            one(f"{form}-cut-off", pack(EVIL * 50)[:-5], ""),
            one(f"{form}-with-bytes-behind", pack(SAFE) + b"\x01junk", "trailing-data"),
            one(f"{form}-with-a-pickle-behind", pack(SAFE) + CALL, "trailing-data"),
            one(f"{form}-in-two-streams", pack(EVIL[:20]) + pack(EVIL[20:]), "unsafe-global"),
            one(f"{form}-of-a-zip", pack(raw_zip(torch_entries(EVIL))), "unsafe-global"),
            one(f"{form}-of-nothing", pack(b"")),
            one(f"{form}-bomb", pack(bytes(17 << 20))),
        ]
    nested = EVIL
    for pack in PACKERS.values():
        nested = pack(nested)
    broken_zlib = zlib.compress(EVIL, 0)
    return [
        *cases,
        one("streams-inside-each-other", nested),
        one("gzip-in-gzip", gzip.compress(gzip.compress(EVIL)), "unsafe-global"),
        one("gzip-with-a-wrong-checksum", _changed(gzip.compress(EVIL), -8), "stream"),
        one("xz-with-a-wrong-checksum", _changed(lzma.compress(EVIL), -30), "stream"),
        one("zstd-with-a-wrong-checksum", _changed(_zstd(EVIL), -1), "stream"),
        one("zlib-that-breaks-after-its-pickle", broken_zlib[:-4] + b"\0\0\0\0", "stream"),
        one("zlib-with-a-small-window", _small_window(EVIL), "unsafe-global"),
        one("zstd-behind-a-skippable-frame", skippable(b"x") + _zstd(EVIL), "unsafe-global"),
        one("lz4-behind-a-skippable-frame", skippable(CALL) + _lz4(EVIL), "unsafe-global"),
        one("skippable-frames-only", skippable(CALL) * 3),
        one("zstd-of-a-dictionary", b"\x28\xb5\x2f\xfd\x03" + bytes(20)),
        one("joblib-zfile", b"ZF0x10".ljust(21) + zlib.compress(EVIL)),
        one("seven-zip-nullifai", b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(200)),
        one("rar", b"Rar!\x1a\x07\x01\x00" + bytes(200)),
        one("zip-behind-a-gzip", gzip.compress(SAFE) + raw_zip(torch_entries()), "polyglot"),
    ]


def _changed(data: bytes, at: int) -> bytes:
    raw = bytearray(data)
    raw[at] ^= 0xFF
    return bytes(raw)


def _small_window(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=9)
    return packer.compress(data) + packer.flush()


def tar(members: Sequence[tuple[str, bytes]], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of regular files, by `tarfile`."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def block(name: str, content: bytes = b"", **fields: bytes) -> bytes:
    """A member whose header says exactly this; fields: ``kind``, ``size``, ``magic``, ``prefix``, ``link``."""
    header = bytearray(512)
    header[: len(name)] = name.encode()
    header[100:124] = b"0000644\0" + b"0000000\0" * 2
    header[124:136] = fields.get("size", b"%011o\0" % len(content))
    header[136:148] = b"00000000000\0"
    header[156:157] = fields.get("kind", b"0")
    link, prefix = fields.get("link", b""), fields.get("prefix", b"")
    header[157 : 157 + len(link)] = link
    header[257:265] = fields.get("magic", b"ustar\x0000")
    header[345 : 345 + len(prefix)] = prefix
    header[148:156] = fields.get("sum", b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 256))
    return bytes(header) + content + bytes(-len(content) % 512)


END = bytes(1024)


def pax(**records: str) -> bytes:
    """An extended header with these records."""
    lines = b""
    for keyword, value in records.items():
        rest = f" {keyword.replace('__', '.')}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        lines += str(length).encode() + rest
    return block("pax", lines, kind=b"x")


TORCH_TAR = [
    ("storages", pickle.dumps(0, 2) + pickle.dumps([], 2)),
    ("tensors", pickle.dumps(0, 2)),
    ("pickle", pickle.dumps({}, 2)),
]


def tars() -> list[Hostile]:
    """Tar files that hide something, leave their folder, or that readers take differently."""
    note = b"hello\n"
    named = bytearray(block("pickle", SAFE))
    evil_name = CALL[:-1] + b"."
    named[: len(evil_name)] = evil_name
    named[148:156] = b"%06o\0 " % (sum(named[:148]) + sum(named[156:512]) + 256)
    return [
        one("tar-of-a-pickle", tar([("readme.txt", note), ("logo.jpg", EVIL)]), "unsafe-global"),
        one("tar-gzip-of-a-pickle", gzip.compress(tar([("x", EVIL)])), "unsafe-global"),
        one("tar-zstd-of-a-pickle", _zstd(tar([("x", EVIL)])), "unsafe-global"),
        one("tar-in-a-tar", tar([("x.tar", tar([("y", EVIL)]))]), "unsafe-global"),
        one("tar-of-gnu-long-names", tar([("x" * 200, EVIL)], form=tarfile.GNU_FORMAT), "unsafe-global"),
        one("tar-without-a-magic", block("x", EVIL, magic=bytes(8)) + END, "unsafe-global"),
        one("tar-that-leaves-its-folder", tar([("../../etc/x", note)]), "tar-path"),
        one("tar-with-an-absolute-name", tar([("/etc/x", note)]), "tar-path"),
        one("tar-with-a-backslash", tar([("..\\x", note)]), "tar-path"),
        one("tar-prefix-that-leaves", block("x", note, prefix=b"../..") + END, "tar-path"),
        one("tar-pax-path-that-leaves", pax(path="../x") + block("y", note) + END, "tar-path"),
        one("tar-with-a-symbolic-link", block("x", kind=b"2", link=b"/etc/passwd") + END, "tar-link"),
        one("tar-with-a-hard-link", block("x", kind=b"1", link=b"/etc/passwd") + END, "tar-link"),
        one("tar-with-a-device", block("x", kind=b"3") + END, "tar-link"),
        one("tar-with-a-pipe", block("x", kind=b"6") + END, "tar-link"),
        one("tar-with-a-gnu-sparse-file", block("x", note, kind=b"S") + END, "tar-link"),
        one("tar-with-a-pax-sparse-file", pax(GNU__sparse__major="1") + block("x", note) + END, "tar-structure"),
        one("tar-of-an-unknown-kind", block("x", note, kind=b"Z") + END, "tar-structure"),
        one("tar-with-a-duplicate", tar([("x", note), ("x", note)]), "tar-duplicate"),
        one("tar-with-a-duplicate-by-case", tar([("x", note), ("X", note)]), "tar-duplicate"),
        one("cve-2025-62518-two-sizes", pax(size="512") + block("x") + block("y", EVIL) + END, "tar-structure"),
        one("tar-with-two-names", pax(path="a") + pax(path="b") + block("x", note) + END, "tar-structure"),
        one("tar-with-a-global-name", _global_header("path=a") + block("x", note) + END, "tar-structure"),
        one("tar-with-a-wrong-checksum", block("x", note) + block("y", EVIL, sum=b"000001\0 ") + END,
            "tar-structure"),
        one("tar-with-a-wrong-first-checksum", block("y", EVIL, sum=b"000001\0 ") + END, "tar-structure"),
        one("tar-without-an-end", block("x", note), "tar-structure"),
        one("tar-cut-off", block("x", bytes(600))[:-200], "tar-structure"),
        one("tar-with-bytes-behind-its-end", block("x", note) + END + block("y", EVIL) + END, "tar-structure"),
        one("tar-with-bytes-between", block("x", note)[:-1] + b"x" + END, "tar-structure"),
        one("tar-with-a-size-of-words", block("x", note, size=b"0o000000006\0") + END, "tar-structure"),
        one("tar-with-a-small-size-in-base-256", block("x", note, size=b"\x80" + b"\0" * 10 + b"\x06") + END,
            "tar-structure"),
        one("tar-with-a-negative-size", block("x", note, size=b"\xff" * 12) + END, "tar-structure"),
        one("tar-with-a-prefix-in-gnu-format", block("x", note, magic=b"ustar  \0", prefix=b"etc") + END,
            "tar-structure"),
        one("tar-of-nothing", block("x/", kind=b"5") + END),
        one("tar-that-is-also-a-pickle", bytes(named) + END, "polyglot"),
        one("pickle-that-is-also-a-tar", _pickle_and_tar(), "tar-structure"),
        one("torch-tar", tar(TORCH_TAR), "torch-archive"),
        one("torch-tar-with-a-call", tar([*TORCH_TAR[:2], ("pickle", EVIL)]), "unsafe-global"),
        one("cve-2025-32434-torch-tar-with-a-call-among-its-storages",
            tar([("storages", pickle.dumps(1, 2) + EVIL), *TORCH_TAR[1:]]), "unsafe-global"),
        one("torch-tar-with-a-second-pickle", tar([*TORCH_TAR, ("extra", EVIL)]), "unsafe-global"),
        one("safetensors-that-is-also-a-zip-in-a-tar",
            tar([("m", safetensors({}) + raw_zip(torch_entries()))]), "polyglot"),
    ]  # fmt: skip


def _global_header(record: str) -> bytes:
    line = next(f"{n} {record}\n" for n in range(100) if len(f"{n} {record}\n") == n)
    return block("pax", line.encode(), kind=b"g")


def _pickle_and_tar() -> bytes:
    """A whole pickle whose first block has a tar header's checksum."""
    # PROTO 4, then BINBYTES over the rest of the block, POP and an empty dict.
    body = bytearray(pickle.dumps(bytes(600), 4))
    body[148:156] = bytes(8)
    body[148:156] = b"%06o\0 " % (sum(body[:148]) + sum(body[156:512]) + 256)
    return bytes(body)


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (streams, tars)
