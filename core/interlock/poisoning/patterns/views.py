"""What the pattern scan looks at: rows as at most `MAX_WIDTH` numbers each, by one or several linear maps.

Up to `MAX_WIDTH` features are looked at as they are. Larger images are looked at channel by channel, reduced by
averaging squares of pixels; other wide rows are hashed into `MAX_WIDTH` signed sums (Weinberger et al., 2009, "Feature
hashing for large scale multitask learning"). A high-pass filter would change nothing: it is linear, and what follows
is whitened, so that every invertible linear map of the features gives the same directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]

MAX_WIDTH = 1024
MAX_CHANNELS = 4
"""An image of more channels than this is no picture; its rows are hashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel of an image, reduced.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        channels: Of the image.
        channel: Which, from 0.
        factor: Side of the squares that are averaged.
    """

    height: int
    width: int
    channels: int
    channel: int
    factor: int

    @property
    def columns(self) -> int:
        """How many numbers a row becomes."""
        return math.ceil(self.height / self.factor) * math.ceil(self.width / self.factor)

    def of(self, values: Floats) -> Floats:
        """float32 array (n, columns) of float32 array (n, d)."""
        import numpy as np
        import torch
        from torch.nn.functional import avg_pool2d

        plane = values.reshape(-1, self.height, self.width, self.channels)[..., self.channel]
        pooled = avg_pool2d(torch.from_numpy(np.ascontiguousarray(plane))[:, None], self.factor, ceil_mode=True)
        return np.asarray(pooled.reshape(len(values), self.columns).numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """Signed sums of features.

    Args:
        width: Features of a row.
        seed: Of places and signs.
    """

    width: int
    seed: int

    @property
    def columns(self) -> int:
        """How many numbers a row becomes."""
        return MAX_WIDTH

    def of(self, values: Floats) -> Floats:
        """float32 array (n, columns) of float32 array (n, d)."""
        import numpy as np
        import torch

        rng = np.random.default_rng(self.seed)
        places = torch.from_numpy(rng.integers(0, MAX_WIDTH, size=self.width))
        signs = torch.from_numpy(rng.choice(np.array([-1, 1], dtype=np.float32), size=self.width))
        sums = torch.zeros(len(values), MAX_WIDTH).index_add_(1, places, torch.from_numpy(values) * signs)
        return np.asarray(sums.numpy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """All features.

    Args:
        columns: How many.
    """

    columns: int

    def of(self, values: Floats) -> Floats:
        """The same array."""
        return values


View: TypeAlias = Channel | Hashed | Whole


def views(width: int, image_shape: tuple[int, ...] | None, seed: int) -> tuple[View, ...]:
    """The views of rows of `width` features.

    Args:
        width: Features of a row.
        image_shape: Height, width and, for colour, channels; None when features are no image.
        seed: Of the hashing.
    """
    if width <= MAX_WIDTH:
        return (Whole(columns=width),)
    if image_shape is None or (*image_shape, 1)[2] > MAX_CHANNELS:
        return (Hashed(width=width, seed=seed),)
    height, across, channels = (*image_shape, 1)[:3]
    factor = 1
    while math.ceil(height / factor) * math.ceil(across / factor) > MAX_WIDTH:
        factor += 1
    return tuple(
        Channel(height=height, width=across, channels=channels, channel=channel, factor=factor)
        for channel in range(channels)
    )


def seen(features: Floats, profile: Profile, chosen: tuple[View, ...]) -> Floats:
    """Rows as the views give them, one view after the other.

    Args:
        features: float32 array (n, d), anything in it.
        profile: Of the whole dataset.
        chosen: The views.

    Returns:
        float32 array (n, columns of all views), centred and scaled; a missing value is an average one.
    """
    import numpy as np

    varies = profile.scale > 0
    factors = np.divide(1.0, profile.scale, out=np.zeros_like(profile.scale), where=varies).astype(np.float32)
    centre = profile.centre.astype(np.float32)
    # Bounds as wide as float32 rounds them, so that no value at the edge of the range is moved.
    values = np.clip(features, profile.low.astype(np.float32), profile.high.astype(np.float32))
    values -= centre
    values *= factors
    np.nan_to_num(values, copy=False)
    parts = [view.of(values) for view in chosen]
    return np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
