"""Windows that are suspected, and the patterns that they turn out to be parts of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.poisoning.contradiction import Verdict
from interlock.poisoning.patches import MAJORITY
from interlock.poisoning.repeats.album import Album, Moved
from interlock.poisoning.repeats.windows import Family

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A window whose label seems to contradict the content of its rows.

    Args:
        family: Of the window.
        word: The window.
        group: All of its rows.
        decades: Evidence of the first look, before correction.
        looked_at: What the evidence is corrected for: the windows of its family, times the number of families, which
            gives every family an equal part of the budget.
    """

    family: Family
    word: int
    group: Moved
    decades: float
    looked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Believed:
    """A pattern that was found.

    Args:
        candidate: The strongest window of it.
        verdict: Of this window.
        members: int64 array: positions of the rows with any of its windows and its label, ascending.
        decades: Corrected evidence.
        words: Family and word of each of its windows.
    """

    candidate: Candidate
    verdict: Verdict
    members: NDArray[np.int64]
    decades: float
    words: tuple[tuple[Family, int], ...]


def another_view(believed: list[Believed], rows: NDArray[np.int64], label: int) -> bool:
    """True when these rows hold most of a pattern that is believed already: a wider view of it, not one of many."""
    import numpy as np

    return any(
        old.candidate.group.label == label and 2 * int(np.isin(old.members, rows).sum()) >= len(old.members)
        for old in believed
    )


def like_its_own(candidate: Candidate, verdict: Verdict, album: Album) -> bool:
    """True when what a wider view adds is what the pattern's own rows are: of its label, and against their content."""
    group = candidate.group
    carried = int((album.labels[group.rows] == group.label).sum())
    return carried >= MAJORITY * len(group.rows) and 2 * verdict.contradicting >= verdict.compared > 0


def believe(
    believed: list[Believed],
    candidate: Candidate,
    verdict: Verdict,
    rows: NDArray[np.int64],
    decades: float,
) -> None:
    """Add a pattern, or the rows of another window of a pattern that is there already."""
    import numpy as np

    word = (candidate.family, candidate.word)
    for at, old in enumerate(believed):
        shared = int(np.isin(rows, old.members).sum())
        if old.candidate.group.label == candidate.group.label and 2 * shared >= min(len(rows), len(old.members)):
            believed[at] = replace(old, members=np.union1d(old.members, rows), words=(*old.words, word))
            return
    believed.append(Believed(candidate=candidate, verdict=verdict, members=rows, decades=decades, words=(word,)))
