"""The watch within a training loop: little is said, nothing is lost, and nothing ends a training but a wrong call."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training.watching.conftest import Clock

from interlock.gate import UsageError
from interlock.poisoning.models import LossRecord
from interlock.training.events import LONGEST, Event
from interlock.training.watching import TrainingWatch
from interlock.training.watching.inside import FLUSH_EVERY
from interlock.training.watching.telling import MAX_ENTRIES

Told = Callable[[], list[Event]]
ROWS = torch.arange(8)


def of(kind: str, events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == kind]


def test_losses_of_each_row_come_out_as_the_poisoning_gate_reads_them(tmp_path: Path) -> None:
    watch = TrainingWatch(rows=8, losses=tmp_path / "losses.npz")
    expected = np.zeros((8, 3), dtype=np.float32)
    for epoch in range(3):
        for rows in torch.randperm(8).split(3):  # type: ignore[no-untyped-call]  # torch does not type it
            losses = rows.float() + epoch
            watch.batch(epoch=epoch, losses=losses, rows=rows)
            losses += 100  # a loop may write into the memory of the last batch
            expected[rows.numpy(), epoch] = rows.numpy() + epoch
        watch.epoch(epoch)
    assert np.array_equal(LossRecord.read(tmp_path / "losses.npz").losses, expected)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((torch.tensor([1.0, 3.0]), torch.tensor([0, 1])), id="tensors"),
        pytest.param((torch.tensor([1.0, 3.0], dtype=torch.bfloat16), torch.tensor([0, 1])), id="half-precision"),
        pytest.param((torch.tensor([1.0, 3.0], requires_grad=True), [0, 1]), id="tensor-that-learns-and-list"),
        pytest.param((np.array([1.0, 3.0]), np.array([0, 1])), id="arrays"),
        pytest.param(([1.0, 3.0], (0, 1)), id="lists"),
    ],
)
def test_losses_may_come_in_any_form(given: tuple[Any, Any], told: Told, tmp_path: Path) -> None:
    losses, rows = given
    with TrainingWatch(rows=2, losses=tmp_path / "l.npz") as watch:
        watch.batch(epoch=0, losses=losses, rows=rows, gradient_norm=torch.tensor(0.5), learning_rate=0.1)
    (metrics,) = of("metrics", told())
    assert metrics.fields == {
        "epoch": 0,
        "step": 1,
        "stride": 1,
        "losses": [2.0],
        "gradient_norms": [0.5],
        "learning_rates": [0.1],
        "samples": 2,
    }
    assert LossRecord.read(tmp_path / "l.npz").losses.tolist() == [[1.0], [3.0]]


def test_numbers_wait_on_their_device_until_there_are_many(
    told: Told, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches = 0
    before = torch.Tensor.tolist

    def counted(tensor: torch.Tensor) -> Any:
        nonlocal fetches
        fetches += 1
        return before(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", counted)
    watch = TrainingWatch(clock=clock)
    for _ in range(FLUSH_EVERY - 1):
        watch.batch(epoch=0, losses=torch.tensor(1.0), gradient_norm=torch.tensor(1.0))
    assert fetches == 0
    watch.batch(epoch=0, losses=torch.tensor(1.0), gradient_norm=torch.tensor(1.0))
    assert fetches == 2  # the losses of all batches, and their gradient norms


def test_at_most_ten_lines_of_metrics_a_second_are_told_and_none_is_too_long(told: Told, clock: Clock) -> None:
    watch = TrainingWatch(epochs=1, steps=20_000, clock=clock)
    events: list[Event] = []
    for number in range(20_000):  # in 2 seconds
        clock.now += 0.0001
        watch.batch(epoch=0, losses=1.23456789e-5, gradient_norm=123456.789, learning_rate=1e-7 / 3, samples=8)
        events += told() if number % 1000 == 0 else []
    watch.close()
    events += told()
    assert len(of("metrics", events)) <= 21
    assert len(of("progress", events)) <= 5
    assert sum(int(str(event.fields["samples"])) for event in of("metrics", events)) == 8 * 20_000
    for event in events:
        assert len(json.dumps({**event.fields, "event": event.kind})) < LONGEST / 2
        assert len(event.fields.get("losses", [])) <= MAX_ENTRIES  # type: ignore[arg-type]


def test_of_steps_that_are_told_together_the_worst_is_told(told: Told, clock: Clock) -> None:
    watch = TrainingWatch(clock=clock)
    for number in range(MAX_ENTRIES * 2):
        watch.batch(epoch=0, losses=50.0 if number == 7 else 1.0)
    watch.close()
    (metrics,) = of("metrics", told())
    assert metrics.fields["stride"] == 2
    assert metrics.fields["losses"][3] == 50.0  # type: ignore[index]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_told_at_once_and_not_recorded(
    value: float, told: Told, clock: Clock, tmp_path: Path
) -> None:
    watch = TrainingWatch(rows=8, losses=tmp_path / "l.npz", clock=clock)
    for number in range(FLUSH_EVERY):
        losses = torch.ones(8)
        losses[3] = value if number == FLUSH_EVERY - 1 else 1.0
        watch.batch(epoch=0, losses=losses, rows=ROWS)
    (metrics,) = of("metrics", told())  # without a tick of the clock
    found = Event(kind="m", fields={"x": metrics.fields["losses"][-1]}).number("x")  # type: ignore[index]
    assert found is not None
    assert not math.isfinite(found)
    watch.close()
    assert LossRecord.read(tmp_path / "l.npz").losses[3, 0] == 1.0


def test_losses_below_zero_are_not_recorded_and_the_reason_is_told(told: Told, tmp_path: Path) -> None:
    with TrainingWatch(rows=8, losses=tmp_path / "l.npz") as watch:
        watch.batch(epoch=0, losses=-torch.ones(8), rows=ROWS)
    (untraced,) = of("untraced", told())
    assert "negative" in str(untraced.fields["reason"])
    assert not (tmp_path / "l.npz").exists()


def test_a_resumed_run_begins_its_record_with_its_first_epoch_and_leaves_skipped_ones_empty(tmp_path: Path) -> None:
    with TrainingWatch(rows=8, losses=tmp_path / "l.npz") as watch:
        watch.batch(epoch=5, losses=torch.ones(8), rows=ROWS)
        watch.batch(epoch=7, losses=torch.ones(8), rows=ROWS)
    losses = LossRecord.read(tmp_path / "l.npz").losses
    assert losses.shape == (8, 3)
    assert np.isnan(losses[:, 1]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"losses": torch.tensor(1.0), "rows": ROWS}, id="one-loss-for-all-rows"),
        pytest.param({"losses": torch.ones(7), "rows": ROWS}, id="too-few-losses"),
        pytest.param({"losses": torch.ones(8), "rows": ROWS + 1}, id="row-beyond-the-dataset"),
    ],
)
def test_a_wrong_call_is_said_to_its_caller(wrong: dict[str, Any], tmp_path: Path) -> None:
    watch = TrainingWatch(rows=8, losses=tmp_path / "l.npz")
    with pytest.raises(UsageError, match=r"one loss for each|not one of the 8"):  # noqa: PT012
        watch.batch(epoch=0, **wrong)
        watch.flush()


def test_a_dataset_without_rows_is_refused() -> None:
    with pytest.raises(UsageError, match="0 rows"):
        TrainingWatch(rows=0)


def test_an_epoch_is_told_with_its_mean_loss_and_the_numbers_of_the_user(told: Told, clock: Clock) -> None:
    watch = TrainingWatch(clock=clock)
    watch.batch(epoch=0, losses=[1.0, 2.0])
    watch.batch(epoch=0, losses=[6.0, 6.0, 6.0, 6.0])
    clock.now += 2
    watch.epoch(0, accuracy=torch.tensor(0.5))
    (epoch,) = of("epoch", told())
    fields = {"epoch": 0, "loss": 4.5, "samples": 6, "seconds": 2.0, "metrics": {"accuracy": 0.5}}
    assert epoch.fields == fields


def test_outside_of_a_sandbox_nothing_is_said_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INTERLOCK_EVENTS", "INTERLOCK_OUT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    with TrainingWatch(rows=8) as watch:
        watch.batch(epoch=0, losses=torch.ones(8), rows=ROWS)
        watch.epoch(0)
    assert not list(tmp_path.iterdir())


def test_other_processes_of_a_distributed_training_record_beside_and_say_nothing(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("INTERLOCK_OUT", str(tmp_path))
    with TrainingWatch(rows=8) as watch:
        watch.batch(epoch=0, losses=torch.ones(8), rows=ROWS)
    assert (tmp_path / "losses.rank3.npz").is_file()
    assert told() == []
