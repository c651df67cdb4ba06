"""What every format of tables gives: a schema, and record batches of some of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One opened file of rows.

    Args:
        schema: Its Arrow schema, untrusted.
        batches: Given the wanted columns, the most rows of a batch, and some of `groups` by place or None for all,
            record batches that hold at least those columns, in file order. Called once.
        groups: Rows of each group at which reading can begin; empty where it can only begin at the beginning.
    """

    schema: Any
    batches: Callable[[Sequence[str], int, Sequence[int] | None], Iterator[Any]]
    groups: tuple[int, ...] = ()
