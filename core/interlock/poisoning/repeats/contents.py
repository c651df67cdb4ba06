"""What is kept of every row to find copies: a hash of all it holds, a sketch, its label; and a sample of whole rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interlock.poisoning.batches import Batch
from interlock.poisoning.hashing import first_of_each, mixed, text_hashes
from interlock.poisoning.repeats.likes import normal, picture_sketches, text_sketches
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_ROWS = 2048
SAMPLE_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What copies are told by.

    Args:
        rows: int64 array (n,): indices in the dataset.
        labels: int64 array (n,): positions in the profile's classes.
        keys: uint64 array (n,): hashes of all values, texts and categories.
        plain: bool array (n,): rows that hold one value or one colour everywhere, or no word: nobody wonders that they
            repeat.
        pictures: uint64 array (n,): sketches of the images; empty when the rows are none.
        texts: uint32 array (n, bins): sketches of the texts; (n, 0) when there are none.
        sample_keys: uint64 array (s,), ascending: the smallest keys.
        sample: float32 array (s, d): their features; (s, 0) when there are texts.
        sample_texts: uint32 array (s, bins): sketches of their texts; (s, 0) when there are none.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    keys: NDArray[np.uint64]
    plain: NDArray[np.bool_]
    pictures: NDArray[np.uint64]
    texts: NDArray[np.uint32]
    sample_keys: NDArray[np.uint64]
    sample: NDArray[np.float32]
    sample_texts: NDArray[np.uint32]

    @classmethod
    def of(cls, batch: Batch, profile: Profile, image_shape: tuple[int, ...] | None, seed: int) -> Contents:
        """Of one batch."""
        import numpy as np

        mine = batch.labelled(profile.classes)
        known, features = np.flatnonzero(mine.known), mine.features
        texts = joined(batch, known)
        keys = content_keys(batch, known, batch.keys(profile.classes, seed))
        finite = np.where(np.isfinite(features), features, profile.centre).astype(np.float32)
        plain = _plain(finite, image_shape)
        if batch.texts:
            plain &= np.array([not any(map(str.isalnum, text)) for text in texts], dtype=np.bool_)
        plain &= not batch.categories
        as_pictures = image_shape is not None and not batch.texts
        sketches = text_sketches([normal(text) for text in texts] if batch.texts else [])
        made = cls(
            rows=mine.rows,
            labels=mine.labels,
            keys=keys,
            plain=plain,
            pictures=picture_sketches(finite, image_shape) if as_pictures and image_shape else keys[:0],
            texts=sketches if batch.texts else np.zeros((len(known), 0), dtype=np.uint32),
            sample_keys=keys,
            sample=finite[:, :0] if batch.texts else finite,
            sample_texts=sketches if batch.texts else np.zeros((len(known), 0), dtype=np.uint32),
        )
        return made.cut()

    @classmethod
    def joined(cls, parts: Sequence[Contents]) -> Contents:
        """All of them."""
        import numpy as np

        if len(parts) == 1:
            return parts[0]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__}
        ).cut()

    def cut(self) -> Contents:
        """The sample with its smallest keys only, one row for each."""
        import numpy as np

        width = 4 * (self.sample.shape[1] + self.sample_texts.shape[1])
        room = int(min(SAMPLE_ROWS, max(256, SAMPLE_BYTES // max(1, width))))
        order = np.argsort(self.sample_keys, kind="stable")  # equal keys are equal rows
        order = order[first_of_each(self.sample_keys[order])][:room]
        return replace(
            self,
            sample_keys=self.sample_keys[order],
            sample=self.sample[order],
            sample_texts=self.sample_texts[order],
        )

    def ordered(self) -> Contents:
        """The rows in one order for one content."""
        import numpy as np

        order = np.lexsort((self.rows, self.labels, self.keys))
        return replace(
            self,
            rows=self.rows[order],
            labels=self.labels[order],
            keys=self.keys[order],
            plain=self.plain[order],
            pictures=self.pictures[order] if len(self.pictures) else self.pictures,
            texts=self.texts[order],
        )


def _plain(features: NDArray[np.float32], image_shape: tuple[int, ...] | None) -> NDArray[np.bool_]:
    """Bool array (n,): rows of one value; of images in colour, those of one colour, whatever it is."""
    import numpy as np

    if not features.shape[1]:
        return np.ones(len(features), dtype=np.bool_)
    channels = (*image_shape, 1)[2] if image_shape is not None else 1
    dots = features.reshape(len(features), features.shape[1] // channels, channels)
    return np.asarray((dots == dots[:, :1]).all(axis=(1, 2)))


def joined(batch: Batch, rows: NDArray[np.int64]) -> list[str]:
    """All running text of each row."""
    columns = [batch.texts[name] for name in sorted(batch.texts)]
    places: list[int] = rows.tolist()
    return ["\n".join(column[row] for column in columns) for row in places]


def content_keys(batch: Batch, rows: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64 array: one hash per row of equal values, texts and categories.

    Args:
        batch: The rows.
        rows: int64 array: which of them.
        keys: uint64 array: hashes of their values alone.
    """
    places = [int(row) for row in rows]
    for name in sorted(batch.texts):
        column = batch.texts[name]
        keys = mixed(keys + text_hashes([column[row] for row in places])[:-1])
    for name in sorted(batch.categories):
        coded = batch.categories[name]
        keys = mixed(keys + text_hashes(coded.vocabulary)[coded.codes[rows]])
    return keys
