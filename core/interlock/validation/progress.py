"""Progress on a terminal, silence anywhere else. Written to standard error, so that pipes stay clean."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class ProgressSink(Protocol):
    """What the gate tells while it works."""

    def stage(self, text: str, *, steps: int | None = None) -> None:
        """Begin a stage.

        Args:
            text: Shown to people.
            steps: How many times `advance` will be called; unknown when not given.
        """
        ...

    def advance(self) -> None:
        """One step of the stage is done."""
        ...


class Silent:
    """Progress for logs, pipes and tests."""

    def stage(self, text: str, *, steps: int | None = None) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""


@contextmanager
def terminal_progress() -> Iterator[ProgressSink]:
    """A live line on standard error if that is a terminal, else `Silent`."""
    if not sys.stderr.isatty():
        yield Silent()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield _Live(bars)


class _Live:
    """One stage at a time on a rich display."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None

    def stage(self, text: str, *, steps: int | None = None) -> None:
        """Replace the line."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(text, total=steps)
        self._bars.refresh()  # what follows may hold the interpreter for seconds

    def advance(self) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task)
