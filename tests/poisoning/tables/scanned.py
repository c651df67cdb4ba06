"""The passes of a table's detector, split as a test wants it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from benchmarks.poisoning.table_attacks import Table
from tests.poisoning.scanning import profile_of, tree

from interlock.poisoning import Batch, Detector, Scores
from interlock.poisoning.tables import SourceExcess, ValueCombination


def passes(detector: Detector[Any], parts: Sequence[Batch]) -> Scores:
    while True:
        end = detector.finalize(tree(detector, parts))
        if isinstance(end, Scores):
            return end
        detector = end


def combinations(table: Table, cuts: Sequence[int] = (), *, seed: int = 0) -> Scores:
    parts = table.batches(cuts)
    return passes(ValueCombination(profile=profile_of(parts, one_scale=False, seed=seed), seed=seed), parts)


def excess(table: Table, cuts: Sequence[int] = (), *, seed: int = 0) -> Scores:
    parts = table.batches(cuts)
    detector = SourceExcess(profile=profile_of(parts, one_scale=False, seed=seed), source="who", seed=seed)
    return passes(detector, parts)


def rates(found: Scores, table: Table) -> tuple[float, float]:
    """True and false positive rate."""
    hit = np.isin(np.array(found.flagged, dtype=np.int64), table.poisoned)
    return float(hit.sum()) / max(1, len(table.poisoned)), float((~hit).sum()) / len(table.labels)
