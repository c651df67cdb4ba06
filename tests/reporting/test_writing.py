"""A report takes the place of a file, whole; never that of a link, a device, a pipe or a socket."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.gate import UsageError
from interlock.reporting import write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "report.json"
    place.write_text("a longer text that was there")
    write_whole(place, "new")
    assert place.read_text() == "new"
    assert [one.name for one in tmp_path.iterdir()] == ["report.json"]


def test_a_link_stays_and_its_file_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "file").write_text("old")
    for name, target in (("near", folder / "file"), ("far", tmp_path / "near"), ("new", folder / "new")):
        (tmp_path / name).symlink_to(target)
    write_whole(tmp_path / "far", b"one")
    assert (folder / "file").read_bytes() == b"one"
    write_whole(tmp_path / "new", b"two")
    assert (folder / "new").read_bytes() == b"two"
    assert all((tmp_path / name).is_symlink() for name in ("near", "far", "new"))
    assert sorted(one.name for one in folder.iterdir()) == ["file", "new"]


def test_a_link_beside_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / f".report.json.{os.getpid()}").symlink_to(tmp_path / "precious")
    write_whole(tmp_path / "report.json", "new")
    assert (tmp_path / "precious").read_text() == "old"
    assert not (tmp_path / "report.json").is_symlink()


def pipe(place: Path) -> None:
    os.mkfifo(place)


def link_to_a_pipe(place: Path) -> None:
    os.mkfifo(place.with_name("the-pipe"))
    place.symlink_to(place.with_name("the-pipe"))


def bound_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))


@pytest.mark.parametrize(
    "lay", [pytest.param(lay, id=lay.__name__.replace("_", "-")) for lay in (pipe, link_to_a_pipe, bound_socket)]
)
def test_what_is_no_file_is_refused_and_stays(tmp_path: Path, lay: Callable[[Path], None]) -> None:
    place = tmp_path / "out"
    lay(place)
    before = stat.S_IFMT(place.stat().st_mode)
    with pytest.raises(UsageError, match="no regular file") as refused:
        write_whole(place, "{}")
    assert "redirect standard output instead" in str(refused.value)
    assert stat.S_IFMT(place.stat().st_mode) == before
    assert not any(one.name.startswith(".") for one in tmp_path.iterdir())


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="cannot be written"):
        write_whole(tmp_path / "a", "{}")


def test_a_file_that_was_deleted_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "gone").open("wb") as file:
        (tmp_path / "gone").unlink()
        with pytest.raises(UsageError, match="no name any more"):
            write_whole(Path(f"/proc/self/fd/{file.fileno()}"), "{}")
    assert list(tmp_path.iterdir()) == []
