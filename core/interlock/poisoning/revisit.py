"""One more reading once all is judged: rows to show, unflagged rows that look like them, and whose rows are flagged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch, BatchSource, Coded
from interlock.poisoning.neighbours import nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Rows and flagged rows of each class and of each source.

    Args:
        classes: Rows and flagged rows by label.
        sources: The same by source; empty where no column says who contributed a row.
    """

    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sources: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of the dataset as the files give them.

    Args:
        features: float32 array (d,) by row index.
        labels: Label text by row index; empty where there is none.
        alike: The unflagged row that looks most like a row, by row index; for the rows that needed one.
        tally: Of the whole dataset; empty when it was not counted.
    """

    features: Mapping[int, NDArray[np.float32]] = field(repr=False, default_factory=dict)
    labels: Mapping[int, str] = field(default_factory=dict)
    alike: Mapping[int, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)


def revisit(source: BatchSource, *, wanted: Collection[int], lonely: Collection[int], flagged: Collection[int]) -> Rows:
    """Read the dataset, twice when some rows need another to stand beside them.

    Args:
        source: The dataset.
        wanted: Rows whose features are needed.
        lonely: Those of them that need an unflagged row beside them.
        flagged: All rows that are flagged.
    """
    features, labels, tally = _read(source, wanted, flagged)
    alike = _alike(source, {row: features[row] for row in sorted(lonely) if row in features}, flagged)
    others, other_labels, _ = _read(source, set(alike.values()) - features.keys(), ())
    return Rows(features=features | others, labels=labels | other_labels, alike=alike, tally=tally)


def _read(
    source: BatchSource, wanted: Collection[int], flagged: Collection[int]
) -> tuple[dict[int, NDArray[np.float32]], dict[int, str], Tally]:
    features: dict[int, NDArray[np.float32]] = {}
    labels: dict[int, str] = {}
    left, counter = set(wanted), _Counter(flagged)
    for batch in source.batches() if left or flagged else ():
        counter.add(batch)
        for row in sorted(left & set(range(batch.start, batch.start + len(batch.labels)))):
            code = int(batch.labels[row - batch.start])
            features[row] = batch.features[row - batch.start].copy()
            labels[row] = batch.vocabulary[code] if code >= 0 else ""
            left.discard(row)
        if not left and not flagged:
            break
    return features, labels, counter.tally()


class _Counter:
    """Counts rows by label and by source."""

    def __init__(self, flagged: Collection[int]) -> None:
        import numpy as np

        self._flagged = np.array(sorted(flagged), dtype=np.int64)
        self._counts = {name: (Counter[str](), Counter[str]()) for name in ("label", "source")}

    def add(self, batch: Batch) -> None:
        import numpy as np

        if not len(self._flagged):
            return
        mine = np.isin(batch.rows, self._flagged)
        columns = {"label": Coded(codes=batch.labels, vocabulary=batch.vocabulary)}
        if batch.sources is not None:
            columns["source"] = batch.sources
        for name, column in columns.items():
            everyone, hits = self._counts[name]
            everyone.update(column.counts())
            hits.update(Coded(codes=column.codes[mine], vocabulary=column.vocabulary).counts())

    def tally(self) -> Tally:
        classes, sources = (
            {word: (rows, hits[word]) for word, rows in everyone.items()} for everyone, hits in self._counts.values()
        )
        return Tally(classes=classes, sources=sources)


def _alike(source: BatchSource, lonely: Mapping[int, NDArray[np.float32]], flagged: Collection[int]) -> dict[int, int]:
    """The nearest unflagged row of each, by Euclidean distance of the features as they stand."""
    import numpy as np

    if not lonely:
        return {}
    asked = _finite(np.stack(list(lonely.values())))
    best, who = np.full(len(asked), np.inf, dtype=np.float32), np.full(len(asked), -1, dtype=np.int64)
    accused = np.array(sorted(flagged), dtype=np.int64)
    for rows, points in _clean(source, accused):
        found, far = nearest(asked, points, 1)
        closer = far[:, 0] < best  # of equally near rows the first stays
        best[closer], who[closer] = far[closer, 0], rows[found[closer, 0]]
    return {row: int(other) for row, other in zip(lonely, who.tolist(), strict=True) if other >= 0}


def _clean(source: BatchSource, accused: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Unflagged rows, batch by batch, and their features."""
    import numpy as np

    for batch in source.batches():
        clean = ~np.isin(batch.rows, accused)
        if clean.any():
            yield batch.rows[clean], _finite(batch.features[clean])


def _finite(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same with 0 for what is missing or infinite."""
    import numpy as np

    return np.nan_to_num(features, nan=0.0, posinf=0.0, neginf=0.0)
