"""The sealed set: rows for the code that predicts, labels and slices for us.

The code gets the rows without the label and without the columns that only say to which slice a row belongs, in an
order that says nothing (a set that is sorted by class would give its labels away). Which set it has to be is said in
policy data, not here: whoever asks for the evaluation only names a place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import OpenSubject, Subject, SubjectError, UsageError

if TYPE_CHECKING:
    import pandas

MISSING = "(missing)"
"""The slice of rows that have no value in the slice's column."""


class Task(Enum):
    """What the model predicts."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the columns of the set are.

    Args:
        label: Column of what is to be predicted.
        slices: Columns whose values split the rows into groups that are judged apart.
        features: Columns that the code gets; None for all but the label and the slices.
        task: What kind of label it is.
    """

    label: str
    slices: tuple[str, ...]
    features: tuple[str, ...] | None
    task: Task

    def __post_init__(self) -> None:
        if not self.label:
            raise UsageError("the label column needs a name", where="label")
        if self.label in self.slices:
            raise UsageError("the label is no slice: each class is judged apart anyway", where="slices")
        if self.features is not None and self.label in self.features:
            raise UsageError(
                "the code that predicts must not get the label", where="features", next_step="leave it out"
            )
        if self.features is not None and not self.features:
            raise UsageError("the list of feature columns is empty", where="features")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSet:
    """A set whose labels were taken away, in the order in which the code gets the rows.

    Args:
        features: What the code gets.
        labels: Of each row.
        slices: By column, the value of each row as text.
        suffix: Of the file that the code gets: as the set's own.
    """

    features: pandas.DataFrame
    labels: tuple[Any, ...]
    slices: Mapping[str, tuple[str, ...]]
    suffix: str

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.labels)

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that the code gets."""
        return tuple(map(str, self.features.columns))

    def write(self, folder: Path) -> OpenSubject:
        """Write what the code gets.

        Args:
            folder: Private and empty.
        """
        path = folder / f"rows{self.suffix}"
        if self.suffix == ".csv":
            self.features.to_csv(path, index=False)
        else:
            self.features.to_parquet(path, engine="pyarrow", index=False)
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        path.chmod(0o400)
        return OpenSubject(subject=Subject(name=path.name, uri="", digest=digest), path=path, files=("",))


def open_set(opened: OpenSubject, plan: Plan) -> SealedSet:
    """Read a held set and take its labels away.

    Args:
        opened: The set: Parquet or CSV, a file or a folder; its content is untrusted.
        plan: What its columns are.

    Raises:
        SubjectError: It cannot be read, has no rows, lacks a column or the label of a row.
        UnsafeSubjectError: It is too large to be read into memory.
    """
    import numpy as np

    frame, suffix = table_of(opened)
    where = opened.subject.name
    _check_columns(list(map(str, frame.columns)), plan, where)
    if not len(frame):
        raise SubjectError("the evaluation set has no rows", where=where)
    if frame[plan.label].isna().any():
        row = int(np.flatnonzero(frame[plan.label].isna())[0])
        raise SubjectError(f"row {row} of the evaluation set has no label", where=f"{where}, column {plan.label}")
    order = np.random.default_rng(int(opened.subject.digest[:16], 16)).permutation(len(frame))
    frame = frame.iloc[order].reset_index(drop=True)
    hidden = {plan.label, *plan.slices}
    shown = list(plan.features or [name for name in frame.columns if name not in hidden])
    if not shown:
        raise SubjectError(
            "nothing is left for the code to predict from", where=where, next_step="name the columns with `features`"
        )
    return SealedSet(
        features=frame[shown],
        labels=tuple(frame[plan.label].tolist()),
        slices={name: _texts(frame[name]) for name in plan.slices},
        suffix=suffix,
    )


def table_of(opened: OpenSubject) -> tuple[pandas.DataFrame, str]:
    """A held dataset as one table, and whether it is ``.csv`` or ``.parquet``.

    Raises:
        SubjectError, UnsafeSubjectError: It is no table that can be read.
    """
    from interlock.validation.reading import CSV_SUFFIXES, read_table
    from interlock.validation.table import ReadOptions

    table = read_table(opened.path, opened.files, name=opened.subject.name, options=ReadOptions())
    first = table.parts[0].path or opened.subject.name
    return table.frame, ".csv" if Path(first).suffix.lower() in CSV_SUFFIXES else ".parquet"


def _check_columns(names: Sequence[str], plan: Plan, where: str) -> None:
    for column in (plan.label, *plan.slices, *(plan.features or ())):
        if column not in names:
            raise SubjectError(
                f"the evaluation set has no column {column!r}",
                where=where,
                next_step=f"its columns are {', '.join(names[:20])}",
            )


def _texts(column: Any) -> tuple[str, ...]:
    from interlock.poisoning.batches import label_text

    return tuple(MISSING if (text := label_text(value)) is None else text for value in column.tolist())
