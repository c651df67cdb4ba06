"""What a job says of itself: the law of the lines, hostile ones, and the way out of each sandbox."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.training.events import LONGEST, Event, EventReader, secret, tell

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63)
VALUES = st.recursive(st.none() | st.booleans() | NUMBERS | st.text(max_size=20), lambda one: st.lists(one, max_size=3))


def line(**said: Any) -> bytes:
    return json.dumps(said).encode() + b"\n"


@given(
    fields=st.lists(st.dictionaries(st.from_regex(r"[a-d]{1,5}\Z"), VALUES, max_size=4), max_size=5),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
)
def test_events_are_the_same_however_the_bytes_arrive(fields: list[dict[str, Any]], cuts: list[int]) -> None:
    data = b"".join(line(event="progress", **one) for one in fields)
    heard: list[Event] = []
    reader, start = EventReader(), 0
    for cut in [*sorted(cuts), len(data)]:
        heard += reader.feed(data[start:cut])
        start = max(start, cut)
    assert heard == [Event(kind="progress", fields=one) for one in fields]
    assert reader.unreadable == 0


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(b"\xff\xfe\n", id="no-text"),
        pytest.param(b"{}\n", id="no-kind"),
        pytest.param(b'{"event": 3}\n', id="kind-is-no-text"),
        pytest.param(b'{"event": "UP"}\n', id="kind-in-capitals"),
        pytest.param(b'{"event": "' + b"a" * 33 + b'"}\n', id="long-kind"),
        pytest.param(b'["event"]\n', id="list"),
        pytest.param(b'{"event": "loss", "value": NaN}\n', id="nan-literal"),
        pytest.param(b"[" * 4000 + b"\n", id="deep"),
        pytest.param(line(event="loss", text="x" * LONGEST), id="too-long"),
        pytest.param(b"x" * (3 * LONGEST) + b"\n", id="very-long"),
        pytest.param(b"\n", id="empty"),
    ],
)
def test_a_line_that_is_no_event_is_counted_and_hides_no_other(hostile: bytes) -> None:
    reader = EventReader()
    good = line(event="loss", value=1.5)
    heard = list(reader.feed(good + hostile + good))
    assert heard == [Event(kind="loss", fields={"value": 1.5})] * 2
    assert reader.unreadable == 1


def test_a_long_line_in_many_pieces_is_one_unreadable_line() -> None:
    reader = EventReader()
    for _ in range(100):
        assert list(reader.feed(b"x" * 1000)) == []
    assert [event.kind for event in reader.feed(b"\n" + line(event="loss"))] == ["loss"]
    assert reader.unreadable == 1


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (2.5, 2.5), ("inf", math.inf), ("-inf", -math.inf), (True, None), ("1", None), (None, None), ([], None)],
)
def test_a_number_is_a_number_or_none(value: Any, number: float | None) -> None:
    assert Event(kind="loss", fields={"value": value}).number("value") == number


def test_a_number_too_large_for_a_float_is_none() -> None:
    assert Event(kind="loss", fields={"value": 10**400}).number("value") is None


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    path = tmp_path / "events"
    os.mkfifo(path)
    monkeypatch.setenv("INTERLOCK_EVENTS", os.fspath(path))
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


def test_what_is_told_is_heard(channel: int) -> None:
    import numpy as np

    assert tell("progress", loss=np.float32(0.5), epoch=np.int64(3), lost=math.nan, names=("a", 1), path=Path("/x"))
    (event,) = EventReader().feed(os.read(channel, 1 << 16))
    assert event.fields == {"loss": 0.5, "epoch": 3, "lost": "nan", "names": ["a", 1], "path": "/x"}
    assert math.isnan(event.number("lost") or 0.0)


def test_telling_never_waits_and_never_raises(channel: int) -> None:
    said = [tell("progress", text="x" * 3000) for _ in range(100)]
    assert True in said
    assert said[-1] is False  # the pipe is full, and nobody waits for a reader
    while len(os.read(channel, 1 << 16)) == 1 << 16:
        continue
    assert tell("progress", text="x" * LONGEST) is False
    assert tell("Not a kind") is False
    endless: list[Any] = []
    endless.append(endless)
    assert tell("progress", endless=endless) is False


def test_nothing_is_told_where_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERLOCK_EVENTS", raising=False)
    assert tell("progress") is False
    monkeypatch.setenv("INTERLOCK_EVENTS", os.fspath(tmp_path / "missing"))
    assert tell("progress") is False


@pytest.mark.parametrize("number", ["", "x", "-1", "99999"])
def test_a_secret_that_was_not_handed_over_is_none(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_SECRET_KEY", number)
    assert secret("KEY") is None
