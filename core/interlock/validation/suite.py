"""Suites as documents: what a suite file says, checked before Great Expectations sees it.

Great Expectations drops an expectation whose type it does not know with a line in the log, and accepts expectations
that can only pass. So the document is read here, strictly, and what cannot fail is named. Which types and arguments
exist is Great Expectations' own knowledge and is asked in `interlock.validation.engine`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from interlock.gate import Json, UsageError
from interlock.gate.documents import canonical_json, digest_of, unambiguous_json

MAX_SUITE_BYTES = 16 * 2**20
"""A suite is written by people and tools for people; nothing near this size is one."""

_SUITE_KEYS = frozenset({"name", "id", "expectations", "suite_parameters", "meta", "notes"})
_EXPECTATION_KEYS = frozenset(
    {"type", "kwargs", "meta", "notes", "description", "id", "severity", "rendered_content", "windows"}
)
_SEVERITIES = ("critical", "warning", "info")
_REPORTING_KWARGS = frozenset({"result_format", "catch_exceptions"})
"""How Great Expectations answers, not what is demanded: the gate sets both itself."""

_DEMANDED_BY = {
    "expect_column_distinct_values_to_contain_set": ("value_set",),
    "expect_column_kl_divergence_to_be_less_than": ("threshold",),
    "expect_column_values_to_be_in_type_list": ("type_list",),
    "expect_column_values_to_match_regex": ("regex",),
    "expect_column_values_to_not_be_in_set": ("value_set",),
    "expect_table_columns_to_match_ordered_list": ("column_list",),
    "expect_table_columns_to_match_set": ("column_set",),
}
"""Tried on Great Expectations 1.24.1: without these arguments the type accepts every table."""


class JsonSuite(Protocol):
    """An `ExpectationSuite` from code, seen through the one method that is needed here."""

    def to_json_dict(self) -> dict[str, Any]:
        """The document that Great Expectations would save."""
        ...


SuiteSource: TypeAlias = str | Path | Mapping[str, Json] | JsonSuite
"""Path of a suite file, the suite as a mapping, or an `ExpectationSuite`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectationSpec:
    """One expectation as the suite says it.

    Args:
        position: Zero-based place in the suite.
        type: For example ``expect_column_values_to_not_be_null``.
        kwargs: Its arguments, JSON values.
        severity: ``critical``, ``warning`` or ``info``, as Great Expectations names them.
        where: For messages: the suite and the place in it.
    """

    position: int
    type: str
    kwargs: Mapping[str, Json]
    severity: str
    where: str

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns whose values it is about; empty for expectations about the table."""
        if self.type.startswith("expect_table_"):
            return ()
        single = (self.kwargs.get(name) for name in ("column", "column_A", "column_B"))
        several = self.kwargs.get("column_list")
        listed = several if isinstance(several, Sequence) and not isinstance(several, str) else ()
        return tuple(column for column in (*single, *listed) if isinstance(column, str))

    @property
    def mostly(self) -> float:
        """The fraction of values that must satisfy it."""
        value = self.kwargs.get("mostly", 1.0)
        return float(value) if isinstance(value, int | float) else 1.0

    @property
    def cannot_fail(self) -> str:
        """Why no table could ever fail it, or empty."""
        if self.mostly <= 0:
            return "mostly is 0"
        demanded: tuple[str, ...] = _DEMANDED_BY.get(self.type, ())
        if not demanded and self.type.endswith("_to_be_between") and "quantile" not in self.type:
            demanded = ("min_value", "max_value")
        if demanded and all(self.kwargs.get(name) in (None, "", [], {}) for name in demanded):
            return f"it gives no {' and no '.join(demanded)}"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite that was read and is well formed.

    Args:
        name: As in the document.
        digest: sha256 over the canonical JSON of the whole document, wherever it came from.
        expectations: In the document's order.
    """

    name: str
    digest: str
    expectations: tuple[ExpectationSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequiredExpectation:
    """An expectation that must be in the suite and must really be demanded, whoever edits the suite.

    Args:
        type: Expectation type.
        column: Column it must be about; empty means any.
        mostly: Least fraction of values that it must demand.
    """

    type: str
    column: str = ""
    mostly: float = 1.0

    @classmethod
    def parse(cls, text: str) -> RequiredExpectation:
        """Read ``<type>``, ``<type>:<column>`` or ``<type>:<column>@<mostly>``.

        Raises:
            UsageError: The text has another shape.
        """
        kind, _, rest = text.partition(":")
        column, mostly = rest, 1.0
        if found := re.fullmatch(r"(.*)@(0?\.\d+|0|1(?:\.0+)?)", rest):
            column, mostly = found.group(1), float(found.group(2))
        if not re.fullmatch(r"[a-z][a-z0-9_]*", kind) or (":" in text and not column):
            raise UsageError(
                f"a required expectation is <type>:<column>, not {text!r}",
                where="required",
                next_step="for example expect_column_values_to_not_be_null:label",
            )
        return cls(type=kind, column=column, mostly=mostly)

    def is_met_by(self, spec: ExpectationSpec) -> bool:
        """True when `spec` demands this of the whole table; a `row_condition` would exempt rows."""
        return (
            spec.type == self.type
            and (not self.column or self.column in spec.columns)
            and not spec.kwargs.get("row_condition")
            and spec.mostly >= self.mostly
            and not spec.cannot_fail
        )

    def __str__(self) -> str:
        column = f":{self.column}" if self.column else ""
        return f"{self.type}{column}" + (f"@{self.mostly:g}" if self.mostly < 1 else "")


def load_suite(source: SuiteSource) -> Suite:
    """Read a suite from a file, a mapping or an `ExpectationSuite`.

    Args:
        source: Trusted to be the suite that the pipeline's owner wrote; everything in it is still checked.

    Raises:
        UsageError: The file is missing or no JSON, or the document is not a Great Expectations 1.x suite.
    """
    if isinstance(source, str | Path):
        where = str(source)
        return _suite_from(_read(Path(source)), where)
    if isinstance(source, Mapping):
        document: Json = source
    else:
        document = _document_of(source)
    name = document.get("name") if isinstance(document, Mapping) else None
    return _suite_from(document, f"suite {name}" if isinstance(name, str) else "suite")


def _document_of(source: JsonSuite) -> dict[str, Json]:
    if not hasattr(source, "to_json_dict"):
        raise UsageError(
            f"a suite is a path, a mapping or an ExpectationSuite, not {type(source).__name__}", where="suite"
        )
    return source.to_json_dict()


def _read(path: Path) -> Json:
    shown = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_SUITE_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"the suite file cannot be read: {error.strerror}",
            where=shown,
            next_step="give the path of a Great Expectations suite, or draft one: interlock validation suggest DATA",
        ) from error
    if len(raw) > MAX_SUITE_BYTES:
        raise UsageError(f"the suite file is larger than {MAX_SUITE_BYTES} bytes", where=shown)
    try:
        return unambiguous_json(raw)
    except ValueError as error:
        raise UsageError(
            f"the suite file is not JSON: {error}", where=shown, next_step="save it from Great Expectations again"
        ) from error


