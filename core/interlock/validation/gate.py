"""The gate: a suite, the demands that Great Expectations does not make, and one look at an opened subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from importlib import metadata

from interlock.gate import Gap, Json, Location, MissingExtraError, Observation, OpenSubject, Tool, UsageError
from interlock.gate.documents import canonical_json
from interlock.validation.card import DatasetCard, read_card
from interlock.validation.datasources import GxDatasource, datasource_from
from interlock.validation.engine import Batch, GxEngine
from interlock.validation.findings import Demands, Seen, observe
from interlock.validation.progress import ProgressSink, terminal_progress
from interlock.validation.reading import read_table
from interlock.validation.suite import ExpectationSpec, RequiredExpectation, SuiteSource, load_suite
from interlock.validation.table import MAX_CELLS, CsvDialect, ReadOptions

_EXTRA_GX = ("great-expectations", "pandas", "pyarrow")


class ValidationGate:
    """Validates a dataset with a Great Expectations suite (``data-validation``).

    Every argument but `progress`, a `GxDatasource` object and an `ExpectationSuite` is JSON, so that the command line
    and the operators can pass it on.

    Args:
        suite: Path of a suite file, the suite as a mapping, or a `great_expectations.ExpectationSuite`.
        min_rows: Fewer rows is an error-level finding; at least 1, an empty table never passes.
        required: Expectations that the suite must demand, as `RequiredExpectation.parse` reads them.
        datasource: A `GxDatasource` or its JSON description, when the subject is not Parquet or CSV to be read into
            memory.
        file_format: ``auto``, ``parquet`` or ``csv``.
        csv_separator: One character; empty means a comma, or a tab for ``.tsv``.
        csv_encoding: A Python codec name.
        max_cells: Rows times columns above which the subject is refused before it is read.
        show_values: Quote offending values in findings, receipts and reports. They may be personal data.
        skip_unnamed_columns: Do not read columns that no expectation names; the coverage says which. Ignored where an
            expectation is about the table.
        allow_severity_warnings: Failed expectations of Great Expectations' severity ``warning`` or ``info`` become
            findings of that level and do not count as failed.
        progress: Where to tell progress; a terminal's standard error when not given.

    Raises:
        UsageError: The suite or an option is malformed.
    """

    def __init__(
        self,
        suite: SuiteSource,
        *,
        min_rows: int = 1,
        required: Sequence[str] = (),
        datasource: GxDatasource | Mapping[str, Json] | None = None,
        file_format: str = "auto",
        csv_separator: str = "",
        csv_encoding: str = "utf-8",
        max_cells: int = MAX_CELLS,
        show_values: bool = False,
        skip_unnamed_columns: bool = False,
        allow_severity_warnings: bool = False,
        progress: ProgressSink | None = None,
    ) -> None:
        if isinstance(min_rows, bool) or not isinstance(min_rows, int) or min_rows < 1:
            raise UsageError(f"min_rows is a whole number of at least 1, not {min_rows!r}", where="min_rows")
        if isinstance(required, str):
            raise UsageError("required is a list of expectations, not one text", where="required")
        self._suite = load_suite(suite)
        self._demands = Demands(
            min_rows=min_rows,
            required=tuple(RequiredExpectation.parse(text) for text in required),
            show_values=show_values,
            allow_severity_warnings=allow_severity_warnings,
        )
        self._datasource = datasource_from(datasource) if isinstance(datasource, Mapping) else datasource
        dialect = CsvDialect(separator=csv_separator, encoding=csv_encoding)
        self._options = ReadOptions(
            file_format=file_format,
            csv=dialect,
            columns=_columns_needed(self._suite.expectations) if skip_unnamed_columns else None,
            max_cells=max_cells,
        )
        self._progress = progress

    @property
    def kind(self) -> str:
        """``data-validation``."""
        return "data-validation"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Great Expectations and what reads the data for it.

        Raises:
            MissingExtraError: One of them is not installed.
            UsageError: The datasource's package is not.
        """
        readers = self._datasource.packages if self._datasource else ("pyarrow",)
        return tuple(_tool(name) for name in ("great-expectations", "pandas", *readers))

    def configuration(self) -> Mapping[str, Json]:
        """Suite digest and every option that could weaken the look."""
        return {
            "suite": {
                "name": self._suite.name,
                "sha256": self._suite.digest,
                "expectations": len(self._suite.expectations),
            },
            "min_rows": self._demands.min_rows,
            "required": [str(demand) for demand in self._demands.required],
            "datasource": dict(self._datasource.describe()) if self._datasource else None,
            "file_format": self._options.file_format,
            "csv_separator": self._options.csv.separator,
            "csv_encoding": self._options.csv.encoding,
            "max_cells": self._options.max_cells,
            "show_values": self._demands.show_values,
            "columns_read": None if self._options.columns is None else sorted(self._options.columns),
            "allow_severity_warnings": self._demands.allow_severity_warnings,
        }

    def look(self, opened: OpenSubject) -> Observation:
        """Evaluate the suite over the opened subject.

        Args:
            opened: The held bytes; the batch comes from them and from nowhere else.

        Raises:
            UsageError: Great Expectations does not know an expectation or an argument of the suite.
            MissingExtraError: The extra ``gx`` is not installed.
            SubjectError: The bytes are not one readable table.
        """
        specs = self._suite.expectations
        card = read_card(opened)
        data = replace(opened, files=tuple(file for file in opened.files if card is None or file != card.path))
        with nullcontext(self._progress) if self._progress else terminal_progress() as progress:
            progress.stage("starting Great Expectations")
            engine = GxEngine()
            engine.check(specs, self._demands.required)
            batch, seen = self._batch(engine, data, progress)
            progress.stage(f"evaluating {len(specs)} expectations over {batch.rows} rows")
            outcomes = batch.evaluate(specs, with_values=self._demands.show_values)
        return _with_dataset_facts(observe(outcomes, seen, self._demands), card, opened.region)

    def _batch(self, engine: GxEngine, opened: OpenSubject, progress: ProgressSink) -> tuple[Batch, Seen]:
        skipped: tuple[Gap, ...] = ()
        if self._datasource:
            batch = engine.over_datasource(self._datasource, opened)
            files, place = opened.files, _in_query
        else:
            table = read_table(
                opened.path, opened.files, name=opened.subject.name, options=self._options, progress=progress
            )
            batch = engine.over_frame(table.frame)
            files, skipped, place = tuple(part.path for part in table.parts), table.skipped, table.place
        seen = Seen(
            subject=opened.subject.name,
            rows=batch.rows,
            columns=batch.columns,
            files=tuple(file or opened.subject.name for file in files),
            skipped=skipped,
            place=place,
        )
        return batch, seen


