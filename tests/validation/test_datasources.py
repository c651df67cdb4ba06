from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from tests.validation.conftest import Hold

from interlock.gate import Json, OpenSubject, SubjectError, UsageError
from interlock.validation import GxDatasource, Silent, SparkFiles, SqlFile, ValidationGate, datasource_from

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

NOT_NULL = "expect_column_values_to_not_be_null"
SUITE: Mapping[str, Json] = {
    "name": "people",
    "expectations": [
        {"type": NOT_NULL, "kwargs": {"column": "label"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "max_value": 120}},
    ],
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table people (name text, age real, label integer)")
        connection.execute("create table empty (name text, age real, label integer)")
        rows = [("Ada Lovelace", 36, 0), ("Kurt Gödel", 171, None)]
        connection.executemany("insert into people values (?, ?, ?)", rows)
        connection.commit()
    path.chmod(0o400)
    return path


def look(path: Path, hold: Hold, **options: Any) -> Any:
    options = {"datasource": {"type": "sql-file", "table": "people"}, "suite": SUITE} | options
    return ValidationGate(progress=Silent(), **options).look(hold(path))


def test_a_sqlite_file_is_validated_where_it_lies(database: Path, hold: Hold) -> None:
    before = database.read_bytes()
    seen = look(database, hold)
    assert {measure.name: measure.value for measure in seen.measures}["rows"] == 2
    assert [finding.rule_id for finding in seen.findings] == [
        f"data-validation.{NOT_NULL}",
        "data-validation.expect_column_values_to_be_between",
    ]
    assert "Ada" not in repr(seen)
    assert "Gödel" not in repr(seen)
    assert database.read_bytes() == before
    assert [file.name for file in database.parent.iterdir()] == ["people.db"]


def test_an_empty_sql_table_is_an_error(database: Path, hold: Hold) -> None:
    seen = look(database, hold, datasource=SqlFile(table="empty"))
    assert "data-validation.empty-table" in [finding.rule_id for finding in seen.findings]


def test_too_few_sql_rows_are_an_error(database: Path, hold: Hold) -> None:
    seen = look(database, hold, min_rows=3)
    assert "data-validation.too-few-rows" in [finding.rule_id for finding in seen.findings]


def test_a_sql_column_that_is_not_there_is_a_gap_that_names_it(database: Path, hold: Hold) -> None:
    suite = {"name": "x", "expectations": [{"type": NOT_NULL, "kwargs": {"column": "salary"}}]}
    seen = look(database, hold, suite=suite)
    assert "column 'salary' is not in the data" in seen.coverage.failed[0].reason


def test_rows_that_a_query_finds_unexpected_fail(database: Path, hold: Hold) -> None:
    query = "select * from {batch} where age > 120"
    suite = {
        "name": "x",
        "expectations": [{"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": query}}],
    }
    (finding,) = look(database, hold, suite=suite).findings
    assert finding.rule_id == "data-validation.unexpected_rows_expectation"
    assert "Gödel" not in repr(finding)


def test_a_query_on_a_table_in_memory_is_a_gap_that_says_so(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "d.csv").write_text("a\n1\n")
    suite = {
        "name": "x",
        "expectations": [
            {"type": "unexpected_rows_expectation", "kwargs": {"unexpected_rows_query": "select * from {batch}"}}
        ],
    }
    seen = look(tmp_path / "d.csv", hold, suite=suite, datasource=None)
    assert "PandasExecutionEngine cannot evaluate this type" in seen.coverage.failed[0].reason


def garbage(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"SQLite format 3\x00" + b"garbage" * 500)


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:3000])


@pytest.mark.parametrize("damage", [garbage, cut])
def test_a_damaged_database_is_one_clear_message(damage: Any, database: Path, hold: Hold) -> None:
    damage(database)
    with pytest.raises(SubjectError) as caught:
        look(database, hold)
    assert "datasource cannot read the subject" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_one_clear_message(database: Path, hold: Hold) -> None:
    with pytest.raises(SubjectError, match="no such table: nope"):
        look(database, hold, datasource=SqlFile(table="nope"))


