"""A first draft of a suite, read off a trusted snapshot, for a person to edit.

Nothing here is statistics: each expectation states what the snapshot showed, with a note saying so, and holds on the
snapshot itself. What looks like chance (a float that happens never to repeat, a set of values seen once each) is left
out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import Json, OpenSubject, SubjectError, SubjectNotFoundError, UsageError
from interlock.validation.reading import read_table
from interlock.validation.table import ReadOptions

if TYPE_CHECKING:
    import pandas

_ENOUGH_ROWS = 20
"""With fewer rows, never repeating and having few values are both chance."""

_ROWS_A_CATEGORY = 5
"""Mean number of rows that each value of a category must have had in the snapshot."""

_PLAIN_TYPES = frozenset(
    {"bool", "str", "object"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
    | {f"float{bits}" for bits in (16, 32, 64)}
)
"""dtypes that Great Expectations 1.24 recognises under the name that pandas gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftOptions:
    """How far the draft reaches.

    Args:
        margin: Widens numeric ranges by this fraction of the observed span on both sides.
        max_categories: A column with more distinct values is no category.
    """

    margin: float = 0.0
    max_categories: int = 20

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise UsageError(f"margin is a fraction of at least 0, not {self.margin!r}", where="margin")
        if self.max_categories < 0:
            raise UsageError("max_categories is at least 0", where="max_categories")


def suggest(
    data: str | Path | OpenSubject | pandas.DataFrame,
    *,
    name: str = "",
    margin: float = 0.0,
    max_categories: int = 20,
    read: ReadOptions | None = None,
) -> dict[str, Json]:
    """Draft a suite from a trusted snapshot.

    The draft quotes the snapshot: least and greatest numbers, and the values of columns with few distinct ones. Read
    it before it is shared.

    Args:
        data: Path of a Parquet or CSV file or of a folder of them, an opened subject, or a DataFrame.
        name: Name of the suite; that of the data when not given.
        margin: Widens numeric ranges by this fraction of the observed span on both sides.
        max_categories: A column with more distinct values is no category.
        read: How to read a path.

    Returns:
        The JSON document that Great Expectations saves for a suite, in a stable order.

    Raises:
        SubjectNotFoundError: Nothing is at that path.
        SubjectError: The data cannot be read, has no row, or has a column without a name.
        UsageError: An option is out of range.
    """
    options = DraftOptions(margin=margin, max_categories=max_categories)
    frame, source = _load(data, read or ReadOptions())
    if "" in frame.columns:
        raise SubjectError("a column has no name, so no expectation can speak of it", where=source, next_step="name it")
    if not len(frame):
        raise SubjectError("the snapshot has no row to learn from", where=source)
    drafted = [*_about_table(frame), *(item for column in frame.columns for item in _about(frame[column], options))]
    return {
        "name": name or source,
        "expectations": drafted,
        "meta": {
            "great_expectations_version": metadata.version("great-expectations"),
            "interlock": {"drafted_from": source, "rows": len(frame), "margin": margin},
        },
        "notes": "Drafted by interlock from a trusted snapshot. Read it, loosen what may change, tighten what may not.",
    }


def _load(data: str | Path | OpenSubject | pandas.DataFrame, read: ReadOptions) -> tuple[pandas.DataFrame, str]:
    if isinstance(data, OpenSubject):
        return read_table(data.path, data.files, name=data.subject.name, options=read).frame, data.subject.name
    if not isinstance(data, str | Path):
        bad = next((column for column in data.columns if not isinstance(column, str)), None)
        if bad is not None or data.columns.has_duplicates:
            raise SubjectError("the columns need distinct text names", where="DataFrame")
        return data.reset_index(drop=True), "DataFrame"
    path = Path(data)
    if not path.exists():
        raise SubjectNotFoundError(
            "nothing is there", where=str(path), next_step="give a Parquet or CSV file or folder"
        )
    files: tuple[str, ...] = ("",)
    if path.is_dir():
        files = tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
    return read_table(path, files, name=path.name, options=read).frame, path.name


def _expectation(kind: str, why: str, **kwargs: Json) -> dict[str, Json]:
    return {"type": kind, "kwargs": kwargs, "meta": {}, "notes": why, "severity": "critical"}


