"""The scan on a real Ray cluster of this machine: the same result, also when a worker is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.poisoning.engines.trees import COLUMNS, Far, check_same, detectors, held, poisoned, scanned

from interlock.gate import SubjectError, UnavailableError
from interlock.poisoning import Batch, Columns, Detector, Profile, Scan, Scores
from interlock.poisoning.batches import Source
from interlock.poisoning.engines import RayEngine
from interlock.poisoning.models import TrainedModel

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")

DATA = poisoned()


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """`Far`, whose worker is killed in the middle, as often as there are marks left.

    Args:
        marks: A folder; each file in it is one death to come.
        inner: What it does otherwise.
    """

    marks: Path
    inner: Far

    @property
    def name(self) -> str:
        return "far"

    def unfit(self) -> str:
        return ""

    def partial(self, batch: Batch) -> dict[str, Any]:
        if batch.start <= 900 < batch.start + len(batch.labels):
            for mark in self.marks.iterdir():
                mark.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return self.inner.partial(batch)

    def merge(self, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        return self.inner.merge(one, other)

    def finalize(self, state: dict[str, Any]) -> Scores | Detector[Any]:
        found = self.inner.finalize(state)
        return Killed(marks=self.marks, inner=found) if isinstance(found, Far) else found


class Crashing(Far):
    """A detector with a fault."""

    def partial(self, batch: Batch) -> dict[str, Any]:
        raise ZeroDivisionError(f"at row {batch.start}")


@pytest.fixture
def source(write: Callable[..., Path]) -> Source:
    return Source.of(held(write(DATA, row_group=200)), COLUMNS)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[RayEngine]:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield RayEngine(workers=2)
    assert not ray.is_initialized()


def listening() -> list[str]:
    """Addresses on which Ray's processes listen."""
    sockets = subprocess.check_output(["ss", "-ltnp"], text=True).splitlines()[1:]
    return [line.split()[3] for line in sockets if any(name in line for name in ("gcs_server", "raylet", "ray::"))]


def test_a_cluster_gives_the_scan_of_one_process_also_with_a_worker_killed(
    engine: RayEngine, source: Source, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    def chosen(profile: Profile) -> tuple[Detector[Any], ...]:
        return (*detectors(profile)[:2], Killed(marks=marks, inner=Far()))

    alone = scanned(source, chosen=chosen)
    (marks / "once").touch()
    (marks / "twice").touch()
    together: Scan = scanned(source, engine, chosen)
    assert not list(marks.iterdir())
    assert together.flagged
    check_same(together, alone)


def test_a_network_is_trained_on_the_same_rows_on_a_cluster(engine: RayEngine, source: Source) -> None:
    def chosen(profile: Profile) -> tuple[Detector[Any], ...]:
        return (TrainedModel(profile=profile, image_shape=COLUMNS.image_shape),)

    alone = scanned(source, chosen=chosen)
    assert [name for name, _ in alone.scores] == ["trained_model"]
    check_same(scanned(source, engine, chosen), alone)


def test_a_cluster_of_its_own_listens_on_loopback_alone_and_leaves_nothing(
    engine: RayEngine, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = dict(os.environ)
    with engine:
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        if shutil.which("ss"):
            assert listening()
            assert not [place for place in listening() if "127.0.0.1" not in place]
        engine.fold(source, (Far(),))
    assert dict(os.environ) == before
    assert not (tmp_path / "home").exists()


def test_errors_of_workers_are_those_of_one_process(
    engine: RayEngine, tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, header in (("a", "x,label"), ("b", "x,label"), ("c", "x,y,label")):
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "d" / f"{name}.csv").write_text(f"{header}\n" + f"{'1,' * header.count(',')}u\n" * 20)
    mixed = Source.of(held(tmp_path / "d"), Columns(label="label"))
    marks = tmp_path / "marks"
    marks.mkdir()
    for death in range(9):
        (marks / str(death)).touch()
    monkeypatch.setattr("interlock.poisoning.engines.on_ray.RETRIES", 1)  # each death costs the start of a worker
    with engine:
        monkeypatch.setattr(RayEngine, "__enter__", lambda self: self)
        monkeypatch.setattr(RayEngine, "__exit__", lambda *_: None)
        with pytest.raises(SubjectError, match=r"2 features here, but 1 in the files before \(c.csv\)"):
            scanned(mixed, engine, lambda _: (Far(),))
        with pytest.raises(ZeroDivisionError, match="at row 0"):
            scanned(source, engine, lambda _: (Crashing(),))
        with pytest.raises(UnavailableError, match="after 1 more tries"):
            scanned(source, engine, lambda _: (Killed(marks=marks, inner=Far()),))
        monkeypatch.undo()


CLUSTER = """
import sys
from interlock.poisoning.engines import RayEngine
with RayEngine(workers=1):
    import ray
    import os
    print(ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"], file=sys.__stdout__, flush=True)
    sys.stdin.read()
"""


def test_a_cluster_by_address_reads_only_the_bytes_that_the_driver_holds(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        address, token = other.stdout.readline().split()
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
        # The cluster is on loopback, where Ray looks for its node only on the systems that this switch is for.
        monkeypatch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", False)
        engine = RayEngine(address)
        quick = (Far(),)
        check_same(scanned(source, engine, lambda _: quick), scanned(source, chosen=lambda _: quick))
        path = source.opened.path
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + b"0")
        with pytest.raises(SubjectError, match="the held copy changed"):
            scanned(source, engine, lambda _: quick)
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait(60) == 0


def test_a_cluster_that_nobody_keeps_is_unavailable(source: Source) -> None:
    with pytest.raises(UnavailableError, match="cannot be reached"):
        scanned(source, RayEngine("127.0.0.1:1"), lambda _: (Far(),))
