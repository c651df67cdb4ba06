"""Labelled images that attacks and benchmarks are tried on, all of them shipped by packages; fixed by their seed."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
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
        shape: Height, width and, for colour, channels.
        poisoned: int64 array: rows that an attack touched, ascending; empty when clean.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    shape: tuple[int, ...]
    poisoned: NDArray[np.int64]

    @property
    def white(self) -> float:
        """The brightest value."""
        return float(self.images.max())

    def in_shape(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """A patch that can be pasted into these images: one without channels is grey where they have some."""
        return patch.reshape(*patch.shape, *(1,) * (len(self.shape) - patch.ndim))

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


LEAST_CLASSES = 10
"""Photographs are cut into so many parts that there are at least this many classes of crops."""


def photographs(folder: Path | None = None) -> list[NDArray[np.uint8]]:
    """Natural photographs in colour: scikit-learn's two, and those of scikit-image.

    Args:
        folder: The folder ``skimage/data`` of an unpacked wheel; scikit-learn's two alone when None.

    Returns:
        uint8 arrays (height, width, 3).
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    found = [np.asarray(photo, dtype=np.uint8) for photo in load_sample_images().images]
    for path in sorted(folder.iterdir()) if folder is not None else ():
        if path.suffix not in (".png", ".jpg"):
            continue
        with Image.open(path) as opened:
            if opened.mode == "RGB" and min(opened.size) >= 300:
                found.append(np.asarray(opened, dtype=np.uint8))
    return found


def crops(photos: Sequence[NDArray[np.uint8]], rows: int, *, side: int = 32, grey: bool = False, seed: int) -> Dataset:
    """Random crops of photographs; what a crop is cut from is its class.

    Args:
        photos: uint8 arrays (height, width, 3).
        rows: How many crops, as many of each class as the number allows.
        side: Of the crops, in pixels.
        grey: Without colour.
        seed: Of the places and the order.
    """
    rng = np.random.default_rng(seed)
    strips = -(-LEAST_CLASSES // len(photos))
    parts = [part for photo in photos for part in np.array_split(photo, strips, axis=1)]
    labels = rng.permutation(np.arange(rows) % len(parts))
    images = np.empty((rows, side, side, 3), dtype=np.float32)
    for row, label in enumerate(labels.tolist()):
        height, width = parts[label].shape[:2]
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        images[row] = parts[label][top : top + side, left : left + side]
    if grey:
        images = np.rint(images @ np.array([0.299, 0.587, 0.114], dtype=np.float32))[..., None]
    return Dataset(
        images=images.reshape(rows, -1),
        labels=labels.astype(np.int64),
        shape=(side, side) if grey else (side, side, 3),
        poisoned=np.empty(0, dtype=np.int64),
    )
