"""The scan in this process: one reading a pass, states joined as the batches come."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from interlock.poisoning.batches import BatchSource
from interlock.poisoning.engines.engine import Look
from interlock.poisoning.engines.shares import folded


class LocalEngine:
    """Runs everything here."""

    @property
    def name(self) -> str:
        """``local``."""
        return "local"

    def fold(
        self,
        source: BatchSource,
        looks: Sequence[Look[Any]],
        *,
        lengths: Sequence[int] | None = None,  # noqa: ARG002 (one reading from the beginning needs none)
    ) -> tuple[Any, ...]:
        """One pass, in the order of the files; see `Engine`."""
        return folded(looks, source.batches())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
