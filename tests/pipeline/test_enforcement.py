"""The mode of a pipeline, and how a missing gate is set, from policy data: precedence and every malformed rule."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.test_protection import layer

from interlock.gate import PolicyError
from interlock.pipeline import Enforcement, Insertion, Mode
from interlock.policy import Bundle, layered


def modes(**named: Any) -> Enforcement:
    return Enforcement.from_data(rules_of(**named), "airflow")


def rules_of(**named: Any) -> dict[str, Any]:
    return {"interlock": {"enforcement": {"airflow": named}}}


@pytest.mark.parametrize("orchestrator", ["airflow", "kubeflow"])
def test_everything_is_enforced_as_shipped(orchestrator: str) -> None:
    shipped = Enforcement.from_data(Bundle.load().data, orchestrator)
    assert shipped.mode("legacy", ("ml",)) is Mode.ENFORCE


@pytest.mark.parametrize("data", [{"interlock": {}}, {"interlock": {"enforcement": {}}}], ids=str)
def test_without_rules_everything_is_enforced(data: Any) -> None:
    assert Enforcement.from_data(data, "airflow").mode("any", ()) is Mode.ENFORCE


def test_a_rule_is_for_its_pipelines_and_orchestrator_alone() -> None:
    rule = {"mode": "warn", "pipelines": ["legacy_*"]}
    assert modes(old=rule).mode("legacy_1", ()) is Mode.WARN
    assert modes(old=rule).mode("new", ("legacy_1",)) is Mode.ENFORCE
    assert Enforcement.from_data(rules_of(old=rule), "kubeflow").mode("legacy_1", ()) is Mode.ENFORCE


def test_pipelines_and_tags_must_both_match() -> None:
    rule = {"mode": "audit", "pipelines": ["a*"], "tags": ["sandbox"]}
    assert modes(one=rule).mode("a1", ("x", "sandbox")) is Mode.AUDIT
    assert modes(one=rule).mode("a1", ()) is Mode.ENFORCE
    assert modes(one=rule).mode("b1", ("sandbox",)) is Mode.ENFORCE


def test_the_highest_priority_counts_and_then_the_stricter_mode() -> None:
    everything: dict[str, Any] = {"pipelines": ["*"]}
    all_four: dict[str, Any] = {mode.value: {"mode": mode.value, **everything} for mode in reversed(Mode)}
    assert modes(**all_four).mode("p", ()) is Mode.ENFORCE
    del all_four["enforce"]
    assert modes(**all_four).mode("p", ()) is Mode.INSERT
    assert modes(**all_four | {"late": {"mode": "audit", "priority": 1, **everything}}).mode("p", ()) is Mode.AUDIT


def test_a_layer_adds_a_rule() -> None:
    own = {"interlock": {"enforcement": {"airflow": {"old": {"mode": "warn", "pipelines": ["legacy_*"]}}}}}
    found = Enforcement.from_data(layered(Bundle.load(), [layer(own)]).data, "airflow")
    assert found.mode("legacy_1", ()) is Mode.WARN
    assert found.mode("p", ()) is Mode.ENFORCE


def test_only_the_watching_modes_let_an_ungated_pipeline_pass() -> None:
    assert {mode for mode in Mode if mode.lets_pass} == {Mode.WARN, Mode.AUDIT}


GOOD: dict[str, Any] = {"mode": "warn", "pipelines": ["a"]}
BROKEN_SELECTORS = [
    pytest.param({"pipelines": None}, "no list of patterns", ".pipelines", id="pipelines-null"),
    pytest.param({"pipelines": "a"}, "no list of patterns", ".pipelines", id="pipelines-a-text"),
    pytest.param({"pipelines": []}, "no list of patterns", ".pipelines", id="pipelines-empty"),
    pytest.param({"tags": [7]}, "no list of patterns", ".tags", id="tags-of-numbers"),
    pytest.param({"tags": [""]}, "no list of patterns", ".tags", id="tags-of-nothing"),
    pytest.param({"priority": "1"}, "no whole number", "", id="priority-a-text"),
    pytest.param({"priority": True}, "no whole number", "", id="priority-a-boolean"),
    pytest.param({"priority": None}, "no whole number", "", id="priority-null"),
    pytest.param({"queues": ["gpu"]}, "another shape", "", id="a-criterion-that-pipelines-lack"),
]


@pytest.mark.parametrize(
    ("change", "message", "where"),
    [
        *BROKEN_SELECTORS,
        pytest.param({"mode": None}, "mode None is unknown", "", id="mode-null"),
        pytest.param({"mode": "off"}, "mode 'off' is unknown", "", id="mode-unknown"),
        pytest.param({"mode": ["warn"]}, "is unknown", "", id="mode-a-list"),
        pytest.param({"mode": "WARN"}, "is unknown", "", id="mode-in-capitals"),
    ],
)
def test_a_malformed_rule_is_refused_with_its_place(change: Any, message: str, where: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        modes(good=GOOD, wrong=GOOD | change)
    assert caught.value.where == f"data.interlock.enforcement.airflow.wrong{where}"
    assert caught.value.next_step


@pytest.mark.parametrize("rule", [None, "warn", ["warn"], 7], ids=str)
def test_what_is_no_object_is_no_rule(rule: Any) -> None:
    with pytest.raises(PolicyError, match="another shape"):
        modes(wrong=rule)


def test_a_rule_that_selects_nothing_is_refused() -> None:
    with pytest.raises(PolicyError, match="selects no pipelines"):
        modes(wrong={"mode": "audit"})


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="not-a-bundle-of-interlock"),
        pytest.param({"interlock": []}, id="interlock-a-list"),
        pytest.param({"interlock": {"enforcement": None}}, id="enforcement-null"),
        pytest.param({"interlock": {"enforcement": {"airflow": None}}}, id="airflow-null"),
        pytest.param({"interlock": {"enforcement": {"airflow": ["warn"]}}}, id="airflow-a-list"),
    ],
)
def test_rules_in_another_shape_are_refused_and_not_taken_for_none(data: Any) -> None:
    with pytest.raises(PolicyError, match="no object of named rules") as caught:
        Enforcement.from_data(data, "airflow")
    assert caught.value.where == "data.interlock.enforcement.airflow"


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        st.fixed_dictionaries(
            {"mode": st.sampled_from([mode.value for mode in Mode]), "priority": st.integers(0, 1)},
            optional={"tags": st.just(["t"])},
        ).map(lambda rule: {"pipelines": ["*"], **rule}),
    ),
    st.booleans(),
)
def test_the_order_in_which_rules_are_written_decides_nothing(rules: dict[str, Any], tagged: bool) -> None:
    tags = ("t",) if tagged else ()
    backwards = dict(reversed(rules.items()))
    assert modes(**rules).mode("p", tags) is modes(**backwards).mode("p", tags)


def settings_of(**named: Any) -> Insertion:
    return Insertion.from_data({"interlock": {"insertion": {"airflow": named}}}, "airflow")


GATE: dict[str, Any] = {"gate": "data-poisoning", "pipelines": ["a*"], "options": {"label": "label"}}


def test_a_gate_is_set_as_the_first_rule_for_its_kind_and_pipeline_says() -> None:
    own = {"gate": "data-poisoning", "pipelines": ["a1"], "priority": 1, "options": {"label": "y"}}
    found = settings_of(usual=GATE, own=own)
    assert found.options("data-poisoning", "a1", ()) == {"label": "y"}
    assert found.options("data-poisoning", "a2", ()) == {"label": "label"}
    assert found.options("data-poisoning", "b", ()) is None
    assert found.options("artifact-scan", "a1", ()) is None


def test_models_can_be_scanned_as_shipped() -> None:
    assert Insertion.from_data(Bundle.load().data, "airflow").options("artifact-scan", "p", ()) == {}


@pytest.mark.parametrize(
    ("change", "message", "where"),
    [
        *BROKEN_SELECTORS,
        pytest.param({"gate": None}, "no kind of gate", "", id="gate-null"),
        pytest.param({"gate": "poisoning"}, "no kind of gate", "", id="gate-unknown"),
        pytest.param({"gate": ["data-poisoning"]}, "no kind of gate", "", id="gate-a-list"),
        pytest.param({"options": None}, "another shape", "", id="options-null"),
        pytest.param({"options": ["label"]}, "another shape", "", id="options-a-list"),
    ],
)
def test_a_malformed_rule_of_insertion_is_refused_with_its_place(change: Any, message: str, where: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        settings_of(good=GATE, wrong=GATE | change)
    assert caught.value.where == f"data.interlock.insertion.airflow.wrong{where}"
    assert caught.value.next_step
