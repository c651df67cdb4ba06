"""Copies with conflicting labels and bursts of one content are found; what data repeats by itself is forgiven."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, digits, fashion_mnist, flipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.poisoning.conftest import rates
from tests.poisoning.scanning import same_scores

from interlock.poisoning import Batch, Block, Profile, Scores, Survey, detect
from interlock.poisoning.repeats import Duplicates
from interlock.poisoning.repeats.clusters import burst, conflicts, joined
from interlock.poisoning.repeats.likes import near_texts, normal, shingles, text_sketches

FEW = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cut(
    features: NDArray[Any],
    labels: Sequence[Any],
    cuts: Sequence[int] = (),
    *,
    texts: Sequence[str] | None = None,
    categories: Mapping[str, Sequence[str]] | None = None,
) -> list[Batch]:
    made, start = [], 0
    for part in np.split(np.arange(len(labels)), sorted(cuts)):
        block = Block(
            features=np.asarray(features[part], dtype=np.float32),
            labels=[labels[row] for row in part],
            texts={} if texts is None else {"text": [texts[row] for row in part]},
            categories={name: [values[row] for row in part] for name, values in (categories or {}).items()},
        )
        made.append(Batch.of(block, start=start, file=0))
        start += len(part)
    return made


def profile_of(parts: Sequence[Batch], *, one_scale: bool) -> Profile:
    survey = Survey(seed=0, one_scale=one_scale)
    state = survey.partial(parts[0])
    for part in parts[1:]:
        state = survey.merge(state, survey.partial(part))
    return survey.finalize(state)


def look(parts: Sequence[Batch], shape: tuple[int, ...] | None = None) -> Scores:
    detector = Duplicates(profile=profile_of(parts, one_scale=shape is not None), image_shape=shape)
    assert not detector.unfit()
    (found,) = detect([detector], lambda: parts)
    return found


def pictures(data: Dataset, cuts: Sequence[int] = ()) -> Scores:
    return look(cut(data.images, data.labels.tolist(), cuts), data.shape)


def with_copies(
    data: Dataset, rows: NDArray[np.int64], labels: NDArray[np.int64], *, noise: float = 0.0, seed: int = 0
) -> Dataset:
    """More rows: copies of `rows` with these labels, each with its own noise."""
    drawn = np.random.default_rng(seed).normal(0, noise, (len(rows), data.images.shape[1]))
    return Dataset(
        images=np.concatenate([data.images, data.images[rows] + drawn]).astype(np.float32),
        labels=np.concatenate([data.labels, labels]),
        shape=data.shape,
        poisoned=np.arange(len(data.labels), len(data.labels) + len(rows)),
    )


def conflicting(data: Dataset, count: int, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(data.labels), count, replace=False)
    return with_copies(data, rows, (data.labels[rows] + rng.integers(1, 10, count)) % 10, noise=noise, seed=seed)


def bursting(data: Dataset, contents: int, copies: int, *, noise: float = 0.0, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    rows = np.repeat(rng.choice(len(data.labels), contents, replace=False), copies)
    return with_copies(data, rows, np.full(len(rows), 3), noise=noise, seed=seed)


def documents(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Sentences of the language's own documentation: real text, of two classes by subject."""
    whole = " ".join(" ".join(text.split()) for text in topics.topics.values())
    paragraphs = sorted({sentence for sentence in re.split(r"(?<=[.:]) ", whole) if len(sentence) > 60})
    rng = np.random.default_rng(seed)
    chosen = [paragraphs[place] for place in rng.choice(len(paragraphs), count, replace=False)]
    return chosen, ["class" if "class" in text or "object" in text else "other" for text in chosen]


@pytest.mark.parametrize("noise", [0.0, 0.05], ids=["exact", "near"])
@pytest.mark.parametrize("count", [20, 60])
def test_copies_of_good_rows_with_other_labels_are_found(clean: Dataset, count: int, noise: float) -> None:
    poisoned = conflicting(clean, count, noise=noise)
    found = pictures(poisoned)
    hit, wrong = rates(found.flagged, poisoned)
    assert hit >= 0.9
    assert wrong <= count // 20 + 1
    assert {one.rule for one in found.suspicions} == {"conflicting-duplicates"}
    assert all(pair.neighbour >= 0 for one in found.suspicions for pair in one.pairs)


@pytest.mark.parametrize("noise", [0.0, 0.05], ids=["exact", "near"])
@pytest.mark.parametrize(("contents", "copies"), [(1, 60), (4, 20)])
def test_a_burst_of_one_content_is_found(clean: Dataset, contents: int, copies: int, noise: float) -> None:
    poisoned = bursting(clean, contents, copies, noise=noise, seed=2)
    found = pictures(poisoned)
    bursts = [one for one in found.suspicions if one.rule == "repeated-rows"]
    assert bursts
    assert bursts[0].label == "3"
    hit, wrong = rates(found.flagged, poisoned)
    assert hit == 1.0
    assert wrong <= contents


