"""A dataset in disjoint shares, so that several processes can each read a part of it.

A file is cut where its format can be entered in the middle: Parquet by row group. Any other file is read from its
beginning by everybody who has a piece of it, and each takes every so many blocks: that saves the work on the rows, not
the reading, so such a file is cut into no more pieces than there are readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from interlock.poisoning.batches import Batch, Source
from interlock.poisoning.engines.engine import Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of one file.

    Args:
        file: Its place among the files of the dataset.
        part: Which of the parts of the file, from 0.
        parts: How many there are.
        start: Row of the dataset, or of the file, that the file's first row is.
    """

    file: int
    part: int = 0
    parts: int = 1
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one reader reads.

    Args:
        source: The dataset.
        pieces: Parts of its files, in order.
    """

    source: Source
    pieces: tuple[Piece, ...]

    def batches(self) -> Iterator[Batch]:
        """Read the pieces, in order.

        Raises:
            SubjectError: As `Source.batches`.
        """
        for piece in self.pieces:
            yield from _read(self.source, piece)


def shares_of(
    source: Source, count: int, *, readers: int | None = None, lengths: Sequence[int] | None = None
) -> tuple[Share, ...]:
    """Cut a dataset into about `count` shares of about the same size; together they hold every row once.

    Args:
        source: The dataset.
        count: How many shares are wanted, from 1.
        readers: How many of them are read at a time; `count` when not given.
        lengths: Rows of each file; without them rows are numbered from the beginning of their file.
    """
    starts = [0, *accumulate(lengths)] if lengths is not None else [0] * (len(source.files) + 1)
    sizes = [max(1, (source.opened.path / file).stat().st_size) for file in source.files]
    whole = sum(sizes)
    pieces: list[tuple[float, Piece]] = []
    for place, size in enumerate(sizes):
        wanted = max(1, round(count * size / whole))
        parts = min(wanted, _most_parts(source, place, readers or count)) if wanted > 1 else 1
        cut = (Piece(file=place, part=part, parts=parts, start=starts[place]) for part in range(parts))
        pieces += [(size / parts, piece) for piece in cut]
    return tuple(Share(source=source, pieces=tuple(group)) for group in _grouped(pieces, whole / count))


def folded(looks: Sequence[Look[Any]], batches: Iterable[Batch]) -> tuple[Any, ...]:
    """Show every batch to every look, and join the states as they come; None for each when there is no batch."""
    states: list[Any] = [None] * len(looks)
    seen = False
    for batch in batches:
        parts = [look.partial(batch) for look in looks]
        states = [look.merge(*pair) for look, *pair in zip(looks, states, parts, strict=True)] if seen else parts
        seen = True
    return tuple(states)


def joined(looks: Sequence[Look[Any]], one: Sequence[Any], other: Sequence[Any]) -> tuple[Any, ...]:
    """The states of two shares as one, where a share without a batch has None."""
    return tuple(
        b if a is None else a if b is None else look.merge(a, b) for look, a, b in zip(looks, one, other, strict=True)
    )


def _grouped(pieces: Sequence[tuple[float, Piece]], size: float) -> Iterator[list[Piece]]:
    """Consecutive pieces, together about `size` bytes."""
    group: list[Piece] = []
    held = 0.0
    for weight, piece in pieces:
        if group and held + weight / 2 > size:
            yield group
            group, held = [], 0.0
        group.append(piece)
        held += weight
    if group:
        yield group


def _most_parts(source: Source, place: int, readers: int) -> int:
    """How many parts file number `place` can usefully be cut into."""
    file = source.files[place]
    if not _is_parquet(source, file):
        return readers
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    try:
        return max(1, int(pq.read_metadata(source.opened.path / file).num_row_groups))
    except (pa.ArrowException, OSError):
        return 1  # whoever reads it says what is wrong with it


def _is_parquet(source: Source, file: str) -> bool:
    return Path(source.shown(file)).suffix.lower() == ".parquet"


def _read(source: Source, piece: Piece) -> Iterator[Batch]:
    """The batches of one piece, each with the place of its first row."""
    from interlock.poisoning.formats import read_file

    file = source.files[piece.file]
    at = piece.start
    for number, block in enumerate(read_file(source.opened.path / file, source.shown(file), source.columns)):
        if number % piece.parts == piece.part:
            yield Batch.of(block, start=at, file=piece.file)
        at += len(block.labels)
