"""The scan in this process: one reading a pass, states joined as the batches come."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from interlock.poisoning.batches import BatchSource
from interlock.poisoning.engines.engine import Look
from interlock.poisoning.engines.shares import folded


class LocalEngine:
    """Runs everything here.

    Args:
        threads: How many looks see one batch side by side; as many as torch uses threads when None.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads

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
        import torch

        return folded(looks, source.batches(), threads=self._threads or torch.get_num_threads())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
