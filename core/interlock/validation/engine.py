"""Calling Great Expectations: one private context, one graph over the whole suite, nothing left behind.

What is switched off: analytics, progress bars, configuration files, the process-wide current context, and the log
lines with stack traces (their text may quote the data). What is kept: its knowledge of expectations and engines.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.gate import InterlockError, MissingExtraError, OpenSubject, SubjectError, UsageError
from interlock.validation.datasources import GxDatasource
from interlock.validation.suite import ExpectationSpec, RequiredExpectation

if TYPE_CHECKING:
    import pandas
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.validator.validator import Validator

EXAMPLES = 5
"""How many offending rows a finding names."""

_POSITION = "interlock_position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What Great Expectations made of one expectation.

    Args:
        spec: The expectation.
        success: Only meaningful when `error` is empty.
        error: Why it could not be evaluated; free of the data's values.
        result: Great Expectations' own result fields; they may quote the data.
    """

    spec: ExpectationSpec
    success: bool
    error: str
    result: Mapping[str, Any]

    @property
    def looked_at_nothing(self) -> bool:
        """True when it passed without a single value before it: no row, only nulls, a condition that no row meets."""
        elements = self.result.get("element_count")
        return self.success and elements is not None and elements - (self.result.get("missing_count") or 0) <= 0

    @property
    def is_vacuous(self) -> bool:
        """True when it passed and says nothing about the data."""
        return self.success and not self.error and bool(self.looked_at_nothing or self.spec.cannot_fail)


class GxEngine:
    """Great Expectations with everything off that a gate must not do.

    Raises:
        MissingExtraError: The extra ``gx`` is not installed.
    """

    def __init__(self) -> None:
        try:
            from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext
            from great_expectations.data_context.types.base import (
                DataContextConfig,
                InMemoryStoreBackendDefaults,
                ProgressBarsConfig,
            )
        except ModuleNotFoundError as error:
            raise MissingExtraError(error.name or "great_expectations", extra="gx") from error

        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(),
            analytics_enabled=False,
            progress_bars=ProgressBarsConfig(globally=False),
        )
        # Not gx.get_context(): that looks for project files and replaces the process's current context.
        self._context: EphemeralDataContext = EphemeralDataContext(project_config=config)

    def check(self, specs: Sequence[ExpectationSpec], required: Sequence[RequiredExpectation]) -> None:
        """Let Great Expectations build every expectation once, before any data is read.

        Raises:
            UsageError: An unknown type, an unknown, missing or mistyped argument.
        """
        from great_expectations.exceptions.exceptions import ExpectationNotFoundError
        from great_expectations.expectations.registry import get_expectation_impl

        for requirement in required:
            try:
                get_expectation_impl(requirement.type)
            except ExpectationNotFoundError as error:
                raise UsageError(_unknown_type(requirement.type), where=f"required, {requirement}") from error
        for spec in specs:
            _build(spec)

    def over_frame(self, frame: pandas.DataFrame) -> Batch:
        """A batch over a table in memory; the frame is read, never changed."""
        asset = self._context.data_sources.add_pandas("subject").add_dataframe_asset("subject")
        definition = asset.add_batch_definition_whole_dataframe("subject")
        request = definition.build_batch_request({"dataframe": frame})
        validator = self._context.get_validator(batch_request=request)
        return Batch(validator, columns=tuple(str(name) for name in frame.columns), rows=len(frame))

    def over_datasource(self, datasource: GxDatasource, opened: OpenSubject) -> Batch:
        """A batch that the datasource defines over the opened subject.

        Raises:
            SubjectError: The datasource cannot read the subject.
        """
        from great_expectations.validator.metric_configuration import MetricConfiguration

        with quiet():
            try:
                definition = datasource.batch_definition(self._context, opened)
                validator = self._context.get_validator(batch_request=definition.build_batch_request())
                rows = validator.get_metric(MetricConfiguration("table.row_count", metric_domain_kwargs={}))
                columns = validator.get_metric(MetricConfiguration("table.columns", metric_domain_kwargs={}))
            except InterlockError:
                raise
            except Exception as error:
                # A datasource is a plug-in, and drivers raise their own trees of errors.
                raise SubjectError(
                    f"the datasource cannot read the subject: {_driver_text(error)}",
                    where=opened.subject.name,
                    next_step="check that the file is whole and the table's name is right",
                ) from error
        return Batch(validator, columns=tuple(str(name) for name in columns), rows=int(rows), exact_names=False)


