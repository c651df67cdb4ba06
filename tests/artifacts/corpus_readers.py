"""Hostile files that one reader of pickles takes further than another: lines, frames and loads in a row."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable

from tests.artifacts.corpus import (
    CALL,
    SYSTEM,
    Entry,
    Hostile,
    one,
    raw_zip,
    safetensors,
    stack_global,
    tensor,
    text,
)
from tests.artifacts.corpus_checkpoints import DTYPES, MEMO_OF_ANOTHER, WITHOUT_PADDING, legacy, wrapped

_NAME = b"cos\nsystem" + b".__call__" * 1_000 + b"\n"
"""os.system under a name of protocol 4 that no pickler writes."""


def with_tensors(payload: bytes) -> bytes:
    """A safetensors file that passes, whose header's length is a BINBYTES, and whose one tensor is then the program."""
    count, before = 26, b'{"__metadata__":{"k":"'
    filled = before + b"a" * (count - 3 - len(before)) + b"V"  # a text, up to the newline at the header's end
    data = b"0" + payload
    tensor = {"t": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    header = filled + b'"},' + json.dumps(tensor).encode()[1:]
    length = ord("B") + 256 * count
    return safetensors({}, raw=header.ljust(length - 1) + b"\n", data=data)


def long_lines() -> list[Hostile]:
    """Lines that are longer than any pickler writes, which loaders take."""
    lines = {
        "blanks-before-an-integer": b"I" + b" " * 9_000 + b"1\n0" + CALL,
        "zeros-before-a-fraction": b"F" + b"0" * 9_000 + b"1.5\n0" + CALL,
        "blanks-before-a-memo-index": SYSTEM + b"p" + b" " * 9_000 + b"7\n0g7\n(S'true'\ntR.",
        "name-of-many-dots": b"\x80\x04" + _NAME + b"(S'true'\ntR.",
        "memo-index-with-a-nul": SYSTEM + b"p7\0x\n0g7\0y\n(S'true'\ntR.",
    }
    return [
        one("text-with-a-long-line", lines["blanks-before-an-integer"], "unsafe-global"),
        *(one(f"safetensors-{name}", with_tensors(content), "polyglot") for name, content in lines.items()),
    ]


def frames() -> list[Hostile]:
    """A frame longer than the file: the reader written in Python, and so joblib's, goes on."""
    return [
        one("safetensors-frame-longer-than-the-file",
            with_tensors(b"\x95" + struct.pack("<Q", len(CALL) + 1) + CALL), "polyglot"),
        one("safetensors-frame-with-a-stop-inside",
            with_tensors(b"\x95" + struct.pack("<Q", 4) + b"N.\xff\xff" + CALL), "polyglot"),
        one("safetensors-frame-of-any-length", with_tensors(b"\x95" + b"\xff" * 7 + b"\x7f" + CALL), "polyglot"),
    ]  # fmt: skip


def loads_in_a_row() -> list[Hostile]:
    """What only the second load calls, of one unpickler that keeps its memo."""
    rows = {
        "put": SYSTEM + b"p0\n0N.g0\n(S'true'\ntR.",
        "memoize": SYSTEM + b"\x940N.h\0(S'true'\ntR.",
        "third": SYSTEM + b"q\x050N.N.h\x05(S'true'\ntR.",
        "function-and-argument": SYSTEM + b"p0\n0S'true'\np1\n.g0\ng1\n\x85R.",
    }
    texts = [one("text-that-the-second-load-calls", rows["put"], "trailing-data")]
    # 4,162 elements read as BINBYTES of 16 bytes.
    counted = struct.pack("<q", 0x1042) + (bytes(13) + b"0" + CALL).ljust(0x1042)
    main = tensor(kind="ByteStorage").replace(b"K\x02tQ", b"M\x42\x10NtQ")
    texts.append(one("torch-legacy-whose-count-is-an-opcode", legacy(main, storages=counted), "extra-pickle"))
    return texts + [one(f"safetensors-row-{name}", with_tensors(content), "polyglot") for name, content in rows.items()]


def _outer(module: str, name: str, dump: bytes) -> bytes:
    """A dump of an array of objects whose outer pickle fills the first places of the memo."""
    names = ("numpy._core.multiarray", "_reconstruct", module, name)
    return dump[:2] + b"".join(text(each) + b"\x940" for each in names) + dump[2:]


def joblib_in_plain_pickle() -> list[Hostile]:
    """Dumps of which `joblib.load` makes an array, and plain `pickle.load` imports, or acts when it is asked again."""
    inner = b"".join(text(each) + b"\x940" for each in ("numpy._core.multiarray", "_reconstruct", "numpy", "dtype"))
    objects = (
        b"\x80\x04" + inner + b"h\x02h\x03\x930h\x00h\x01\x93" + stack_global("numpy", "ndarray")
        + b"K\x00\x85C\x01b\x87R(K\x01K\x01\x85" + DTYPES["O8"]
        + b"(K\x03" + text("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89](Netb."
    )  # fmt: skip
    dump = wrapped(objects, dtype=DTYPES["O8"])
    codec = text("_codecs") + b"\x94" + text("encode") + b"\x9400"
    argument = b"h\x00h\x01\x93" + text("true") + text("latin1") + b"\x86R0"
    behind = wrapped(MEMO_OF_ANOTHER, dtype=DTYPES["O8"])
    behind = behind[:2] + codec + behind[2:-1] + text("x") + b"0" + text("os") + b"\x94" + text("system") + b"\x9400"

    def numbers(elements: bytes) -> bytes:
        return wrapped(elements, **WITHOUT_PADDING, shape=b"K" + bytes([len(elements)]) + b"\x85")

    cases = [
        ("imports-a-module", _outer("this", "dtype", dump)),
        ("imports-a-submodule", _outer("idlelib.idle", "dtype", dump)),
        ("numbers-that-import", numbers(b"0cthis\ns\n.")),
        ("numbers-that-end-before-a-call", numbers(b"." + CALL)),
        ("second-load-acts", behind + argument + b"."),
    ]
    beside = {"model.joblib": _outer("evil", "dtype", dump), "evil.py": b"print('imported')\n"}
    return [
        *(one(f"joblib-in-pickle-{name}", content) for name, content in cases),
        Hostile(name="joblib-in-pickle-imports-a-file-beside-it", files=beside),
    ]


def packed_tail(tail: bytes) -> bytes:
    """A .npz whose deflated member ends where the scanner's first piece does, and `tail` behind that end."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (130934,), }".ljust(117) + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(130_934)
    blocks = (content[:0xFFFF], content[0xFFFF:])
    packed = b"".join(
        bytes([last]) + struct.pack("<HH", len(block), len(block) ^ 0xFFFF) + block for last, block in enumerate(blocks)
    )
    entry = Entry(name="a.npy", data=packed + tail, size=len(content), crc=zlib.crc32(content))
    archive = bytearray(raw_zip([entry]))
    archive[8] = archive[archive.index(b"PK\x01\x02") + 10] = 8
    return bytes(archive)


def deflated() -> list[Hostile]:
    """Bytes behind the end of a member's stream, which nobody expands."""
    return [one("npz-with-bytes-behind-a-stream", packed_tail(CALL), "zip-structure")]


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (
    long_lines, frames, loads_in_a_row, joblib_in_plain_pickle, deflated,
)  # fmt: skip
