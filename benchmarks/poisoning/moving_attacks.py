"""Attacks whose patch does not stand still, or does not keep its colour. Every one is fixed by its seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from benchmarks.poisoning.attacks import Dataset
from numpy.typing import NDArray

Patch = NDArray[np.float32]
Draw = Callable[[np.random.Generator], Patch]
"""Draws the patch of one image: float32 array (height, width)."""


def constant(patch: Patch) -> Draw:
    """The same patch in every image."""
    return lambda _: patch


def mosaic(side: int, white: float, seed: int, *, values: int = 4) -> Patch:
    """A square patch of random values out of a few evenly spaced ones, drawn once for the attack."""
    drawn = np.random.default_rng(seed).integers(0, values, size=(side, side))
    return (drawn * (white / (values - 1))).astype(np.float32)


def one_colour(side: int, white: float) -> Draw:
    """A square of one colour, another one in every image."""
    return lambda rng: np.full((side, side), np.rint(rng.uniform(0.25, 1) * white), dtype=np.float32)


def two_colours(shape: Patch, white: float) -> Draw:
    """The pattern `shape` (zero or not) in two colours that differ, others in every image."""

    def draw(rng: np.random.Generator) -> Patch:
        first = rng.uniform(0, 1)
        second = (first + rng.uniform(0.3, 0.7)) % 1
        return np.rint(np.where(shape > 0, first, second) * white).astype(np.float32)

    return draw


def moving(
    data: Dataset, draw: Draw, *, rate: float, target: int, seed: int, place: tuple[int, int] | None = None
) -> Dataset:
    """Paste a patch somewhere else in every chosen row, and relabel these rows.

    Args:
        data: Clean; grey, or with channels last.
        draw: Gives the patch of one image.
        rate: Share of all rows.
        target: The label they get.
        seed: Of the choice of rows, places and colours.
        place: Top and left, when the patch shall stand still after all.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(data.labels), round(rate * len(data.labels)), replace=False))
    images, labels = data.images.copy(), data.labels.copy()
    height, width = data.shape[:2]
    view = images.reshape(len(images), height, width, -1)
    for row in rows.tolist():
        channels = [draw(rng)] if view.shape[3] == 1 else _in_colour(draw, rng, view.shape[3])
        tall, wide = channels[0].shape
        top, left = place or (int(rng.integers(0, height - tall + 1)), int(rng.integers(0, width - wide + 1)))
        view[row, top : top + tall, left : left + wide] = np.stack(channels, axis=2)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def _in_colour(draw: Draw, rng: np.random.Generator, channels: int) -> list[Patch]:
    """One draw per channel: a constant patch is grey, a random one has a random colour."""
    return [draw(rng) for _ in range(channels)]