def test_a_folder_is_no_database(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(UsageError, match="not a folder"):
        look(tmp_path, hold)


def test_the_datasource_stands_in_the_configuration() -> None:
    described = ValidationGate(SUITE, datasource=SqlFile(table="people")).configuration()["datasource"]
    assert isinstance(described, dict)
    assert datasource_from(described) == SqlFile(table="people")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param({"type": "sql-file", "table": ""}, id="no table"),
        pytest.param({"type": "sql-file", "table": "t", "url": "postgresql://clean/db"}, id="url of another database"),
        pytest.param({"type": "sql-file", "table": "t", "url": "sqlite:///{path}$CLEAN"}, id="url from environment"),
        pytest.param({"type": "sql-file", "tabel": "t"}, id="misspelt field"),
        pytest.param({"type": "sql-file", "table": 3}, id="number for text"),
        pytest.param({"type": "spark-files", "file_format": "xlsx"}, id="spark format"),
        pytest.param({"table": "t"}, id="no type"),
    ],
)
def test_a_datasource_that_could_read_other_bytes_or_nothing_is_refused(document: dict[str, Json]) -> None:
    with pytest.raises(UsageError):
        datasource_from(document)


@dataclass(frozen=True)
class OwnDatasource:
    """A datasource of the user's own: Great Expectations' file datasource, told only the opened path."""

    packages: tuple[str, ...] = ()

    def describe(self) -> Mapping[str, Json]:
        return {"type": "own"}

    def batch_definition(self, context: EphemeralDataContext, opened: OpenSubject) -> BatchDefinition[Any]:
        source = context.data_sources.add_pandas_filesystem("own", base_directory=opened.path.parent)
        return source.add_csv_asset("own").add_batch_definition_path("own", path=opened.path.name)


def test_any_datasource_of_great_expectations_fits_the_seam(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "d.csv").write_text("age,label\n7,1\n200,0\n")
    own = OwnDatasource()
    assert isinstance(own, GxDatasource)
    seen = look(tmp_path / "d.csv", hold, datasource=own)
    assert [finding.location.row for finding in seen.findings] == [1]


@pytest.mark.skipif(find_spec("pyspark") is not None, reason="pyspark is installed")
def test_spark_without_pyspark_names_what_is_missing(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "d.csv").write_text("a\n1\n")
    with pytest.raises(UsageError, match="pip install 'pyspark"):
        look(tmp_path / "d.csv", hold, datasource=SparkFiles(file_format="csv"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not among the locked packages")
@pytest.mark.filterwarnings("ignore")  # pyspark's own
@pytest.mark.parametrize("file_format", ["parquet", "csv"])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_spark_sees_what_pandas_sees(tmp_path: Path, hold: Hold, file_format: str, folder: bool) -> None:
    frame = pd.DataFrame({"age": [36.0, 171.0], "label": [0.0, None], "name": ["Ada Lovelace", "Kurt Gödel"]})
    for name in ("a", "b") if folder else ("a",):
        path = tmp_path / f"{name}.{file_format}"
        frame.to_parquet(path) if file_format == "parquet" else frame.to_csv(path, index=False)
    subject = hold(tmp_path if folder else tmp_path / f"a.{file_format}")
    plain = ValidationGate(SUITE, progress=Silent())
    spark = ValidationGate(SUITE, progress=Silent(), datasource=SparkFiles(file_format=file_format))
    assert spark.look(subject).measures == plain.look(subject).measures
    assert spark.tools[-1].name == "pyspark"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyspark") is None, reason="pyspark is not among the locked packages")
@pytest.mark.filterwarnings("ignore")  # pyspark's own
def test_spark_over_a_damaged_file_is_one_clear_message(tmp_path: Path, hold: Hold) -> None:
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(SubjectError, match="datasource cannot read the subject"):
        look(tmp_path / "d.parquet", hold, datasource=SparkFiles())
