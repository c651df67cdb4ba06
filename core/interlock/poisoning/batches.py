"""The rows that detectors see: batches of features and labels, streamed from the files of a subject.

How each format is read is the business of `interlock.poisoning.reading`; here is what comes out, and in which order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from interlock.gate import Gap, Location, OpenSubject, UsageError
from interlock.gate.progress import counted
from interlock.poisoning.hashing import row_hashes
from interlock.poisoning.sharing import Once

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interlock.poisoning.reading import Part

BATCH_BYTES = 16 * 2**20
"""About this much of float32 features is in one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """What each column of the dataset is.

    The features of a row are one image, one embedding, or several numbers: `image`, `embedding` and `features` exclude
    one another, and without all three every numeric column that is nothing else is a feature.

    Args:
        label: Name of the label column; None where folders or a file of labels give it, or nobody does.
        features: Names of the feature columns in order.
        image: Column of images: paths relative to the file, bytes, or records of both. In an npz file, the array.
        embedding: Column of lists of numbers, all of one length. In an npz file, the array.
        image_shape: Height, width and, for colour, channels. Images are drawn to it; numbers are taken as one image of
            it, row by row with channels last. None for what the images say, or for features that are no image.
        texts: Columns of running text: a document, a prompt, a response; or of conversations, as lists of texts or of
            records with a ``content``.
        source: Column that says who contributed a row; None when nobody kept it.
        id: Column that names a row for people; its place in the dataset does when None.
    """

    label: str | None = None
    features: tuple[str, ...] | None = None
    image: str | None = None
    embedding: str | None = None
    image_shape: tuple[int, ...] | None = None
    texts: tuple[str, ...] = ()
    source: str | None = None
    id: str | None = None

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that are no features and no categories, in a fixed order."""
        single = (self.source, self.id, self.image, self.embedding)
        named = (self.label, *self.texts, *single)
        return tuple(name for name in named if name is not None)

    @property
    def by_default(self) -> bool:
        """True when nobody said which columns are the features."""
        return self.features is None and self.image is None and self.embedding is None

    @property
    def drawn_to(self) -> tuple[int, ...]:
        """The shape that images are drawn to.

        Raises:
            UsageError: Nobody said, and no image was asked yet.
        """
        if self.image_shape is None:
            raise UsageError("images need a shape", where="image_shape", next_step="open the dataset with Source.of")
        return self.image_shape

    def role(self, name: str) -> str:
        """What a named column is: ``label``, ``text``, ``source``, ``id``, ``image`` or ``embedding``."""
        roles = ("label", "source", "id", "image", "embedding")
        return next((role for role in roles if getattr(self, role) == name), "text")

    def __post_init__(self) -> None:
        if self.label == "":
            raise UsageError("the label column needs a name", where="label")
        if self.features is not None and not self.features:
            raise UsageError("the list of feature columns is empty", where="features")
        if self.features is not None and self.label in self.features:
            raise UsageError(f"the label {self.label!r} is also named as a feature", where="features")
        for name in self.named:
            if not name or (*self.named, *(self.features or ())).count(name) > 1:
                raise UsageError(f"column {name!r} is named for two things, or not at all", where="columns")
        given = [name for name in ("features", "image", "embedding") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)} each say what the features of a row are",
                where=given[1],
                next_step="name one of them, and scan a second time with the other",
            )
        self._check_shape()

    def _check_shape(self) -> None:
        shape = self.image_shape
        if shape is None:
            return
        if len(shape) not in (2, 3) or any(not 1 <= side <= 65_536 for side in shape):
            raise UsageError(
                f"an image shape is (height, width) or (height, width, channels), not {shape}",
                where="image_shape",
                next_step="for grey images of 28 by 28 pixels say (28, 28)",
            )
        if self.embedding is not None:
            raise UsageError("an embedding is no image, and has no shape", where="image_shape")


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

    def counts(self) -> dict[str, int]:
        """Rows by value; values that no row has are left out."""
        import numpy as np

        counted = np.bincount(self.codes[self.codes >= 0], minlength=len(self.vocabulary)).tolist()
        return {text: rows for text, rows in zip(self.vocabulary, counted, strict=True) if rows}

    def among(self, names: Sequence[str]) -> NDArray[np.int64]:
        """int64 array (rows,): the values as places in `names`, -1 where there is none."""
        import numpy as np

        places = {text: place for place, text in enumerate(names)}
        table = np.array([places.get(text, -1) for text in self.vocabulary] + [-1], dtype=np.int64)
        return table[self.codes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A row whose image cannot be read. Its features are missing and its label is not counted: nobody looks at it.

    Args:
        row: Its place: in a block, of the block; in a batch, of the dataset.
        name: What names the image for people, untrusted.
        reason: Why.
    """

    row: int
    name: str
    reason: str


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
        unread: The rows whose image cannot be read.
        resized: How many images had another size or colour than the rest.
    """

    features: NDArray[np.float32]
    labels: Sequence[Any]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    sources: Sequence[Any] | None = None
    ids: Sequence[Any] | None = None
    names: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()
    resized: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """The rows of a batch that carry a label; the same arrays for all who ask, so nobody may write to them.

    Args:
        known: bool array (rows,): which rows of the batch they are.
        rows: int64 array (n,): indices in the whole dataset.
        labels: int64 array (n,): positions among the classes.
        features: float32 array (n, d).
    """

    known: NDArray[np.bool_]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    features: NDArray[np.float32]


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
        unread: The rows whose image cannot be read: their features are NaN, their label is -1.
        resized: How many images had another size or colour than the rest.
        shared: What several detectors ask of these rows.
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
    unread: tuple[Unread, ...] = ()
    resized: int = 0
    shared: Once = field(default_factory=Once, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, block: Block, *, start: int, file: int) -> Batch:
        """The rows of `block`, the first of which is row `start` of the dataset, in file number `file`."""
        labels, vocabulary = encode_labels(block.labels)
        labels[[one.row for one in block.unread]] = -1
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
            unread=tuple(replace(one, row=start + one.row) for one in block.unread),
            resized=block.resized,
        )

    @property
    def rows(self) -> NDArray[np.int64]:
        """int64 array (rows,): each row's index in the whole dataset."""
        import numpy as np

        return np.arange(self.start, self.start + len(self.labels), dtype=np.int64)

    def codes(self, classes: Sequence[str]) -> NDArray[np.int64]:
        """int64 array (rows,): labels as positions in `classes`, -1 where there is none."""
        return Coded(codes=self.labels, vocabulary=self.vocabulary).among(classes)

    def labelled(self, classes: tuple[str, ...]) -> Labelled:
        """The rows that carry one of the classes as their label.

        Args:
            classes: Labels as text.
        """

        def found() -> Labelled:
            labels = self.codes(classes)
            known = labels >= 0
            features = self.features if known.all() else self.features[known]
            return Labelled(known=known, rows=self.rows[known], labels=labels[known], features=features)

        return self.shared.get(("labelled", classes), found)

    def keys(self, classes: tuple[str, ...], seed: int) -> NDArray[np.uint64]:
        """uint64 array (n,): content hashes of the rows of `labelled`.

        Args:
            classes: Labels as text.
            seed: Of the hash.
        """
        return self.shared.get(("keys", classes, seed), lambda: row_hashes(self.labelled(classes).features, seed))


