"""The rows that detectors see: batches of features and labels, streamed from the files of a subject.

Parquet is read row group by row group and CSV block by block through pyarrow; npz is read array by array, without
pickles. Everything here is untrusted content: what cannot be read is a `SubjectError` that names the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import DATASET_CARDS, Gap, OpenSubject, SubjectError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_BYTES = 16 * 2**20
"""About this much of float32 features is in one batch."""

READABLE = (".parquet", ".csv", ".npz")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What each column of the dataset is.

    Args:
        label: Name of the label column.
        features: Names of the feature columns in order; every numeric column that is nothing else when None.
        image_shape: Height, width and, for colour, channels, when the features of a row are one image; else None.
        texts: Columns of running text: a document, a prompt, a response.
        source: Column that says who contributed a row; None when nobody kept it.
        id: Column that names a row for people; its place in the dataset does when None.
    """

    label: str
    features: tuple[str, ...] | None = None
    image_shape: tuple[int, ...] | None = None
    texts: tuple[str, ...] = ()
    source: str | None = None
    id: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that are no features and no categories, in a fixed order."""
        return (self.label, *self.texts, *(name for name in (self.source, self.id) if name is not None))

    def role(self, name: str) -> str:
        """What a named column is: ``label``, ``text``, ``source`` or ``id``."""
        return {self.label: "label", self.source: "source", self.id: "id"}.get(name, "text")

    def __post_init__(self) -> None:
        if not self.label:
            raise UsageError("the label column needs a name", where="label")
        if self.features is not None and not self.features:
            raise UsageError("the list of feature columns is empty", where="features")
        if self.features is not None and self.label in self.features:
            raise UsageError(f"the label {self.label!r} is also named as a feature", where="features")
        for name in self.named:
            if not name or (*self.named, *(self.features or ())).count(name) > 1:
                raise UsageError(f"column {name!r} is named for two things, or not at all", where="columns")
        shape = self.image_shape
        if shape is not None and (len(shape) not in (2, 3) or any(not 1 <= side <= 65_536 for side in shape)):
            raise UsageError(
                f"an image shape is (height, width) or (height, width, channels), not {shape}",
                where="image_shape",
                next_step="for grey images of 28 by 28 pixels say (28, 28)",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """A column of few different texts, each told by its place in a vocabulary.

    Args:
        codes: int64 array (rows,): places in `vocabulary`, -1 where the file gives nothing.
        vocabulary: The texts, unverified, in no order.
    """

    codes: NDArray[np.int64]
    vocabulary: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[Any]) -> Coded:
        """Values of any kind by their text; 3, 3.0 and "3" are one."""
        codes, vocabulary = encode_labels(values)
        return cls(codes=codes, vocabulary=vocabulary)

    def among(self, names: Sequence[str]) -> NDArray[np.int64]:
        """int64 array (rows,): the values as places in `names`, -1 where there is none."""
        import numpy as np

        places = {text: place for place, text in enumerate(names)}
        table = np.array([places.get(text, -1) for text in self.vocabulary] + [-1], dtype=np.int64)
        return table[self.codes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some rows of one file, as it gives them.

    Args:
        features: float32 array (rows, d); what the file does not give is NaN, what is infinite stays so.
        labels: One value of any kind per row, None where there is none.
        texts: By column: one text per row, empty where there is none. Unverified.
        categories: By column: one text per row, None where there is none. Unverified.
        sources: Who contributed each row; None when no column says so.
        ids: What names each row; None when no column does.
        names: Of the features, in order, unverified; empty when nothing names them.
    """

    features: NDArray[np.float32]
    labels: Sequence[Any]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    sources: Sequence[Any] | None = None
    ids: Sequence[Any] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of the dataset, in file order.

    Args:
        start: Index of the first row in the whole dataset.
        file: Place of its file among the files of the dataset.
        features: float32 array (rows, d); what the file does not give is NaN, what is infinite stays so.
        labels: int64 array (rows,) of positions in `vocabulary`, -1 where the file gives no label.
        vocabulary: The labels of this batch as text, unverified.
        texts: By column of running text: one text per row, empty where there is none. Unverified.
        categories: By column of text that is neither a label nor running text: its values.
        sources: Who contributed each row; None when no column says so.
        ids: What names each row for people; empty when no column does.
        names: Of the features, in order, unverified; empty when nothing names them.
    """

    start: int
    file: int
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    categories: Mapping[str, Coded] = field(default_factory=dict)
    sources: Coded | None = None
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, block: Block, *, start: int, file: int) -> Batch:
        """The rows of `block`, the first of which is row `start` of the dataset, in file number `file`."""
        labels, vocabulary = encode_labels(block.labels)
        return cls(
            start=start,
            file=file,
            features=block.features,
            labels=labels,
            vocabulary=vocabulary,
            texts=block.texts,
            categories={name: Coded.of(values) for name, values in block.categories.items()},
            sources=None if block.sources is None else Coded.of(block.sources),
            ids=() if block.ids is None else tuple(label_text(value) or "" for value in block.ids),
            names=block.names,
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """int64 array (rows,): each row's index in the whole dataset."""
        import numpy as np

        return np.arange(self.start, self.start + len(self.labels), dtype=np.int64)

    def codes(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """int64 array (rows,): labels as positions in `classes`, -1 where there is none."""
        return Coded(codes=self.labels, vocabulary=self.vocabulary).among(classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The readable files of one opened subject, as one stream of batches.

    Args:
        opened: The held subject.
        columns: Label and features.
        files: Paths relative to the subject that are read, sorted.
        skipped: Files that hold no rows by convention.
        unread: Files in a format that nobody here reads.
    """

    opened: OpenSubject
    columns: Columns
    files: tuple[str, ...]
    skipped: tuple[Gap, ...]
    unread: tuple[Gap, ...]

    @classmethod
    def of(cls, opened: OpenSubject, columns: Columns) -> Source:
        """Sort a subject's files into those that are read and those that are not.

        Raises:
            SubjectError: No file is in a format that can be read.
        """
        files, skipped, unread = [], [], []
        for file in opened.files:
            if file in DATASET_CARDS:
                continue  # it speaks of the data and holds no rows; the gate `data-validation` reads it
            name = Path(file or opened.subject.name).name
            if Path(file or opened.subject.name or opened.path.name).suffix.lower() in READABLE:
                files.append(file)
            elif name.startswith(("_", ".")):  # Hive, Spark and pandas leave such files out when they read a folder
                skipped.append(Gap(path=file, reason="a name that begins with _ or . holds no rows by convention"))
            else:
                reason = f"not one of {', '.join(READABLE)}: nobody looked for rows in it"
                unread.append(Gap(path=file or opened.subject.name, reason=reason))
        if not files:
            raise SubjectError(
                "no file here is Parquet, CSV or npz",
                where=opened.subject.uri,
                next_step="give a .parquet, .csv or .npz file, or a folder of them",
            )
        return cls(
            opened=opened, columns=columns, files=tuple(sorted(files)), skipped=tuple(skipped), unread=tuple(unread)
        )

    def shown(self, file: str) -> str:
        """The name of `file` for people."""
        return file or self.opened.subject.name

    def batches(self) -> Iterator[Batch]:
        """Read every file, in order. May be called again for a second pass.

        Raises:
            SubjectError: A file cannot be read, lacks a column, or holds text where numbers are needed.
        """
        from interlock.poisoning.formats import read_file

        start = 0
        for place, file in enumerate(self.files):
            for block in read_file(self.opened.path / file, self.shown(file), self.columns):
                yield Batch.of(block, start=start, file=place)
                start += len(block.labels)


def encode_labels(labels: Sequence[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Labels as positions in a small vocabulary of their texts; what is missing is -1."""
    import numpy as np

    places: dict[str, int] = {}
    codes = np.empty(len(labels), dtype=np.int64)
    known: dict[Any, int] = {}
    for row, label in enumerate(labels):
        code = known.get(label)
        if code is None:
            text = label_text(label)
            code = known[label] = -1 if text is None else places.setdefault(text, len(places))
        codes[row] = code
    return codes, tuple(places)


def label_text(label: Any) -> str | None:
    """One spelling for one label, so that 3, 3.0 and "3" are the same class; None for what is missing."""
    if label is None or (isinstance(label, float) and not math.isfinite(label)):
        return None
    if isinstance(label, bytes):
        return label.decode("utf-8", errors="replace")
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)