def _suite_from(document: Json, where: str) -> Suite:
    if not isinstance(document, Mapping):
        raise UsageError("a suite is a JSON object", where=where)
    if "expectation_suite_name" in document:
        raise UsageError(
            "this suite was written by Great Expectations 0.x",
            where=where,
            next_step="open and save it with Great Expectations 1.x",
        )
    if unknown := sorted(set(document) - _SUITE_KEYS):
        raise UsageError(f"a suite has no field {unknown[0]!r}", where=where, next_step=f"use {sorted(_SUITE_KEYS)}")
    name, listed = document.get("name"), document.get("expectations")
    if not isinstance(name, str) or not name:
        raise UsageError("the suite has no name", where=where, next_step='add "name"')
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise UsageError("the suite has no list of expectations", where=where, next_step='add "expectations": [...]')
    try:
        digest = digest_of(document)
        canonical_json(document).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the suite holds something that JSON cannot hold: {error}", where=where) from error
    expectations = tuple(_spec_from(item, place, where) for place, item in enumerate(listed))
    return Suite(name=name, digest=digest, expectations=expectations)


def _spec_from(item: Json, position: int, suite: str) -> ExpectationSpec:
    where = f"{suite}, expectations[{position}]"
    if not isinstance(item, Mapping):
        raise UsageError("an expectation is a JSON object", where=where)
    kind, kwargs = item.get("type"), item.get("kwargs", {})
    if not isinstance(kind, str) or not kind:
        hint = "rename expectation_type to type (the 1.x name)" if "expectation_type" in item else 'add "type"'
        raise UsageError("the expectation has no type", where=where, next_step=hint)
    where = f"{where} {kind}"
    if unknown := sorted(set(item) - _EXPECTATION_KEYS):
        raise UsageError(f"an expectation has no field {unknown[0]!r}", where=where, next_step="put it into kwargs")
    if not isinstance(kwargs, Mapping):
        raise UsageError("kwargs is not a JSON object", where=where)
    _refuse_outside_batch(kind, kwargs, where)
    severity = item.get("severity") or "critical"
    if severity not in _SEVERITIES:
        raise UsageError(f"unknown severity {severity!r}", where=where, next_step=f"use {', '.join(_SEVERITIES)}")
    return ExpectationSpec(
        position=position,
        type=kind,
        kwargs={name: value for name, value in kwargs.items() if name not in _REPORTING_KWARGS},
        severity=str(severity),
        where=where,
    )


def _refuse_outside_batch(kind: str, kwargs: Mapping[str, Json], where: str) -> None:
    """Only the opened subject may feed an expectation: no run parameter, no other batch, table or data source."""
    for name, value in kwargs.items():
        if _has_parameter(value):
            raise UsageError(
                f"{name} would be filled by a run parameter ($PARAMETER)",
                where=where,
                next_step="write the value into the suite: a run must not say how strictly it is checked",
            )
    query = kwargs.get("unexpected_rows_query")
    if isinstance(query, str) and "{batch}" not in query:
        raise UsageError("the query does not read {batch}, so it would read other data", where=where)
    outside = kind in {"expect_query_results_to_match_comparison", "expect_table_row_count_to_equal_other_table"}
    if outside or "batch_id" in kwargs:
        raise UsageError(
            "the expectation compares with data outside the subject",
            where=where,
            next_step="write the expected values into the suite; only the opened bytes are judged",
        )


def _has_parameter(value: Json) -> bool:
    if isinstance(value, Mapping):
        return "$PARAMETER" in value or any(_has_parameter(item) for item in value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(_has_parameter(item) for item in value)
    return False