def _about_table(frame: pandas.DataFrame) -> Iterator[dict[str, Json]]:
    rows = len(frame)
    yield _expectation(
        "expect_table_columns_to_match_set",
        f"the snapshot had exactly these {len(frame.columns)} columns",
        column_set=[str(column) for column in frame.columns],
        exact_match=True,
    )
    yield _expectation(
        "expect_table_row_count_to_be_between",
        f"the snapshot had {rows} rows; half to double of that",
        min_value=max(1, rows // 2),
        max_value=2 * rows,
    )


def _about(values: pandas.Series[Any], options: DraftOptions) -> Iterator[dict[str, Json]]:
    """Everything about one column: type, nulls, then one statement on its values, then uniqueness."""
    column, kind, rows = str(values.name), str(values.dtype), len(values)
    present = values.dropna()
    if kind in _PLAIN_TYPES and (kind != "object" or _is_text(present)):
        yield _expectation("expect_column_values_to_be_of_type", f"pandas read it as {kind}", column=column, type_=kind)
    if present.empty:
        yield _expectation("expect_column_values_to_be_null", "it was empty in the snapshot", column=column)
        return
    yield from _about_nulls(column, present_rows=len(present), rows=rows)
    distinct = _distinct(present)
    if distinct is not None and _is_category(present, len(distinct), options):
        yield _expectation(
            "expect_column_values_to_be_in_set",
            f"only these {len(distinct)} values in {rows} rows",
            column=column,
            value_set=distinct,
        )
        return
    yield from _about_extent(column, present, options)
    if distinct is not None and len(distinct) == len(present) >= _ENOUGH_ROWS:
        yield _expectation(
            "expect_column_values_to_be_unique", f"no value came twice in {len(present)} rows", column=column
        )


def _about_nulls(column: str, *, present_rows: int, rows: int) -> Iterator[dict[str, Json]]:
    kind = "expect_column_values_to_not_be_null"
    if present_rows == rows:
        yield _expectation(kind, f"no null in {rows} rows", column=column)
    elif mostly := math.floor(1000 * present_rows / rows) / 1000:
        why = f"{rows - present_rows} of {rows} rows were null"
        yield _expectation(kind, why, column=column, mostly=mostly)


def _distinct(present: pandas.Series[Any]) -> list[Json] | None:
    """Sorted distinct values of whole numbers, texts and booleans; None for everything else."""
    from pandas.api import types

    of = present.cat.categories.dtype if str(present.dtype) == "category" else present.dtype
    if types.is_bool_dtype(of) or types.is_integer_dtype(of):
        return sorted(value.item() if hasattr(value, "item") else value for value in present.unique())
    if _is_text(present):
        texts: list[Json] = [*sorted({str(value) for value in present.unique()})]
        return texts
    return None


def _is_text(present: pandas.Series[Any]) -> bool:
    from pandas.api import types

    return types.infer_dtype(present, skipna=True) == "string" or (
        str(present.dtype) == "category" and types.infer_dtype(present.cat.categories) == "string"
    )


def _is_category(present: pandas.Series[Any], distinct: int, options: DraftOptions) -> bool:
    from pandas.api import types

    if types.is_bool_dtype(present.dtype):
        return True
    return (
        distinct <= options.max_categories
        and len(present) >= _ENOUGH_ROWS
        and distinct * _ROWS_A_CATEGORY <= len(present)
    )


def _about_extent(column: str, present: pandas.Series[Any], options: DraftOptions) -> Iterator[dict[str, Json]]:
    from pandas.api import types

    if _is_text(present):
        lengths = present.astype(str).str.len()
        least, most = int(lengths.min()), int(lengths.max())
        yield _expectation(
            "expect_column_value_lengths_to_be_between",
            f"texts were {least} to {most} characters long",
            column=column,
            min_value=least,
            max_value=most,
        )
        return
    if types.is_datetime64_any_dtype(present.dtype):
        bounds = _moments(present)
    elif types.is_numeric_dtype(present.dtype) and not types.is_bool_dtype(present.dtype):
        bounds = _numbers(present, options.margin)
    else:
        bounds = None
    if bounds is not None:
        yield _expectation(
            "expect_column_values_to_be_between",
            f"observed least and greatest value{f', widened by {options.margin:g} of the span' * bool(options.margin)}",
            column=column,
            min_value=bounds[0],
            max_value=bounds[1],
        )


def _numbers(present: pandas.Series[Any], margin: float) -> tuple[Json, Json] | None:
    """Least and greatest number. Great Expectations keeps bounds as floats, so large whole numbers are rounded out."""
    least, most = present.min().item(), present.max().item()
    if isinstance(least, complex) or not (math.isfinite(least) and math.isfinite(most)):
        return None
    spare = margin * (float(most) - float(least))
    low, high = float(least) - spare, float(most) + spare
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    low = math.nextafter(low, -math.inf) if low > least else low
    high = math.nextafter(high, math.inf) if high < most else high
    if isinstance(least, int) and isinstance(most, int) and max(-low, high) < 2**53:
        return math.floor(low), math.ceil(high)
    return low, high


def _moments(present: pandas.Series[Any]) -> tuple[Json, Json] | None:
    """First and last moment, rounded out to microseconds, which is what Great Expectations compares with."""
    try:
        first: datetime = present.min().floor("us").to_pydatetime(warn=False)
        last: datetime = present.max().ceil("us").to_pydatetime(warn=False)
    except (ValueError, OverflowError):
        return None  # outside of the years that a datetime can hold
    return first.isoformat(timespec="microseconds"), last.isoformat(timespec="microseconds")
