"""What an engine refuses before it starts, and what a worker refuses to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.poisoning.engines.trees import COLUMNS, VERSION, Far, held, poisoned

from interlock.gate import Location, OpenSubject, Subject, SubjectError, UsageError
from interlock.poisoning import Batch, Columns, PoisoningGate
from interlock.poisoning.batches import Source
from interlock.poisoning.engines import Piece, RayEngine, Share, engine_for, shares_of
from interlock.poisoning.engines.seals import sealed
from interlock.poisoning.engines.shares import files_of
from interlock.poisoning.engines.tasks import Job, join, look_at, packed, states_of

HASHED = pytest.mark.parametrize("hashed", [False, True], ids=["this machine", "any machine"])


@pytest.fixture
def source(write: Callable[..., Path]) -> Source:
    return Source.of(held(write(poisoned())), COLUMNS)


def answer(source: Source, job: Job) -> tuple[Any, ...]:
    return states_of(look_at(packed(job), Share(source=source, pieces=(Piece(file=0),)), 0))


def job(source: Source, *, hashed: bool, version: str = VERSION) -> Job:
    return Job(looks=(Far(),), seals=sealed(source.opened, files_of(source), hashed=hashed), version=version)


@HASHED
def test_a_worker_that_cannot_open_the_file_says_what_must_hold(source: Source, *, hashed: bool) -> None:
    ready = job(source, hashed=hashed)
    source.opened.path.unlink()
    with pytest.raises(UsageError, match=r"cannot open .*train.parquet: No such file.*mount the store"):
        answer(source, ready)


@HASHED
def test_a_worker_that_finds_other_bytes_refuses_them(source: Source, *, hashed: bool) -> None:
    ready = job(source, hashed=hashed)
    path = source.opened.path
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with pytest.raises(SubjectError, match="finds other bytes"):
        answer(source, ready)


def test_the_same_bytes_elsewhere_are_read_by_their_hash(source: Source, tmp_path: Path) -> None:
    ready = job(source, hashed=True)
    copy = tmp_path / "copy" / "train.parquet"
    copy.parent.mkdir()
    copy.write_bytes(source.opened.path.read_bytes())
    other = Source.of(replace(source.opened, path=copy), COLUMNS)
    ((state,), (again,)) = answer(source, ready), answer(other, ready)
    assert state["rows"] == again["rows"] == 1797


def test_bytes_that_change_while_they_are_read_are_refused(source: Source) -> None:
    ready = job(source, hashed=True)

    class Touching(Far):
        def partial(self, batch: Batch) -> dict[str, Any]:
            path = source.opened.path
            path.write_bytes(path.read_bytes() + b" ")
            return super().partial(batch)

    (share,) = shares_of(source, 1)
    look = replace(ready, looks=(Touching(),))
    from interlock.poisoning.engines.shares import folded
    from interlock.poisoning.engines.tasks import checked

    with pytest.raises(SubjectError):
        folded(look.looks, checked(look, share))


def test_a_held_copy_that_is_not_its_digest_is_refused(source: Source) -> None:
    subject = Subject(name="train.parquet", uri="file:///x", digest="ab" * 32)
    opened: OpenSubject = replace(source.opened, subject=subject)
    with pytest.raises(SubjectError, match="the held copy changed"):
        sealed(opened, ("",), hashed=True)


def test_a_worker_of_another_version_is_refused(source: Source) -> None:
    with pytest.raises(UsageError, match="a worker runs Interlock"):
        answer(source, job(source, hashed=False, version="0.0.1"))


def test_the_error_of_the_earliest_share_wins(source: Source) -> None:
    ready = job(source, hashed=False)
    source.opened.path.unlink()
    share = Share(source=source, pieces=(Piece(file=0),))
    late, early = (look_at(packed(ready), share, number) for number in (5, 2))
    assert join(packed(ready), late, early) == early


def test_states_can_be_written_in_place(source: Source) -> None:
    (state,) = answer(source, job(source, hashed=False))
    assert state["sum"].flags.writeable


class Rows:
    """Rows that are not held in files."""

    name = "rows"
    columns = Columns(label="label")
    files = ("rows",)

    def shown(self, file: str) -> str:
        return file

    def where(self, place: int, row: int) -> Location:
        return Location(path=self.files[place], row=row)

    def batches(self) -> Iterator[Batch]:
        features, labels = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.int64)
        yield Batch(start=0, file=0, features=features, labels=labels, vocabulary=("x",))


def test_rows_from_python_stay_in_this_process() -> None:
    with pytest.raises(UsageError, match="are not on other processes"):
        RayEngine().fold(Rows(), (Far(),))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "spark"}, "no engine 'spark'.*local, ray"),
        ({"engine": "local", "ray_address": "head:6379"}, "the scan runs in this process"),
        ({"engine": "ray", "ray_address": ""}, "no address of a Ray cluster"),
        ({"engine": "ray", "ray_address": "local"}, "no address of a Ray cluster"),
        ({"engine": "ray", "ray_address": "ray://head:10001"}, "no address of a Ray cluster"),
        ({"engine": "ray", "device": "cuda:1"}, "say cuda"),
    ],
    ids=["unknown", "address without ray", "empty address", "local address", "client", "one GPU of several"],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        PoisoningGate("label", **options)  # type: ignore[arg-type]  # as JSON gives them


def test_the_engine_is_in_the_configuration() -> None:
    assert engine_for("local").name == "local"
    configuration = PoisoningGate("label", engine="ray", ray_address="head:6379").configuration()
    assert configuration["engine"] == "ray"
    assert configuration["ray_address"] == "head:6379"
    assert "ray" in [tool.name for tool in PoisoningGate("label", engine="ray").tools]
