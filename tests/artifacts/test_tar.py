"""Tar files: one meaning for every reader, compared with `tarfile`."""

from __future__ import annotations

import io
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_containers import EVIL, TORCH_TAR, tar
from tests.artifacts.looking import allowed, errors, look, opened, record_of

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.containers.tar_container import TarStructureError, read_tar
from interlock.artifacts.limits import Budget
from interlock.artifacts.record import Record

FILES = [("a/b.txt", b"hello\n"), ("x" * 120, b"world\n" * 99), ("größe", b"y\n")]
WHOLE = tar(FILES)
quick = settings(max_examples=150, derandomize=True, database=None, deadline=None)


def test_no_cut_of_a_tar_is_allowed() -> None:
    assert record_of(WHOLE).clean
    content = len(WHOLE.rstrip(b"\0"))
    # Behind the end stand only zeros; two blocks of them have to be there.
    assert not [size for size in range(20, content + 512, 64) if record_of(WHOLE[:size]).clean]


@quick
@given(position=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_what_is_allowed_means_the_same_to_tarfile(position: int, value: int) -> None:
    changed = WHOLE[:position] + bytes([value]) + WHOLE[position + 1 :]
    if not record_of(changed).clean:
        return
    ours = [(m.name, changed[m.start : m.start + m.size]) for m in read_tar(changed, path="", record=_record())]
    with tarfile.open(fileobj=io.BytesIO(changed), mode="r:") as archive:
        theirs = [(m.name, archive.extractfile(m)) for m in archive.getmembers()]
        assert ours == [(name, file.read()) for name, file in theirs if file]


@quick
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_changed_byte_never_hides_a_pickle_that_acts(position: int, value: int) -> None:
    changed = bytearray(tar([("note.txt", b"x\n"), ("m", EVIL)]))
    start = changed.index(EVIL)
    if not start <= position < start + len(EVIL):
        changed[position] = value
    assert not record_of(bytes(changed)).clean


@quick
@given(data=st.binary(max_size=1500))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(TarStructureError):
        read_tar(data, path="", record=_record())


def _record() -> Record:
    return Record(Budget(Limits()))


def test_tar_of_too_many_members_is_undecided() -> None:
    record = record_of(WHOLE, limits=Limits(members=2))
    assert "more than 2 members" in record.failed[0].reason


def test_large_sparse_tar_ends_soon_and_undecided(tmp_path: Path) -> None:
    subject = opened(tmp_path, {"": WHOLE})
    os.truncate(subject.path, 10 << 30)
    seen = ArtifactGate().look(subject)
    assert not allowed(seen)
    assert "behind the end of a tar" in seen.coverage.failed[0].reason


@pytest.mark.slow
def test_torch_tar_of_the_corpus_is_one_that_torch_loads(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model.pt"
    path.write_bytes(tar(TORCH_TAR))
    assert torch.load(path, weights_only=False) == {}
    assert errors(look(tmp_path / "looked", {"": path.read_bytes()})) == {"artifact-scan.torch-archive"}
