"""One line for people: what is known, and nothing that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.watching.conftest import Clock

from interlock.training.events import Event
from interlock.training.sandbox import Moment
from interlock.training.watching import ProgressSafeguard, Seldom


def progress(**fields: object) -> Event:
    return Event(kind="progress", fields=fields)  # type: ignore[arg-type]


def moment(seconds: float) -> Moment:
    return Moment(seconds=seconds, root=1, out=Path())


def test_before_the_code_says_anything_only_time_and_budgets_are_shown(clock: Clock) -> None:
    lines: list[str] = []
    shown = ProgressSafeguard(
        lines.append, wall_seconds=3600, used=lambda s: [("gpu_hours", s / 900, 4.0)], clock=clock
    )
    shown.tick(moment(45))
    assert lines == ["45 s of 1 h 00 min, gpu hours 0.05 of 4"]


def test_all_that_is_known_is_in_the_line(clock: Clock) -> None:
    lines: list[str] = []
    shown = ProgressSafeguard(lines.append, wall_seconds=600, clock=clock)
    shown.hear(progress(epoch=0, epochs=3, step=50, steps=100, loss=1.5, samples=500, seconds=10.0))
    shown.hear(progress(epoch=1, epochs=3, step=150, steps=100, loss=0.12345, samples=1500, seconds=20.0))
    shown.tick(moment(22))
    assert lines == ["epoch 2/3, step 50/100, loss 0.1235, 100 samples/s, 22 s of 10 min 00 s, about 20 s left"]


def test_a_loss_that_is_no_number_is_shown_as_such_and_what_is_unknown_is_left_out(clock: Clock) -> None:
    shown = ProgressSafeguard(lambda _: None, wall_seconds=600, clock=clock)
    shown.hear(progress(epoch=0, step=7, loss="nan", samples=0, seconds=0.0))
    assert shown.line(1) == "epoch 1, step 7, loss nan, 1 s of 10 min 00 s"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"epoch": "\x1b[2J"}, id="text"),
        pytest.param({"epoch": 0, "step": 1, "samples": 1, "seconds": "inf"}, id="infinite-time"),
        pytest.param({"epoch": 0, "step": -1, "samples": 1, "seconds": 1.0}, id="negative"),
    ],
)
def test_what_is_no_progress_changes_no_line(fields: dict[str, object], clock: Clock) -> None:
    shown = ProgressSafeguard(lambda _: None, wall_seconds=600, clock=clock)
    shown.hear(progress(**fields))
    assert shown.line(1) == "1 s of 10 min 00 s"


def test_a_log_gets_a_line_seldom_and_the_newest(clock: Clock) -> None:
    lines: list[str] = []
    log = Seldom(lines.append, 30, clock=clock)
    for number in range(100):
        clock.now += 1
        log(str(number))
    assert lines == ["29", "59", "89"]
