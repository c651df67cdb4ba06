"""Which reader reads which file of a subject, and which files nobody reads."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from interlock.gate import DATASET_CARDS, Gap, OpenSubject, SubjectError
from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading import huggingface
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.class_folder import ClassFolder
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.huggingface import Shards
from interlock.poisoning.reading.idx import NAME, IdxPart
from interlock.poisoning.reading.images import IMAGE_SUFFIXES
from interlock.poisoning.reading.npz import NpzPart
from interlock.poisoning.reading.table import FORMS, TablePart

MAGICS = {b"PAR1": ".parquet", b"ARROW1": ".arrow", b"PK\x03\x04": ".npz"}
SNIFFED = 4096
"""Bytes of a file without an ending by which it is told what it is."""

READABLE = "Parquet, Arrow, CSV, JSONL, npz, IDX or images"


class Part(Protocol):
    """A piece of the dataset that one reader reads: a file, a pair of files, or a folder of images."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def file(self) -> str:
        """The file or the folder, relative to the subject; empty when it is the subject."""
        ...

    def held(self, columns: Columns, /) -> tuple[str, ...]:
        """Every file that reading it may open, relative to the subject."""
        ...

    def blocks(self, columns: Columns, /) -> Iterator[Block]:
        """Its rows, in order."""
        ...

    def encoded(self, columns: Columns, /) -> bool:
        """True when reading it decodes pictures."""
        ...

    def image(self, row: int, /) -> str:
        """The file that is row `row` by itself, relative to the subject; empty when rows share a file."""
        ...

    def left_out(self, columns: Columns, /) -> tuple[str, ...]:
        """What in it nobody looks at, in words."""
        ...

    def census(self, columns: Columns, /) -> Census:
        """The sizes of its pictures."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The files of a subject.

    Args:
        parts: What is read, in order of name.
        skipped: Files that hold no rows by convention, or that no manifest names.
        unread: Files in a format that nobody here reads.
    """

    parts: tuple[Part, ...]
    skipped: tuple[Gap, ...]
    unread: tuple[Gap, ...]


def sort_files(opened: OpenSubject, columns: Columns) -> Sorted:
    """Sort a subject's files.

    Args:
        opened: The held subject.
        columns: With an image column, images belong to the tables that name them; without, to their folders.

    Raises:
        SubjectError: No file is in a format that can be read.
    """
    cards = huggingface.shards(opened)
    folder = Folder.of(opened)
    tables: list[Part] = []
    images: list[str] = []
    skipped: list[Gap] = []
    unread: list[Gap] = []
    for file in opened.files:
        shown = file or opened.subject.name
        part = _part(file, shown, opened, folder, cards)
        if file in DATASET_CARDS or any(file in found.cards for found in cards.values()):
            continue  # it speaks of the data and holds no rows; the gate `data-validation` reads some of them
        if gap := _no_shard(file, cards):
            (skipped if gap.reason.startswith("a cache") else unread).append(gap)
        elif part is not None:
            tables.append(part)
        elif _suffix(file, opened) in IMAGE_SUFFIXES:
            images.append(file)
        elif _is_labels(file, opened):
            continue  # read with its images, or named below
        elif posixpath.basename(shown).startswith(("_", ".")):  # Hive, Spark and pandas leave such files out
            skipped.append(Gap(path=file, reason="a name that begins with _ or . holds no rows by convention"))
        else:
            unread.append(Gap(path=shown, reason=f"not {READABLE}: nobody looked for rows in it"))
    unread += _lonely_labels(opened)
    if columns.image is not None and tables:
        skipped += _unnamed(images, tables, columns)
    else:
        tables.extend(_class_folders(images, folder, opened))
    if not tables:
        raise SubjectError(
            f"no file here is {READABLE}",
            where=opened.subject.uri,
            next_step="give such a file, or a folder of them",
        )
    return Sorted(parts=tuple(sorted(tables, key=lambda part: part.name)), skipped=tuple(skipped), unread=tuple(unread))