class BatchSource(Protocol):
    """A dataset as a scan reads it: several times, from the beginning, with the same rows in the same order."""

    @property
    def name(self) -> str:
        """Of the dataset, for people."""
        ...

    @property
    def columns(self) -> Columns:
        """What its columns are; `image_shape` is there when the features are one image."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Its parts, in order; `Batch.file` is a place among them."""
        ...

    def shown(self, file: str) -> str:
        """The name of one of `files` for people."""
        ...

    def where(self, place: int, row: int) -> Location:
        """Where a row is, for people.

        Args:
            place: Of its part among `files`.
            row: Its place in that part.
        """
        ...

    def batches(self) -> Iterator[Batch]:
        """All rows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The readable files of one opened subject, as one stream of batches.

    Args:
        opened: The held subject.
        columns: Label and features; with the shape that its images are drawn to.
        parts: What is read, in order.
        skipped: Files that hold no rows by convention.
        unread: Files in a format that nobody here reads.
    """

    opened: OpenSubject
    columns: Columns
    parts: tuple[Part, ...]
    skipped: tuple[Gap, ...]
    unread: tuple[Gap, ...]

    @classmethod
    def of(cls, opened: OpenSubject, columns: Columns) -> Source:
        """Sort a subject's files into those that are read and those that are not, and find the shape of its images.

        Raises:
            SubjectError: No file is in a format that can be read, or one of them cannot be.
            UnsafeSubjectError: A path in a manifest leaves the subject.
            UsageError: Images cannot be drawn to the given shape.
        """
        from interlock.poisoning.reading import shaped, sort_files

        found = sort_files(opened, columns)
        return cls(
            opened=opened,
            columns=shaped(found.parts, columns),
            parts=found.parts,
            skipped=found.skipped,
            unread=found.unread,
        )

    @property
    def name(self) -> str:
        """The subject's URI."""
        return self.opened.subject.uri

    @property
    def files(self) -> tuple[str, ...]:
        """The file, or the folder of images, of each part, relative to the subject."""
        return tuple(part.file for part in self.parts)

    @property
    def encoded(self) -> bool:
        """True when reading it decodes pictures."""
        return any(part.encoded(self.columns) for part in self.parts)

    def shown(self, file: str) -> str:
        """The name of `file` for people."""
        return file or self.opened.subject.name

    def where(self, place: int, row: int) -> Location:
        """The file and the row, or the image."""
        image = self.parts[place].image(row)
        return Location(path=image) if image else Location(path=self.shown(self.files[place]), row=row)

    def blocks(self, place: int) -> Iterator[Block]:
        """The rows of part number `place`, in order.

        Raises:
            SubjectError: As `batches`.
        """
        return self.parts[place].blocks(self.columns)

    def batches(self) -> Iterator[Batch]:
        """Read every part, in order. May be called again for a second pass.

        Raises:
            SubjectError: A file cannot be read, lacks a column, or holds text where numbers are needed.
            UnsafeSubjectError: A limit was passed, or a path in a manifest leaves the subject.
        """
        return counted(self._batches(), lambda batch: len(batch.labels))

    def _batches(self) -> Iterator[Batch]:
        start = 0
        for place in range(len(self.parts)):
            for block in self.blocks(place):
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
