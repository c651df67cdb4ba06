"""A copy of exactly the bytes that a digest names, or nothing."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.evidence import take_snapshot
from interlock.evidence.fetching import fetch
from interlock.gate import SubjectError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "part").mkdir(parents=True)
    (data / "a.csv").write_text("a,b\n1,2\n")
    (data / "part/b.csv").write_text("a,b\n3,4\n")
    return data


@pytest.mark.parametrize("what", [".", "a.csv"], ids=["folder", "file"])
def test_the_named_bytes_appear_for_reading_only(folder: Path, tmp_path: Path, what: str) -> None:
    digest = f"sha256:{take_snapshot(str(folder / what)).digest}"
    target = tmp_path / "held" / "copy"
    fetch(str(folder / what), digest, target)
    assert f"sha256:{take_snapshot(str(target)).digest}" == digest
    assert not [path for path in (target, *target.rglob("*")) if path.stat().st_mode & 0o222]
    assert all(path.stat().st_mode & stat.S_IROTH for path in (target, *target.rglob("*")))
    assert list(target.parent.iterdir()) == [target]


def changed(folder: Path) -> None:
    (folder / "a.csv").write_text("a,b\n1,9\n")


def grown(folder: Path) -> None:
    (folder / "c.csv").write_text("")


def renamed(folder: Path) -> None:
    (folder / "a.csv").rename(folder / "z.csv")


def shrunk(folder: Path) -> None:
    shutil.rmtree(folder / "part")


@pytest.mark.parametrize("attack", [changed, grown, renamed, shrunk], ids=lambda attack: attack.__name__)
def test_other_bytes_than_the_guard_saw_leave_nothing(folder: Path, tmp_path: Path, attack: object) -> None:
    digest = f"sha256:{take_snapshot(str(folder)).digest}"
    assert callable(attack)
    attack(folder)
    target = tmp_path / "held" / "copy"
    with pytest.raises(SubjectError, match="not sha256:"):
        fetch(str(folder), digest, target)
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "0" * 64, "sha256:" + "G" * 64, "sha512:" + "0" * 64, "sha256:" + "0" * 65]
)
def test_what_is_no_digest_fetches_nothing(folder: Path, tmp_path: Path, digest: str) -> None:
    with pytest.raises(UsageError, match="is no digest"):
        fetch(str(folder), digest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_place_that_is_taken_stays_what_it_is(folder: Path, tmp_path: Path) -> None:
    digest = f"sha256:{take_snapshot(str(folder)).digest}"
    for taken in (tmp_path / "there", tmp_path / "dangling"):
        taken.mkdir() if taken.name == "there" else taken.symlink_to(tmp_path / "none")
        with pytest.raises(UsageError, match="does not exist"):
            fetch(str(folder), digest, taken)


@pytest.mark.parametrize(("digest", "status"), [("right", 0), ("wrong", 3)])
def test_the_command_ends_well_only_for_the_right_bytes_and_writes_nowhere_else(
    folder: Path, tmp_path: Path, digest: str, status: int
) -> None:
    """As the first container of a pod runs it: no settings and no home that could be written."""
    named = f"sha256:{take_snapshot(str(folder)).digest}" if digest == "right" else "sha256:" + "0" * 64
    command = [
        sys.executable,
        "-m",
        "interlock.cli",
        "fetch",
        str(folder),
        "--digest",
        named,
        "--to",
        str(tmp_path / "copy"),
    ]
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, (tmp_path / "copy").exists()) == (status, status == 0), done.stderr
