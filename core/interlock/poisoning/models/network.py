"""The small network that is trained on the suspect set: convolutions for images, layers of sums for anything else.

It need not be good. It must be able to learn whatever decides a label, a trigger included, in seconds; what it learns
of honest rows is the background that a trigger stands out from. It is made of layers that torch ships, one after the
other, so that it can be sent to a worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

CHANNELS = (16, 32, 64, 64, 64, 64, 64, 64)
"""Of the convolutions, from the image on; each halves both sides, which costs a quarter of looking at every pixel."""

FIRST_KERNEL, KERNEL = 5, 3

LAST_SIDE = 7
"""Sides are halved until they are no longer than this, and once at least."""

HIDDEN = 128
"""Units of the penultimate layer, and of both hidden layers where rows are no images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the network takes and gives.

    Args:
        width: Numbers of a row.
        image_shape: Height, width and, for colour, channels; None when a row is no image.
        classes: How many.
    """

    width: int
    image_shape: tuple[int, ...] | None
    classes: int

    def network(self, seed: int) -> torch.nn.Sequential:
        """A network with weights drawn by `seed`; it takes what `tensor` gives, and gives logits."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return torch.nn.Sequential(*self._layers())

    def tensor(self, points: NDArray[np.float32]) -> torch.Tensor:
        """Rows as the network takes them: float32 tensor (n, width) or (n, channels, height, width).

        Args:
            points: float32 array (n, width); of images, rows of pixels first and channels last.
        """
        import torch

        rows = torch.from_numpy(points)
        if self.image_shape is None:
            return rows
        return rows.reshape(-1, *(*self.image_shape, 1)[:3]).permute(0, 3, 1, 2)  # which torch calls channels last

    def _layers(self) -> Iterator[torch.nn.Module]:
        from torch import nn

        if self.image_shape is None:
            yield from (nn.Linear(self.width, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
            size = HIDDEN
        else:
            height, across, before = (*self.image_shape, 1)[:3]
            side = FIRST_KERNEL
            for channels in CHANNELS:
                convolution = nn.Conv2d(before, channels, side, stride=2, padding=side // 2, bias=False)
                yield from (convolution, nn.BatchNorm2d(channels), nn.ReLU())
                height, across, before, side = -(-height // 2), -(-across // 2), channels, KERNEL
                if max(height, across) <= LAST_SIDE:
                    break
            yield nn.Flatten()
            size = height * across * before
        yield from (nn.Linear(size, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU())
        yield nn.Linear(HIDDEN, self.classes)
