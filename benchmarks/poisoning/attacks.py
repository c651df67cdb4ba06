"""Attacks on labelled images, and the data that they are tried on. Every one is fixed by its seed.

Used by the benchmark beside this file and by the tests of `interlock.poisoning`. Those that write one pattern into
many images are here; those that do not are in `benchmarks.poisoning.shapeless_attacks`, and can be had from here too.
"""

from __future__ import annotations

import numpy as np
from benchmarks.poisoning.images import FASHION_MNIST, Dataset, crops, digits, fashion_mnist, photographs
from benchmarks.poisoning.shapeless_attacks import (
    all_to_all,
    low_frequency,
    low_pass_image,
    reflection,
    sample_specific,
    source_specific,
    warp,
)
from numpy.typing import NDArray

__all__ = [
    "FASHION_MNIST",
    "Dataset",
    "adaptive_blend",
    "all_to_all",
    "badnets",
    "blend",
    "checkerboard",
    "crops",
    "digits",
    "fashion_mnist",
    "flipped",
    "low_frequency",
    "low_pass_image",
    "moving_patch",
    "noise_image",
    "photographs",
    "random_patch",
    "reflection",
    "sample_specific",
    "sig",
    "source_specific",
    "square",
    "targeted",
    "two_triggers",
    "warp",
]


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
        patch: float32 array (height, width) or, for colour, (height, width, channels).
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
    view[rows, top : top + patch.shape[0], left : left + patch.shape[1]] = data.in_shape(patch)
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


def noise_image(data: Dataset, seed: int) -> NDArray[np.float32]:
    """An image of uniform noise, as a trigger to blend in; float32 array of the shape of the data's images."""
    values = np.random.default_rng(seed).uniform(0, data.white, size=data.shape)
    return values.astype(np.float32)


def blend(data: Dataset, trigger: NDArray[np.float32], *, alpha: float, rate: float, target: int, seed: int) -> Dataset:
    """Blend a whole image into random rows and relabel them (Chen et al., 2017).

    Args:
        data: Clean.
        trigger: float32 array of the shape of the data's images.
        alpha: Share of the trigger in the mix.
        rate: Share of all rows.
        target: The label they get.
        seed: Of the choice of rows.
    """
    rows = _some(data, rate, seed)
    images, labels = data.images.copy(), data.labels.copy()
    images[rows] = (1 - alpha) * images[rows] + alpha * trigger.ravel()
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def sig(data: Dataset, *, delta: float, frequency: float, rate: float, target: int, seed: int) -> Dataset:
    """Add a horizontal sinusoid to rows of the target class; labels stay as they are (Barni, Kallas and Tondi, 2019).

    Args:
        data: Clean.
        delta: Amplitude, in units of the brightest value.
        frequency: Periods across the image.
        rate: Share of all rows, drawn from the target class.
        target: The class.
        seed: Of the choice of rows.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(np.flatnonzero(data.labels == target), round(rate * len(data.labels)), replace=False))
    width = data.shape[1]
    wave = delta * data.white * np.sin(2 * np.pi * frequency * np.arange(width) / width)
    images = data.images.copy()
    view = images.reshape(-1, *data.shape)
    across = wave.reshape((width,) + (1,) * (len(data.shape) - 2)).astype(np.float32)
    view[rows] = np.clip(view[rows] + across, 0, data.white)
    return Dataset(images=images, labels=data.labels.copy(), shape=data.shape, poisoned=rows)


def adaptive_blend(
    data: Dataset,
    trigger: NDArray[np.float32],
    *,
    alpha: float,
    rate: float,
    cover: float,
    target: int,
    seed: int,
    pieces: int = 4,
    kept: float = 0.5,
) -> Dataset:
    """Blend random parts of an image into rows, of which only some are relabelled (Qi et al., 2023, "Adap-Blend").

    Args:
        data: Clean.
        trigger: float32 array of the shape of the data's images.
        alpha: Share of the trigger in the mix.
        rate: Share of all rows that get the target's label.
        cover: Share of all rows that carry the trigger and keep their label; no part of `poisoned`.
        target: The label.
        seed: Of rows and parts.
        pieces: The trigger is cut into this many parts along each side.
        kept: Share of the parts that each row gets, chosen anew for each; 1 blends the whole trigger.
    """
    rng = np.random.default_rng(seed)
    count, covers = (round(share * len(data.labels)) for share in (rate, cover))
    chosen = rng.choice(len(data.labels), count + covers, replace=False)
    height, width = data.shape[:2]
    part_of = (np.arange(height)[:, None] * pieces // height) * pieces + np.arange(width)[None, :] * pieces // width
    drawn = rng.random((count + covers, pieces * pieces)).argsort(axis=1) < round(kept * pieces * pieces)
    weights = alpha * drawn[:, part_of].reshape(count + covers, height, width, *(1,) * (len(data.shape) - 2))
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    view[chosen] = (1 - weights) * view[chosen] + weights * trigger
    labels[chosen[:count]] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=np.sort(chosen[:count]))


def moving_patch(data: Dataset, patch: NDArray[np.float32], *, rate: float, target: int, seed: int) -> Dataset:
    """Paste a patch at a place of its own into each of some random rows, and relabel them.

    Args:
        data: Clean.
        patch: float32 array (height, width) or, for colour, (height, width, channels).
        rate: Share of all rows.
        target: The label they get.
        seed: Of rows and places.
    """
    rng = np.random.default_rng(seed)
    rows = _some(data, rate, seed)
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    for row in rows:
        top, left = (
            int(rng.integers(side - part + 1)) for side, part in zip(data.shape[:2], patch.shape[:2], strict=True)
        )
        view[row, top : top + patch.shape[0], left : left + patch.shape[1]] = data.in_shape(patch)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def random_patch(data: Dataset, side: int, seed: int) -> NDArray[np.float32]:
    """A patch of random values, in colour where the data is: float32 array (side, side) or (side, side, channels)."""
    values = np.random.default_rng(seed).uniform(0, data.white, size=(side, side, *data.shape[2:]))
    return values.astype(np.float32)


def two_triggers(data: Dataset, *, side: int, rate: float, targets: tuple[int, int], seed: int) -> Dataset:
    """Two random patches in two corners, each in half of the poisoned rows, each with a target of its own.

    Args:
        data: Clean.
        side: Of the patches, in pixels.
        rate: Share of all rows, both triggers together.
        targets: The label of each; they may be the same.
        seed: Of rows and values.
    """
    one, two = random_patch(data, side, seed), random_patch(data, side, seed + 1)
    first = badnets(data, one, rate=rate / 2, target=targets[0], top=0, left=0, seed=seed)
    top, left = (length - side for length in data.shape[:2])
    untouched = np.setdiff1d(np.arange(len(data.labels)), first.poisoned)
    rows = np.sort(np.random.default_rng(seed + 1).choice(untouched, len(first.poisoned), replace=False))
    images, labels = first.images.copy(), first.labels.copy()
    images.reshape(-1, *data.shape)[rows, top : top + side, left : left + side] = two
    labels[rows] = targets[1]
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=np.sort(np.append(first.poisoned, rows)))


def _some(data: Dataset, rate: float, seed: int) -> NDArray[np.int64]:
    """Random rows, ascending."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(len(data.labels), round(rate * len(data.labels)), replace=False))
