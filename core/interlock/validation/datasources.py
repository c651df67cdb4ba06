"""Descriptions of where Great Expectations reads a batch from when it is not a table in memory.

A description goes into the receipt, so it is data; and it is handed the opened subject and nothing else, so no run
parameter, connection or environment variable can point it at another batch than the bytes that the receipt names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import quote

from interlock.gate import Json, OpenSubject, UsageError

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

_SQLITE = "sqlite:///file:{path}?mode=ro&immutable=1&uri=true"


@runtime_checkable
class GxDatasource(Protocol):
    """The seam for every datasource of Great Expectations: SQL, Spark, or one of your own."""

    def describe(self) -> Mapping[str, Json]:
        """What it is, for the receipt; the same description must read the same way."""
        ...

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions that take part, whose versions go into the receipt."""
        ...

    def batch_definition(self, context: EphemeralDataContext, opened: OpenSubject) -> BatchDefinition[Any]:
        """Define the batch over the opened subject, and over nothing else.

        Args:
            context: A private, ephemeral context; whatever is added to it dies with the look.
            opened: The held bytes.

        Raises:
            InterlockError: The subject is not what this datasource reads.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFile:
    """One table of a database that is a file: SQLite, or another engine whose URL takes a path.

    Args:
        table: Table or view.
        url: SQLAlchemy URL with ``{path}`` where the opened file goes. The default opens SQLite read-only and
            immutable.
    """

    table: str
    url: str = _SQLITE

    def __post_init__(self) -> None:
        if not self.table:
            raise UsageError("a SQL datasource needs the name of a table", where="datasource")
        if "{path}" not in self.url:
            raise UsageError(
                "the URL does not read the subject: {path} is not in it",
                where="datasource",
                next_step="put {path} where the database file goes; a database server is judged by exporting a table",
            )
        if "$" in self.url:
            raise UsageError(
                "the URL holds a $, which Great Expectations would fill from the environment", where="datasource"
            )

    def describe(self) -> Mapping[str, Json]:
        """Table and URL template."""
        return {"type": "sql-file", "table": self.table, "url": self.url}

    @property
    def packages(self) -> tuple[str, ...]:
        """SQLAlchemy runs the queries."""
        return ("sqlalchemy",)

    def batch_definition(self, context: EphemeralDataContext, opened: OpenSubject) -> BatchDefinition[Any]:
        """The whole table."""
        path = _single_file(opened)
        url = self.url.replace("{path}", quote(str(path)))
        # Great Expectations has SQLite's own functions only in the SQLite datasource, and warns about the general one.
        add = context.data_sources.add_sqlite if url.startswith("sqlite:") else context.data_sources.add_sql
        source = add("subject", connection_string=url)
        return source.add_table_asset("subject", table_name=self.table).add_batch_definition_whole_table("subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkFiles:
    """The files of the subject, read by Spark on its own session.

    Args:
        file_format: ``parquet`` or ``csv`` (with a header row).
    """

    file_format: str = "parquet"

    def __post_init__(self) -> None:
        if self.file_format not in ("parquet", "csv"):
            raise UsageError(f"Spark reads parquet or csv here, not {self.file_format!r}", where="datasource")

    def describe(self) -> Mapping[str, Json]:
        """The format."""
        return {"type": "spark-files", "file_format": self.file_format}

    @property
    def packages(self) -> tuple[str, ...]:
        """Spark does the arithmetic."""
        return ("pyspark",)

    def batch_definition(self, context: EphemeralDataContext, opened: OpenSubject) -> BatchDefinition[Any]:
        """The folder of files, or the one file in its folder.

        Raises:
            UsageError: pyspark is not installed.
        """
        if find_spec("pyspark") is None:
            raise UsageError("pyspark is not installed", where="datasource", next_step="pip install 'pyspark>=3.5,<4'")
        single = opened.files == ("",)
        source = context.data_sources.add_spark_filesystem(
            "subject", base_directory=opened.path.parent if single else opened.path
        )
        if self.file_format == "parquet":
            if single:
                return source.add_parquet_asset("subject").add_batch_definition_path("subject", path=opened.path.name)
            return source.add_directory_parquet_asset(
                "subject", data_directory="."
            ).add_batch_definition_whole_directory("subject")
        if single:
            return source.add_csv_asset(
                "subject", header=True, infer_schema=True, mode="FAILFAST"
            ).add_batch_definition_path("subject", path=opened.path.name)
        return source.add_directory_csv_asset(
            "subject", data_directory=".", header=True, infer_schema=True, mode="FAILFAST"
        ).add_batch_definition_whole_directory("subject")


def datasource_from(document: Mapping[str, Json]) -> GxDatasource:
    """A datasource from its JSON description, as the command line and the operators give it.

    Args:
        document: ``{"type": "sql-file", "table": "..."}`` or ``{"type": "spark-files"}``, with the fields of `SqlFile`
            or `SparkFiles`.

    Raises:
        UsageError: Unknown type or field.
    """
    kinds: dict[Json, type[SqlFile] | type[SparkFiles]] = {"sql-file": SqlFile, "spark-files": SparkFiles}
    fields = {name: value for name, value in document.items() if name != "type"}
    kind = kinds.get(str(document.get("type")))
    if kind is None:
        raise UsageError(
            f"unknown datasource type {document.get('type')!r}",
            where="datasource",
            next_step="use sql-file, spark-files",
        )
    if not all(isinstance(value, str) for value in fields.values()):
        raise UsageError("every field of a datasource is text", where="datasource")
    try:
        return kind(**{name: str(value) for name, value in fields.items()})
    except TypeError as error:
        raise UsageError(f"the datasource has other fields: {error}", where="datasource") from error


def _single_file(opened: OpenSubject) -> Path:
    if opened.files != ("",):
        raise UsageError("a SQL datasource reads one database file, not a folder", where=opened.subject.name)
    return opened.path
