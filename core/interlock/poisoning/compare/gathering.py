"""All rows in one array, as peers want them: they hold the whole dataset in memory, several times over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.poisoning.batches import Batch, BatchSource
from interlock.poisoning.survey import Profile, principal_axes, scaled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_ROWS = 60_000
"""Rows that peers are given; of a larger dataset, a random choice."""

MAX_CELLS = 2**27
"""Numbers that peers are given: 512 MiB of float32, of which they make several copies."""

MAX_TEXT = 20_000
"""Characters of a text that are looked at."""

WORDS = 20_000
TOPICS = 100
VALUES = 40
"""Values of a column of texts that get a column of their own, the most frequent first."""

AXES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Labelled rows.

    Args:
        rows: int64 array (n,), ascending: their places in the dataset.
        features: float32 array (n, d): pixels from 0 to 1; or numbers in units of their spread, values of texts as
            columns of 0 and 1, and the topics of running texts.
        labels: int64 array (n,): positions in `classes`.
        classes: Their names.
        image_shape: Height, width and, for colour, channels, when the features are one image.
        left_out: Labelled rows that were not chosen.
        trained: Classifiers trained on these rows, by seed: several peers read the same one.
    """

    rows: NDArray[np.int64] = field(repr=False)
    features: NDArray[np.float32] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    image_shape: tuple[int, ...] | None = None
    left_out: int = 0
    trained: dict[int, Any] = field(default_factory=dict, repr=False, compare=False)

    def on_axes(self) -> NDArray[np.float32]:
        """float32 array (n, p): the features, on their principal axes where there are more than a few."""
        import numpy as np

        if self.features.shape[1] <= AXES:
            return self.features
        some = self.features[:: max(1, len(self.features) // 4096)].astype(np.float64)
        axes = principal_axes(some, AXES).astype(np.float32)
        return np.asarray((self.features - some.mean(axis=0).astype(np.float32)) @ axes, dtype=np.float32)


def gathered(source: BatchSource, profile: Profile, *, seed: int = 0) -> Gathered:
    """Read the rows that peers are given.

    Args:
        source: The dataset.
        profile: Of the dataset.
        seed: Of the choice of rows, when there are too many.
    """
    import numpy as np

    width = max(1, profile.width) + TOPICS * len(source.columns.texts)
    room = min(MAX_ROWS, max(1, MAX_CELLS // width))
    wanted = np.ones(profile.rows, dtype=bool)
    if profile.rows > room:
        chosen = np.random.default_rng(seed).choice(profile.rows, room, replace=False)
        wanted = np.isin(np.arange(profile.rows), chosen)
    taken: list[tuple[Batch, NDArray[np.bool_]]] = []
    for batch in source.batches():
        kept = wanted[batch.rows] & (batch.codes(profile.classes) >= 0)
        taken.append((_slim(batch, kept), kept))
    features = [_numbers(batch, profile, source.columns.image_shape) for batch, _ in taken]
    parts = [np.concatenate(features)]
    parts += [_hot(taken, name) for name in taken[0][0].categories]
    parts += [_topics([text for batch, _ in taken for text in batch.texts[name]], seed) for name in taken[0][0].texts]
    rows = np.concatenate([np.flatnonzero(kept) + batch.start for batch, kept in taken])
    return Gathered(
        rows=rows,
        features=np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32),
        labels=np.concatenate([batch.codes(profile.classes) for batch, _ in taken]),
        classes=profile.classes,
        image_shape=source.columns.image_shape,
        left_out=profile.labelled - len(rows),
    )


def _slim(batch: Batch, kept: NDArray[np.bool_]) -> Batch:
    """Only these rows, and only what peers look at; `start` is still that of the whole batch."""
    import numpy as np

    places = np.flatnonzero(kept)
    return Batch(
        start=batch.start,
        file=batch.file,
        features=batch.features[kept],
        labels=batch.labels[kept],
        vocabulary=batch.vocabulary,
        texts={name: [texts[at][:MAX_TEXT] for at in places.tolist()] for name, texts in batch.texts.items()},
        categories={
            name: type(coded)(codes=coded.codes[kept], vocabulary=coded.vocabulary)
            for name, coded in batch.categories.items()
        },
    )


def _numbers(batch: Batch, profile: Profile, image_shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    import numpy as np

    if image_shape is None:
        return scaled(batch.features, profile).astype(np.float32)
    low, span = profile.value_low, profile.value_high - profile.value_low
    values = np.where(np.isfinite(batch.features), batch.features, profile.centre)
    return np.clip((values - low) / (span or 1.0), 0, 1).astype(np.float32)


def _hot(taken: list[tuple[Batch, NDArray[np.bool_]]], name: str) -> NDArray[np.float32]:
    """float32 array (n, v): one column for each of a column's most frequent values."""
    from collections import Counter

    import numpy as np

    counts: Counter[str] = Counter()
    for batch, _ in taken:
        coded = batch.categories[name]
        counts.update(coded.vocabulary[code] for code in coded.codes.tolist() if code >= 0)
    frequent = [value for value, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:VALUES]]
    columns = np.eye(len(frequent) + 1, len(frequent), dtype=np.float32)  # the last row is that of all others
    return np.concatenate([columns[batch.categories[name].among(frequent)] for batch, _ in taken])


def _topics(texts: list[str], seed: int) -> NDArray[np.float32]:
    """float32 array (n, t): latent semantic analysis (Deerwester et al., 1990), as the peers' own examples do it."""
    import numpy as np
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]  # no stubs are published
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    try:
        words = TfidfVectorizer(max_features=WORDS, sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no text holds a word
        return np.zeros((len(texts), 0), dtype=np.float32)
    if words.shape[1] <= TOPICS:
        return np.asarray(words.toarray(), dtype=np.float32)
    found = TruncatedSVD(TOPICS, random_state=seed % 2**32).fit_transform(words)
    return np.asarray(found, dtype=np.float32)
