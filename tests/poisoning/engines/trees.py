"""What the engine tests share: the tasks of a cluster in this process, and a detector that needs two passes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from benchmarks.poisoning.attacks import Dataset, badnets, digits, flipped, square
from numpy.typing import NDArray

from interlock.gate import OpenSubject, Subject
from interlock.poisoning import Batch, Columns, Detector, LabelConsistency, Profile, RepeatedPattern, Scan, Scores, scan
from interlock.poisoning.batches import BatchSource, Source
from interlock.poisoning.engines import Engine, Look, shares_of
from interlock.poisoning.engines.seals import sealed
from interlock.poisoning.engines.shares import files_of
from interlock.poisoning.engines.tasks import Job, join, look_at, packed, states_of

COLUMNS = Columns(label="label", image_shape=(8, 8))


class TreeEngine:
    """What Ray does, one task after the other: shares in any number, states joined in any order."""

    def __init__(self, count: int, order: int | None = None) -> None:
        self._count = count
        self._random = None if order is None else random.Random(order)

    @property
    def name(self) -> str:
        return "tree"

    def fold(
        self, source: BatchSource, looks: Sequence[Look[Any]], *, lengths: Sequence[int] | None = None
    ) -> tuple[Any, ...]:
        assert isinstance(source, Source)
        shares = shares_of(source, self._count, lengths=lengths)
        job = packed(
            Job(looks=tuple(looks), seals=sealed(source.opened, files_of(source), hashed=False), version=VERSION)
        )
        answers = [look_at(job, share, number) for number, share in enumerate(shares)]
        draw = self._random
        while len(answers) > 1:
            if draw is not None:
                draw.shuffle(answers)
            pairs = [answers[at : at + 2] for at in range(0, len(answers), 2)]
            answers = [two[0] if len(two) == 1 else join(job, *two) for two in pairs]
        return states_of(answers[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """How far each row is from the mean of all: a mean in the first pass, distances in the second."""

    mean: NDArray[np.float64] | None = None

    @property
    def name(self) -> str:
        return "far"

    def unfit(self) -> str:
        return ""

    def partial(self, batch: Batch) -> dict[str, Any]:
        features = batch.features.astype(np.float64)
        if self.mean is None:
            return {"rows": len(features), "sum": features.sum(axis=0)}
        return {"at": batch.rows, "far": ((features - self.mean) ** 2).sum(axis=1)}

    def merge(self, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        if self.mean is None:
            one["sum"] += other["sum"]  # in place: an engine may not hand out what cannot be written
            return {"rows": one["rows"] + other["rows"], "sum": one["sum"]}
        return {name: np.concatenate([one[name], other[name]]) for name in one}

    def finalize(self, state: dict[str, Any]) -> Scores | Detector[Any]:
        if self.mean is None:
            return Far(mean=state["sum"] / state["rows"])
        order = np.argsort(state["at"])
        far = state["far"][order]
        return Scores(rows=state["at"][order], scores=(far / far.max()).astype(np.float32), decades=float(far.mean()))


def poisoned() -> Dataset:
    patched = badnets(digits(), square(3, 16), rate=0.03, target=0, top=5, left=5, seed=0)
    return flipped(patched, rate=0.03, seed=1)


def detectors(profile: Profile) -> tuple[Detector[Any], ...]:
    return (
        LabelConsistency(profile=profile),
        RepeatedPattern(profile=profile, image_shape=COLUMNS.image_shape),
        Far(),
    )


def quick(_profile: Profile) -> tuple[Detector[Any], ...]:
    return (Far(),)


def scanned(
    source: Source,
    engine: Engine | None = None,
    chosen: Callable[[Profile], Sequence[Detector[Any]]] = detectors,
) -> Scan:
    return scan(source, seed=0, detectors=chosen, one_scale=True, engine=engine)


def held(path: Path) -> OpenSubject:
    """An opened subject with the digest that it really has."""
    from interlock.evidence import take_snapshot

    snapshot = take_snapshot(str(path))
    files = ("",) if snapshot.single_file else tuple(entry.path for entry in snapshot.files)
    return OpenSubject(
        subject=Subject(name=path.name, uri=path.as_uri(), digest=snapshot.digest), path=path, files=files
    )


def check_same(one: Scan, other: Scan) -> None:
    """Counts bit for bit, floats within 1e-4 of each other."""
    assert one.lengths == other.lengths
    assert one.skipped == other.skipped
    assert one.flagged == other.flagged
    for name in ("rows", "classes", "class_rows", "unlabelled", "incomplete"):
        assert getattr(one.profile, name) == getattr(other.profile, name)
    assert np.allclose(one.profile.axes, other.profile.axes, rtol=1e-4)
    for (first, found), (second, again) in zip(one.scores, other.scores, strict=True):
        assert first == second
        assert (found.rows == again.rows).all()
        assert np.allclose(found.scores, again.scores, rtol=1e-4)
        assert np.isclose(found.decades, again.decades, rtol=1e-4)


def _version() -> str:
    from interlock.evidence.receipt import own_tool

    return own_tool().version


VERSION = _version()
