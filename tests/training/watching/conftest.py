"""A channel as the sandbox gives it: what is told comes back as events."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interlock.training.events import CHANNEL, Event, EventReader


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[Event]]]:
    """Everything that was told since the last call."""
    path = tmp_path / "events"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    monkeypatch.setenv(CHANNEL, str(path))
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("INTERLOCK_OUT", raising=False)
    reader = EventReader()

    def read() -> list[Event]:
        try:
            return list(reader.feed(os.read(descriptor, 1 << 20)))
        except BlockingIOError:
            return []

    yield read
    os.close(descriptor)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()