class Batch:
    """The data of one look, as Great Expectations sees it.

    Args:
        validator: Great Expectations' validator over the one batch.
        columns: Column names.
        rows: Row count.
        exact_names: False where the engine folds the case of column names.
    """

    def __init__(self, validator: Validator, *, columns: tuple[str, ...], rows: int, exact_names: bool = True) -> None:
        self._validator = validator
        self._exact = exact_names
        self.columns = columns
        self.rows = rows

    def evaluate(self, specs: Sequence[ExpectationSpec], *, with_values: bool) -> tuple[Outcome, ...]:
        """Evaluate all expectations in one graph, so that they share what they measure.

        Args:
            specs: Checked by `GxEngine.check`.
            with_values: Let results quote offending values.

        Returns:
            One outcome for each spec, in the same order; none is ever dropped.
        """
        errors = {spec.position: reason for spec in specs if (reason := self._column_error(spec))}
        ready = [spec for spec in specs if spec.position not in errors]
        results: dict[int, Any] = {}
        with quiet():
            try:
                results = self._run(ready, with_values=with_values)
            except Exception:  # noqa: BLE001
                # An expectation that breaks the graph itself: find out which one, alone.
                for spec in ready:
                    try:
                        results |= self._run([spec], with_values=with_values)
                    except Exception as error:  # noqa: BLE001
                        errors[spec.position] = f"{type(error).__name__} in Great Expectations"
        return tuple(_outcome(spec, results.get(spec.position), errors.get(spec.position, "")) for spec in specs)

    def _column_error(self, spec: ExpectationSpec) -> str:
        if spec.type == "expect_column_to_exist":
            return ""
        here = self.columns if self._exact else tuple(name.casefold() for name in self.columns)
        for column in spec.columns:
            if (column if self._exact else column.casefold()) not in here:
                return f"column {column!r} is not in the data"
        return ""

    def _run(self, specs: Sequence[ExpectationSpec], *, with_values: bool) -> dict[int, Any]:
        answers = self._validator.graph_validate(
            configurations=[_build(spec) for spec in specs],
            runtime_configuration={
                "result_format": {
                    "result_format": "SUMMARY",
                    "partial_unexpected_count": EXAMPLES,
                    "exclude_unexpected_values": not with_values,
                }
            },
        )
        configured = ((answer.expectation_config, answer) for answer in answers)
        return {asked.meta[_POSITION]: answer for asked, answer in configured if asked is not None}


def _build(spec: ExpectationSpec) -> ExpectationConfiguration:
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    try:
        configuration = ExpectationConfiguration(
            type=spec.type,
            kwargs=dict(spec.kwargs),
            meta={_POSITION: spec.position},
            severity=FailureSeverity(spec.severity),
        )
        configuration.to_domain_obj()
    except ExpectationNotFoundError as error:
        raise UsageError(_unknown_type(spec.type), where=spec.where) from error
    except Exception as error:
        # pydantic, marshmallow and plain TypeErrors alike say that the arguments are wrong.
        raise UsageError(
            f"Great Expectations refuses the expectation: {_argument_error(error)}",
            where=spec.where,
            next_step="correct the suite; the arguments of each type are in the expectation gallery",
        ) from error
    return configuration


def _unknown_type(kind: str) -> str:
    from difflib import get_close_matches

    from great_expectations.expectations.registry import list_registered_expectation_implementations

    near = get_close_matches(kind, list_registered_expectation_implementations(), n=1)
    return f"unknown expectation type {kind!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _argument_error(error: Exception) -> str:
    """One line out of the messages that pydantic lists, one an argument."""
    listed = getattr(error, "errors", None)
    details: Any = listed() if callable(listed) else ()
    parts = []
    for detail in details:
        name = ".".join(str(part) for part in detail.get("loc", ()) if part != "__root__")
        parts.append(f"{name}: {detail.get('msg', '')}" if name else str(detail.get("msg", "")))
    text = "; ".join(dict.fromkeys(parts)) or (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text.replace("ExpectationConfiguration.__init__() got an ", "")


def _outcome(spec: ExpectationSpec, answer: Any, error: str) -> Outcome:
    if error or answer is None:
        return Outcome(spec=spec, success=False, error=error or "Great Expectations gave no result", result={})
    info = answer.exception_info or {}
    raised = [info] if "raised_exception" in info else [item for item in info.values() if isinstance(item, Mapping)]
    raised = [item for item in raised if item.get("raised_exception")]
    return Outcome(
        spec=spec,
        success=answer.success is True,
        error=_evaluation_error(raised[0]) if raised else "",
        result=dict(answer.result or {}),
    )


def _evaluation_error(info: Mapping[str, Any]) -> str:
    """A reason without the data's values, which Python's own messages like to quote."""
    message, trace = str(info.get("exception_message") or ""), str(info.get("exception_traceback") or "")
    if found := re.search(r'column "([^"]+)" in BatchData does not exist', message):
        return f"column {found.group(1)!r} is not in the data"
    if found := re.search(r"No provider found for (\S+) using (\w+)", message):
        return f"{found.group(2)} cannot evaluate this type"
    kinds = re.findall(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Warning))\b", trace, flags=re.MULTILINE)
    return f"{kinds[0] if kinds else 'an error'} in Great Expectations; the column's type may not suit the expectation"


def _driver_text(error: Exception) -> str:
    """What may be passed on: SQL drivers and Great Expectations name tables, Spark and others may quote a record."""
    text = " ".join(str(error).split())
    if found := re.search(r"\([\w.]+\) ([^\[\]]{1,200}?) \[SQL", text):
        return found.group(1)
    if type(error).__module__.startswith("great_expectations."):
        return text[:200]
    causes = re.findall(r"\b\w*(?:Exception|Error)\b", text)
    return " from ".join(dict.fromkeys([type(error).__name__, *causes]))[:200]


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_level = logging.NOTSET


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations' log lines out: they carry stack traces and values. Looks may overlap in threads."""
    global _quiet_depth, _quiet_level  # noqa: PLW0603
    logger = logging.getLogger("great_expectations")
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_level = logger.level
            logger.setLevel(logging.CRITICAL + 1)
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                logger.setLevel(_quiet_level)
