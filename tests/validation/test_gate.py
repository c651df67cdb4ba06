from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.gate.doubles import RUN, FixedDecider, ListRecorder
from tests.validation.conftest import Hold

from interlock.gate import (
    Finding,
    GateContext,
    Json,
    Level,
    MissingExtraError,
    Observation,
    Stage,
    SubjectError,
    UsageError,
    Verdict,
    run_gate,
)
from interlock.validation import FrameOpener, Silent, ValidationGate

NOT_NULL = "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"
PEOPLE = pd.DataFrame(
    {
        "name": ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Kurt Gödel"],
        "age": [36.0, None, 41.0, 171.0],
        "label": [0, 1, 1, 7],
    }
)


def suite_of(*expectations: dict[str, Json]) -> dict[str, Json]:
    return {"name": "people", "expectations": list(expectations)}


def expectation(kind: str, severity: str = "critical", **kwargs: Json) -> dict[str, Json]:
    return {"type": kind, "kwargs": kwargs, "severity": severity}


OLDER: Json = {"type": "comparison", "column": {"name": "age"}, "operator": ">", "parameter": 1}
LABELLED = expectation(NOT_NULL, column="label")


def look(frame: pd.DataFrame, *expectations: dict[str, Json], **options: Any) -> Observation:
    gate = ValidationGate(suite_of(*expectations), progress=Silent(), **options)
    with FrameOpener(frame).open("people") as opened:
        return gate.look(opened)


def measures(seen: Observation) -> dict[str, float]:
    return {measure.name: measure.value for measure in seen.measures}


def rules(seen: Observation, level: Level = Level.ERROR) -> list[str]:
    return [finding.rule_id.removeprefix("data-validation.") for finding in seen.findings if finding.level is level]


def only(seen: Observation) -> Finding:
    (finding,) = seen.findings
    return finding


def test_data_that_meets_the_suite_has_no_finding() -> None:
    seen = look(PEOPLE, LABELLED, expectation("expect_column_to_exist", column="name"))
    assert seen.findings == ()
    assert measures(seen) == {
        "rows": 4,
        "columns": 3,
        "columns_unexamined": 1,
        "expectations": 2,
        "expectations_evaluated": 2,
        "expectations_failed": 0,
        "expectations_warned": 0,
        "expectations_errored": 0,
        "expectations_vacuous": 0,
        "required_missing": 0,
    }
    assert seen.coverage.looked_at == ("people.parquet",)
    assert not seen.coverage.failed


def test_a_failed_expectation_names_column_counts_and_rows() -> None:
    seen = look(PEOPLE, expectation(BETWEEN, column="age", max_value=120))
    finding = only(seen)
    assert finding.rule_id == f"data-validation.{BETWEEN}"
    assert finding.level is Level.ERROR
    assert finding.location.column == "age"
    assert finding.location.row == 3
    evidence = json.loads(finding.evidence)
    assert evidence["unexpected_count"] == 1
    assert evidence["element_count"] == 4
    assert evidence["missing_count"] == 1
    assert evidence["unexpected_percent"] == pytest.approx(100 / 3)
    assert evidence["rows"] == [3]
    assert "1 of 4 values" in finding.message
    assert measures(seen)["expectations_failed"] == 1


@pytest.mark.parametrize(
    "failing",
    [
        expectation("expect_column_values_to_be_in_set", column="name", value_set=["nobody"]),
        expectation("expect_column_distinct_values_to_be_in_set", column="name", value_set=["nobody"]),
        expectation("expect_column_distinct_values_to_equal_set", column="name", value_set=["nobody"]),
        expectation("expect_column_most_common_value_to_be_in_set", column="name", value_set=["nobody"]),
        expectation("expect_column_values_to_match_regex", column="name", regex="^x"),
        expectation("expect_column_value_lengths_to_equal", column="name", value=1),
        expectation("expect_compound_columns_to_be_unique", column_list=["name", "label"]),
        expectation("expect_column_pair_values_to_be_equal", column_A="name", column_B="label"),
        expectation(BETWEEN, column="name", min_value=3),
        expectation("expect_column_values_to_be_dateutil_parseable", column="name"),
        expectation("expect_column_mean_to_be_between", column="name", min_value=1),
    ],
    ids=lambda item: item["type"],
)
def test_no_value_of_the_data_leaves_by_default(failing: dict[str, Json], caplog: pytest.LogCaptureFixture) -> None:
    doubled = pd.concat([PEOPLE, PEOPLE], ignore_index=True)
    seen = look(doubled, failing)
    said = repr(seen) + caplog.text
    assert seen.findings
    assert not any(part in said for name in PEOPLE["name"] for part in name.split())


