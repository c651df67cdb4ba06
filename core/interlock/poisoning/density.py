"""How far each row is from rows of its own label, beside how far they are: the second reading of the neighbour graph.

The k-distance of a row (to the k-th nearest row of its label) over that of those k rows is the simplified local outlier
factor (Schubert, Zimek and Kriegel, 2014, "Local outlier detection reconsidered", after Breunig et al., 2000, "LOF").
Far above 1 the row is *isolated*. A tight crowd of more than k rows is its own neighbourhood and its ratio is 1, so it
is told by the k-distance over the class's median: far below 1 the row is *crowded*. What is far is read off the data:
at one end the ratios fall as a power law at worst (Hill, 1975), whose exponent comes from the rows between the
outermost 20 % and the outermost 4 %, of all classes together. A row is beyond that tail when fewer than 1 in 1,000
datasets of this size would have one there.

It accuses nobody and flags no row. Collections hold lone rows and near copies that nobody planted (bursts of a camera,
sensors at rest, empty forms), and these come in groups: a crowd is one witness, however many rows are in it, and sizes
of groups are so uneven (Zipf, 1949) that no size is beyond the false-alarm budget. So what is beyond the tails is
counted for policy, to be judged beside what is usual for a dataset, and the rows are named in a remark.

Cost: none beside the graph of `interlock.poisoning.label_consistency`.

What it cannot see: a far group of more than k rows (among themselves they are dense, and not denser than others); rows
with fewer than k rows of their label among their neighbours are at least so far as the last of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Json, Level, Measure
from interlock.gate.documents import canonical_json
from interlock.poisoning.bounds import ALARM_DECADES
from interlock.poisoning.detector import Suspicion
from interlock.poisoning.survey import GRID

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

OWN = 5
"""The k of the k-distance: own rows that are asked for."""

BODY = 0.8
"""Where the tail of the ratios begins."""

UTMOST = 0.96
"""What lies beyond says nothing of the tail: it may be what is looked for."""

MIN_DISTINCT = 500
"""Fewer rows have no tail that could be fitted: 80 of these lie between `BODY` and `UTMOST`."""

LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """Of each distinct row.

    Args:
        ratio: float64 array (m,): logarithm of its k-distance over that of its neighbours.
        beside_class: float64 array (m,): logarithm of its k-distance over its class's median.
        isolated: bool array (m,): beyond the upper tail of `ratio`.
        crowded: bool array (m,): beyond the lower tail of `beside_class`.
    """

    ratio: Floats = field(repr=False)
    beside_class: Floats = field(repr=False)
    isolated: NDArray[np.bool_] = field(repr=False)
    crowded: NDArray[np.bool_] = field(repr=False)


def density(points: NDArray[np.float32], found: NDArray[np.int64], labels: NDArray[np.int64]) -> Density:
    """Read the graph.

    Args:
        points: float32 array (m, p): the first of them are those that others were compared with.
        found: int64 array (m, k): positions of the neighbours among them, nearest first.
        labels: int64 array (m,).
    """
    import numpy as np

    own = labels[found] == labels[:, None]
    rank = own.cumsum(axis=1)
    enough = rank[:, -1] >= OWN
    place = np.where(enough, (rank >= OWN).argmax(axis=1), found.shape[1] - 1)
    last = np.take_along_axis(found, place[:, None], axis=1)[:, 0]
    squares = np.empty(len(points))
    for at in range(0, len(points), 2**16):
        block = slice(at, at + 2**16)
        squares[block] = ((points[block].astype(np.float64) - points[last[block]]) ** 2).sum(axis=1)
    # Rows are rounded to the grid; what falls on one point of it is nearer than that, nobody knows by how much.
    far = np.log(np.maximum(np.sqrt(squares), GRID))
    asked = own & (rank <= OWN)
    asked[~asked.any(axis=1), :OWN] = True  # strangers, where no row of its label is near
    ratio = far - (far[found] * asked).sum(axis=1) / asked.sum(axis=1)
    there, place_of = np.unique(labels, return_inverse=True)
    usual = np.array([np.median(far[labels == label]) for label in there.tolist()])
    beside_class = far - usual[place_of]
    return Density(ratio=ratio, beside_class=beside_class, isolated=_beyond(ratio), crowded=_beyond(-beside_class))


def measures(found: Density) -> tuple[Measure, ...]:
    """The shares of rows that are isolated and crowded; copies of a row count once."""
    return (
        Measure(name="density_isolated_fraction", value=float(found.isolated.mean()), unit="fraction"),
        Measure(name="density_crowded_fraction", value=float(found.crowded.mean()), unit="fraction"),
    )


def remarks(found: Density, rows: NDArray[np.int64]) -> tuple[Suspicion, ...]:
    """What lies beyond the tails, in words, with the first rows of it.

    Args:
        found: Of the distinct rows.
        rows: int64 array (m,): one row of the dataset for each.
    """
    import numpy as np

    told = []
    for rule, title, mine, value, words in (
        ("isolated-rows", "isolated rows", found.isolated, found.ratio, "are far from the rows of their label, by"),
        ("crowded-rows", "crowded rows", found.crowded, -found.beside_class, "are near to rows of their label, by"),
    ):
        places = np.flatnonzero(mine)
        if not len(places):
            continue
        most = places[np.lexsort((rows[places], -value[places]))]
        evidence: dict[str, Json] = {
            "most": rows[most[:LISTED]].tolist(),
            "times": [round(math.exp(one), 3) for one in value[most[:LISTED]].tolist()],
        }
        told.append(
            Suspicion(
                rule=rule,
                level=Level.NOTE,
                message=(
                    f"{len(places)} distinct rows {words} up to {math.exp(float(value[most[0]])):.3g} times, which is "
                    "beyond the tail of the others; they are not flagged"
                ),
                title=title,
                rows=tuple(sorted(rows[places].tolist())),
                decades=0.0,
                evidence=canonical_json(evidence).decode(),
            )
        )
    return tuple(told)


def _beyond(values: Floats) -> NDArray[np.bool_]:
    """Rows beyond an exponential tail of logarithms."""
    import numpy as np

    if len(values) < MIN_DISTINCT:
        return np.zeros(len(values), dtype=bool)
    begin, end = np.quantile(values, [BODY, UTMOST])
    rate = math.log((1 - BODY) / (1 - UTMOST)) / max(float(end - begin), 1e-9)
    # (1 - BODY) * len(values) rows are in the tail; fewer than 10**-ALARM_DECADES of them are expected beyond.
    limit = begin + math.log((1 - BODY) * len(values) * 10**ALARM_DECADES) / rate
    found: NDArray[np.bool_] = values > limit
    return found
