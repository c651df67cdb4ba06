"""Rows counted by the label that they carry and the class that they resemble.

It is what a later scan compares with: the same counts of the last accepted snapshot say how much of an overlap is
natural there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCount:
    """How many rows of one label resemble one class; copies of a row count once.

    Args:
        label: What the rows carry, unverified text.
        resembles: The class that speaks for most of their neighbours; `label` itself for rows that nobody outvotes.
        resembling: How many do.
        rows: How many rows carry the label, whatever they resemble.
    """

    label: str
    resembles: str
    resembling: int
    rows: int


def pair_counts(
    labels: NDArray[np.int64], resembles: NDArray[np.int64], classes: Sequence[str]
) -> tuple[PairCount, ...]:
    """The pairs that occur, and every label with itself.

    Args:
        labels: int64 array (m,): positions in `classes`, one per distinct row.
        resembles: int64 array (m,): likewise.
        classes: Labels as text.

    Returns:
        By label and then by class, in the order of `classes`. A pair of labels that is not among them has no row.
    """
    import numpy as np

    count = len(classes)
    rows = np.bincount(labels, minlength=count)
    there = np.flatnonzero(rows)
    pairs, resembling = np.unique(np.concatenate([labels * count + resembles, there * (count + 1)]), return_counts=True)
    resembling = resembling - np.isin(pairs, there * (count + 1))
    counted = []
    for pair, seen in zip(pairs.tolist(), resembling.tolist(), strict=True):
        label, like = divmod(int(pair), count)
        counted.append(PairCount(label=classes[label], resembles=classes[like], resembling=seen, rows=int(rows[label])))
    return tuple(counted)
