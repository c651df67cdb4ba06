"""The flagged rows as a table: which row, who says so, how surely, and why.

One line for each row and each thing that was found in it, so a row may stand there several times. ``p`` is the bound on
the p-value of that thing, corrected for everything that its detector looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.poisoning.batches import Source
from interlock.poisoning.detector import LabelShift, Scores, Suspicion, Trigger
from interlock.poisoning.scan import Scan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reason:
    """Why some rows are flagged.

    Args:
        detector: Who says so.
        rule: What was found.
        words: The same for people.
        decades: Corrected evidence.
        rows: int64 array (n,).
        scores: float32 array (n,): of each row by itself.
    """

    detector: str
    rule: str
    words: str
    decades: float
    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def flagged_table(source: Source, found: Scan) -> Any:
    """A `pyarrow.Table` with a line for each flagged row and reason, ordered by row.

    Columns: ``row`` (place in the dataset, from 0), ``file`` and ``file_row`` (the same in its file), ``id`` (null
    where no column names rows), ``detector``, ``score`` (float32, of the row by itself), ``p`` (float64), ``decades``
    (minus log10 of ``p``, which may be too small for a float), ``class`` (the label that the row carries, null for
    none), ``rule`` and ``reason``.

    Args:
        source: The held dataset; read once more.
        found: The scan.
    """
    import numpy as np
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published

    flagged = np.array(found.flagged, dtype=np.int64)
    reasons = list(_reasons(found))
    rows = np.concatenate([flagged[:0], *(reason.rows for reason in reasons)])
    order = np.argsort(rows, kind="stable")
    which = np.repeat(np.arange(len(reasons)), [len(reason.rows) for reason in reasons])[order]
    rows = rows[order]
    starts = np.cumsum([0, *found.lengths])
    files = np.searchsorted(starts, rows, side="right") - 1
    labels, ids = _told(source, flagged)
    at = np.searchsorted(flagged, rows).tolist()
    decades = np.array([reason.decades for reason in reasons], dtype=np.float64)[which]
    scores = np.concatenate([np.zeros(0, dtype=np.float32), *(reason.scores for reason in reasons)])[order]

    def words(texts: list[str]) -> Any:
        return pa.DictionaryArray.from_arrays(pa.array(which, pa.int32()), pa.array(texts, pa.string()))

    names = [source.shown(file) for file in source.files]
    return pa.table(
        {
            "row": rows,
            "file": pa.DictionaryArray.from_arrays(pa.array(files, pa.int32()), pa.array(names, pa.string())),
            "file_row": rows - starts[files],
            "id": pa.array([ids[place] for place in at], pa.string()),
            "detector": words([reason.detector for reason in reasons]),
            "score": scores,
            "p": 10.0**-decades,
            "decades": decades,
            "class": pa.array([labels[place] for place in at], pa.string()),
            "rule": words([reason.rule for reason in reasons]),
            "reason": words([reason.words for reason in reasons]),
        }
    )


def _reasons(found: Scan) -> Iterator[_Reason]:
    """Everything that was found by a detector that raised an alarm: its rows are those that are flagged."""
    import numpy as np

    for detector, scores in found.scores:
        if not scores.alarm:
            continue
        for thing in scores.accused:
            rows = np.unique(np.array(thing.rows, dtype=np.int64))
            rule, words = _words(thing)
            yield _Reason(
                detector=detector,
                rule=rule,
                words=words,
                decades=float(thing.decades),
                rows=rows,
                scores=_scores(scores, rows),
            )


def _words(thing: Trigger | LabelShift | Suspicion) -> tuple[str, str]:
    """The end of the finding's rule id, and a few words."""
    if isinstance(thing, Trigger):
        place = f"row {thing.top}, column {thing.left}"
        return "repeated-pattern", f"the same {thing.height}x{thing.width} pattern stands at {place} of such images"
    if isinstance(thing, LabelShift):
        among = f"rows of {thing.resembles}" if thing.resembles else "rows of other classes"
        return "label-inconsistency", f"it lies among {among}"
    return thing.rule, thing.message


def _scores(scores: Scores, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Each row's own score; 0 for one that the detector names without having looked at it."""
    import numpy as np

    found = np.zeros(len(rows), dtype=np.float32)
    if len(scores.rows):
        at = np.minimum(np.searchsorted(scores.rows, rows), len(scores.rows) - 1)
        there = scores.rows[at] == rows
        found[there] = scores.scores[at[there]]
    return found


def _told(source: Source, flagged: NDArray[np.int64]) -> tuple[list[str | None], list[str | None]]:
    """Label and id of each flagged row, as the files give them."""
    import numpy as np

    labels: list[str | None] = [None] * len(flagged)
    ids: list[str | None] = [None] * len(flagged)
    if not len(flagged):
        return labels, ids
    for batch in source.batches():
        first, last = np.searchsorted(flagged, [batch.start, batch.start + len(batch.labels)]).tolist()
        for place in range(first, last):
            row = int(flagged[place]) - batch.start
            code = int(batch.labels[row])
            labels[place] = batch.vocabulary[code] if code >= 0 else None
            ids[place] = (batch.ids[row] or None) if batch.ids else None
        if last == len(flagged):
            break
    return labels, ids