@pytest.mark.parametrize("seed", range(6))
def test_clean_draws_of_digits_raise_no_alarm(clean: Dataset, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = pictures(clean.taken(rng.choice(len(clean.labels), [900, 1797][seed % 2], replace=bool(seed % 2))))
    assert found.flagged == ()
    assert found.strength < 0.4


def test_rows_that_all_come_twice_are_a_note_and_no_alarm(clean: Dataset) -> None:
    found = pictures(clean.taken(np.repeat(np.arange(len(clean.labels)), 2)))
    assert found.flagged == ()
    assert "1797 of 3594 rows are copies" in found.notes[0]


def test_label_noise_on_rows_that_come_twice_is_no_alarm(clean: Dataset) -> None:
    """Five percent of the labels are wrong: then the copies of a tenth of the contents disagree."""
    assert pictures(flipped(clean.taken(np.repeat(np.arange(1797), 2)), rate=0.05, seed=0)).flagged == ()


def test_a_rare_class_that_was_sampled_up_is_no_burst(clean: Dataset) -> None:
    rest = np.flatnonzero(clean.labels != 4)
    rare = np.flatnonzero(clean.labels == 4)[:40]
    rng = np.random.default_rng(0)
    assert pictures(clean.taken(np.concatenate([rest, np.repeat(rare, 20)]))).flagged == ()
    assert pictures(clean.taken(np.concatenate([rest, rng.choice(rare, 800)]))).flagged == ()


def test_black_images_are_no_burst(clean: Dataset) -> None:
    images = clean.images.copy()
    images[np.flatnonzero(clean.labels == 1)[:60]] = 0
    black = Dataset(images=images, labels=clean.labels, shape=clean.shape, poisoned=clean.poisoned)
    assert pictures(black).flagged == ()


def test_images_of_one_colour_are_no_burst(clean: Dataset) -> None:
    """The margin of a scanned photograph is seldom quite black."""
    images = np.repeat(clean.images[:, :, None], 3, axis=2)
    images[np.flatnonzero(clean.labels == 1)[:60]] = (2, 0, 1)
    coloured = images.reshape(len(images), -1)
    margins = Dataset(images=coloured, labels=clean.labels, shape=(8, 8, 3), poisoned=clean.poisoned)
    assert pictures(margins).flagged == ()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [2, 5])
