"""How much of an untrusted dataset is held at once, and the errors that every format raises alike."""

from __future__ import annotations

from collections.abc import Sequence

from interlock.gate import SubjectError, UnsafeSubjectError
from interlock.poisoning.batches import BATCH_BYTES, Columns

MAX_FEATURES = 262_144
MAX_BLOCK_ROWS = 65_536
MAX_SHOWN = 80
"""Characters of an untrusted name in a message."""


def rows_per_block(width: int) -> int:
    """How many rows of `width` float32 features are read at once.

    Args:
        width: Number of features.
    """
    return min(MAX_BLOCK_ROWS, max(64, BATCH_BYTES // (4 * max(1, width))))


def check_width(width: int, shown: str, columns: Columns) -> None:
    """Refuse rows that are too wide, or that are no image of the shape that was named.

    Args:
        width: Number of features of a row.
        shown: The file's name for people.
        columns: With the image shape.

    Raises:
        UnsafeSubjectError: More than `MAX_FEATURES`.
        SubjectError: They are no such image.
    """
    if width > MAX_FEATURES:
        raise UnsafeSubjectError(
            f"{width} features are more than {MAX_FEATURES}",
            where=shown,
            next_step="name fewer with `features`, or scan embeddings of the rows",
        )
    if columns.image_shape is not None and values_in(columns.image_shape) != width:
        raise SubjectError(
            f"{width} feature columns are no {shape_text(columns.image_shape)} image, which has "
            f"{values_in(columns.image_shape)} values",
            where=shown,
            next_step="correct `image_shape`, or name the pixel columns with `features`",
        )


def values_in(shape: Sequence[int]) -> int:
    """How many values an image of this shape has."""
    values = 1
    for side in shape:
        values *= side
    return values


def shape_text(shape: Sequence[int]) -> str:
    """``28x28``, ``32x32x3``."""
    return "x".join(str(side) for side in shape)


def no_column(name: str, role: str, have: Sequence[str], shown: str) -> SubjectError:
    """The error for a column that is not there.

    Args:
        name: The column.
        role: What it was named as: ``label``, ``feature``.
        have: The columns that are there, unverified.
        shown: The file's name for people.
    """
    some = ", ".join(short(one) for one in have[:8]) + (", ..." if len(have) > 8 else "")
    return SubjectError(f"there is no {role} column {name!r}", where=shown, next_step=f"the file has {some}")


def short(text: str, most: int = MAX_SHOWN) -> str:
    """An untrusted name, cut for a message to at most so many characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def first_line(error: BaseException) -> str:
    """The first line of what a library says, or its class where it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return short(lines[0].rstrip(". "))
