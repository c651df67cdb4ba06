"""What an engine is, and which one an option names."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from interlock.gate import UsageError
from interlock.poisoning.batches import Batch, BatchSource

State = TypeVar("State")

ENGINES = ("local", "ray")
"""The names that a user gives: this process, or tasks on a Ray cluster."""


class Look(Protocol[State]):
    """What an engine runs: the part of a detector, or of the survey, that does not care how rows were split.

    Both methods run in any process. Looks and states are pickled on the way. `merge` may use up its arguments.
    """

    def partial(self, batch: Batch) -> State:
        """The state of one batch."""
        ...

    def merge(self, one: State, other: State) -> State:
        """The state of both."""
        ...


class Engine(Protocol):
    """Runs passes over a dataset. A context manager: what it needs is there inside, and gone after."""

    @property
    def name(self) -> str:
        """One of `ENGINES`."""
        ...

    def fold(
        self, source: BatchSource, looks: Sequence[Look[Any]], *, lengths: Sequence[int] | None = None
    ) -> tuple[Any, ...]:
        """One pass: the state of the whole dataset for each look, None where there was no batch.

        Args:
            source: The dataset; only `LocalEngine` reads one that is not held in files.
            looks: All of them see every batch of the one reading.
            lengths: Rows of each file, as the first pass counted them. Without them `Batch.start` may be counted from
                the beginning of its file, so only a look that does not ask for it may run (the survey).

        Raises:
            SubjectError: The dataset cannot be read, or a worker found other bytes than this process holds.
            UsageError: The engine is set wrongly, or a worker cannot open the held files.
            UnavailableError: Workers died again and again, or the cluster is gone.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def engine_for(name: str, *, ray_address: str | None = None, device: str = "cpu") -> Engine:
    """The engine that a user asks for; nothing is started yet.

    Args:
        name: One of `ENGINES`.
        ray_address: ``host:port`` of a cluster's head, or ``auto``; a cluster on this machine, for this scan only, when
            not given.
        device: The torch device that looks compute on.

    Raises:
        UsageError: No such engine, or the arguments do not fit together.
    """
    from interlock.poisoning.engines.local import LocalEngine
    from interlock.poisoning.engines.on_ray import RayEngine

    if name not in ENGINES:
        raise UsageError(f"there is no engine {name!r}", where="engine", next_step=f"use one of {', '.join(ENGINES)}")
    if name == "ray":
        return RayEngine(address=ray_address, device=device)
    if ray_address is not None:
        raise UsageError(
            "a Ray address was given, but the scan runs in this process",
            where="ray_address",
            next_step="add engine ray",
        )
    return LocalEngine()
