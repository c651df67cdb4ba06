"""The scan of one dataset: a first pass that surveys, then as many as the detectors need to see every row.

Where the passes run is an `Engine`'s business: one process, or workers whose states are joined in a tree. The scan only
says which passes there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import Batch, BatchSource
from interlock.poisoning.detector import Detector, Scores
from interlock.poisoning.engines import Engine, LocalEngine, Look
from interlock.poisoning.engines.shares import folded
from interlock.poisoning.fusion import fused
from interlock.poisoning.survey import Profile, Survey, SurveyState


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What a scan came to.

    Args:
        profile: Of the dataset.
        lengths: Rows of each file, in order.
        scores: By detector name, for those that looked.
        skipped: Reason by detector name, for those that could not.
    """

    profile: Profile
    lengths: tuple[int, ...]
    scores: tuple[tuple[str, Scores], ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def accusing(self) -> tuple[tuple[str, Scores], ...]:
        """Those of detectors that look for poison, rather than compare snapshots."""
        return tuple((name, scores) for name, scores in self.scores if scores.compared is None)

    @property
    def flagged(self) -> tuple[int, ...]:
        """Every row that a detector flags, ascending."""
        return tuple(sorted({row for _, scores in self.scores for row in scores.flagged}))

    def place(self, row: int) -> tuple[int, int]:
        """Which file a row of the dataset is in, and where in it."""
        at = 0
        while at + 1 < len(self.lengths) and row >= self.lengths[at]:
            row, at = row - self.lengths[at], at + 1
        return at, row


def scan(
    source: BatchSource,
    *,
    seed: int,
    detectors: Callable[[Profile], Sequence[Detector[Any]]],
    one_scale: bool,
    engine: Engine | None = None,
    quantiles: bool = False,
) -> Scan:
    """Look at a dataset with several detectors.

    Args:
        source: The dataset; read once for the survey, and then as often as the detectors need.
        seed: Of everything random.
        detectors: Makes the detectors once the survey is done.
        one_scale: True when all features are measured in one unit.
        engine: Where the passes run; this process when None.
        quantiles: True when a detector needs quantiles of each feature.

    Raises:
        SubjectError: The dataset cannot be read.
        UsageError: The engine is set wrongly.
        UnavailableError: The engine's cluster does not answer.
    """
    with engine or LocalEngine() as running:
        profile, lengths = survey(source, Survey(seed=seed, one_scale=one_scale, quantiles=quantiles), running)
        chosen = [(detector, detector.unfit()) for detector in detectors(profile)]
        fit = [detector for detector, reason in chosen if not reason]
        skipped = [(detector.name, reason) for detector, reason in chosen if reason]
        ended = _rounds(fit, lambda looks: running.fold(source, looks, lengths=lengths))
    named = [(detector.name, found) for detector, found in zip(fit, ended, strict=True)]
    skipped += [(name, found.unfit) for name, found in named if found.unfit]
    looked = [(name, found) for name, found in named if not found.unfit]
    heard = iter(fused([found for _, found in looked if found.compared is None]))
    scores = tuple((name, next(heard) if found.compared is None else found) for name, found in looked)
    return Scan(profile=profile, lengths=lengths, scores=scores, skipped=tuple(skipped))


def survey(source: BatchSource, surveyor: Survey, engine: Engine | None = None) -> tuple[Profile, tuple[int, ...]]:
    """The first pass.

    Raises:
        SubjectError: The dataset cannot be read, has no rows, or its files disagree on the number of features.
    """
    names = tuple(source.shown(file) for file in source.files)
    (counted,) = (engine or LocalEngine()).fold(source, (_FirstPass(surveyor=surveyor, names=names),))
    if counted is None or not counted.state.rows:
        raise SubjectError("the dataset has no rows", where=source.name)
    return surveyor.finalize(counted.state), tuple(counted.lengths.get(place, 0) for place in range(len(names)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """What the first pass saw.

    Args:
        state: Of the survey.
        lengths: Rows by place of their file.
    """

    state: SurveyState
    lengths: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _FirstPass:
    """The survey, and how many rows each file has; blind to `Batch.start`, which only these numbers give.

    Args:
        surveyor: What surveys.
        names: Of the files, for people.
    """

    surveyor: Survey
    names: tuple[str, ...]

    def partial(self, batch: Batch) -> _Counted:
        return _Counted(state=self.surveyor.partial(batch), lengths={batch.file: len(batch.labels)})

    def merge(self, one: _Counted, other: _Counted) -> _Counted:
        before, here = one.state.sample.shape[1], other.state.sample.shape[1]
        if before != here:
            raise SubjectError(
                f"{here} features here, but {before} in the files before",
                where=self.names[min(other.lengths)],
                next_step="write the files with one schema",
            )
        lengths = Counter(one.lengths)
        lengths.update(other.lengths)
        return _Counted(state=self.surveyor.merge(one.state, other.state), lengths=dict(lengths))


def detect(detectors: Sequence[Detector[Any]], batches: Callable[[], Iterable[Batch]]) -> list[Scores]:
    """Show every batch to every detector, in as few readings as the detector that needs most of them.

    Args:
        detectors: Each is fit for the dataset.
        batches: Reads the dataset from its beginning.
    """
    return _rounds(detectors, lambda looks: folded(looks, batches()))


def _rounds(detectors: Sequence[Detector[Any]], fold: Callable[[Sequence[Look[Any]]], Sequence[Any]]) -> list[Scores]:
    """As many passes as the detector that needs most of them; `fold` makes one."""
    found: dict[int, Scores] = {}
    waiting = dict(enumerate(detectors))
    while waiting:
        states = list(fold(tuple(waiting.values())))
        # A state is let go as soon as its detector needs it no more: together they are most of what is held.
        ended = {at: look.finalize(states.pop(0)) for at, look in waiting.items()}
        found |= {at: end for at, end in ended.items() if isinstance(end, Scores)}
        waiting = {at: end for at, end in ended.items() if not isinstance(end, Scores)}
    return [found[at] for at in range(len(detectors))]
