"""A copy of a dataset without some of its rows.

A part of the dataset that loses no row is copied byte for byte, and so is what holds no rows. A part that loses some is
written anew by `kept_rows`, and then read again: the rows that are left must be those of the original, in order. A file
that would have no row left is left out, and an image that only rows which are gone named goes with them.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from interlock.gate import SubjectError, UsageError
from interlock.gate.durable import sync
from interlock.poisoning.batches import Block, Source, label_text
from interlock.poisoning.kept_rows import WRITERS, keep_idx, keep_npz, kept_rows
from interlock.poisoning.reading.class_folder import ClassFolder
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.idx import IdxPart
from interlock.poisoning.reading.npz import NpzPart
from interlock.poisoning.reading.table import TablePart

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

FilePart: TypeAlias = TablePart | NpzPart | IdxPart
"""Parts whose rows lie in files that hold several."""

EMPTY_STAYS = (".parquet", ".arrow", ".arrows", ".feather", ".ipc")
"""Tables that say what their columns are when they have no row; others that lose all their rows are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which rows go.

    Args:
        source: The dataset.
        lengths: Rows of each of its parts.
        without: By place of a part: int64 array (n,), ascending, rows of that part; only for parts that lose some.
    """

    source: Source
    lengths: tuple[int, ...]
    without: Mapping[int, Rows] = field(repr=False)

    @classmethod
    def of(cls, source: Source, lengths: tuple[int, ...], rows: Iterable[int]) -> Cut:
        """Leave out `rows`, numbered through the whole dataset.

        Raises:
            UsageError: No row would be left.
        """
        import numpy as np

        gone = np.array(sorted(set(rows)), dtype=np.int64)
        if len(gone) >= sum(lengths):
            raise UsageError("every row is flagged, so no row would be left", where=source.name)
        starts = np.cumsum([0, *lengths])
        places = np.searchsorted(starts, gone, side="right") - 1
        without = {int(place): gone[places == place] - starts[place] for place in np.unique(places)}
        return cls(source=source, lengths=lengths, without=without)

    @property
    def count(self) -> int:
        """How many rows go."""
        return sum(len(rows) for rows in self.without.values())


def write_cleaned(cut: Cut, folder: Path) -> None:
    """Write the dataset without the rows of `cut` into an empty folder, and let it reach the disk.

    Args:
        cut: What goes.
        folder: Private and empty.

    Raises:
        SubjectError: A file cannot be read, or its rows cannot be told apart as the scan told them.
        OSError: The folder cannot be written.
    """
    source = cut.source
    anew: dict[str, Path] = {}
    left_out: set[str] = set()
    for place, rows in cut.without.items():
        part = source.parts[place]
        if isinstance(part, ClassFolder):
            left_out |= {part.images[row] for row in rows.tolist()}
            continue
        if not isinstance(part, (TablePart, NpzPart, IdxPart)):
            raise SubjectError("nobody here writes such data without some of its rows", where=part.name)
        files = _own_files(part)
        if len(rows) == cut.lengths[place] and not (isinstance(part, TablePart) and part.suffix in EMPTY_STAYS):
            left_out |= set(files)
            continue
        for file in files:
            anew[file] = _target(folder, file, source)
            _write_part(part, file, anew[file], rows, cut.lengths[place])
        _compare(part, folder, cut, place)
    left_out |= _unnamed(cut, folder)
    for file in source.opened.files:
        if file not in anew and file not in left_out:
            shutil.copyfile(source.opened.path / file, _target(folder, file, source))
    for written in folder.rglob("*"):
        sync(written)
    sync(folder)


def _own_files(part: FilePart) -> tuple[str, ...]:
    """The files whose rows are the part's rows."""
    if isinstance(part, IdxPart) and part.labels is not None:
        return (part.file, part.labels)
    return (part.file,)


def _target(folder: Path, file: str, source: Source) -> Path:
    target = folder / (file or source.opened.subject.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write_part(part: FilePart, file: str, target: Path, rows: Rows, length: int) -> None:
    held = part.folder.path / file
    try:
        if isinstance(part, NpzPart):
            found = keep_npz(held, target, rows, rows=length)
        elif isinstance(part, IdxPart):
            found = keep_idx(held, target, rows)
        else:
            found = WRITERS[part.suffix](held, target, rows)
    except EOFError as error:
        raise SubjectError(str(error), where=part.name) from error
    if found != length:
        raise SubjectError(
            f"the scan saw {length} rows, but taken apart line by line there are {found}",
            where=part.name,
            next_step="write the file again with one row a line, or leave --clean-out away",
        )


def _compare(part: FilePart, folder: Path, cut: Cut, place: int) -> None:
    """Refuse a part that does not read as the original without the rows that go."""
    columns = cut.source.columns
    if columns.image is not None and isinstance(part, TablePart):
        return  # its rows were counted; decoding every picture twice would tell nothing more
    other = replace(part, file=part.file or cut.source.opened.subject.name, folder=_staged(cut, folder))
    if isinstance(other, IdxPart) and isinstance(part, IdxPart):
        other = replace(other, labels=part.labels)
    before = _fingerprint(part.blocks(columns), cut.without[place])
    if before != _fingerprint(other.blocks(columns), cut.without[place][:0]):
        raise SubjectError(
            "without the flagged rows the file reads differently, for example because a column gets another type",
            where=part.name,
            next_step="take the rows out by hand: --flagged names them",
        )


def _staged(cut: Cut, folder: Path) -> Folder:
    return Folder(path=folder, files=frozenset(name for name in cut.source.opened.files if name))


def _fingerprint(blocks: Iterable[Block], without: Rows) -> tuple[str, str]:
    """Hashes of labels and texts, and of features, row by row, however they are blocked."""
    told, numbers = hashlib.blake2b(), hashlib.blake2b()
    at = 0
    for block in blocks:
        kept = kept_rows(at, len(block.labels), without)
        columns = [[label_text(label) for label in block.labels], *(block.texts[name] for name in sorted(block.texts))]
        rows = (f"{row}\n" for row, stays in zip(zip(*columns, strict=True), kept.tolist(), strict=True) if stays)
        told.update("".join(rows).encode(errors="surrogatepass"))
        numbers.update(block.features[kept].tobytes())
        at += len(block.labels)
    return told.hexdigest(), numbers.hexdigest()


def _unnamed(cut: Cut, folder: Path) -> set[str]:
    """Images that only rows which are gone named."""
    columns = cut.source.columns
    if columns.image is None:
        return set()
    before: set[str] = set()
    after: set[str] = set()
    for place, part in enumerate(cut.source.parts):
        if not isinstance(part, TablePart):
            continue
        used = part.used(columns)
        before |= used
        if place not in cut.without:
            after |= used
        elif (folder / (part.file or cut.source.opened.subject.name)).exists():
            after |= replace(part, folder=_staged(cut, folder)).used(columns)
    return before - after