def _with_dataset_facts(seen: Observation, card: DatasetCard | None, region: str) -> Observation:
    """Add what policy asks of a dataset beside numbers; what nobody says stays absent, and policy may deny that."""
    facts = card.document() if card is not None else {}
    if region:
        facts["region"] = region
    if not facts:
        return seen
    looked = seen.coverage.looked_at
    if card is not None and looked:
        looked = (*looked, card.path)
    coverage = replace(seen.coverage, looked_at=looked)
    return replace(seen, coverage=coverage, facts=(*seen.facts, ("dataset", canonical_json(facts).decode())))


def _in_query(row: int) -> Location:
    return Location(row=row)


def _columns_needed(specs: Sequence[ExpectationSpec]) -> frozenset[str] | None:
    """The columns that the suite names, or None where only the whole table can answer.

    A `row_condition` names columns in a language of its own, and an expectation without columns is about the table.
    """
    whole = [spec for spec in specs if _reaches_further(spec)]
    if not specs or any(not spec.type.startswith("expect_table_row_count_") for spec in whole):
        return None
    named = frozenset(column for spec in specs for column in spec.columns)
    return named or None


def _reaches_further(spec: ExpectationSpec) -> bool:
    return bool(spec.kwargs.get("row_condition") or "column_index" in spec.kwargs or not spec.columns)


def _tool(distribution: str) -> Tool:
    try:
        return Tool(name=distribution, version=metadata.version(distribution))
    except metadata.PackageNotFoundError as error:
        if distribution in _EXTRA_GX:
            raise MissingExtraError(distribution, extra="gx") from error
        raise UsageError(f"{distribution} is not installed", next_step=f"pip install {distribution}") from error