def test_values_are_quoted_when_that_is_asked_for() -> None:
    failing = expectation("expect_column_values_to_be_in_set", column="name", value_set=["nobody"])
    seen = look(PEOPLE, failing, show_values=True)
    assert json.loads(only(seen).evidence)["values"][0] == "Ada Lovelace"


def test_a_failed_aggregate_shows_its_number() -> None:
    seen = look(PEOPLE, expectation("expect_column_max_to_be_between", column="age", max_value=120))
    assert json.loads(only(seen).evidence)["observed_value"] == 171.0


def test_a_failed_table_expectation_shows_the_columns() -> None:
    failing = expectation("expect_table_columns_to_match_set", column_set=["label"], exact_match=True)
    assert "name" in json.loads(only(look(PEOPLE, failing)).evidence)["observed_value"]


def test_at_most_five_rows_are_named() -> None:
    frame = pd.DataFrame({"label": [None] * 1000 + [1]})
    assert json.loads(only(look(frame, LABELLED)).evidence)["rows"] == [0, 1, 2, 3, 4]


def test_a_row_of_a_folder_is_named_with_its_file(tmp_path: Path, hold: Hold) -> None:
    PEOPLE.to_parquet(tmp_path / "a.parquet")
    PEOPLE.assign(label=pd.Series([1, 1, float("nan"), 1])).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(SubjectError, match="different types"):
        ValidationGate(suite_of(LABELLED), progress=Silent()).look(hold(tmp_path))
    PEOPLE.assign(label=PEOPLE["label"].astype("float64")).to_parquet(tmp_path / "a.parquet")
    finding = only(ValidationGate(suite_of(LABELLED), progress=Silent()).look(hold(tmp_path)))
    assert (finding.location.path, finding.location.row) == ("b.parquet", 2)


@pytest.mark.parametrize(
    ("frame", "expectations", "options", "rule"),
    [
        pytest.param(PEOPLE, [], {}, "empty-suite", id="suite without expectations"),
        pytest.param(
            PEOPLE,
            [expectation("expect_column_mean_to_be_between", column="age")],
            {},
            "empty-suite",
            id="suite of expectations that cannot fail",
        ),
        pytest.param(PEOPLE.iloc[:0], [LABELLED], {}, "empty-table", id="table without rows"),
        pytest.param(PEOPLE, [LABELLED], {"min_rows": 5}, "too-few-rows", id="fewer rows than demanded"),
        pytest.param(
            PEOPLE, [LABELLED], {"required": [f"{NOT_NULL}:name"]}, "required-missing", id="required is missing"
        ),
        pytest.param(
            PEOPLE,
            [LABELLED, expectation(NOT_NULL, column="name", mostly=0)],
            {"required": [f"{NOT_NULL}:name"]},
            "required-missing",
            id="required with mostly 0",
        ),
        pytest.param(
            PEOPLE.assign(age=None),
            [LABELLED, expectation(BETWEEN, column="age", min_value=0)],
            {"required": [f"{BETWEEN}:age"]},
            "required-missing",
            id="required over a column of nulls",
        ),
    ],
)
def test_what_great_expectations_lets_pass_is_an_error(
    frame: pd.DataFrame, expectations: list[dict[str, Json]], options: dict[str, Any], rule: str
) -> None:
    seen = look(frame, *expectations, **options)
    assert rule in rules(seen)


def test_a_required_expectation_that_is_there_is_not_missing() -> None:
    seen = look(PEOPLE, LABELLED, required=[f"{NOT_NULL}:label", NOT_NULL])
    assert seen.findings == ()
    assert measures(seen)["required_missing"] == 0


def test_a_column_that_is_not_there_is_a_gap_that_names_it() -> None:
    seen = look(PEOPLE, LABELLED, expectation(BETWEEN, column="salary", min_value=0))
    assert measures(seen)["expectations_errored"] == 1
    assert "column 'salary' is not in the data" in seen.coverage.failed[0].reason
    assert rules(seen) == []
    assert rules(seen, Level.WARNING) == ["expectation-errored"]


