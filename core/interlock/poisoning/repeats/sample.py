"""What different contents of a dataset are like: how near the nearest is, and how often it has another label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.poisoning.neighbours import nearest
from interlock.poisoning.repeats.contents import Contents
from interlock.poisoning.survey import Profile, scaled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEAR = 0.25
"""Near copies are this much nearer to each other than the median image of the sample is to its nearest one."""

VOTERS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What different contents are like.

    Args:
        ceiling: How often the nearest different contents carry different labels.
        reach: Squared distance up to which two images are near copies; 0 when there are none.
        rows: float32 array (s, d).
        labels: int64 array (s,): what most copies of each carry.
        device: A torch device.
    """

    ceiling: float
    reach: float
    rows: NDArray[np.float32]
    labels: NDArray[np.int64]
    device: str

    @classmethod
    def of(cls, contents: Contents, profile: Profile, device: str) -> Sample:
        """Of the sampled rows.

        Args:
            contents: All rows, and the sample.
            profile: Of the dataset.
            device: A torch device.
        """
        import numpy as np

        rows = scaled(contents.sample, profile).astype(np.float32) if contents.sample.shape[1] else contents.sample
        shares = _shares(contents, len(profile.classes))
        n = len(shares)
        found, far = np.zeros(n, dtype=np.int64), np.zeros(n)
        if contents.sample_texts.shape[1] and n > 1:
            found = _most_alike(contents.sample_texts)
        elif contents.sample.shape[1] and n > 1:
            found, far = _nearest_other(rows, device)
        # A copy of the one beside a copy of the other, by all the labels that either carries.
        disagree = n - float((shares * shares[found]).sum()) if n > 1 else 0.0
        return cls(
            # None seen in so many is not never.
            ceiling=(disagree + 1) / (n + 2),
            reach=float(np.median(far)) * NEAR * NEAR if n > 1 else 0.0,
            rows=rows,
            labels=shares.argmax(axis=1),
            device=device,
        )

    def support(self, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the nearest other contents of the sample carry the label that each row carries."""
        import numpy as np

        found, far = nearest(rows, self.rows, VOTERS + 1, device=self.device)
        far = far + (rows.astype(np.float64) ** 2).sum(axis=1)[:, None]
        other = far > 1e-6 * np.maximum(1.0, (rows.astype(np.float64) ** 2).sum(axis=1))[:, None]
        return np.asarray(((self.labels[found] == labels[:, None]) & other).sum(axis=1), dtype=np.int64)


def _shares(contents: Contents, classes: int) -> NDArray[np.float64]:
    """float64 array (s, classes): how often each label is carried by the copies of each sampled content."""
    import numpy as np

    keys = contents.sample_keys
    at = np.minimum(np.searchsorted(keys, contents.keys), max(0, len(keys) - 1))
    held = keys[at] == contents.keys if len(keys) else np.zeros(len(at), dtype=np.bool_)
    counts = np.bincount(at[held] * classes + contents.labels[held], minlength=len(keys) * classes)
    table = counts.reshape(len(keys), classes).astype(np.float64)
    return np.asarray(table / np.maximum(1, table.sum(axis=1, keepdims=True)))


def _nearest_other(rows: NDArray[np.float32], device: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    import numpy as np

    found, _ = nearest(rows, rows, 1, device=device, same=True)
    apart = (rows - rows[found[:, 0]]).astype(np.float64)
    return found[:, 0], (apart * apart).sum(axis=1)


def _most_alike(sketches: NDArray[np.uint32]) -> NDArray[np.int64]:
    import numpy as np

    found = np.empty(len(sketches), dtype=np.int64)
    turned = np.ascontiguousarray(sketches.T)
    for at in range(len(sketches)):
        alike = (turned == sketches[at][:, None]).sum(axis=0, dtype=np.int32)
        alike[at] = -1
        found[at] = int(alike.argmax())
    return found
