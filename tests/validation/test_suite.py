from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import Json, UsageError
from interlock.validation import RequiredExpectation, load_suite

NOT_NULL = "expect_column_values_to_not_be_null"


def suite_of(*expectations: Json, **more: Json) -> dict[str, Json]:
    return {"name": "train", "expectations": list(expectations), **more}


def expectation(kind: str, **kwargs: Json) -> dict[str, Json]:
    return {"type": kind, "kwargs": kwargs}


def test_a_suite_file_that_great_expectations_saved_is_read(tmp_path: Path) -> None:
    import great_expectations as gx
    from great_expectations.expectations.core.expect_column_values_to_not_be_null import ExpectColumnValuesToNotBeNull

    context = gx.get_context(mode="file", project_root_dir=tmp_path)
    context.suites.add(
        gx.ExpectationSuite(
            name="train",
            expectations=[ExpectColumnValuesToNotBeNull(column="a", mostly=0.9, notes="why")],
        )
    )
    suite = load_suite(tmp_path / "gx" / "expectations" / "train.json")
    assert suite.name == "train"
    assert [(spec.type, dict(spec.kwargs)) for spec in suite.expectations] == [
        (NOT_NULL, {"column": "a", "mostly": 0.9})
    ]


def test_file_mapping_and_object_of_one_suite_have_one_digest(tmp_path: Path) -> None:
    import great_expectations as gx
    from great_expectations.expectations.core.expect_column_to_exist import ExpectColumnToExist

    from_code = gx.ExpectationSuite(name="train", expectations=[ExpectColumnToExist(column="a")])
    document = from_code.to_json_dict()
    file = tmp_path / "suite.json"
    file.write_text(json.dumps(document, indent=4))
    digests = {load_suite(source).digest for source in (from_code, document, file, str(file))}
    assert len(digests) == 1


