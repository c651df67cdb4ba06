"""Hostile files that one reader of pickles takes further than another: lines, frames and loads in a row."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from tests.artifacts.corpus import CALL, SYSTEM, Hostile, one, safetensors

_NAME = b"cos\nsystem" + b".__call__" * 1_000 + b"\n"
"""os.system under a name of protocol 4 that no pickler writes."""


def with_tensors(payload: bytes) -> bytes:
    """A safetensors file that passes, whose header's length is a BINBYTES, and whose one tensor is then the program."""
    count, before = 60, b'{"__metadata__":{"k":"'
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
        one("safetensors-frame-of-any-length", with_tensors(b"\x95" + b"\xff" * 7 + b"\x7f" + CALL), "polyglot"),
    ]  # fmt: skip


GROUPS: tuple[Callable[[], list[Hostile]], ...] = (long_lines, frames)
