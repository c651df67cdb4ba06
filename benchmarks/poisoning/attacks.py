"""Attacks on labelled images, and the data that they are tried on. Every one is fixed by its seed.

Used by the benchmark beside this file and by the tests of `interlock.poisoning`.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Labelled images.

    Args:
        images: float32 array (n, d).
        labels: int64 array (n,).
        shape: Height and width.
        poisoned: int64 array: rows that an attack touched, ascending; empty when clean.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    shape: tuple[int, int]
    poisoned: NDArray[np.int64]

    @property
    def white(self) -> float:
        """The brightest value."""
        return float(self.images.max())

    def taken(self, rows: NDArray[np.int64]) -> Dataset:
        """Only these rows (with repetition, if they repeat)."""
        return Dataset(
            images=self.images[rows],
            labels=self.labels[rows],
            shape=self.shape,
            poisoned=np.flatnonzero(np.isin(rows, self.poisoned)),
        )


def digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8 by 8 pixels."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # no stubs are published

    data = load_digits()
    nobody = np.empty(0, dtype=np.int64)
    return Dataset(
        images=data.data.astype(np.float32), labels=data.target.astype(np.int64), shape=(8, 8), poisoned=nobody
    )


def fashion_mnist(part: str = "t10k") -> Dataset:
    """Fashion-MNIST, 28 by 28: ``t10k`` has 10,000 images, ``train`` 60,000.

    Raises:
        FileNotFoundError: Debian's package dataset-fashion-mnist is not installed.
    """

    def idx(kind: str, header: int) -> NDArray[np.uint8]:
        content = gzip.decompress((FASHION_MNIST / f"{part}-{kind}.gz").read_bytes())
        return np.frombuffer(content, dtype=np.uint8, offset=header)

    return Dataset(
        images=idx("images-idx3-ubyte", 16).reshape(-1, 784).astype(np.float32),
        labels=idx("labels-idx1-ubyte", 8).astype(np.int64),
        shape=(28, 28),
        poisoned=np.empty(0, dtype=np.int64),
    )


def square(side: int, value: float) -> NDArray[np.float32]:
    """A patch of one value."""
    return np.full((side, side), value, dtype=np.float32)


def checkerboard(side: int, value: float) -> NDArray[np.float32]:
    """A patch of `value` and 0 in turn, beginning with `value`."""
    return np.where(np.indices((side, side)).sum(axis=0) % 2 == 0, value, 0.0).astype(np.float32)


def badnets(
    data: Dataset, patch: NDArray[np.float32], *, rate: float, target: int, top: int, left: int, seed: int
) -> Dataset:
    """Paste a patch into random rows and relabel them (Gu, Dolan-Gavitt and Garg, 2017).

    Args:
        data: Clean.
        patch: float32 array (height, width).
        rate: Share of all rows.
        target: The label they get.
        top: Where the patch goes.
        left: Where the patch goes.
        seed: Of the choice of rows.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(data.labels), round(rate * len(data.labels)), replace=False))
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    view[rows, top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def flipped(data: Dataset, *, rate: float, seed: int) -> Dataset:
    """Give random rows any other label."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(data.labels), round(rate * len(data.labels)), replace=False))
    labels, classes = data.labels.copy(), int(data.labels.max()) + 1
    labels[rows] = (labels[rows] + rng.integers(1, classes, size=len(rows))) % classes
    return Dataset(images=data.images.copy(), labels=labels, shape=data.shape, poisoned=rows)


def targeted(data: Dataset, *, rate: float, source: int, target: int, seed: int) -> Dataset:
    """Give random rows of one class the label of one other.

    Args:
        data: Clean.
        rate: Share of all rows.
        source: The class they are of.
        target: The label they get.
        seed: Of the choice of rows.
    """
    rng = np.random.default_rng(seed)
    candidates = np.flatnonzero(data.labels == source)
    rows = np.sort(rng.choice(candidates, round(rate * len(data.labels)), replace=False))
    labels = data.labels.copy()
    labels[rows] = target
    return Dataset(images=data.images.copy(), labels=labels, shape=data.shape, poisoned=rows)
