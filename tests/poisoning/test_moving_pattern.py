"""Patterns that move or change colour are found; what nature repeats is forgiven."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, checkerboard, fashion_mnist, flipped, square
from benchmarks.poisoning.moving_attacks import Draw, constant, mosaic, moving, one_colour, two_colours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]  # no stubs are published
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import batches, profile_of, same_scores, shuffled, tree

from interlock.poisoning import Scores, detect
from interlock.poisoning.repeats import MovingPattern
from interlock.poisoning.repeats.windows import FAMILIES, Family, families

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def look(data: Dataset, cuts: Sequence[int] = (), *, channels: int = 1) -> Scores:
    parts = batches(data, cuts)
    shape = data.shape if channels == 1 else (*data.shape, channels)
    detector = MovingPattern(profile=profile_of(parts), image_shape=shape)
    ended = detector.finalize(tree(detector, parts))
    return ended if isinstance(ended, Scores) else ended.finalize(tree(ended, parts))


def crops(count: int, side: int, seed: int, *, channels: int = 1, within: int = 400) -> Dataset:
    """Crops of two photographs, four quarters each: every quarter is a class with a texture of its own."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for place, photo in enumerate(load_sample_images().images):
        shown = photo[:within, :within]
        grey = shown if channels == 3 else shown.mean(axis=2, keepdims=True).round()
        half = within // 2
        for quarter in range(4):
            top, left = divmod(quarter, 2)
            part = grey[top * half : (top + 1) * half, left * half : (left + 1) * half]
            for _ in range(count // 8):
                y, x = rng.integers(0, half - side, 2)
                images.append(part[y : y + side, x : x + side].ravel())
                labels.append(4 * place + quarter)
    order = rng.permutation(len(labels))
    return Dataset(
        images=np.array(images, dtype=np.float32)[order],
        labels=np.array(labels, dtype=np.int64)[order],
        shape=(side, side),
        poisoned=np.empty(0, dtype=np.int64),
    )


@pytest.fixture(scope="module")
def photos() -> Dataset:
    return crops(1600, 20, 0)


MOVING: dict[str, Draw] = {
    "checkerboard-3x3": constant(checkerboard(3, 255)),
    "mosaic-5x5": constant(mosaic(5, 255, 0)),
    "white-4x4": constant(square(4, 255)),
    "square-of-any-grey": one_colour(4, 255),
    "checkerboard-of-any-two-greys": two_colours(checkerboard(4, 1), 255),
}


@pytest.mark.parametrize("attack", MOVING)
def test_a_pattern_that_moves_over_photographs_is_found(photos: Dataset, attack: str) -> None:
    poisoned = moving(photos, MOVING[attack], rate=0.04, target=3, seed=1)
    found = look(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= 8
    assert {one.label for one in found.suspicions} == {"3"}
    assert {one.rule for one in found.suspicions} == {"moving-pattern"}


def test_a_square_of_any_colour_is_found_in_colour_images() -> None:
    data = crops(1200, 16, 3, channels=3)
    poisoned = moving(data, one_colour(4, 255), rate=0.04, target=1, seed=2)
    hit, wrong = rates(look(poisoned, channels=3).flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= 6


@pytest.mark.parametrize("place", [(5, 3), (16, 8)])
def test_a_square_of_any_grey_that_stands_still_is_found(photos: Dataset, place: tuple[int, int]) -> None:
    poisoned = moving(photos, one_colour(3, 255), rate=0.03, target=5, seed=4, place=place)
    hit, wrong = rates(look(poisoned).flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= 8


def test_the_finding_says_where_and_what(clean: Dataset) -> None:
    poisoned = moving(clean, constant(checkerboard(3, 16)), rate=0.05, target=4, seed=0)
    (one,) = look(poisoned).suspicions
    assert one.label == "4"
    assert "places of" in one.message
    assert one.pairs
    assert set(one.rows) >= {pair.row for pair in one.pairs}


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 24))])
def test_clean_draws_of_digits_raise_no_alarm(clean: Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = look(clean.taken(rng.choice(len(clean.labels), [900, 1797][seed % 2], replace=bool(seed % 2))))
    assert found.flagged == ()
    assert found.strength < 0.4


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
@pytest.mark.parametrize("within", [400, 80], ids=["crops-that-seldom-overlap", "crops-of-the-same-few-scenes"])
def test_overlapping_crops_of_photographs_raise_no_alarm(seed: int, within: int) -> None:
    """Every window of a scene stands at many places in rows of one label: that is what a moving trigger looks like."""
    assert look(crops(800, 20, seed, within=within)).flagged == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_overlapping_crops_in_colour_raise_no_alarm(seed: int) -> None:
    assert look(crops(1200, 20, seed, channels=3, within=120), channels=3).flagged == ()


def test_a_moving_mark_on_its_own_class_is_no_trigger(clean: Dataset) -> None:
    marked = moving(
        clean.taken(np.flatnonzero(clean.labels == 2)), constant(checkerboard(3, 16)), rate=0.5, target=2, seed=0
    )
    rest = clean.taken(np.flatnonzero(clean.labels != 2))
    both = Dataset(
        images=np.concatenate([marked.images, rest.images]),
        labels=np.concatenate([marked.labels, rest.labels]),
        shape=clean.shape,
        poisoned=clean.poisoned,
    )
    assert look(both).flagged == ()


def test_a_pattern_that_stands_still_is_left_to_the_detector_of_those(photos: Dataset) -> None:
    assert look(badnets(photos, checkerboard(3, 255), rate=0.04, target=0, top=9, left=9, seed=0)).flagged == ()


def test_flipped_labels_without_a_pattern_are_no_trigger(clean: Dataset) -> None:
    assert look(flipped(clean, rate=0.05, seed=0)).flagged == ()


def poisoned_digits() -> Dataset:
    return moving(clean_digits(), constant(checkerboard(3, 16)), rate=0.05, target=7, seed=3)


def clean_digits() -> Dataset:
    from benchmarks.poisoning.attacks import digits

    return digits()


DATA = poisoned_digits()


@FEW
@given(cuts=st.lists(st.integers(0, 1797), max_size=20), seed=st.integers(0, 2**16))
def test_any_split_and_order_gives_the_same_scores(cuts: list[int], seed: int) -> None:
    whole = look(DATA)
    assert whole.alarm
    assert same_scores(look(DATA, cuts), whole)
    other, order = shuffled(DATA, seed)
    moved = look(other, cuts)
    assert moved.decades == whole.decades
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged


@FEW
@given(cuts=st.lists(st.integers(0, 1797), max_size=20))
def test_a_dataset_too_large_to_hold_is_searched_by_a_sample_and_flagged_as_a_whole(cuts: list[int]) -> None:
    parts = batches(DATA, cuts)
    detector = MovingPattern(profile=profile_of(parts), image_shape=(8, 8), max_state_bytes=64 * 1200)
    (found,) = detect([detector], lambda: parts)
    assert len(found.rows) == len(DATA.labels)
    assert "searched 1200 of 1797" in found.notes[-1]
    hit, wrong = rates(found.flagged, DATA)
    assert hit >= 0.95
    assert wrong <= 3
    (again,) = detect([detector], lambda: batches(DATA))
    assert same_scores(found, again)


def test_missing_and_absurd_values_blind_nobody(clean: Dataset) -> None:
    poisoned = moving(clean, constant(checkerboard(3, 16)), rate=0.05, target=0, seed=0)
    poisoned.images[0], poisoned.images[1], poisoned.images[2] = 1e30, -np.inf, np.nan
    assert rates(look(poisoned).flagged, poisoned)[0] >= 0.9


@pytest.mark.parametrize("shape", [(1, 64), (64, 1), (2, 32), (64, 1, 1)])
def test_images_narrower_than_a_window_are_looked_at(clean: Dataset, shape: tuple[int, ...]) -> None:
    parts = batches(clean)
    detector = MovingPattern(profile=profile_of(parts), image_shape=shape)
    (found,) = detect([detector], lambda: parts)
    assert found.flagged == ()


def test_without_an_image_shape_it_says_why_it_does_not_look(clean: Dataset) -> None:
    assert "image_shape" in MovingPattern(profile=profile_of(batches(clean)), image_shape=None).unfit()


@pytest.mark.parametrize("rows", [1, 40])
def test_too_few_rows_are_a_reason_not_to_look(clean: Dataset, rows: int) -> None:
    parts = batches(clean.taken(np.arange(rows)))
    assert MovingPattern(profile=profile_of(parts), image_shape=(8, 8)).unfit()


def test_many_copies_of_one_picture_are_a_reason_not_to_look(clean: Dataset) -> None:
    parts = batches(clean.taken(np.repeat(np.arange(10), 20)))
    detector = MovingPattern(profile=profile_of(parts), image_shape=(8, 8))
    (found,) = detect([detector], lambda: parts)
    assert "distinct" in found.unfit


@pytest.mark.parametrize(("kind", "side"), FAMILIES)
def test_a_window_is_one_word_wherever_it_stands(kind: str, side: int) -> None:
    (family,) = [one for one in families(0) if (one.kind, one.side) == (kind, side)]
    codes = np.random.default_rng(0).integers(0, 200, size=(1, 12, 12, 1)).astype(np.uint8)
    patch = (
        np.full((4, 4), 150, dtype=np.uint8)
        if not side
        else np.arange(side * side).reshape(side, side) * (240 // (side * side))
    )
    moved = np.repeat(codes, 2, axis=0)
    size = len(patch)
    moved[0, 1 : 1 + size, 2 : 2 + size, 0] = patch
    moved[1, 6 : 6 + size, 5 : 5 + size, 0] = patch
    words = family.words(moved).reshape(2, 12, 12)
    assert words[0, 1, 2] != 0
    assert (words[0, 1, 2] == words[1, 6, 5]) == (kind != "flat-here")
    assert family.size(int(words[0, 1, 2])) == (size, size)


def test_a_relative_word_is_blind_to_brightness_contrast_and_inversion() -> None:
    family = Family(kind="relative", side=3, seed=0)
    board = np.indices((3, 3)).sum(axis=0) % 2
    shown = np.stack([40 + 100 * board, 200 - 130 * board, 10 + 40 * board]).astype(np.uint8)[..., None]
    words = family.words(shown)[:, 0]
    assert words[0] != 0
    assert (words == words[0]).all()


@pytest.fixture(scope="module")
def fashion() -> Dataset:
    try:
        return fashion_mnist()
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_clean_fashion_mnist_raises_no_alarm(fashion: Dataset, seed: int) -> None:
    rows = np.random.default_rng(seed).choice(len(fashion.labels), 5000, replace=bool(seed))
    assert look(fashion.taken(rows)).flagged == ()


@pytest.mark.slow
@pytest.mark.parametrize("attack", MOVING)
def test_moving_patterns_on_fashion_mnist_are_found(fashion: Dataset, attack: str) -> None:
    poisoned = moving(fashion, MOVING[attack], rate=0.01, target=0, seed=0)
    hit, wrong = rates(look(poisoned).flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= 50
