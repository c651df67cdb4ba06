"""Bytes of a file: a newline is found where it is, and a hole of a sparse file is passed over."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.scan import scan_file
from interlock.artifacts.source import find_newline, open_bytes

HUGE = 1 << 33


def sparse(path: Path, written: dict[int, bytes], size: int) -> Path:
    with path.open("wb") as file:
        for at, content in written.items():
            file.seek(at)
            file.write(content)
        file.truncate(size)
    return path


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(
    places=st.sets(st.integers(0, 3_000_000), max_size=4),
    start=st.integers(0, 3_000_000),
    length=st.integers(0, 3_000_000),
)
def test_newline_in_a_sparse_file_is_the_one_that_a_reader_finds(places: set[int], start: int, length: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = sparse(Path(folder, "f"), dict.fromkeys(places, b"x\n"), 3_000_100)
        end = min(start + length, 3_000_100)
        with open_bytes(file, small=1) as data:
            assert not isinstance(data, bytes)
            assert find_newline(data, start, end) == file.read_bytes().find(b"\n", start, end)


def test_newline_behind_a_huge_hole_is_found(tmp_path: Path) -> None:
    with open_bytes(sparse(tmp_path / "f", {0: b"P", HUGE: b"x\n"}, HUGE + 5)) as data:
        assert find_newline(data, 0, len(data)) == HUGE + 1
        assert find_newline(data, HUGE + 2, len(data)) == -1


@pytest.mark.skipif(not hasattr(os, "SEEK_DATA"), reason="holes are not told here")
@pytest.mark.parametrize("opcode", [b"P", b"p", b"X", b"h"])
def test_sparse_weights_whose_length_reads_as_an_opcode_pass(tmp_path: Path, opcode: bytes) -> None:
    """PERSID takes a line, which here is the whole file: it holds no newline."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [HUGE], "data_offsets": [0, HUGE]}}).encode()
    header = header.ljust(0x100 + opcode[0])
    file = sparse(tmp_path / "m", {0: struct.pack("<Q", len(header)) + header}, 8 + len(header) + HUGE)
    with file.open("rb") as opened:
        assert opened.read(1) == opcode
    record = Record(Budget(Limits()))
    scan_file(file, "m", profile=profile_named("torch-state-dict"), record=record)
    assert record.clean


def test_line_that_is_paid_for_ends_with_the_bytes_that_may_be_read(tmp_path: Path) -> None:
    header = json.dumps({"w": {"dtype": "U8", "shape": [HUGE], "data_offsets": [0, HUGE]}}).encode().ljust(0x150)
    file = sparse(tmp_path / "m", {0: struct.pack("<Q", len(header)) + header}, 8 + len(header) + HUGE)
    record = Record(Budget(Limits(total_bytes=1 << 32)))
    scan_file(file, "m", profile=profile_named("torch-state-dict"), record=record)
    assert "bytes to read" in record.failed[0].reason
