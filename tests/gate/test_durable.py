"""A file takes the place of another one whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from interlock.gate.durable import replacing


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(place) as file:
        file.write(bytes(1 // 0))
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"file": "old"}


def test_what_was_written_can_be_read_and_has_the_rights_of_a_new_file(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        with replacing(tmp_path / "file") as file:
            file.write(b"new")
            file.seek(0)
            assert file.read() == b"new"
    finally:
        os.umask(umask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        one.write(b"first to begin")
        other.write(b"first to end")
    assert (tmp_path / "file").read_bytes() == b"first to begin"
