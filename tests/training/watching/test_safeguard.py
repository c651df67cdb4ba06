"""The watch from without: what it hears is untrusted, what it finds ends a run or stands in the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.training.watching.conftest import Clock

from interlock.gate import Level, UsageError
from interlock.training.events import Event
from interlock.training.safeguards import Part
from interlock.training.sandbox import Ended, Moment
from interlock.training.watching import Reaction, WatchOptions, WatchSafeguard
from interlock.training.watching.readings import BURST, KINDS
from interlock.training.watching.safeguard import PATIENCE

ENDED = Ended(exit_status=0, seconds=1.0, limit=None, log_tail="", log_bytes=0)


def metrics(step: int, losses: Any, **more: Any) -> Event:
    fields = {"epoch": 0, "step": step, "stride": 1, "losses": losses, "samples": 8, **more}
    return Event(kind="metrics", fields=fields)


def steady(count: int, seed: int = 0) -> list[float]:
    return [float(x) for x in np.exp(np.random.default_rng(seed).normal(0.0, 0.2, count))]


def rules(part: Part) -> dict[str, Level]:
    return {finding.rule_id: finding.level for finding in part.findings}


def measures(part: Part) -> dict[str, float]:
    return {measure.name: measure.value for measure in part.measures}


@pytest.mark.parametrize("said", ["nan", "inf", "-inf"])
def test_a_loss_that_is_no_number_ends_the_run_unless_told_otherwise(said: str, tmp_path: Path) -> None:
    watch = WatchSafeguard()
    assert watch.hear(metrics(1, [1.0, 1.0])) is None
    stop = watch.hear(metrics(3, [1.0, said]))
    assert stop is not None
    assert stop.rule == "not-finite"
    assert "step 4" in stop.message
    assert "training.not-finite" not in rules(watch.after(ENDED, tmp_path))  # the training gate says it as an error

    patient = WatchSafeguard(WatchOptions(nan=Reaction.WARN))
    assert patient.hear(metrics(1, [1.0, said, 1.0])) is None
    part = patient.after(ENDED, tmp_path)
    assert rules(part)["training.not-finite"] is Level.WARNING
    assert measures(part)["loss_not_finite"] == 1

    deaf = WatchSafeguard(WatchOptions(nan=Reaction.IGNORE))
    assert deaf.hear(metrics(1, [said])) is None
    assert "training.not-finite" not in rules(deaf.after(ENDED, tmp_path))


def test_a_few_gradients_that_are_no_numbers_belong_to_loss_scaling_and_many_end_the_run(tmp_path: Path) -> None:
    few, many = WatchSafeguard(), WatchSafeguard()
    scaled = ["inf"] * (PATIENCE - 1) + [1.0]
    assert few.hear(metrics(1, None, gradient_norms=scaled)) is None
    assert rules(few.after(ENDED, tmp_path))["training.not-finite"] is Level.NOTE
    stop = many.hear(metrics(1, None, gradient_norms=["inf"] * PATIENCE))
    assert stop is not None
    assert "gradient norm" in stop.message


@pytest.mark.parametrize(("field", "rule"), [("losses", "loss-spike"), ("gradient_norms", "gradient-norm-spike")])
def test_a_spike_warns_or_ends_the_run_by_the_options(field: str, rule: str, tmp_path: Path) -> None:
    values = [*steady(100), 40.0, *steady(20)]
    event = Event(kind="metrics", fields={"epoch": 0, "step": 1, "stride": 1, field: values, "samples": 8})
    warned = WatchSafeguard()
    assert warned.hear(event) is None
    part = warned.after(ENDED, tmp_path)
    (finding,) = [one for one in part.findings if one.rule_id == f"training.{rule}"]
    assert finding.level is Level.WARNING
    assert json.loads(finding.evidence) == {"spikes": [{"step": 101, "value": 40.0}]}
    (chart,) = json.loads(part.attachments[0][1])["charts"]
    assert chart["marks"] == [[101, 40.0]]

    stop = WatchSafeguard(WatchOptions(spikes=Reaction.STOP)).hear(event)
    assert stop is not None
    assert stop.rule == rule


def test_a_training_that_tells_nothing_for_too_long_is_ended(clock: Clock, tmp_path: Path) -> None:
    watch = WatchSafeguard(WatchOptions(stall_seconds=60), clock=clock)

    def moment(seconds: float) -> Moment:
        return Moment(seconds=seconds, root=1, out=tmp_path)

    assert watch.tick(moment(59)) is None
    clock.now += 59
    watch.hear(metrics(1, [1.0]))
    clock.now += 59
    assert watch.tick(moment(118)) is None
    watch.hear(Event(kind="progress", fields={"epoch": 0, "step": 1, "samples": 8, "seconds": 1}))  # no step
    clock.now += 1
    stop = watch.tick(moment(119))
    assert stop is not None
    assert stop.rule == "stalled"
    assert WatchSafeguard(clock=clock).tick(moment(1e6)) is None


def test_code_that_never_tells_anything_stalls_too_and_the_report_says_that_nobody_watched(tmp_path: Path) -> None:
    watch = WatchSafeguard(WatchOptions(stall_seconds=60))
    assert watch.tick(Moment(seconds=60, root=1, out=tmp_path)) is not None
    part = watch.after(ENDED, tmp_path)
    assert rules(part) == {"training.unwatched": Level.NOTE}
    assert part.measures == ()
    assert part.attachments == ()


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_stall_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(UsageError, match="stall"):
        WatchOptions(stall_seconds=seconds)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="empty"),
        pytest.param({"losses": "x"}, id="text-for-a-list"),
        pytest.param({"losses": ["x"]}, id="text-for-a-number"),
        pytest.param({"losses": [True]}, id="truth-for-a-number"),
        pytest.param({"losses": [10**400]}, id="number-beyond-any"),
        pytest.param({"losses": [1.0] * 9999}, id="too-many"),
        pytest.param({"losses": [1.0], "gradient_norms": [1.0, 2.0]}, id="lists-of-two-lengths"),
        pytest.param({"losses": [1.0], "step": -1}, id="negative-step"),
        pytest.param({"losses": [1.0], "step": 10**30}, id="step-beyond-any"),
        pytest.param({"losses": [1.0], "stride": 0}, id="no-stride"),
        pytest.param({"losses": [1.0], "samples": 0.5}, id="half-a-sample"),
        pytest.param({"losses": [1.0], "epoch": None}, id="no-epoch"),
    ],
)
def test_what_has_another_shape_is_refused_whole_and_the_report_says_so(fields: dict[str, Any], tmp_path: Path) -> None:
    watch = WatchSafeguard()
    base = {"epoch": 0, "step": 1, "stride": 1, "samples": 1} if fields else {}
    assert watch.hear(Event(kind="metrics", fields={**base, **fields})) is None
    part = watch.after(ENDED, tmp_path)
    assert rules(part)["training.watch-refused"] is Level.WARNING
    assert part.measures == ()


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5) | st.just("nan"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("epoch", "epochs", "step", "steps", "stride", "losses", "gradient_norms", "learning_rates", "samples")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from((*FIELDS, "seconds", "metrics")), JSON)),
        max_size=12,
    )
)
def test_nothing_that_code_can_say_breaks_the_watch(said: list[tuple[str, dict[str, Any]]]) -> None:
    watch = WatchSafeguard(WatchOptions(nan=Reaction.WARN))
    for kind, fields in said:
        watch.hear(
            Event(kind=kind, fields={"epoch": 0, "step": 1, "stride": 1, "samples": 1, "seconds": 1.0, **fields})
        )
    part = watch.after(ENDED, Path("/nowhere"))
    for measure in part.measures:
        assert math.isfinite(measure.value)
    for _, text in part.attachments:
        json.loads(text)


def test_a_flood_is_heard_at_a_bounded_rate_and_kept_in_bounded_room(clock: Clock, tmp_path: Path) -> None:
    watch = WatchSafeguard(clock=clock)
    for step in range(50_000):
        watch.hear(metrics(step, [1.0]))
        watch.hear(Event(kind="epoch", fields={"epoch": step, "samples": 1, "seconds": 1, "metrics": {"x" * 999: 1}}))
        clock.now += 0.0001  # 5 seconds of 20,000 lines a second
    part = watch.after(ENDED, tmp_path)
    assert "faster than" in next(one.message for one in part.findings if one.rule_id == "training.watch-refused")
    assert measures(part)["samples_seen"] <= 8 * (BURST + 5 * 60)
    assert len(part.attachments[0][1]) < 100_000


def test_a_long_training_is_drawn_from_first_to_last_in_bounded_room(clock: Clock, tmp_path: Path) -> None:
    watch = WatchSafeguard(clock=clock)
    for start in range(0, 100_000, 50):
        clock.now += 0.1
        watch.hear(metrics(start, [1.0 + math.sin(start / 9000)] * 50, learning_rates=[0.1] * 50))
    loss, rate = json.loads(watch.after(ENDED, tmp_path).attachments[0][1])["charts"]
    assert (loss["title"], rate["title"]) == ("Loss", "Learning rate")
    assert 200 <= len(loss["points"]) <= 400
    assert loss["points"][0][0] == 0
    assert loss["points"][-1][0] > 99_000
    assert all(low <= mean <= high for _, low, mean, high in loss["points"])


def test_epochs_and_throughput_stand_in_the_report(clock: Clock, tmp_path: Path) -> None:
    watch = WatchSafeguard(clock=clock)
    for epoch in range(100):
        clock.now += 1
        fields = {"epoch": epoch, "step": epoch, "samples": 500 * epoch, "seconds": float(epoch), "loss": 1.0}
        watch.hear(Event(kind="progress", fields=fields))
        numbers: dict[str, Any] = {
            "loss": 2.0,
            "samples": 500,
            "seconds": 2.0,
            "metrics": {"accuracy": 0.5, "bad": "nan"},
        }
        watch.hear(Event(kind="epoch", fields={"epoch": epoch, **numbers}))
    throughput, table = json.loads(watch.after(ENDED, tmp_path).attachments[0][1])["charts"]
    assert throughput["points"][5][2] == 500
    assert table["columns"] == ["epoch", "loss", "accuracy", "bad", "samples/s", "seconds"]
    assert table["rows"][0] == [1, 2.0, 0.5, "nan", 250.0, 2.0]
    assert [row[0] for row in table["rows"]] == [*range(1, 31), *range(71, 101)]
    assert table["note"].startswith("40 epochs")


def test_how_the_watch_was_set_is_asked_of_policy() -> None:
    assert WatchSafeguard(WatchOptions(stall_seconds=60)).requested() == {
        "watch": {"nan": "stop", "spikes": "warn", "stall_seconds": 60, "trace": True}
    }
