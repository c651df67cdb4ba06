"""What the nearest rows say of a row's label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.poisoning.overlap import Votes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 20
MAX_REFERENCES = 2**13
"""Rows that are asked for their labels; more would only be nearer, and cost in proportion."""


def counted(
    found: NDArray[np.int64], labels: NDArray[np.int64], classes: int, asked: NDArray[np.int64] | None = None
) -> Votes:
    """What the neighbours of each row say.

    Args:
        found: int64 array (m, k): the neighbours' positions, nearest first.
        labels: int64 array (m,): positions in `classes`.
        classes: How many there are.
        asked: int64 array (r,): labels of those that were asked; None when these are the first of the rows.
    """
    import numpy as np

    n = len(labels)
    there = labels if asked is None else asked
    own, rival = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    rival_votes, like_rival = np.zeros(n, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    step = max(1, 2**22 // classes)
    for at in range(0, n, step):
        block = slice(at, min(n, at + step))
        said = there[found[block]]
        lines = np.arange(len(said))
        table = np.zeros((len(said), classes), dtype=np.int64)
        np.add.at(table, (lines[:, None], said), 1)
        own[block] = table[lines, labels[block]]
        table[lines, labels[block]] = -1
        rival[block] = table.argmax(axis=1)
        rival_votes[block] = table.max(axis=1)
        agrees = said == rival[block][:, None]
        like_rival[block] = np.where(agrees.any(axis=1), found[block][lines, agrees.argmax(axis=1)], -1)
    return Votes(
        labels=labels,
        neighbours=there[found],
        own=own,
        rival=rival,
        rival_votes=rival_votes,
        like_rival=like_rival,
        in_place=_in_place(found) if asked is None else np.ones(n, dtype=bool),
    )


def _in_place(found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows that are neighbours at least half as often as the average.

    Those that nobody was compared with stand with the nearest of those that somebody was.
    """
    import numpy as np

    n = len(found)
    asked = min(n, MAX_REFERENCES)
    frequent = np.bincount(found.ravel(), minlength=asked) * asked >= n * NEIGHBOURS // 2
    return np.concatenate([frequent, frequent[found[asked:, 0]]])