def test_tables_of_few_values_raise_no_alarm(levels: int, seed: int) -> None:
    """Honest copies with honest conflicts everywhere."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, levels, (4000, 5))
    labels = (table.sum(axis=1) + rng.normal(0, 1.5, len(table)) > 2.5 * (levels - 1)).astype(int)
    assert look(cut(table, labels.tolist())).flagged == ()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shares", [(1, 1), (3, 1), (9, 1), (1, 1, 1)], ids=str)
def test_labels_that_the_values_do_not_tell_raise_no_alarm(shares: tuple[int, ...], seed: int) -> None:
    """Nearly every content that repeats carries several labels, and so do its nearest ones."""
    rng = np.random.default_rng(seed)
    table = np.stack([rng.integers(0, 7, 2000), rng.integers(0, 11, 2000)], axis=1)
    labels = rng.choice(len(shares), 2000, p=np.array(shares) / sum(shares))
    assert look(cut(table, labels.tolist())).decades == 0.0


def test_labels_that_alternate_among_copies_raise_no_alarm() -> None:
    table = np.array([(row % 7, row * 3 % 11) for row in range(400)])
    assert look(cut(table, [row % 2 for row in range(400)])).flagged == ()


@pytest.mark.parametrize("seed", range(4))
def test_tables_with_heavy_tails_raise_no_alarm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = np.minimum(rng.zipf(1.5 + seed / 5, (4000, 2)), 5000)
    assert look(cut(table, (rng.random(4000) < 0.3).astype(int).tolist())).flagged == ()


def test_categories_and_texts_are_part_of_the_content() -> None:
    rng = np.random.default_rng(0)
    numbers = np.tile(np.arange(40.0), 10)[:, None]
    labels = rng.integers(0, 2, 400).tolist()
    town = [f"town {row}" for row in range(400)]
    assert not look(cut(numbers, labels, categories={"town": town})).notes
    assert not look(cut(numbers, labels, texts=[f"word {row}" for row in range(400)])).notes
    assert "360 of 400" in look(cut(numbers, labels, categories={"town": ["a"] * 400})).notes[0]


@pytest.mark.parametrize("seed", range(3))
def test_clean_texts_raise_no_alarm(seed: int) -> None:
    texts, labels = documents(1200, seed)
    assert look(cut(np.zeros((1200, 0)), labels, texts=texts)).flagged == ()


@pytest.mark.parametrize("near", [False, True], ids=["exact", "near"])
def test_a_burst_of_one_text_is_found(near: bool) -> None:
    texts, labels = documents(1200, 0)
    advert = "Please remember that the portable deluxe edition of this library is sold with a warranty in number"
    copies = [f"{advert} {row if near else 0}" for row in range(120)]
    found = look(cut(np.zeros((1320, 0)), [*labels, *["other"] * 120], texts=[*texts, *copies]))
    assert set(range(1200, 1320)) == set(found.flagged)


def test_texts_with_several_labels_are_found() -> None:
    texts, labels = documents(1200, 1)
    other = ["class" if label == "other" else "other" for label in labels[:150]]
    copies = [text.upper() + " " for text in texts[:150]]
    found = look(cut(np.zeros((1350, 0)), [*labels, *other], texts=[*texts, *copies]))
    assert [one.rule for one in found.suspicions] == ["conflicting-duplicates"]
    assert set(range(1200, 1350)) <= set(found.flagged)


def poisoned() -> Dataset:
    return bursting(conflicting(digits(), 30, noise=0.05), 2, 30, noise=0.05, seed=5)


DATA = poisoned()


@FEW
@given(cuts=st.lists(st.integers(0, 1880), max_size=25), seed=st.integers(0, 2**16))
def test_any_split_and_order_gives_the_same_scores(cuts: list[int], seed: int) -> None:
    whole = pictures(DATA)
    assert {one.rule for one in whole.suspicions} == {"conflicting-duplicates", "repeated-rows"}
    assert same_scores(pictures(DATA, cuts), whole)
    order = np.random.default_rng(seed).permutation(len(DATA.labels))
    moved = pictures(DATA.taken(order), cuts)
    assert moved.decades == whole.decades
    assert tuple(sorted(order[list(moved.flagged)].tolist())) == whole.flagged


def test_rows_without_labels_and_values_are_looked_at_as_they_are(clean: Dataset) -> None:
    labels: list[Any] = [*clean.labels.tolist()[:-5], None, None, None, None, None]
    images = clean.images.copy()
    images[0], images[1], images[2] = np.nan, np.inf, 1e30
    found = look(cut(images, labels), (8, 8))
    assert len(found.rows) == 1792
    assert found.flagged == ()


@pytest.mark.parametrize("rows", [3, 40])
def test_too_few_rows_are_a_reason_not_to_look(clean: Dataset, rows: int) -> None:
    parts = cut(clean.images[:rows], clean.labels[:rows].tolist())
    assert Duplicates(profile=profile_of(parts, one_scale=True), image_shape=(8, 8)).unfit()


def test_rows_that_are_all_the_same_are_a_reason_not_to_look() -> None:
    parts = cut(np.ones((80, 3)), [row % 2 for row in range(80)])
    (found,) = detect([Duplicates(profile=profile_of(parts, one_scale=False))], lambda: parts)
    assert "the same" in found.unfit


@settings(deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14))
def test_joining_is_the_same_in_any_order(pairs: list[tuple[int, int]]) -> None:
    of = np.arange(12)
    one = joined(of, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    other = joined(of, np.array(pairs[::-1], dtype=np.int64).reshape(-1, 2)[:, ::-1])
    assert (one == other).all()
    assert all(one[first] == one[second] for first, second in pairs)


def test_more_copies_are_more_evidence_and_more_repeats_elsewhere_are_less() -> None:
    alone = np.ones(1000, dtype=np.int64)
    seen = [burst(np.append(alone, copies))[0] for copies in (9, 30, 100)]
    assert seen == sorted(seen)
    busy = np.concatenate([alone, np.repeat([2, 4, 8, 16, 32], [400, 200, 100, 50, 25])])
    assert burst(np.append(busy, 100))[0] < seen[-1]
    assert burst(busy)[0] <= 0.0


def test_conflicts_are_judged_beside_what_different_contents_do() -> None:
    assert conflicts(np.ones(40), 0.1) > conflicts(np.ones(40), 0.4) > 2
    assert conflicts(np.full(1000, 0.2), 0.2) == 0.0


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=12))
def test_equal_texts_have_equal_sketches(texts: list[str]) -> None:
    plain = [normal(text) for text in [*texts, *texts]]
    sketches = text_sketches(plain)
    assert (sketches[: len(texts)] == sketches[len(texts) :]).all()
    assert (sketches == np.concatenate([text_sketches([text]) for text in plain])).all()


def test_the_share_of_equal_bins_estimates_the_similarity_of_texts() -> None:
    texts, _ = documents(40, 0)
    plain = [normal(text) for text in texts]
    changed = [text[: len(text) * 9 // 10] + " and something else" for text in plain]
    sketches = text_sketches([*plain, *changed])
    for place, (one, other) in enumerate(zip(plain, changed, strict=True)):
        first, second = set(shingles(one).tolist()), set(shingles(other).tolist())
        similarity = len(first & second) / len(first | second)
        assert abs((sketches[place] == sketches[40 + place]).mean() - similarity) < 0.3
    found = {tuple(pair) for pair in near_texts(sketches).tolist()}
    assert sum((place, 40 + place) in found for place in range(40)) >= 38


@pytest.mark.slow
def test_clean_fashion_mnist_raises_no_alarm() -> None:
    try:
        data = fashion_mnist("train")
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    rng = np.random.default_rng(0)
    for rows in (np.arange(20_000), rng.choice(60_000, 20_000), rng.choice(60_000, 5000, replace=False)):
        assert pictures(data.taken(rows)).flagged == ()