def _part(
    file: str, shown: str, opened: OpenSubject, folder: Folder, cards: Mapping[str, Shards]
) -> TablePart | NpzPart | IdxPart | None:
    """The reader of a file that holds rows by itself."""
    suffix = _suffix(file, opened)
    if suffix in FORMS:
        found = cards.get(posixpath.dirname(file))
        return TablePart(name=shown, file=file, suffix=suffix, folder=folder, names=found.names if found else {})
    if suffix == ".npz":
        return NpzPart(name=shown, file=file, folder=folder)
    idx = NAME.match(shown)
    if idx is None or idx["what"] != "images":
        return None
    beside = next((other for other in opened.files if _stem(other) == (idx["stem"], "labels")), None)
    return IdxPart(name=shown, file=file, labels=beside, folder=folder)


def _suffix(file: str, opened: OpenSubject) -> str:
    """The file's ending; one file alone that has none (an artifact of Kubeflow has none) is told by its content."""
    named = PurePosixPath(file or opened.subject.name or opened.path.name).suffix.lower()
    return named or ("" if file else _told_by(opened.path))


def _told_by(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(SNIFFED)
    for magic, suffix in MAGICS.items():
        if head.startswith(magic):
            return suffix
    line = head.split(b"\n", 1)[0]
    if b"\0" in head or not line.strip():
        return ""
    return ".jsonl" if line.lstrip().startswith(b"{") else ".csv" if b"," in line else ""


def _stem(file: str) -> tuple[str, str] | None:
    found = NAME.match(file)
    return None if found is None else (found["stem"], found["what"])


def _is_labels(file: str, opened: OpenSubject) -> bool:
    return (_stem(file or opened.subject.name) or ("", ""))[1] == "labels"


def _lonely_labels(opened: OpenSubject) -> list[Gap]:
    """Files of labels that no file of images claims."""
    stems = [(file, _stem(file or opened.subject.name)) for file in opened.files]
    images = {found[0] for _, found in stems if found is not None and found[1] == "images"}
    return [
        Gap(path=file or opened.subject.name, reason="labels without their images")
        for file, found in stems
        if found is not None and found[1] == "labels" and found[0] not in images
    ]


def _no_shard(file: str, cards: Mapping[str, Shards]) -> Gap | None:
    """Why an Arrow file beside `state.json` is no shard of the dataset; None when it is, or without such a card."""
    found = cards.get(posixpath.dirname(file))
    if found is None or not file.endswith(".arrow") or file in found.listed:
        return None
    if posixpath.basename(file).startswith("cache-"):
        return Gap(path=file, reason="a cache of the package `datasets`, not among the shards in state.json")
    return Gap(path=file, reason="not among the shards in state.json: nobody looked for rows in it")


def _unnamed(images: list[str], tables: list[Part], columns: Columns) -> list[Gap]:
    """One gap for the images that no manifest names."""
    used: set[str] = set()
    for part in tables:
        if isinstance(part, TablePart):
            used |= part.used(columns)
    left = [file for file in images if file not in used]
    if not left:
        return []
    others = f" (and {len(left) - 1} other images)" if len(left) > 1 else ""
    return [Gap(path=left[0], reason=f"no row of a manifest names this image{others}")]


def _class_folders(images: list[str], folder: Folder, opened: OpenSubject) -> list[ClassFolder]:
    """Images by their folder."""
    by_folder: dict[str, list[str]] = {}
    for file in images:
        by_folder.setdefault(posixpath.dirname(file), []).append(file)
    if set(by_folder) == {""}:
        raise SubjectError(
            "the images lie in no class folder, and nothing else gives their labels",
            where=opened.subject.uri,
            next_step="put each class into a folder of its name, or name the columns `image` and `label` of a manifest",
        )
    return [ClassFolder(file=name, folder=folder, images=tuple(sorted(files))) for name, files in by_folder.items()]
