"""How far a long look has come, told to whoever listens.

A gate reports progress without knowing who watches it: a terminal listens, a worker does not. Nothing that is decided
depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One reading of a subject.

    Args:
        rows: Read since the beginning of this reading; 0 when it begins.
        ended: True when there is no row left.
    """

    rows: int
    ended: bool = False


def span(seconds: float) -> str:
    """A time for people: ``42 s``, ``3 min 05 s``, ``2 h 07 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


_listener: ContextVar[Callable[[Progress], None] | None] = ContextVar("interlock_progress", default=None)


@contextmanager
def listening(listener: Callable[[Progress], None]) -> Iterator[None]:
    """Tell `listener` how far each reading has come, for as long as the context lasts."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def counted(items: Iterable[Item], rows_of: Callable[[Item], int]) -> Iterator[Item]:
    """The same items, reported as they are used up.

    Args:
        items: Pieces of one reading.
        rows_of: How many rows a piece has.
    """
    rows = 0
    _tell(Progress(rows=0))
    for item in items:
        yield item
        rows += rows_of(item)
        _tell(Progress(rows=rows))
    _tell(Progress(rows=rows, ended=True))


def _tell(progress: Progress) -> None:
    listener = _listener.get()
    if listener is not None:
        listener(progress)
