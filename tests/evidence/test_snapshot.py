"""What bytes a subject has: one digest for the same bytes anywhere, and nothing followed that should not be."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import fsspec  # type: ignore[import-untyped]  # no stubs are published
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.evidence import Snapshot, SnapshotLimits, take_snapshot
from interlock.evidence.local import LocalSource
from interlock.evidence.snapshot import FileEntry, manifest_files, read_all
from interlock.gate import SubjectError, SubjectNotFoundError, UnsafeSubjectError, UsageError

ENTRY = st.builds(
    FileEntry,
    path=st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    size=st.integers(0, 1 << 40),
)
ENTRIES = st.lists(ENTRY, min_size=1, max_size=5, unique_by=lambda entry: entry.path)


def folder(root: Path) -> Path:
    (root / "lake" / "deep").mkdir(parents=True)
    (root / "lake" / "a.csv").write_text("1,2\n")
    (root / "lake" / "deep" / "b.csv").write_text("3,4\n")
    (root / "lake" / "empty").mkdir()
    return root / "lake"


def test_single_file_is_named_by_its_own_sha256(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    snapshot = take_snapshot(str(tmp_path / "model.bin"))
    assert snapshot.digest == hashlib.sha256(b"weights").hexdigest()
    assert (snapshot.name, snapshot.size, snapshot.single_file) == ("model.bin", 7, True)
    assert snapshot.uri == (tmp_path / "model.bin").as_uri()


def test_folder_is_named_by_the_sha256_of_its_manifest(tmp_path: Path) -> None:
    snapshot = take_snapshot(str(folder(tmp_path)))
    assert [entry.path for entry in snapshot.files] == ["a.csv", "deep/b.csv"]
    assert snapshot.digest == hashlib.sha256(snapshot.manifest()).hexdigest()
    assert snapshot.subject.digest == snapshot.digest


def test_same_bytes_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    here = take_snapshot(str(folder(tmp_path)))
    by_url = take_snapshot((tmp_path / "lake").as_uri() + "/")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/elsewhere/name/a.csv": b"1,2\n", "/elsewhere/name/deep/b.csv": b"3,4\n"})
    try:
        remote = take_snapshot("memory://elsewhere/name")
    finally:
        memory.rm("/elsewhere", recursive=True)
    assert here.digest == by_url.digest == remote.digest
    assert (by_url.name, remote.name) == ("lake", "name")


def test_file_url_may_escape_its_path(tmp_path: Path) -> None:
    place = tmp_path / "with space & %.csv"
    place.write_text("x")
    assert take_snapshot(place.as_uri()).digest == take_snapshot(str(place)).digest


@given(entries=ENTRIES, other=ENTRIES)
def test_only_equal_files_have_equal_digests(entries: list[FileEntry], other: list[FileEntry]) -> None:
    one = Snapshot(name="a", uri="u", files=tuple(sorted(entries, key=lambda e: e.path)), single_file=False)
    two = Snapshot(name="b", uri="v", files=tuple(sorted(other, key=lambda e: e.path)), single_file=False)
    assert (one.digest == two.digest) == (one.files == two.files)
    assert manifest_files(one.manifest(), where="here") == one.files


@settings(max_examples=20, deadline=None)
@given(contents=st.lists(st.binary(max_size=300_000), min_size=1, max_size=6), threads=st.integers(1, 4))
def test_threads_change_nothing(contents: list[bytes], threads: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("lake")
    for number, content in enumerate(contents):
        (root / f"{number}").write_bytes(content)
    snapshot = take_snapshot(str(root), threads=threads)
    assert [e.sha256 for e in snapshot.files] == [hashlib.sha256(content).hexdigest() for content in contents]
    assert snapshot.size == sum(map(len, contents))


def link_to_file(root: Path) -> None:
    (root / "passwd").symlink_to("/etc/passwd")


def link_to_folder(root: Path) -> None:
    (root / "etc").symlink_to("/etc", target_is_directory=True)


def dangling_link(root: Path) -> None:
    (root / "later").symlink_to(root / "not-yet")


def fifo(root: Path) -> None:
    os.mkfifo(root / "pipe")


def unix_socket(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket must be short
        try:
            server.bind("sock")
        finally:
            os.chdir(here)


def name_that_is_not_utf8(root: Path) -> None:
    (root / os.fsdecode(b"bad\xff.csv")).write_text("x")


def name_with_a_line_break(root: Path) -> None:
    (root / "a\nb.csv").write_text("x")


@pytest.mark.parametrize(
    "attack",
    [link_to_file, link_to_folder, dangling_link, fifo, unix_socket, name_that_is_not_utf8, name_with_a_line_break],
    ids=lambda attack: attack.__name__.replace("_", " "),
)
def test_folder_with_something_unsafe_is_refused(attack: Callable[[Path], None], tmp_path: Path) -> None:
    root = folder(tmp_path)
    attack(root)
    with pytest.raises(UnsafeSubjectError) as refused:
        take_snapshot(str(root))
    assert str(root) in refused.value.where


def test_root_that_is_a_link_is_refused_with_and_without_a_slash(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(folder(tmp_path))
    for uri in (str(tmp_path / "latest"), f"{tmp_path / 'latest'}/", (tmp_path / "latest").as_uri()):
        with pytest.raises(UnsafeSubjectError, match="symlink"):
            take_snapshot(uri)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_device_is_refused_before_it_is_opened(device: str) -> None:
    with pytest.raises(UnsafeSubjectError, match="device"):
        take_snapshot(device)


class _Swapping(LocalSource):
    """A source under which an attacker swaps a listed file between listing and opening."""

    def __init__(self, path: Path, swap: Callable[[Path], None]) -> None:
        super().__init__(path)
        self._swap = swap
        self._place = path

    def listing(self, limits: SnapshotLimits):  # type: ignore[no-untyped-def]  # as the class it stands in for
        listing = super().listing(limits)
        self._swap(self._place)
        return listing


def file_becomes_link(root: Path) -> None:
    (root / "a.csv").unlink()
    (root / "a.csv").symlink_to("/etc/passwd")


def folder_becomes_link(root: Path) -> None:
    (root / "deep").rename(root.parent / "aside")
    (root / "deep").symlink_to(root.parent / "aside", target_is_directory=True)


def file_becomes_fifo(root: Path) -> None:
    (root / "a.csv").unlink()
    os.mkfifo(root / "a.csv")


def file_becomes_folder(root: Path) -> None:
    (root / "a.csv").unlink()
    (root / "a.csv").mkdir()


def file_grows(root: Path) -> None:
    with (root / "a.csv").open("a") as stream:
        stream.write("5,6\n")


def file_shrinks(root: Path) -> None:
    (root / "a.csv").write_text("")


def file_vanishes(root: Path) -> None:
    (root / "a.csv").unlink()


@pytest.mark.parametrize(
    "swap",
    [
        file_becomes_link,
        folder_becomes_link,
        file_becomes_fifo,
        file_becomes_folder,
        file_grows,
        file_shrinks,
        file_vanishes,
    ],
    ids=lambda swap: swap.__name__.replace("_", " "),
)
def test_swap_between_listing_and_opening_is_caught(swap: Callable[[Path], None], tmp_path: Path) -> None:
    with _Swapping(folder(tmp_path), swap) as source, pytest.raises(SubjectError):
        read_all(source, threads=1, limits=SnapshotLimits())


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        pytest.param(SnapshotLimits(files=1), "1 files", id="too many files"),
        pytest.param(SnapshotLimits(bytes=5), "5 bytes", id="too many bytes"),
        pytest.param(SnapshotLimits(depth=0), "deeper than 0", id="too deep"),
    ],
)
def test_more_than_the_limits_is_refused(limits: SnapshotLimits, says: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeSubjectError, match=says):
        take_snapshot(str(folder(tmp_path)), limits=limits)


def test_file_that_poses_as_a_manifest_is_refused(tmp_path: Path) -> None:
    evil = take_snapshot(str(folder(tmp_path)))
    (tmp_path / "harmless.json").write_bytes(evil.manifest())
    assert hashlib.sha256(evil.manifest()).hexdigest() == evil.digest
    with pytest.raises(UnsafeSubjectError, match="poses as the manifest"):
        take_snapshot(str(tmp_path / "harmless.json"))


def test_nothing_there_and_an_empty_folder_are_not_found(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for uri in (str(tmp_path / "none"), str(tmp_path / "empty"), "memory://none/here"):
        with pytest.raises(SubjectNotFoundError):
            take_snapshot(uri)


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("", id="empty"),
        pytest.param("http://example.org/x", id="another scheme"),
        pytest.param("zip://x::file:///etc/passwd", id="chained"),
        pytest.param("simplecache::s3://bucket/x", id="cache that outlives a swap"),
        pytest.param("reference://x", id="computed"),
        pytest.param("s3://key:secret@bucket/x", id="credentials in the URL"),
        pytest.param("file://host/x", id="file URL with a host"),
    ],
)
def test_url_that_no_subject_may_have_is_a_usage_error(uri: str) -> None:
    with pytest.raises(UsageError) as refused:
        take_snapshot(uri)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["up/../../etc", "a//b", "./a"], ids=["parent", "empty part", "dot"])
def test_object_key_that_leaves_its_prefix_is_refused(key: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.store[f"/bucket/data/{key}"] = memory.open("/scratch", "wb")
    memory.pseudo_dirs.append("/bucket/data")
    try:
        with pytest.raises(UnsafeSubjectError, match="leaves its root"):
            take_snapshot("memory://bucket/data")
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


def test_object_that_is_also_a_prefix_is_refused() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/x/a": b"1", "/bucket/x/b": b"2"})
    memory.store["/bucket/x/a/b"] = memory.store["/bucket/x/b"]
    try:
        with pytest.raises(UnsafeSubjectError, match="both file and folder"):
            take_snapshot("memory://bucket/x")
    finally:
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]


def test_zero_threads_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        take_snapshot(str(folder(tmp_path)), threads=0)
