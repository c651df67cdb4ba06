"""The exact look at a window that moves: does the label contradict everything in the image but the pattern?

As in `interlock.poisoning.contradiction`, whose bounds are used here: the chance of a row's label comes from its
nearest rows outside the group, with the pattern hidden and with the whole image, raised by what look-alikes of the
window carry and by a hidden cause of a given strength. Two things are different when the window moves.

- The images are laid over each other at the window. What nearly all of them have in common there is the pattern, and is
  hidden where it stands in each of them.
- **Crops of one scene** have the window in common too, at different places, and more: everything around it. A row whose
  surroundings, laid over those of another row of the group, agree with them far better than those of strangers do is no
  witness of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.poisoning.bounds import poisson_binomial_tail
from interlock.poisoning.contradiction import (
    HIDDEN_BIAS,
    LOOK_ALIKES,
    MAX_WITNESSES,
    NEIGHBOURS,
    REFERENCES,
    Verdict,
    odds_raised,
)
from interlock.poisoning.repeats.album import Album, Moved, laid_over
from interlock.poisoning.repeats.scenes import REACH, of_one_scene
from interlock.poisoning.repeats.windows import levels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HELD = 0.95
"""A pixel belongs to the pattern if so many of the rows agree on it."""

MAX_ALIGNED = 2048
"""Rows that are laid over each other to see the pattern."""

REFERENCE_BLOCK = 4096


def examine(
    album: Album, group: Moved, base: NDArray[np.float64], known: NDArray[np.bool_], *, alike: float, device: str
) -> Verdict:
    """What content says of a group's labels.

    Args:
        album: All images.
        group: The candidate.
        base: Base rates of its label, by agreeing neighbours.
        known: bool array (n,): rows of patterns already found; they vouch for nothing.
        alike: How much more likely the label is among look-alikes of the window, in odds, at least 1.
        device: A torch device.
    """
    import numpy as np

    labels, share = album.labels, float(album.shares[group.label])
    inside = np.zeros(len(labels), dtype=np.bool_)
    inside[group.rows] = True
    outside = np.flatnonzero(~inside & ~known & album.distinct)[:REFERENCES]
    group = group.only(album.distinct[group.rows])
    witnesses = group.only(np.arange(len(group.rows)) < MAX_WITNESSES)
    if len(outside) <= NEIGHBOURS or not len(witnesses.rows):
        return Verdict(decades=0.0, compared=0, contradicting=0, pairs=())
    pattern = common(album, group)
    kept = 1.0 - hidden(album, witnesses, pattern)
    content = album.codes[witnesses.rows].reshape(len(kept), -1).astype(np.float32)
    found, far = _nearest(content, kept, album, outside, device)
    seen, _ = _nearest(content, np.ones_like(kept), album, outside, device)
    agree = np.maximum(
        (labels[outside[found]] == group.label).sum(axis=1), (labels[outside[seen]] == group.label).sum(axis=1)
    )
    chance = np.minimum(np.maximum((agree + share) / (NEIGHBOURS + 1), base[agree]), 1 - 1e-6)
    chance = odds_raised(chance, alike * HIDDEN_BIAS)
    alone = far[:, 0] < _second(*_nearest(content, kept, album, group.rows, device))
    alone &= ~of_one_scene(album, group, pattern, outside, device=device)
    carried = labels[witnesses.rows] == group.label
    evidence = poisson_binomial_tail(int(carried[alone].sum()), chance[alone])
    paired = zip(witnesses.rows[carried].tolist(), outside[found[carried, 0]].tolist(), strict=True)
    return Verdict(
        decades=evidence if 2 * int(alone.sum()) >= len(alone) else 0.0,
        compared=int(alone.sum()),
        contradicting=int((carried & alone & (agree <= NEIGHBOURS // 2)).sum()),
        pairs=tuple(paired),
    )


def common(album: Album, group: Moved) -> NDArray[np.bool_]:
    """Which pixels around the window, itself included, nearly all rows agree on.

    Returns:
        bool array (height + 2 * REACH, width + 2 * REACH).
    """
    import numpy as np

    mine = group.only(album.labels[group.rows] == group.label)
    mine = mine.only(np.arange(len(mine.rows)) < MAX_ALIGNED)
    shown, inside = laid_over(album, mine, (REACH, REACH), (group.height + 2 * REACH, group.width + 2 * REACH))
    rough = levels(shown).astype(np.int64)
    count = np.maximum(inside.sum(axis=0), 1)
    middle = np.median(rough, axis=0)
    held = ((rough == middle).all(axis=3) & inside).sum(axis=0) >= HELD * count
    steady: NDArray[np.bool_] = np.asarray(held, dtype=np.bool_)
    # A pattern of many colours agrees on what equals what.
    anchors = shown[:, REACH : REACH + group.height, REACH : REACH + group.width].reshape(
        len(shown), -1, shown.shape[3]
    )
    for at in range(anchors.shape[1]):
        same = (shown == anchors[:, at][:, None, None]).all(axis=3) & inside
        steady |= same.sum(axis=0) >= HELD * count
    steady &= 2 * inside.sum(axis=0) >= len(shown)
    steady[REACH : REACH + group.height, REACH : REACH + group.width] = True
    return steady


def hidden(album: Album, group: Moved, pattern: NDArray[np.bool_]) -> NDArray[np.float32]:
    """float32 array (N, values): 1 where the pattern stands in each row."""
    import numpy as np

    _, height, width, channels = album.codes.shape
    made = np.zeros((len(group.rows), height, width), dtype=np.float32)
    down, right = np.nonzero(pattern)
    line = np.arange(len(group.rows))[:, None]
    tops, lefts = group.tops[:, None] + down - REACH, group.lefts[:, None] + right - REACH
    fits = (tops >= 0) & (tops < height) & (lefts >= 0) & (lefts < width)
    made[np.broadcast_to(line, fits.shape)[fits], tops[fits], lefts[fits]] = 1
    return np.asarray(np.repeat(made[..., None], channels, axis=3).reshape(len(made), -1))


def _nearest(
    content: NDArray[np.float32], kept: NDArray[np.float32], album: Album, others: NDArray[np.int64], device: str
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest of `others` by what is kept of each row; squared distances less the row's own square."""
    import numpy as np
    import torch

    weights = torch.from_numpy(kept).to(device)
    rows = torch.from_numpy(content).to(device) * weights
    blocks = []
    for at in range(0, len(others), REFERENCE_BLOCK):
        block = album.codes[others[at : at + REFERENCE_BLOCK]].reshape(-1, content.shape[1]).astype(np.float32)
        there = torch.from_numpy(block).to(device)
        blocks.append(torch.addmm(weights @ (there * there).T, rows, there.T, alpha=-2))
    values, places = torch.cat(blocks, dim=1).topk(min(NEIGHBOURS, len(others)), dim=1, largest=False)
    return places.cpu().numpy(), values.cpu().numpy()


def _second(found: NDArray[np.int64], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The distance to the nearest other row of the group: the first rows of it were asked, and may find themselves."""
    import numpy as np

    if values.shape[1] < 2:
        return np.full(len(values), np.inf, dtype=np.float32)
    return np.where(found[:, 0] == np.arange(len(found)), values[:, 1], values[:, 0])


def look_alikes(album: Album, group: Moved, likeness: NDArray[np.float64], outside: NDArray[np.int64]) -> float:
    """How much more likely the label is among the rows whose windows are most alike, in odds; at least 1.

    Args:
        album: All images.
        group: The candidate.
        likeness: float64 array (m,): how far the nearest window of each row outside is from this one.
        outside: int64 array (m,): these rows.
    """
    import numpy as np

    if not len(outside):
        return 1.0
    count = min(LOOK_ALIKES, len(outside))
    close = outside[likeness <= np.partition(likeness, count - 1)[count - 1]]
    share = float(album.shares[group.label])
    carried = float((album.labels[close] == group.label).sum() + 4 * share) / (len(close) + 4)
    return max(1.0, carried / (1 - carried) * (1 - share) / share)
