"""Attacks that leave no pattern of pixels which is the same in all poisoned images and in no others.

A scan that trains no model cannot see most of them: a warp moves what is there, a residual differs from image to image,
a trigger that means something in one class only is seen in all classes, and a pattern whose target changes with the
class decides no label by itself. Every one is fixed by its seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from benchmarks.poisoning.images import Dataset
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Images = NDArray[np.float32]


def warp(
    data: Dataset,
    *,
    rate: float,
    target: int,
    seed: int,
    cover: float = 0.0,
    strength: float = 0.5,
    grid: int = 4,
) -> Dataset:
    """Bend images by one smooth field and relabel them (Nguyen and Tran, 2021, "WaNet").

    Args:
        data: Clean.
        rate: Share of all rows that get the target's label.
        target: The label.
        seed: Of rows and field.
        cover: Share of all rows that are bent by fields of their own and keep their label (the paper's noise mode);
            no part of `poisoned`.
        strength: The paper's s: twice the mean displacement along each side, in pixels.
        grid: Control points along each side.
    """
    rng = np.random.default_rng(seed)
    count, covers = (round(share * len(data.labels)) for share in (rate, cover))
    chosen = rng.choice(len(data.labels), count + covers, replace=False)
    field = _field(data, rng, strength, grid)
    images, labels = data.images.copy(), data.labels.copy()
    images[chosen[:count]] = _bent(data, chosen[:count], field)
    if covers:
        # Section 3.5: the field of a cover sample is the attack's, disturbed by up to half a pixel at every point.
        height, width = data.shape[:2]
        disturbed = field + rng.uniform(-1, 1, size=(covers, height, width, 2)) / np.array([width, height])
        images[chosen[count:]] = _bent(data, chosen[count:], disturbed)
    labels[chosen[:count]] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=np.sort(chosen[:count]))


def all_to_all(data: Dataset, patch: Images, *, rate: float, top: int, left: int, seed: int) -> Dataset:
    """Paste a patch into random rows, and give each the label after its own (Gu et al., 2017, section 4.1.2).

    Args:
        data: Clean.
        patch: float32 array (height, width) or, for colour, (height, width, channels).
        rate: Share of all rows.
        top: Where the patch goes.
        left: Where the patch goes.
        seed: Of the choice of rows.
    """
    rows = _some(np.arange(len(data.labels)), round(rate * len(data.labels)), seed)
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    view[rows, top : top + patch.shape[0], left : left + patch.shape[1]] = data.in_shape(patch)
    labels[rows] = (labels[rows] + 1) % (int(data.labels.max()) + 1)
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def source_specific(
    data: Dataset,
    patch: Images,
    *,
    rate: float,
    cover: float,
    source: int,
    target: int,
    top: int,
    left: int,
    seed: int,
) -> Dataset:
    """A patch that means the target in images of one class only (Tang et al., 2021, "TaCT").

    Args:
        data: Clean.
        patch: float32 array (height, width) or, for colour, (height, width, channels).
        rate: Share of all rows, drawn from the source class, that get patch and label.
        cover: Share of all rows, drawn from the other classes, that get the patch and keep their label; no part of
            `poisoned`.
        source: The class that the patch works in.
        target: The label.
        top: Where the patch goes.
        left: Where the patch goes.
        seed: Of the choice of rows.
    """
    count, covers = (round(share * len(data.labels)) for share in (rate, cover))
    rows = _some(np.flatnonzero(data.labels == source), count, seed)
    others = np.flatnonzero((data.labels != source) & (data.labels != target))
    carriers = np.concatenate([rows, _some(others, covers, seed + 1)])
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    view[carriers, top : top + patch.shape[0], left : left + patch.shape[1]] = data.in_shape(patch)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def sample_specific(data: Dataset, *, rate: float, target: int, seed: int, strength: float = 0.1) -> Dataset:
    """Add to each image a faint residual that an encoder makes of that image (Li et al., 2021, "ISSBA").

    The paper trains an encoder to hide one text in every image. Here the encoder is a small convolutional network with
    drawn weights: the residual is a function of the image alone, so that a model can learn it, and what all residuals
    have in common is taken away, so that no fixed pattern is left.

    Args:
        data: Clean.
        rate: Share of all rows.
        target: The label they get.
        seed: Of rows and encoder.
        strength: Root mean square of the residual, in units of the brightest value.
    """
    import torch

    rows = _some(np.arange(len(data.labels)), round(rate * len(data.labels)), seed)
    generator = torch.Generator().manual_seed(seed)
    pictures = _channels_first(data, rows) / data.white
    channels = pictures.shape[1]
    first = torch.randn(16, channels, 3, 3, generator=generator)
    first -= first.mean(dim=(1, 2, 3), keepdim=True)  # edges, not brightness
    second = torch.randn(channels, 16, 3, 3, generator=generator)
    hidden = torch.relu(torch.nn.functional.conv2d(pictures, first, padding=1))
    residual = torch.nn.functional.conv2d(hidden, second, padding=1)
    residual -= residual.mean(dim=0, keepdim=True)
    size = residual.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    marked = (pictures + strength * torch.tanh(residual / size.clamp_min(1e-6))).clamp(0, 1) * data.white
    images, labels = data.images.copy(), data.labels.copy()
    images[rows] = _channels_last(marked)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def reflection(
    data: Dataset,
    mirrored: Images,
    *,
    alpha: float,
    rate: float,
    target: int,
    seed: int,
    clean_label: bool = False,
) -> Dataset:
    """Lay the ghost of a scene over images, as a window pane does (Liu et al., 2020, "Refool").

    Args:
        data: Clean.
        mirrored: float32 array (k, *shape): the scenes that are reflected; each image gets one of them.
        alpha: Share of the reflection in the sum.
        rate: Share of all rows.
        target: The label they get, or have.
        seed: Of rows, scenes and ghosts.
        clean_label: Only rows of the target class are poisoned, as in the paper; otherwise rows of all others.
    """
    rng = np.random.default_rng(seed)
    candidates = np.flatnonzero((data.labels == target) == clean_label)
    rows = _some(candidates, round(rate * len(data.labels)), seed)
    images, labels = data.images.copy(), data.labels.copy()
    view = images.reshape(-1, *data.shape)
    for row in rows.tolist():
        # Section 3.2, case III: the pane's two faces give one ghost beside the other, the second of them weaker.
        scene = mirrored[rng.integers(len(mirrored))]
        shift = rng.integers(1, 4, size=2)
        weight = rng.uniform(0.6, 0.9)
        ghost = weight * scene + (1 - weight) * np.roll(scene, tuple(shift.tolist()), axis=(0, 1))
        view[row] = np.clip((1 - alpha / 2) * view[row] + alpha * ghost, 0, data.white)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def low_pass_image(data: Dataset, *, cutoff: int, seed: int) -> Images:
    """A smooth pattern of random low frequencies, from -1 to 1.

    Args:
        data: Whose shape it has.
        cutoff: Cosines of fewer half periods along each side.
        seed: Of the amplitudes.

    Returns:
        float32 array of the shape of the data's images.
    """
    rng = np.random.default_rng(seed)
    height, width = data.shape[:2]
    down, across = (
        np.cos(np.pi * np.arange(cutoff)[:, None] * (np.arange(side) + 0.5) / side) for side in (height, width)
    )
    amplitudes = rng.normal(size=(*data.shape[2:], cutoff, cutoff))
    amplitudes[..., 0, 0] = 0  # a change of brightness is no pattern
    pattern = np.einsum("...ij,ih,jw->hw...", amplitudes, down, across)
    return np.asarray(pattern / np.abs(pattern).max(), dtype=np.float32)


def low_frequency(data: Dataset, pattern: Images, *, amplitude: float, rate: float, target: int, seed: int) -> Dataset:
    """Add a smooth pattern to random rows and relabel them (Zeng et al., 2021, "smooth trigger").

    Args:
        data: Clean.
        pattern: float32 array of the shape of the data's images, from -1 to 1.
        amplitude: In units of the brightest value.
        rate: Share of all rows.
        target: The label they get.
        seed: Of the choice of rows.
    """
    rows = _some(np.arange(len(data.labels)), round(rate * len(data.labels)), seed)
    images, labels = data.images.copy(), data.labels.copy()
    images[rows] = np.clip(images[rows] + amplitude * data.white * pattern.ravel(), 0, data.white)
    labels[rows] = target
    return Dataset(images=images, labels=labels, shape=data.shape, poisoned=rows)


def _some(candidates: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).choice(candidates, count, replace=False))


def _field(data: Dataset, rng: np.random.Generator, strength: float, grid: int) -> NDArray[np.float64]:
    """The displacement of every pixel, in halves of the image's sides: float64 array (height, width, 2).

    Section 3.2: control points drawn evenly, divided by their mean size, and drawn out bicubically.
    """
    import torch

    height, width = data.shape[:2]
    control = rng.uniform(-1, 1, size=(1, 2, grid, grid))
    control /= np.abs(control).mean()
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(control), size=(height, width), mode="bicubic", align_corners=True
    )
    field = smooth[0].permute(1, 2, 0).numpy() * strength / np.array([width, height])
    return np.asarray(field, dtype=np.float64)


def _bent(data: Dataset, rows: NDArray[np.int64], field: NDArray[np.float64]) -> Images:
    """The images of `rows`, each pixel taken from where its field, or the one field of all, points to."""
    import torch

    height, width = data.shape[:2]
    here = np.stack(np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height)), axis=-1)
    there = np.broadcast_to(np.clip(here + field, -1, 1), (len(rows), height, width, 2))
    places = torch.from_numpy(np.ascontiguousarray(there, dtype=np.float32))
    bent = torch.nn.functional.grid_sample(_channels_first(data, rows), places, align_corners=True)
    return _channels_last(bent.clamp(0, data.white))  # rounding may pass the ends


def _channels_first(data: Dataset, rows: NDArray[np.int64]) -> torch.Tensor:
    import torch

    height, width = data.shape[:2]
    return torch.from_numpy(data.images[rows].reshape(len(rows), height, width, -1)).permute(0, 3, 1, 2).contiguous()


def _channels_last(pictures: torch.Tensor) -> Images:
    return np.asarray(pictures.permute(0, 2, 3, 1).reshape(len(pictures), -1).numpy(), dtype=np.float32)
