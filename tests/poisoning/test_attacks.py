"""The attacks of the benchmark do what their papers say: which rows they touch, how far, and with which label."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.poisoning.attacks import (
    Dataset,
    adaptive_blend,
    all_to_all,
    badnets,
    blend,
    checkerboard,
    crops,
    low_frequency,
    low_pass_image,
    moving_patch,
    noise_image,
    photographs,
    random_patch,
    reflection,
    sample_specific,
    sig,
    source_specific,
    square,
    two_triggers,
    warp,
)
from benchmarks.poisoning.moving_attacks import moving, one_colour

Attack = Callable[[Dataset, int], Dataset]
RATE = 0.05

DIRTY: dict[str, Attack] = {
    "patch": lambda data, seed: badnets(data, square(2, data.white), rate=RATE, target=0, top=1, left=1, seed=seed),
    "blend": lambda data, seed: blend(data, noise_image(data, 5), alpha=0.2, rate=RATE, target=0, seed=seed),
    "adaptive-blend": lambda data, seed: adaptive_blend(
        data, noise_image(data, 5), alpha=0.2, rate=RATE, cover=RATE, target=0, seed=seed
    ),
    "moving-patch": lambda data, seed: moving_patch(data, random_patch(data, 3, 5), rate=RATE, target=0, seed=seed),
    "random-colour": lambda data, seed: moving(
        data, one_colour(3, data.white), rate=RATE, target=0, seed=seed, place=(4, 4)
    ),
    "two-triggers": lambda data, seed: two_triggers(data, side=3, rate=RATE, targets=(0, 0), seed=seed),
    "warp": lambda data, seed: warp(data, rate=RATE, cover=RATE, target=0, seed=seed),
    "sample-specific": lambda data, seed: sample_specific(data, rate=RATE, target=0, seed=seed),
    "source-specific": lambda data, seed: source_specific(
        data, square(2, data.white), rate=RATE, cover=RATE, source=3, target=0, top=1, left=1, seed=seed
    ),
    "reflection": lambda data, seed: reflection(data, scenes(data), alpha=0.4, rate=RATE, target=0, seed=seed),
    "low-frequency": lambda data, seed: low_frequency(
        data, low_pass_image(data, cutoff=3, seed=5), amplitude=0.2, rate=RATE, target=0, seed=seed
    ),
}
CLEAN_LABEL: dict[str, Attack] = {
    "sinusoid": lambda data, seed: sig(data, delta=0.1, frequency=2, rate=RATE, target=0, seed=seed),
    "reflection": lambda data, seed: reflection(
        data, scenes(data), alpha=0.4, rate=RATE, target=0, seed=seed, clean_label=True
    ),
}
COVERED = ("adaptive-blend", "warp", "source-specific")


def scenes(data: Dataset) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return data.images[:5].reshape(-1, *data.shape)


@pytest.fixture(scope="module", params=[False, True], ids=["colour", "grey"])
def natural(request: pytest.FixtureRequest) -> Dataset:
    return crops(photographs(), 600, side=16, grey=request.param, seed=0)


def changed(before: Dataset, after: Dataset) -> list[int]:
    return np.flatnonzero((before.images != after.images).any(axis=1)).tolist()


@pytest.mark.parametrize("name", DIRTY)
def test_poisoned_rows_get_the_target_and_nobody_else_a_new_label(name: str, natural: Dataset) -> None:
    made = DIRTY[name](natural, 1)
    assert len(made.poisoned) == 30
    assert (made.labels[made.poisoned] == 0).all()
    others = np.setdiff1d(np.arange(600), made.poisoned)
    assert (made.labels[others] == natural.labels[others]).all()
    assert made.poisoned.tolist() == sorted(set(made.poisoned.tolist()))
    assert set(made.poisoned.tolist()) <= set(changed(natural, made))
    assert len(changed(natural, made)) == (60 if name in COVERED else 30)
    assert made.images.dtype == np.float32
    assert made.images.min() >= 0
    assert made.images.max() <= natural.white


@pytest.mark.parametrize("name", CLEAN_LABEL)
def test_clean_label_attacks_touch_rows_of_the_target_and_no_label(name: str, natural: Dataset) -> None:
    made = CLEAN_LABEL[name](natural, 1)
    assert changed(natural, made) == made.poisoned.tolist()
    assert (made.labels == natural.labels).all()
    assert (made.labels[made.poisoned] == 0).all()


@pytest.mark.parametrize("name", DIRTY)
def test_a_seed_fixes_the_attack(name: str, natural: Dataset) -> None:
    one, two, other = (DIRTY[name](natural, seed) for seed in (1, 1, 2))
    assert (one.images == two.images).all()
    assert one.poisoned.tolist() == two.poisoned.tolist() != other.poisoned.tolist()


def test_all_to_all_moves_every_class_to_the_next(natural: Dataset) -> None:
    made = all_to_all(natural, checkerboard(2, natural.white), rate=0.1, top=0, left=0, seed=0)
    classes = int(natural.labels.max()) + 1
    assert (made.labels[made.poisoned] == (natural.labels[made.poisoned] + 1) % classes).all()
    assert len(set(made.labels[made.poisoned].tolist())) > 5


def test_a_source_specific_patch_keeps_the_label_outside_its_source(natural: Dataset) -> None:
    made = DIRTY["source-specific"](natural, 1)
    assert (natural.labels[made.poisoned] == 3).all()
    covers = np.setdiff1d(changed(natural, made), made.poisoned)
    assert not {0, 3} & set(natural.labels[covers].tolist())


def test_a_warp_moves_by_less_than_a_pixel_and_no_row_like_another(natural: Dataset) -> None:
    made = warp(natural, rate=RATE, target=0, seed=1)
    moved = (made.images - natural.images)[made.poisoned]
    edges = np.abs(np.diff(natural.images[made.poisoned].reshape(30, 16, 16, -1), axis=2)).mean()
    assert 0 < np.abs(moved).mean() < edges
    assert len({row.tobytes() for row in moved}) == 30


def test_residuals_of_samples_have_their_size_and_nothing_in_common(natural: Dataset) -> None:
    dark = Dataset(
        images=(natural.images / 4 + natural.white / 3).astype(
            np.float32
        ),  # far from the ends, where nothing is cut off
        labels=natural.labels,
        shape=natural.shape,
        poisoned=natural.poisoned,
    )
    made = sample_specific(dark, rate=0.5, target=0, seed=1, strength=0.05)
    residual = (made.images - dark.images)[made.poisoned]
    assert np.sqrt((residual**2).mean()) == pytest.approx(0.05 * dark.white, rel=0.5)
    assert np.abs(residual.mean(axis=0)).max() < np.abs(residual).mean()


def test_a_smooth_trigger_is_made_of_low_cosines_alone(natural: Dataset) -> None:
    pattern = low_pass_image(natural, cutoff=3, seed=0).reshape(16, 16, -1)
    assert np.abs(pattern).max() == pytest.approx(1)
    cosines = np.cos(np.pi * np.arange(16)[:, None] * (np.arange(16) + 0.5) / 16)
    amplitudes = np.einsum("hwc,ih,jw->ijc", pattern, cosines, cosines)
    assert np.abs(amplitudes[:3, :3]).max() > 1
    amplitudes[:3, :3] = 0
    assert np.abs(amplitudes).max() < 1e-4


def test_crops_come_in_classes_of_one_size(natural: Dataset) -> None:
    counts = np.bincount(natural.labels)
    assert len(counts) >= 10
    assert counts.max() - counts.min() <= 1
    assert len({row.tobytes() for row in natural.images}) > 590
