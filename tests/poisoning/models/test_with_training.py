"""The scan with a trained model: asked for, it looks at what a network learned, and tries what was found on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, square
from tests.poisoning.reading.writers import measures
from tests.poisoning.scanning import batches, profile_of, shuffled, tree

from interlock.gate import Observation, SubjectError, UsageError
from interlock.poisoning import BatchStream, Block, PoisoningGate, Scores
from interlock.poisoning.models import LossRecord, LossRecorder, TrainedModel
from interlock.poisoning.models.splits import ModelSplit, alarming, judged


def scanned(data: Dataset, **options: Any) -> Observation:
    block = Block(features=data.images, labels=data.labels.tolist())
    return PoisoningGate("label", with_training=True, **options).examine(
        BatchStream(lambda: [block], image_shape=data.shape)
    )


@pytest.fixture(scope="module")
def poisoned(clean: Dataset) -> Dataset:
    few = clean.taken(np.arange(900))
    return badnets(few, square(3, clean.white), rate=0.08, target=0, top=5, left=5, seed=0)


@pytest.mark.slow
def test_a_backdoor_is_proved_on_a_trained_model(poisoned: Dataset) -> None:
    seen = scanned(poisoned)
    found = measures(seen)
    assert found["attack_success_before"] > 0.5
    assert found["attack_success_after"] < 0.2
    assert "data-poisoning.attack-proved" in {finding.rule_id for finding in seen.findings}


def test_clean_digits_are_silent_and_nothing_is_tried(clean: Dataset) -> None:
    found = measures(scanned(clean.taken(np.arange(900))))
    assert found["flagged_rows"] == 0
    assert found["trained_model_strength"] < 0.5
    assert "attack_success_before" not in found


def part(number: int, decades: float, origin: str) -> ModelSplit:
    """A part of ten rows that no other number has."""
    return ModelSplit(
        space=0,
        label=0,
        direction=np.ones(1, dtype=np.float32),
        rest=0.0,
        threshold=1.0,
        distance=2.0,
        members=np.arange(10 * number, 10 * number + 10),
        separation=6.0,
        origin=origin,
        decades=decades,
    )


@pytest.mark.parametrize(
    ("honest", "alarms"),
    [
        pytest.param([], True, id="none-known"),
        pytest.param([1.0, 2.0], True, id="much-blunter"),
        pytest.param([9.0, 15.0], False, id="as-sharp"),
    ],
)
def test_a_part_must_be_sharper_than_those_that_content_excuses(honest: list[float], alarms: bool) -> None:
    found = [part(0, 14.0, "other"), *(part(1 + at, decades, "") for at, decades in enumerate(honest))]
    suspected = judged(found, 100)
    assert [split.origin for split in suspected] == ["other"]
    assert bool(alarming(suspected)) is alarms


def test_a_piece_of_the_same_part_excuses_nothing() -> None:
    found = [part(0, 14.0, "other"), part(0, 13.0, "")]
    assert judged(found, 100)[0].decades == pytest.approx(12.0)


def test_a_table_of_few_measured_columns_is_not_looked_at() -> None:
    """Along few columns every part of a class looks like a random draw, so nothing could excuse an honest one."""
    rng = np.random.default_rng(0)
    table = np.stack([np.round(rng.gamma(6, 6, 2000)), rng.normal(size=2000)], axis=1).astype(np.float32)
    labels = (rng.random(2000) < 1 / (1 + np.exp(-0.1 * (table[:, 0] - 36)))).astype(int)
    block = Block(features=table, labels=labels.tolist())
    seen = PoisoningGate("label", with_training=True).examine(BatchStream(lambda: [block]))
    assert "trained_model_strength" not in measures(seen)
    assert any("needed to compare content" in finding.message for finding in seen.findings)


def test_the_same_rows_in_another_order_and_split_train_the_same_model(clean: Dataset) -> None:
    few = clean.taken(np.arange(600))

    def scores(data: Dataset, cuts: tuple[int, ...] = ()) -> Scores:
        parts = batches(data, cuts)
        detector = TrainedModel(profile=profile_of(parts), image_shape=data.shape)
        end = detector.finalize(tree(detector, parts))
        assert isinstance(end, Scores)
        return end

    one, other = scores(few), scores(shuffled(few, 0)[0], (100, 350))
    assert one.decades == pytest.approx(other.decades, rel=1e-4, abs=1e-9)


def test_recorded_losses_come_back_as_they_were(tmp_path: Path) -> None:
    recorder = LossRecorder(rows=5, path=tmp_path / "losses.npz")
    for epoch in range(3):
        recorder.record(epoch, [0, 1, 2], [1.0, 2.0, 3.0])
        recorder.record(epoch, [4, 3], [0.5, epoch])
    read = LossRecord.read(recorder.save())
    assert read.losses[:, 2].tolist() == [1.0, 2.0, 3.0, 2.0, 0.5]
    assert read.unfit(5) == ""
    assert "a dataset of 6" in read.unfit(6)


@pytest.mark.parametrize(
    ("epoch", "rows", "losses", "message"),
    [
        pytest.param(1, [0], [1.0], "follows 0 epochs", id="epoch-left-out"),
        pytest.param(0, [5], [1.0], "not one of the 5", id="row-beyond-the-dataset"),
        pytest.param(0, [-1], [1.0], "not one of the 5", id="negative-row"),
        pytest.param(0, [0, 1], [1.0], "one length", id="two-lengths"),
        pytest.param(0, [0.5], [1.0], "whole numbers", id="half-a-row"),
        pytest.param(0, [0], [-1.0], "negative", id="negative-loss"),
        pytest.param(0, [0], [float("nan")], "missing", id="nan"),
    ],
)
def test_losses_that_cannot_be_are_refused_when_they_are_recorded(
    epoch: int, rows: list[float], losses: list[float], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        LossRecorder(rows=5, path=tmp_path / "losses.npz").record(epoch, rows, losses)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        pytest.param({"other": np.zeros((5, 3))}, "no array losses", id="other-array"),
        pytest.param({"losses": np.zeros(5)}, "rows and 1 to", id="one-dimension"),
        pytest.param({"losses": np.zeros((5, 3), dtype=int)}, "float array", id="whole-numbers"),
        pytest.param({"losses": np.full((5, 3), -1.0)}, "negative", id="negative"),
        pytest.param({"losses": np.full((5, 3), np.inf)}, "infinite", id="infinite"),
        pytest.param({"losses": np.array([[{}]], dtype=object)}, "cannot be read", id="pickle"),
    ],
)
def test_a_file_of_losses_is_checked(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "losses.npz"
    np.savez(path, **arrays)
    with pytest.raises(SubjectError, match=message):
        LossRecord.read(path)


def test_losses_that_end_in_the_middle_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "losses.npz"
    np.savez(path, losses=np.ones((50, 3)))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SubjectError, match="cannot be read"):
        LossRecord.read(path)


def test_losses_without_training_are_refused() -> None:
    with pytest.raises(UsageError, match="no model is trained"):
        PoisoningGate("label", losses="losses.npz")


def test_losses_of_another_dataset_are_not_looked_at(clean: Dataset, tmp_path: Path) -> None:
    recorder = LossRecorder(rows=10, path=tmp_path / "losses.npz")
    for epoch in range(3):
        recorder.record(epoch, range(10), np.ones(10))
    seen = scanned(clean, losses=str(recorder.save()))
    assert any("a dataset of 1797" in finding.message for finding in seen.findings)
    assert "trained_model_strength" not in measures(seen)
