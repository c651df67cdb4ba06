"""The two passes over arrays, split as a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from benchmarks.poisoning.attacks import Dataset
from numpy.typing import NDArray

from interlock.poisoning import Batch, Detector, LabelConsistency, Profile, RepeatedPattern, Scores, Survey
from interlock.poisoning.batches import encode_labels

SHAPE = (8, 8)


def batches(data: Dataset, cuts: Sequence[int] = ()) -> list[Batch]:
    parts = np.split(np.arange(len(data.labels)), sorted(cuts))
    made, start = [], 0
    for part in parts:
        codes, vocabulary = encode_labels(data.labels[part].tolist())
        made.append(Batch(start=start, file=0, features=data.images[part], labels=codes, vocabulary=vocabulary))
        start += len(part)
    return made


def profile_of(parts: Sequence[Batch], *, one_scale: bool = True, seed: int = 0) -> Profile:
    survey = Survey(seed=seed, one_scale=one_scale)
    state = survey.partial(parts[0])
    for part in parts[1:]:
        state = survey.merge(state, survey.partial(part))
    return survey.finalize(state)


def tree(detector: Detector[Any], parts: Sequence[Batch]) -> Any:
    """Merged in pairs, as workers would, not one after the other."""
    states = [detector.partial(part) for part in parts]
    while len(states) > 1:
        pairs = [states[at : at + 2] for at in range(0, len(states), 2)]
        states = [pair[0] if len(pair) == 1 else detector.merge(*pair) for pair in pairs]
    return states[0]


def knn(data: Dataset, cuts: Sequence[int] = (), *, one_scale: bool = True, seed: int = 0) -> Scores:
    parts = batches(data, cuts)
    detector = LabelConsistency(profile=profile_of(parts, one_scale=one_scale, seed=seed), seed=seed)
    found: Scores | Detector[Any] = detector.finalize(tree(detector, parts))
    while not isinstance(found, Scores):
        found = found.finalize(tree(found, parts))
    return found


def pattern(data: Dataset, cuts: Sequence[int] = (), *, seed: int = 0) -> Scores:
    parts = batches(data, cuts)
    detector = RepeatedPattern(profile=profile_of(parts, seed=seed), image_shape=data.shape, seed=seed)
    return detector.finalize(tree(detector, parts))


def same_scores(one: Scores, other: Scores) -> bool:
    return (
        one.decades == other.decades
        and one.flagged == other.flagged
        and bool((one.rows == other.rows).all())
        and bool((one.scores == other.scores).all())
    )


def shuffled(data: Dataset, seed: int) -> tuple[Dataset, NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(len(data.labels))
    return data.taken(order), order
