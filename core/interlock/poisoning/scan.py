"""The scan of one dataset: a first pass that surveys, then as many as the detectors need to see every row.

One process here. A stream or a cluster does the same with `partial` in its workers and `merge` in a tree: that is all
that `Detector` asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.gate import SubjectError
from interlock.poisoning.batches import Batch, Source
from interlock.poisoning.detector import Detector, Scores
from interlock.poisoning.survey import Profile, Survey, SurveyState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    source: Source, *, seed: int, detectors: Callable[[Profile], Sequence[Detector[Any]]], one_scale: bool
) -> Scan:
    """Look at a dataset with several detectors.

    Args:
        source: The dataset; read twice.
        seed: Of everything random.
        detectors: Makes the detectors once the survey is done.
        one_scale: True when all features are measured in one unit.

    Raises:
        SubjectError: The dataset cannot be read.
    """
    profile, lengths = survey(source, Survey(seed=seed, one_scale=one_scale))
    chosen = [(detector, detector.unfit()) for detector in detectors(profile)]
    fit = [detector for detector, reason in chosen if not reason]
    skipped = [(detector.name, reason) for detector, reason in chosen if reason]
    scores = []
    for detector, found in zip(fit, detect(fit, source.batches), strict=True):
        if found.unfit:
            skipped.append((detector.name, found.unfit))
        else:
            scores.append((detector.name, found))
    return Scan(profile=profile, lengths=lengths, scores=tuple(scores), skipped=tuple(skipped))


def survey(source: Source, surveyor: Survey) -> tuple[Profile, tuple[int, ...]]:
    """The first pass.

    Raises:
        SubjectError: The dataset cannot be read, has no rows, or its files disagree on the number of features.
    """
    state: SurveyState | None = None
    lengths = [0] * len(source.files)
    for batch in source.batches():
        part = surveyor.partial(batch)
        if state is not None and part.sample.shape[1] != state.sample.shape[1]:
            raise SubjectError(
                f"{part.sample.shape[1]} features here, but {state.sample.shape[1]} in the files before",
                where=source.shown(source.files[batch.file]),
                next_step="write the files with one schema",
            )
        state = part if state is None else surveyor.merge(state, part)
        lengths[batch.file] += len(batch.labels)
    if state is None or not state.rows:
        raise SubjectError("the dataset has no rows", where=source.opened.subject.uri)
    return surveyor.finalize(state), tuple(lengths)


def detect(detectors: Sequence[Detector[Any]], batches: Callable[[], Iterable[Batch]]) -> list[Scores]:
    """Show every batch to every detector, in as few readings as the detector that needs most of them.

    Args:
        detectors: Each is fit for the dataset.
        batches: Reads the dataset from its beginning.
    """
    found: dict[int, Scores] = {}
    waiting = dict(enumerate(detectors))
    while waiting:
        states: dict[int, Any] = {}
        for batch in batches():
            for at, detector in waiting.items():
                part = detector.partial(batch)
                states[at] = detector.merge(states[at], part) if at in states else part
        ended = {at: detector.finalize(states[at]) for at, detector in waiting.items()}
        found |= {at: end for at, end in ended.items() if isinstance(end, Scores)}
        waiting = {at: end for at, end in ended.items() if not isinstance(end, Scores)}
    return [found[at] for at in range(len(detectors))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of the dataset as the files give them.

    Args:
        features: float32 array (d,) by row index.
        labels: Label text by row index; empty where there is none.
    """

    features: dict[int, NDArray[np.float32]] = field(repr=False)
    labels: dict[int, str]


def fetch(source: Source, wanted: Iterable[int]) -> Rows:
    """Read a few rows again, for pictures."""
    left = set(wanted)
    features, labels = {}, {}
    for batch in source.batches():
        for row in sorted(left & set(range(batch.start, batch.start + len(batch.labels)))):
            code = int(batch.labels[row - batch.start])
            features[row] = batch.features[row - batch.start].copy()
            labels[row] = batch.vocabulary[code] if code >= 0 else ""
            left.discard(row)
        if not left:
            break
    return Rows(features=features, labels=labels)