@pytest.mark.parametrize(
    "kind",
    ["expect_column_values_to_be_of_type", "expect_column_type_to_be", "expect_column_values_to_be_in_type_list"],
)
def test_a_type_of_a_column_that_is_not_there_is_a_gap_that_names_it(kind: str) -> None:
    argument: dict[str, Json] = {"type_list": ["int64"]} if kind.endswith("list") else {"type_": "int64"}
    seen = look(PEOPLE, LABELLED, {"type": kind, "kwargs": {"column": "salary", **argument}})
    assert "column 'salary' is not in the data" in seen.coverage.failed[0].reason


def test_one_expectation_that_cannot_be_evaluated_leaves_the_others_alone() -> None:
    seen = look(PEOPLE, LABELLED, expectation(BETWEEN, column="name", min_value=1), expectation(NOT_NULL, column="age"))
    assert measures(seen)["expectations_errored"] == 1
    assert rules(seen) == [NOT_NULL]
    assert "column 'name'" not in seen.coverage.failed[0].path
    assert "name" in seen.coverage.failed[0].reason


def test_a_column_that_must_exist_and_does_not_is_a_failure_not_a_gap() -> None:
    seen = look(PEOPLE, LABELLED, expectation("expect_column_to_exist", column="salary"))
    assert rules(seen) == ["expect_column_to_exist"]
    assert not seen.coverage.failed


def test_an_expectation_over_nothing_but_nulls_is_called_vacuous() -> None:
    seen = look(PEOPLE.assign(age=None), LABELLED, expectation(BETWEEN, column="age", min_value=0))
    assert rules(seen, Level.WARNING) == ["expectation-vacuous"]
    assert measures(seen)["expectations_evaluated"] == 1


@pytest.mark.parametrize("severity", ["warning", "info"])
def test_severity_softens_nothing_unless_that_is_asked_for(severity: str) -> None:
    failing = expectation(BETWEEN, severity, column="age", max_value=120)
    assert rules(look(PEOPLE, LABELLED, failing)) == [BETWEEN]
    softened = look(PEOPLE, LABELLED, failing, allow_severity_warnings=True)
    assert rules(softened) == []
    assert measures(softened)["expectations_failed"] == 0
    assert measures(softened)["expectations_warned"] == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        pytest.param(expectation("expect_colum_to_exist", column="a"), "did you mean", id="unknown type"),
        pytest.param(expectation(NOT_NULL, column="a", mostley=1), "mostley", id="unknown argument"),
        pytest.param(expectation(NOT_NULL), "column", id="missing argument"),
        pytest.param(expectation(BETWEEN, column="a", min_value="x"), "min_value", id="argument of another type"),
        pytest.param(expectation(NOT_NULL, column="a", mostly=7), "mostly", id="mostly above 1"),
    ],
)
def test_a_suite_that_great_expectations_refuses_is_one_clear_message(wrong: dict[str, Json], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        look(PEOPLE, LABELLED, wrong)
    assert said in str(caught.value)
    assert f"expectations[1] {wrong['type']}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_expectation_of_ones_own_that_breaks_the_graph_is_found_alone() -> None:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull
    from great_expectations.expectations.expectation import BatchExpectation

    class ExpectExplosion(BatchExpectation):
        """Raises where Great Expectations does not expect it."""

        def get_validation_dependencies(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError("Ada Lovelace")

        def _validate(self, *_: Any, **__: Any) -> Any:
            raise NotImplementedError

    ours = ExpectationSuite(
        name="people",
        expectations=[ExpectExplosion(), ExpectColumnValuesToNotBeNull(column="age")],
    )
    with FrameOpener(PEOPLE).open("people") as opened:
        seen = ValidationGate(ours, progress=Silent()).look(opened)
    assert rules(seen) == [NOT_NULL]
    assert [gap.reason for gap in seen.coverage.failed] == [
        "expect_explosion could not be evaluated: ZeroDivisionError in Great Expectations"
    ]


def test_without_great_expectations_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "great_expectations.data_context.data_context.ephemeral_data_context"
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(MissingExtraError, match=r"interlock\[gx\]"):
        look(PEOPLE, LABELLED)


def test_a_misspelt_required_type_is_a_usage_error_before_data_is_read(tmp_path: Path, hold: Hold) -> None:
    gate = ValidationGate(suite_of(LABELLED), required=["expect_colum_to_exist:a"], progress=Silent())
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="did you mean 'expect_column_to_exist'"):
        gate.look(hold(path))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"min_rows": 0}, id="no rows"),
        pytest.param({"min_rows": True}, id="boolean rows"),
        pytest.param({"min_rows": "7"}, id="text rows"),
        pytest.param({"required": NOT_NULL}, id="required is one text"),
        pytest.param({"file_format": "xlsx"}, id="format"),
        pytest.param({"csv_separator": "ab"}, id="separator"),
        pytest.param({"datasource": {"type": "mongo"}}, id="datasource"),
    ],
)
def test_a_wrong_option_is_a_usage_error_when_the_gate_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ValidationGate(suite_of(LABELLED), **options)


