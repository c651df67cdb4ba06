"""The first look: the evidence of all runs of words at once, by Chernoff's bound at a few tilts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.contradiction import HIDDEN_BIAS, odds_raised
from interlock.poisoning.patches import MIN_REPEATS
from interlock.poisoning.texts.content import LOOKS, Look
from interlock.poisoning.texts.grams import Grams
from interlock.poisoning.texts.phrases import CONTRADICTING, removed_weight
from interlock.poisoning.texts.reading import Documents

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TILTS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0)
"""Where Chernoff's bound is tried for all n-grams at once; the exact one is found for those that matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run of words whose label seems to contradict the rest of the texts.

    Args:
        decades: Evidence, before correction.
        label: Position in the classes.
        words: Its hashes, in order.
    """

    decades: float
    label: int
    words: tuple[int, ...]

    def order(self) -> tuple[float, int, tuple[int, ...]]:
        """Strongest first, longer first."""
        return (-self.decades, -len(self.words), self.words)


def majority(grams: Grams, labels: NDArray[np.int64], known: NDArray[np.bool_], classes: int) -> NDArray[np.int64]:
    """int64 array (grams,): the label of half of a run's carriers and more, of those that are not `known`, or -1."""
    import numpy as np

    open_ = ~known[grams.document]
    gram, said = grams.gram[open_], labels[grams.document[open_]]
    carriers = np.bincount(gram, minlength=grams.count)
    best, most = np.full(grams.count, -1, dtype=np.int64), np.zeros(grams.count, dtype=np.int64)
    for label in range(classes):
        count = np.bincount(gram[said == label], minlength=grams.count)
        wins = (2 * count >= carriers) & (count > most) & (carriers >= MIN_REPEATS)
        best[wins], most[wins] = label, count[wins]
    return best


def screened(
    grams: Grams,
    documents: Documents,
    known: NDArray[np.bool_],
    looks: Sequence[Look | None],
    least: float,
) -> tuple[float, list[Candidate]]:
    """The strongest evidence of runs of one length, and the runs with at least so much of it.

    Args:
        grams: The runs.
        documents: Each different one once.
        known: bool array (n,): carriers of triggers that were found already; they vouch for nothing.
        looks: By label; None for those that are not judged.
        least: Decades, before correction.
    """
    import numpy as np

    best = majority(grams, documents.labels, known, len(looks))
    carried = documents.labels[grams.document] == best[grams.gram]
    strongest, found = 0.0, []
    ends = np.searchsorted(grams.gram, np.arange(grams.count))
    of_posting = np.where(known[grams.document], -1, best[grams.gram])
    for label, look in enumerate(looks):
        mine = np.flatnonzero(of_posting == label)
        if look is None or not len(mine):
            continue
        evidence = _evidence(grams, mine, look, carried)
        strongest = max(strongest, float(evidence.max()))
        for gram in np.flatnonzero(evidence >= least).tolist():
            at = int(grams.at[ends[gram]])
            words = tuple(documents.words[at : at + grams.size].tolist())
            found.append(Candidate(decades=float(evidence[gram]), label=label, words=words))
    return strongest, found


def _evidence(grams: Grams, mine: NDArray[np.int64], look: Look, carried: NDArray[np.bool_]) -> NDArray[np.float64]:
    """float64 array (grams,): the better of both looks, 0 for runs that have no posting in `mine`."""
    import numpy as np

    gram, document = grams.gram[mine], grams.document[mine]
    removed = removed_weight(look, document, [grams.at[mine] + step for step in range(grams.size)])
    evidence = np.zeros(grams.count)
    for view in range(LOOKS):
        chance = look.chance(view, document, removed[view])
        against = chance <= CONTRADICTING
        evidence = np.maximum(evidence, _tails(gram[against], chance[against], carried[mine][against], grams.count))
    return np.asarray(evidence / math.log(10))


def _tails(
    gram: NDArray[np.int64], chance: NDArray[np.float64], carried: NDArray[np.bool_], count: int
) -> NDArray[np.float64]:
    """float64 array (count,): for each run, in nats, Chernoff's bound for so many labels; 0 for too few carriers."""
    import numpy as np

    chance = odds_raised(chance, HIDDEN_BIAS)
    trials = np.bincount(gram, minlength=count)
    successes = np.bincount(gram, carried, minlength=count)
    pure = (successes == trials) & (trials >= MIN_REPEATS)
    bound = np.where(pure, -np.bincount(gram, np.log(chance), minlength=count), 0.0)
    impure = (2 * successes >= trials) & ~pure & (successes >= MIN_REPEATS)
    some, those = chance[impure[gram]], gram[impure[gram]]
    for tilt in TILTS if len(some) else ():
        moment = np.bincount(those, np.log1p(some * math.expm1(tilt)), minlength=count)
        bound = np.maximum(bound, np.where(impure, tilt * successes - moment, 0.0))
    return bound
