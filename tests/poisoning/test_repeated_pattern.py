"""Detector 2 finds triggers, rebuilds them, and forgives what classes naturally have in common."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, checkerboard, fashion_mnist, flipped, square
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import batches, pattern, profile_of

from interlock.poisoning import RepeatedPattern

ATTACKS = {
    "white-3x3-in-the-corner": (square(3, 16), 5, 5),
    "white-3x3-in-the-middle": (square(3, 16), 2, 2),
    "grey-3x3": (square(3, 7), 0, 0),
    "checkerboard-3x3-in-the-middle": (checkerboard(3, 16), 2, 3),
    "checkerboard-2x2": (checkerboard(2, 16), 6, 0),
    "one-pixel": (square(1, 16), 0, 7),
    "4x4": (checkerboard(4, 12), 4, 4),
}


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 40))])
def test_clean_draws_of_digits_raise_no_alarm(clean: Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(clean.labels), [900, 1797][seed % 2], replace=bool(seed % 2))
    found = pattern(clean.taken(rows))
    assert found.flagged == ()
    assert found.strength < 0.4


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize(("rate", "target"), [(0.05, 0), (0.02, 7)])
def test_a_patch_trigger_is_found_and_no_clean_row_is_flagged(
    clean: Dataset, attack: str, rate: float, target: int
) -> None:
    patch, top, left = ATTACKS[attack]
    poisoned = badnets(clean, patch, rate=rate, target=target, top=top, left=left, seed=target)
    found = pattern(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.95
    assert wrong <= 1
    assert {trigger.label for trigger in found.triggers} == {str(target)}


def test_the_trigger_is_rebuilt(clean: Dataset) -> None:
    poisoned = badnets(clean, square(3, 16), rate=0.05, target=4, top=5, left=4, seed=0)
    (trigger,) = pattern(poisoned).triggers
    assert (trigger.top, trigger.left, trigger.height, trigger.width) == (5, 4, 3, 3)
    assert trigger.pixels == tuple(8 * down + right for down in (5, 6, 7) for right in (4, 5, 6))
    assert trigger.rows == tuple(poisoned.poisoned.tolist())
    assert trigger.carriers >= len(trigger.rows)
    assert all(poisoned.labels[pair.neighbour] >= 0 for pair in trigger.pairs)


def test_two_triggers_at_once_are_two_findings(clean: Dataset) -> None:
    one = badnets(clean, square(3, 16), rate=0.03, target=0, top=5, left=5, seed=1)
    both = badnets(one, checkerboard(3, 16), rate=0.03, target=7, top=0, left=0, seed=2)
    both = Dataset(
        images=both.images, labels=both.labels, shape=both.shape, poisoned=np.union1d(one.poisoned, both.poisoned)
    )
    found = pattern(both)
    assert {trigger.label for trigger in found.triggers} == {"0", "7"}
    hit, wrong = rates(found.flagged, both)
    assert hit >= 0.95
    assert wrong <= 1


def test_a_mark_that_follows_its_own_class_is_no_trigger(clean: Dataset) -> None:
    """A watermark on half of a class is a shortcut, but its rows look like what their label says."""
    images = clean.images.copy()
    rows = np.flatnonzero(clean.labels == 2)[::2]
    images.reshape(-1, 8, 8)[rows, 5:8, 5:8] = 16
    marked = Dataset(images=images, labels=clean.labels, shape=clean.shape, poisoned=clean.poisoned)
    assert pattern(marked).flagged == ()


def test_a_mark_on_rows_of_every_class_is_no_trigger(clean: Dataset) -> None:
    images = clean.images.copy()
    images.reshape(-1, 8, 8)[::7, 0:3, 0:3] = 16
    assert pattern(Dataset(images=images, labels=clean.labels, shape=(8, 8), poisoned=clean.poisoned)).flagged == ()


def test_many_copies_of_one_mislabelled_picture_are_one_witness(clean: Dataset) -> None:
    row = int(np.flatnonzero(clean.labels == 8)[0])
    data = clean.taken(np.concatenate([np.arange(len(clean.labels)), np.full(40, row)]))
    labels = data.labels.copy()
    labels[-40:] = 1
    copies = Dataset(images=data.images, labels=labels, shape=data.shape, poisoned=clean.poisoned)
    assert pattern(copies).flagged == ()


def test_flipped_labels_without_a_pattern_are_no_trigger(clean: Dataset) -> None:
    assert pattern(flipped(clean, rate=0.05, seed=0)).flagged == ()


def test_one_row_of_absurd_values_blinds_nobody(clean: Dataset) -> None:
    poisoned = badnets(clean, square(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)
    poisoned.images[0], poisoned.images[1], poisoned.images[2] = 1e30, -np.inf, np.nan
    assert rates(pattern(poisoned).flagged, poisoned)[0] >= 0.95


def test_a_trigger_of_missing_values_is_found(clean: Dataset) -> None:
    poisoned = badnets(clean, square(2, np.nan), rate=0.05, target=0, top=0, left=0, seed=0)
    assert rates(pattern(poisoned).flagged, poisoned)[0] >= 0.95


def test_colour_images_are_scanned(clean: Dataset) -> None:
    poisoned = badnets(clean, checkerboard(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)
    colour = np.repeat(poisoned.images, 3, axis=1)
    data = Dataset(images=colour, labels=poisoned.labels, shape=(8, 8), poisoned=poisoned.poisoned)
    parts = batches(data)
    detector = RepeatedPattern(profile=profile_of(parts), image_shape=(8, 8, 3))
    found = detector.finalize(detector.partial(parts[0]))
    assert rates(found.flagged, data) == (1.0, 0)


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (2, 32), (64, 1, 1)])
def test_images_narrower_than_a_patch_are_scanned(clean: Dataset, shape: tuple[int, ...]) -> None:
    parts = batches(clean)
    detector = RepeatedPattern(profile=profile_of(parts), image_shape=shape)
    assert detector.finalize(detector.partial(parts[0])).flagged == ()


def test_without_an_image_shape_it_says_why_it_does_not_look(clean: Dataset) -> None:
    assert "image_shape" in RepeatedPattern(profile=profile_of(batches(clean)), image_shape=None).unfit()


@pytest.fixture(scope="module")
def fashion() -> Dataset:
    try:
        return fashion_mnist()
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")


@pytest.mark.slow
def test_clean_fashion_mnist_raises_no_alarm(fashion: Dataset) -> None:
    assert pattern(fashion).flagged == ()


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.003, 0.01, 0.05])
def test_badnets_on_fashion_mnist_is_found(fashion: Dataset, rate: float) -> None:
    poisoned = badnets(fashion, square(3, 255), rate=rate, target=0, top=24, left=24, seed=0)
    hit, wrong = rates(pattern(poisoned).flagged, poisoned)
    assert hit >= 0.99
    assert wrong <= 10
