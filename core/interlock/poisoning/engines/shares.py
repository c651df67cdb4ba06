"""A dataset in disjoint shares, so that several processes can each read a part of it.

A part of the dataset is cut where its format can be entered in the middle: Parquet by row group, a folder of images by
image. Any other is read from its beginning by everybody who has a piece of it, and each takes every so many blocks:
that saves the work on the rows, not the reading, so such a file is cut into no more pieces than there are readers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from interlock.poisoning.batches import Batch, Block, Source
from interlock.poisoning.engines.engine import Look
from interlock.poisoning.reading.class_folder import ClassFolder
from interlock.poisoning.reading.sorting import Part
from interlock.poisoning.reading.table import TablePart


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some rows of one part of the dataset.

    Args:
        file: Place of that part, as in `Batch.file`.
        part: Which of the pieces of it, from 0.
        parts: How many there are.
        start: What its first row is called: its place in the dataset, or 0 while nobody knows that.
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
        pieces: Of its parts, in order.
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
    starts = [0, *accumulate(lengths)] if lengths is not None else [0] * (len(source.parts) + 1)
    sizes = [_size(source, part) for part in source.parts]
    whole = sum(sizes)
    pieces: list[tuple[float, Piece]] = []
    for place, size in enumerate(sizes):
        wanted = max(1, round(count * size / whole))
        parts = min(wanted, _most_pieces(source.parts[place], readers or count)) if wanted > 1 else 1
        cut = (Piece(file=place, part=part, parts=parts, start=starts[place]) for part in range(parts))
        pieces += [(size / parts, piece) for piece in cut]
    return tuple(Share(source=source, pieces=tuple(group)) for group in _grouped(pieces, whole / count))


def files_of(source: Source, places: Iterable[int] | None = None) -> tuple[str, ...]:
    """Every file that reading some parts of a dataset may open, relative to the subject.

    Args:
        source: The dataset.
        places: Of the parts; all when None.
    """
    chosen = range(len(source.parts)) if places is None else places
    return tuple(sorted({file for place in chosen for file in source.parts[place].held(source.columns)}))


def folded(looks: Sequence[Look[Any]], batches: Iterable[Batch], *, threads: int = 1) -> tuple[Any, ...]:
    """Show every batch to every look, and join the states as they come; None for each when there is no batch.

    Args:
        looks: What looks. Each is shown the batches in their order, one at a time.
        batches: The rows.
        threads: So many looks look at one batch side by side, while the next one is read. Which states are joined with
            which, and in which order, does not depend on it.
    """
    states: list[Any] = [None] * len(looks)
    seen: list[bool] = [False] * len(looks)

    def show(at: int, batch: Batch) -> None:
        part = looks[at].partial(batch)
        states[at] = looks[at].merge(states[at], part) if seen[at] else part
        seen[at] = True

    if threads == 1:
        for batch in batches:
            for at in range(len(looks)):
                show(at, batch)
        return tuple(states)
    with ThreadPoolExecutor(min(threads, max(1, len(looks)))) as pool:
        shown: list[Future[None]] = []
        for batch in _one_after_the_other(batches, shown):
            shown += [pool.submit(show, at, batch) for at in range(len(looks))]
    return tuple(states)


def _one_after_the_other(batches: Iterable[Batch], shown: list[Future[None]]) -> Iterator[Batch]:
    """Each batch when the one before it was seen by all, but read while they look; what they raise comes first."""
    reading = iter(batches)
    while True:
        try:
            batch = next(reading, None)
        finally:
            for look in shown:
                look.result()
            shown.clear()
        if batch is None:
            return
        yield batch
        del batch


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


def _size(source: Source, part: Part) -> int:
    """Bytes of all files that reading a part may open."""
    return max(1, sum((source.opened.path / file).stat().st_size for file in part.held(source.columns)))


def _most_pieces(part: Part, readers: int) -> int:
    """How many pieces a part can usefully be cut into."""
    if isinstance(part, ClassFolder):
        return len(part.images)
    groups = row_groups(part.path) if isinstance(part, TablePart) and part.suffix == ".parquet" else 0
    return groups or readers


def row_groups(path: Path) -> int:
    """Row groups of a Parquet file; 0 when it cannot be read (whoever reads it says what is wrong with it)."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    try:
        return int(pq.read_metadata(path).num_row_groups)
    except (pa.ArrowException, OSError):
        return 0


def _read(source: Source, piece: Piece) -> Iterator[Batch]:
    """The batches of one piece, each with the place of its first row."""
    for at, block in _blocks(source, piece):
        yield Batch.of(block, start=piece.start + at, file=piece.file)


def _blocks(source: Source, piece: Piece) -> Iterator[tuple[int, Block]]:
    """The blocks of one piece, each with its place in the part."""
    part = source.parts[piece.file]
    if isinstance(part, ClassFolder):
        first, last = (len(part.images) * (piece.part + step) // piece.parts for step in (0, 1))
        yield from _counted(replace(part, images=part.images[first:last]).blocks(source.columns), first)
        return
    if isinstance(part, TablePart):
        yield from part.piece(source.columns, piece.part, piece.parts)
        return
    for number, found in enumerate(_counted(part.blocks(source.columns), 0)):
        if number % piece.parts == piece.part:
            yield found


def _counted(blocks: Iterable[Block], start: int) -> Iterator[tuple[int, Block]]:
    for block in blocks:
        yield start, block
        start += len(block.labels)
