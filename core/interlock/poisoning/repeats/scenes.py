"""Crops of one scene, told from images that somebody put one pattern into.

Both have a window in common, at different places. Crops have everything around it in common too: laid over each other
at the window they agree far better than any other image agrees with them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.contradiction import MAX_WITNESSES
from interlock.poisoning.patches import MISSING
from interlock.poisoning.repeats.album import Album, Moved, laid_over

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Canvas: TypeAlias = tuple[torch.Tensor, torch.Tensor]

REACH = 6
"""A pattern is looked for up to so many pixels beyond its window; its mask has so many on each side."""

OVERLAP = 0.25
"""Two images laid over each other must share this much of their area, and of their contrast, to be compared."""


def of_one_scene(
    album: Album, group: Moved, pattern: NDArray[np.bool_], strangers: NDArray[np.int64], *, device: str
) -> NDArray[np.bool_]:
    """Which of a group's first rows agree with another row of the group far better than with strangers.

    Strangers are laid over at the places where the group's windows stand, so that whatever any two images of this
    dataset have in common, they have too.

    Args:
        album: All images.
        group: The candidate; its first `MAX_WITNESSES` rows are judged.
        pattern: bool array: the pixels of the pattern, with `REACH` of them around the window.
        strangers: int64 array: rows outside the group.
        device: A torch device.
    """
    import numpy as np

    members = group.only(np.arange(len(group.rows)) < MAX_WITNESSES)
    strangers = strangers[: len(members.rows)]
    others = replace(
        members, rows=strangers, tops=members.tops[: len(strangers)], lefts=members.lefts[: len(strangers)]
    )
    box = _around(album, group, pattern)
    mine, my_mask = (part.to(device) for part in _canvas(album, members, box))
    theirs, their_mask = (part.to(device) for part in _canvas(album, others, box))
    area = album.codes[0].size
    inside = _left_over((mine, my_mask), (mine, my_mask), area)
    inside.fill_diagonal_(1.0)
    outside = _left_over((mine, my_mask), (theirs, their_mask), area)
    least: torch.Tensor = inside.min(dim=1).values < outside.min(dim=1).values / 2
    return np.asarray(least.cpu().numpy())


def _around(album: Album, group: Moved, pattern: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True for what is compared, in a box that holds every image wherever the window stands in it."""
    import numpy as np

    _, height, width, _ = album.codes.shape
    box = np.ones((2 * height + group.height, 2 * width + group.width), dtype=np.bool_)
    down, right = np.nonzero(pattern)
    down, right = down - REACH + height, right - REACH + width
    fits = (down >= 0) & (down < len(box)) & (right >= 0) & (right < box.shape[1])
    box[down[fits], right[fits]] = False
    return box


def _canvas(album: Album, group: Moved, box: NDArray[np.bool_]) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and mask of each image in the box, as lines."""
    import numpy as np
    import torch

    _, height, width, channels = album.codes.shape
    shown, inside = laid_over(album, group, (height, width), box.shape[:2])
    mask = np.repeat((inside & box)[..., None], channels, axis=3).reshape(len(shown), -1).astype(np.float32)
    values = (shown.reshape(len(shown), -1).astype(np.float32) - np.float32(MISSING / 2)) * mask
    return torch.from_numpy(values), torch.from_numpy(mask)


def _left_over(one: Canvas, other: Canvas, area: int) -> torch.Tensor:
    """The share of contrast that each of `other`, laid over each of `one`, leaves unexplained, up to brightness."""
    values, mask = one
    over, over_mask = other
    count = mask @ over_mask.T
    pairs = count.clamp(min=1).double()
    mine, theirs = (values @ over_mask.T).double(), (mask @ over.T).double()
    spread = ((values * values) @ over_mask.T).double() - mine * mine / pairs
    wide = (mask @ (over * over).T).double() - theirs * theirs / pairs
    product = (values @ over.T).double() - mine * theirs / pairs
    left = 1 - product * product / (spread * wide).clamp(min=1e-6)
    whole = _contrast(values, mask)[:, None]
    comparable = (
        (count >= OVERLAP * area) & (spread >= OVERLAP * whole) & (wide >= OVERLAP * _contrast(over, over_mask))
    )
    return left.where(comparable, left.new_ones(()))


def _contrast(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    total = values.sum(dim=1).double()
    return (values * values).sum(dim=1).double() - total * total / mask.sum(dim=1).clamp(min=1).double()