def test_the_configuration_holds_the_suite_digest_and_every_weakening() -> None:
    plain = ValidationGate(suite_of(LABELLED)).configuration()
    suite = plain["suite"]
    assert isinstance(suite, dict)
    assert len(suite["sha256"]) == 64
    other = ValidationGate(suite_of(LABELLED, LABELLED)).configuration()
    assert other["suite"] != suite
    for option in ({"show_values": True}, {"skip_unnamed_columns": True}, {"allow_severity_warnings": True}):
        assert ValidationGate(suite_of(LABELLED), **option).configuration() != plain  # type: ignore[arg-type] # each
    json.dumps(plain)


def test_only_named_columns_are_read_when_that_is_asked_for() -> None:
    seen = look(PEOPLE, LABELLED, skip_unnamed_columns=True)
    assert measures(seen)["columns"] == 1
    assert "name, age" in seen.coverage.skipped[0].reason


@pytest.mark.parametrize(
    "about_table",
    [
        expectation("expect_table_column_count_to_equal", value=3),
        expectation(NOT_NULL, column="label", row_condition=OLDER),
        expectation("expect_column_to_exist", column="label", column_index=2),
    ],
    ids=["table", "row condition", "column index"],
)
def test_a_suite_about_the_whole_table_reads_all_columns(about_table: dict[str, Json]) -> None:
    seen = look(PEOPLE, LABELLED, about_table, skip_unnamed_columns=True)
    assert measures(seen)["columns"] == 3
    assert seen.findings == ()


def test_suite_in_csv_gives_the_same_counts_as_in_parquet(tmp_path: Path, hold: Hold) -> None:
    PEOPLE.to_csv(tmp_path / "d.csv", index=False)
    PEOPLE.to_parquet(tmp_path / "d.parquet")
    gate = ValidationGate(suite_of(LABELLED, expectation(BETWEEN, column="age", max_value=120)), progress=Silent())
    csv, parquet = (gate.look(hold(tmp_path / name)) for name in ("d.csv", "d.parquet"))
    assert csv.measures == parquet.measures
    assert [finding.evidence for finding in csv.findings] == [finding.evidence for finding in parquet.findings]


def test_reordering_rows_changes_no_count() -> None:
    demanded = (LABELLED, expectation(BETWEEN, column="age", max_value=120))
    assert look(PEOPLE, *demanded).measures == look(PEOPLE.iloc[::-1], *demanded).measures


def test_a_run_of_the_gate_reports_tools_and_suite() -> None:
    recorder = ListRecorder()
    outcome = run_gate(
        ValidationGate(suite_of(LABELLED), progress=Silent()),
        "frame://people",
        context=GateContext(run=RUN, profile="dev", stage=Stage.GATE),
        opener=FrameOpener(PEOPLE),
        decider=FixedDecider(),
        recorder=recorder,
    )
    assert outcome.decision.verdict is Verdict.ALLOW
    assert [tool.name for tool in outcome.report.tools] == ["great-expectations", "pandas", "pyarrow"]
    assert json.loads(outcome.report.configuration)["suite"]["name"] == "people"


def test_an_errored_expectation_is_never_allow_even_if_policy_would() -> None:
    outcome = run_gate(
        ValidationGate(suite_of(LABELLED, expectation(NOT_NULL, column="salary")), progress=Silent()),
        "frame://people",
        context=GateContext(run=RUN, profile="dev", stage=Stage.GATE),
        opener=FrameOpener(PEOPLE),
        decider=FixedDecider(),
        recorder=ListRecorder(),
    )
    assert outcome.decision.verdict is Verdict.UNDECIDED