def test_any_change_of_the_suite_changes_its_digest() -> None:
    before = load_suite(suite_of(expectation(NOT_NULL, column="a")))
    after = load_suite(suite_of(expectation(NOT_NULL, column="a", mostly=0.9)))
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "not JSON", id="truncated"),
        pytest.param("[]", "a suite is a JSON object", id="array"),
        pytest.param('{"expectations": []}', "no name", id="no name"),
        pytest.param('{"name": "x"}', "no list of expectations", id="no expectations"),
        pytest.param('{"name": "x", "expectations": {}}', "no list of expectations", id="object for list"),
        pytest.param('{"name": "x", "expectation": []}', "no field 'expectation'", id="misspelt field"),
        pytest.param('{"name": "x", "name": "y", "expectations": []}', "stands twice", id="repeated key"),
        pytest.param('{"name": "x", "expectations": [3]}', "expectations[0]", id="number for expectation"),
        pytest.param('{"name": "x", "expectations": [{"kwargs": {}}]}', "has no type", id="no type"),
        pytest.param('{"name": "x", "expectations": [{"expectation_type": "e"}]}', "1.x name", id="old field"),
        pytest.param('{"name": "x", "expectations": [{"type": "e", "kwargs": 3}]}', "kwargs is not", id="bad kwargs"),
        pytest.param('{"name": "x", "expectations": [{"type": "e", "mostly": 1}]}', "into kwargs", id="mostly outside"),
        pytest.param(
            '{"name": "x", "expectations": [{"type": "e", "severity": "meh"}]}', "severity 'meh'", id="severity"
        ),
        pytest.param('{"expectation_suite_name": "x", "expectations": []}', "0.x", id="0.x suite"),
        pytest.param('{"name": "x", "expectations": [{"type": "e", "kwargs": {"a": NaN}}]}', "NaN", id="NaN"),
        pytest.param("[" * 100_000, "not JSON", id="nested too deep"),
        pytest.param("\x00\x01", "not JSON", id="binary"),
    ],
)
def test_a_malformed_suite_file_is_one_clear_message(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "suite.json"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_suite(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_suite_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nope\.json.*suggest"):
        load_suite(tmp_path / "nope.json")


def test_a_suite_of_another_python_type_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(UsageError, match="not int"):
        load_suite(wrong)


@pytest.mark.parametrize(
    "outside",
    [
        pytest.param(expectation(NOT_NULL, column="a", mostly={"$PARAMETER": "m"}), id="run parameter"),
        pytest.param(
            expectation("expect_column_values_to_be_in_set", column="a", value_set=[{"$PARAMETER": "m"}]),
            id="run parameter inside a list",
        ),
        pytest.param(expectation(NOT_NULL, column="a", batch_id="other"), id="batch id"),
        pytest.param(
            expectation("unexpected_rows_expectation", unexpected_rows_query="select 1 from clean"), id="query"
        ),
        pytest.param(
            expectation("expect_table_row_count_to_equal_other_table", other_table_name="clean"), id="other table"
        ),
        pytest.param(
            expectation("expect_query_results_to_match_comparison", comparison_data_source_name="clean"),
            id="other data source",
        ),
    ],
)
def test_an_expectation_that_looks_outside_the_subject_is_refused(outside: dict[str, Json]) -> None:
    with pytest.raises(UsageError, match=r"expectations\[0\]"):
        load_suite(suite_of(outside))


@pytest.mark.parametrize(
    ("spec", "idle"),
    [
        (expectation("expect_column_mean_to_be_between", column="a"), True),
        (expectation("expect_column_mean_to_be_between", column="a", min_value=0), False),
        (expectation("expect_table_row_count_to_be_between"), True),
        (expectation("expect_column_values_to_match_regex", column="a"), True),
        (expectation("expect_column_values_to_not_be_in_set", column="a", value_set=[]), True),
        (expectation("expect_table_columns_to_match_set", column_set=None), True),
        (expectation(NOT_NULL, column="a", mostly=0), True),
        (expectation(NOT_NULL, column="a"), False),
    ],
)
def test_an_expectation_that_cannot_fail_is_known_as_such(spec: dict[str, Json], idle: bool) -> None:
    assert bool(load_suite(suite_of(spec)).expectations[0].cannot_fail) is idle


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (NOT_NULL, RequiredExpectation(type=NOT_NULL)),
        (f"{NOT_NULL}:label", RequiredExpectation(type=NOT_NULL, column="label")),
        (f"{NOT_NULL}:a:b", RequiredExpectation(type=NOT_NULL, column="a:b")),
        (f"{NOT_NULL}:label@0.95", RequiredExpectation(type=NOT_NULL, column="label", mostly=0.95)),
        (f"{NOT_NULL}:me@home", RequiredExpectation(type=NOT_NULL, column="me@home")),
    ],
)
def test_a_required_expectation_survives_its_text(text: str, parsed: RequiredExpectation) -> None:
    assert RequiredExpectation.parse(text) == parsed
    assert str(parsed) == text


@pytest.mark.parametrize("text", ["", ":label", "Expect Nothing", f"{NOT_NULL}:"])
def test_a_required_expectation_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="<type>:<column>"):
        RequiredExpectation.parse(text)


@pytest.mark.parametrize(
    ("kwargs", "met"),
    [
        pytest.param({"column": "label"}, True, id="plain"),
        pytest.param({"column": "other"}, False, id="other column"),
        pytest.param({"column": "label", "mostly": 0.5}, False, id="softened by mostly"),
        pytest.param({"column": "label", "row_condition": {"type": "comparison"}}, False, id="exempts rows"),
    ],
)
def test_a_softened_expectation_does_not_meet_the_requirement(kwargs: dict[str, Json], met: bool) -> None:
    spec = load_suite(suite_of(expectation(NOT_NULL, **kwargs))).expectations[0]
    assert RequiredExpectation.parse(f"{NOT_NULL}:label").is_met_by(spec) is met
