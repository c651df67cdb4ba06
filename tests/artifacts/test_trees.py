"""XGBoost and LightGBM: what is really saved passes, and no index leads out of a tree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_trees import LIGHTGBM, ubjson, xgboost
from tests.artifacts.looking import record_of

from interlock.artifacts import Limits
from interlock.artifacts.record import FORMAT, MALFORMED_TREES

UBJSON = ubjson(xgboost())
JSON = json.dumps(xgboost()).encode()
MUTATED = settings(max_examples=150, derandomize=True, database=None, deadline=None)


def _format(data: bytes) -> str:
    record = record_of(data)
    assert record.clean, (record.findings, record.failed)
    return str(next(json.loads(finding.evidence)["format"] for finding in record.findings if finding.rule_id == FORMAT))


def test_models_by_hand_are_allowed() -> None:
    assert [_format(data) for data in (JSON, UBJSON, LIGHTGBM.encode())] == ["xgboost", "xgboost", "lightgbm"]


NO_JSON = {
    "a-byte-behind": JSON + b"x",
    "a-comma-behind": JSON[:-1] + b",}",
    "escaped-quote": JSON[:-1] + b', "a": "\\\'"}',
    "long-number": JSON[:-1] + b', "a": ' + b"1" * 5_000 + b"}",
    "catboost": b'{"oblivious_trees": []}x',
    "escaped-key": b'{"oblivi\\u006fus_trees": []}x',
}


@pytest.mark.parametrize("data", NO_JSON.values(), ids=NO_JSON)
def test_trees_in_json_that_only_their_library_reads_are_refused(data: bytes) -> None:
    assert {finding.rule_id for finding in record_of(data).findings} >= {MALFORMED_TREES}


def test_text_in_braces_that_is_no_json_is_allowed() -> None:
    assert record_of(b"{{ 'trees' }} and the learner: all of it").clean


def test_no_cut_of_a_binary_model_is_allowed() -> None:
    assert [size for size in range(3, len(UBJSON)) if record_of(UBJSON[:size]).clean] == []


@MUTATED
@given(data=st.binary(max_size=200), start=st.integers(0, len(UBJSON)))
def test_no_bytes_crash_the_ubjson_reader(data: bytes, start: int) -> None:
    record_of(UBJSON[:start] + data)


@MUTATED
@given(
    column=st.sampled_from(["left_children", "right_children", "parents", "split_indices"]),
    values=st.lists(st.integers(-3, 5), min_size=3, max_size=3),
)
def test_allowed_tree_leads_from_its_root_to_leaves_inside_of_it(column: str, values: list[int]) -> None:
    model = xgboost(**{column: values})
    assert record_of(json.dumps(model).encode()).clean == record_of(ubjson(model)).clean
    if record_of(ubjson(model)).clean:
        tree = model["learner"]["gradient_booster"]["model"]["trees"][0]
        assert _walked(tree) <= 3


def _walked(tree: dict[str, Any]) -> int:
    left, steps = [0], 0
    while left:
        node = left.pop()
        steps += 1
        assert 0 <= node < 3
        assert steps <= 3
        if tree["left_children"][node] != -1:
            assert 0 <= tree["split_indices"][node] < 4
            left += [tree["left_children"][node], tree["right_children"][node]]
    return steps


@MUTATED
@given(
    left=st.lists(st.integers(-4, 3), min_size=2, max_size=2),
    right=st.lists(st.integers(-4, 3), min_size=2, max_size=2),
)
def test_allowed_text_model_leads_from_its_root_to_each_leaf_once(left: list[int], right: list[int]) -> None:
    text = LIGHTGBM.replace("left_child=1 -1", f"left_child={left[0]} {left[1]}")
    text = text.replace("right_child=-2 -3", f"right_child={right[0]} {right[1]}")
    if record_of(text.encode()).clean:
        leaves: list[int] = []
        open_nodes = [0]
        while open_nodes and len(leaves) < 9:
            node = open_nodes.pop()
            for child in (left[node], right[node]):
                (leaves if child < 0 else open_nodes).append(child)
        assert sorted(leaves) == [-3, -2, -1]


def test_limits_end_in_a_gap() -> None:
    assert "a text of" in record_of(UBJSON, limits=Limits(text_bytes=50)).failed[0].reason
    assert "values in one file" in record_of(UBJSON, limits=Limits(values=3)).failed[0].reason
    assert "time limit" in record_of(LIGHTGBM.encode(), limits=Limits(seconds=1e-9)).failed[0].reason


@pytest.mark.slow
def test_what_the_libraries_really_save_passes() -> None:
    from tests.artifacts.harmless_trees import harmless_trees

    for name, (data, form) in harmless_trees().items():
        assert _format(data) == form, name
