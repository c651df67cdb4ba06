from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.validation.conftest import Hold

from interlock.gate import Finding, Json, SubjectError, SubjectNotFoundError, UsageError
from interlock.validation import FrameOpener, Silent, ValidationGate, suggest


def findings(frame: pd.DataFrame, suite: dict[str, Json]) -> tuple[Finding, ...]:
    with FrameOpener(frame).open("frame") as opened:
        return ValidationGate(suite, progress=Silent()).look(opened).findings


def drafted(suite: dict[str, Json], column: str) -> dict[str, dict[str, Any]]:
    listed: Any = suite["expectations"]
    return {item["type"]: item["kwargs"] for item in listed if item["kwargs"].get("column") == column}


def breast_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer  # type: ignore[import-untyped]  # no stubs are published

    frame: pd.DataFrame = load_breast_cancer(as_frame=True).frame
    return frame


def odd_types() -> pd.DataFrame:
    rows = 40
    return pd.DataFrame(
        {
            "tz": pd.date_range("2024-01-01", periods=rows, freq="h", tz="Europe/Paris"),
            "naive": pd.date_range("2024-01-01", periods=rows, freq="D"),
            "ns": pd.to_datetime(np.arange(rows) + 1_700_000_000_000_000_123),
            "date": [dt.date(2024, 1, 1)] * rows,
            "delta": pd.to_timedelta(np.arange(rows), unit="s"),
            "decimal": [Decimal("1.50")] * rows,
            "bytes": [b"x"] * rows,
            "list": [[1, 2]] * rows,
            "category": pd.Categorical(["u", "v"] * (rows // 2)),
            "category of numbers": pd.Categorical([1, 2] * (rows // 2)),
            "Int64": pd.array([1, None] * (rows // 2), dtype="Int64"),
            "boolean": pd.array([True, None] * (rows // 2), dtype="boolean"),
            "infinite": [np.inf, 1.0] * (rows // 2),
            "int8": np.arange(rows, dtype="int8"),
            "uint64": np.arange(rows, dtype="uint64") + np.uint64(2**63),
            "beyond float": np.arange(rows) + 2**60 + 1,
            "float32": np.linspace(0.1, 0.7, rows, dtype="float32"),
            "nulls": [None] * rows,
            "nearly all null": [1.0] + [None] * (rows - 1),
            "id": [f"id-{n}" for n in range(rows)],
        }
    )


@pytest.mark.parametrize("make", [breast_cancer, odd_types])
def test_a_draft_holds_on_the_data_it_came_from(make: Any) -> None:
    frame = make()
    assert findings(frame, suggest(frame)) == ()


def test_a_widened_draft_holds_too() -> None:
    frame = odd_types()
    assert findings(frame, suggest(frame, margin=0.1)) == ()


MOMENTS = st.datetimes(*(dt.datetime(year, 1, 1) for year in (1700, 2200)))  # noqa: DTZ001  # columns without zone


columns = st.one_of(
    st.tuples(st.just("int"), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=25, max_size=25)),
    st.tuples(st.just("few"), st.lists(st.integers(0, 2), min_size=25, max_size=25)),
    st.tuples(st.just("float"), st.lists(st.floats(allow_nan=True), min_size=25, max_size=25)),
    st.tuples(st.just("text"), st.lists(st.none() | st.text(max_size=4), min_size=25, max_size=25)),
    st.tuples(st.just("bool"), st.lists(st.booleans(), min_size=25, max_size=25)),
    st.tuples(
        st.just("moment"),
        st.lists(st.none() | MOMENTS, min_size=25, max_size=25),
    ),
)


@given(parts=st.lists(columns, min_size=1, max_size=3), rows=st.integers(1, 25))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_draft_holds_on_the_data_it_came_from(parts: list[tuple[str, list[Any]]], rows: int) -> None:
    frame = pd.DataFrame({f"{kind} {place}": values[:rows] for place, (kind, values) in enumerate(parts)})
    assert findings(frame, suggest(frame)) == ()


def test_the_draft_of_a_file_is_the_same_every_time(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    breast_cancer().to_parquet(path)
    first, second = suggest(path), suggest(str(path))
    assert json.dumps(first) == json.dumps(second)
    assert first["name"] == "d.parquet"


def test_every_drafted_expectation_says_why() -> None:
    listed: Any = suggest(odd_types())["expectations"]
    assert all(item["notes"] for item in listed)


def test_a_draft_says_types_ranges_categories_nulls_and_uniqueness() -> None:
    rows = 100
    frame = pd.DataFrame(
        {
            "id": [f"c{n:04}" for n in range(rows)],
            "plan": ["free", "paid"] * (rows // 2),
            "age": [None, *range(20, 20 + rows - 1)],
            "score": np.linspace(-1, 1, rows),
        }
    )
    suite = suggest(frame, name="customers")
    assert suite["name"] == "customers"
    assert "expect_column_values_to_be_unique" in drafted(suite, "id")
    assert drafted(suite, "id")["expect_column_value_lengths_to_be_between"]["max_value"] == 5
    assert drafted(suite, "plan")["expect_column_values_to_be_in_set"]["value_set"] == ["free", "paid"]
    assert drafted(suite, "age")["expect_column_values_to_not_be_null"]["mostly"] == 0.99
    assert drafted(suite, "score")["expect_column_values_to_be_of_type"]["type_"] == "float64"
    assert drafted(suite, "score")["expect_column_values_to_be_between"] == {
        "column": "score",
        "min_value": -1.0,
        "max_value": 1.0,
    }


def test_a_draft_catches_what_changed() -> None:
    frame = breast_cancer()[["mean radius", "worst area", "target"]]
    suite = suggest(frame)
    worse = frame.copy()
    worse.loc[7, "mean radius"] = 1e6
    worse.loc[9, "target"] = 5
    rules = {(finding.rule_id.rpartition("_to_")[2], finding.location.column) for finding in findings(worse, suite)}
    assert rules == {("be_between", "mean radius"), ("be_in_set", "target")}


def test_a_margin_widens_the_range() -> None:
    frame = pd.DataFrame({"a": np.linspace(0, 10, 30)})
    bounds = drafted(suggest(frame, margin=0.1), "a")["expect_column_values_to_be_between"]
    assert (bounds["min_value"], bounds["max_value"]) == (-1.0, 11.0)


def test_a_draft_from_an_opened_folder_holds_there(tmp_path: Path, hold: Hold) -> None:
    frame = breast_cancer()[["mean radius", "target"]]
    frame.iloc[:300].to_parquet(tmp_path / "a.parquet")
    frame.iloc[300:].to_parquet(tmp_path / "b.parquet")
    opened = hold(tmp_path)
    assert suggest(tmp_path)["expectations"] == suggest(opened)["expectations"]
    assert ValidationGate(suggest(opened), progress=Silent()).look(opened).findings == ()


def test_a_snapshot_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(SubjectNotFoundError, match=r"nope\.parquet"):
        suggest(tmp_path / "nope.parquet")


def test_a_column_without_a_name_is_one_clear_message() -> None:
    with pytest.raises(SubjectError, match="no name"):
        suggest(pd.DataFrame({"": [1]}))


def test_nothing_is_learned_from_an_empty_table() -> None:
    with pytest.raises(SubjectError, match="no row"):
        suggest(pd.DataFrame({"a": []}))


@pytest.mark.parametrize("options", [{"margin": -0.1}, {"margin": float("nan")}, {"max_categories": -1}])
def test_an_option_out_of_range_is_a_usage_error(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        suggest(pd.DataFrame({"a": [1]}), **options)
