"""Which steps policy data protects: the shipped rules, precedence, and every malformed rule."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.bundles.bundle_tools import tar_gz

from interlock.gate import PolicyError
from interlock.pipeline import UNREADABLE, Match, Protection, Traits
from interlock.pipeline.protection import CRITERIA
from interlock.policy import Bundle, layered

SHIPPED = Protection.from_data(Bundle.load().data)


def rules(**named: Any) -> Protection:
    return Protection.from_data(
        {"interlock": {"protected": {name.replace("_", "-"): one for name, one in named.items()}}}
    )


def layer(data: Any) -> Bundle:
    files = {"acme/acme.rego": "package acme\n", "data.json": json.dumps(data)}
    return Bundle.unpack(tar_gz({path: text.encode() for path, text in files.items()}), origin="acme")


@pytest.mark.parametrize(
    ("traits", "protects", "because"),
    [
        pytest.param(Traits(queues=("gpu",)), "training", "rule gpu-queues: queue 'gpu'", id="queue"),
        pytest.param(Traits(pools=("a100-gpu",)), "training", "rule gpu-pools: pool 'a100-gpu'", id="pool"),
        pytest.param(
            Traits(connections=("db", "gpu_cluster")),
            "training",
            "rule gpu-connections: connection 'gpu_cluster'",
            id="one-of-two-connections",
        ),
        pytest.param(Traits(gpus=("nvidia.com/gpu",)), "training", "rule gpu-requests: gpu 'nvidia.com/gpu'", id="gpu"),
        pytest.param(Traits(gpus=("nvidia.com/mig-1g.5gb",)), "training", "nvidia.com/mig", id="part-of-a-gpu"),
        pytest.param(Traits(gpus=(UNREADABLE,)), "training", "gpu 'unreadable'", id="resources-nobody-can-read"),
        pytest.param(Traits(outlets=("model://digits",)), "training", "rule model-outlets", id="makes-a-model"),
        pytest.param(Traits(inlets=("model://digits",)), "deployment", "rule model-inlets", id="uses-a-model"),
        pytest.param(
            Traits(inlets=("model://base",), outlets=("model://tuned",)), "training", "model-outlets", id="fine-tuning"
        ),
        pytest.param(
            Traits(operators=("airflow.providers.amazon.aws.operators.sagemaker.SageMakerTrainingOperator",)),
            "training",
            "training-operators",
            id="training-elsewhere",
        ),
        pytest.param(
            Traits(operators=("airflow.providers.amazon.aws.operators.sagemaker.SageMakerEndpointOperator",)),
            "deployment",
            "serving-operators",
            id="serving-elsewhere",
        ),
        pytest.param(Traits(connections=("model_registry",)), "deployment", "serving-connections", id="registry"),
    ],
)
def test_the_shipped_rules_find(traits: Traits, protects: str, because: str) -> None:
    match = SHIPPED.judge(traits)
    assert match.protects == protects
    assert because in match.because


@pytest.mark.parametrize(
    "traits",
    [
        pytest.param(Traits(), id="nothing"),
        pytest.param(Traits(queues=("default",), pools=("default_pool",), connections=("postgres",)), id="ordinary"),
        pytest.param(Traits(operators=("airflow.providers.standard.operators.python.PythonOperator",)), id="python"),
        pytest.param(Traits(outlets=("s3://lake/a",), inlets=("s3://lake/b",)), id="data-assets"),
        pytest.param(Traits(queues=("GPU",)), id="patterns-know-case"),
        pytest.param(Traits(queues=("gpus",)), id="a-pattern-is-the-whole-name"),
        pytest.param(Traits(pipelines=("gpu",), steps=("gpu",), tags=("gpu",)), id="a-name-is-no-queue"),
    ],
)
def test_the_shipped_rules_leave_alone(traits: Traits) -> None:
    assert SHIPPED.judge(traits) == Match()


def test_every_criterion_of_a_rule_must_match() -> None:
    both = rules(both={"protects": "training", "queues": ["big"], "tags": ["ml"]})
    assert both.judge(Traits(queues=("big",))) == Match()
    assert both.judge(Traits(queues=("big",), tags=("x", "ml"))).because == "rule both: tag 'ml', queue 'big'"


def test_the_highest_priority_counts_and_then_the_stricter_kind() -> None:
    same = {"queues": ["q"]}
    found = rules(
        a={"protects": "none", **same}, b={"protects": "training", **same}, c={"protects": "deployment", **same}
    )
    assert found.judge(Traits(queues=("q",))).because == "rule c: queue 'q'"
    lifted = rules(a={"protects": "none", "priority": 1, **same}, c={"protects": "deployment", **same})
    assert lifted.judge(Traits(queues=("q",))) == Match()
    sunk = rules(a={"protects": "training", "priority": -1, **same}, b={"protects": "none", **same})
    assert sunk.judge(Traits(queues=("q",))) == Match()


def test_a_layer_adds_a_rule_and_an_exception() -> None:
    own = {
        "notebooks": {"protects": "training", "images": ["registry.acme.example/notebook:*"]},
        "reports": {"protects": "none", "priority": 100, "queues": ["gpu"], "pipelines": ["gpu_report"]},
    }
    found = Protection.from_data(layered(Bundle.load(), [layer({"interlock": {"protected": own}})]).data)
    assert found.judge(Traits(images=("registry.acme.example/notebook:1",))).protects == "training"
    assert found.judge(Traits(queues=("gpu",), pipelines=("gpu_report",))) == Match()
    assert found.judge(Traits(queues=("gpu",), pipelines=("other",))).protects == "training"


GOOD: dict[str, Any] = {"protects": "training", "queues": ["gpu"]}


@pytest.mark.parametrize(
    ("rule", "message", "where"),
    [
        pytest.param(None, "no object", "", id="null"),
        pytest.param(["queues"], "no object", "", id="a-list"),
        pytest.param("gpu", "no object", "", id="a-text"),
        pytest.param({"queues": ["gpu"]}, "protects None", "", id="protects-missing"),
        pytest.param(GOOD | {"protects": "everything"}, "protects 'everything'", "", id="protects-unknown"),
        pytest.param(GOOD | {"protects": ["training"]}, "protects", "", id="protects-a-list"),
        pytest.param(GOOD | {"queue": ["gpu"]}, "'queue', which no step has", "", id="criterion-misspelt"),
        pytest.param({"protects": "training"}, "no criterion", "", id="no-criterion"),
        pytest.param({"protects": "training", "title": "All", "priority": 1}, "no criterion", "", id="only-a-title"),
        pytest.param(GOOD | {"priority": "10"}, "no whole number", "", id="priority-a-text"),
        pytest.param(GOOD | {"priority": 1.5}, "no whole number", "", id="priority-a-fraction"),
        pytest.param(GOOD | {"priority": True}, "no whole number", "", id="priority-a-boolean"),
        pytest.param(GOOD | {"priority": None}, "no whole number", "", id="priority-null"),
        *(
            pytest.param(GOOD | {name: wrong}, "no list of patterns", f".{name}", id=f"{name}-{kind}")
            for name in CRITERIA
            for kind, wrong in {"null": None, "text": "gpu", "empty": [], "numbers": [1], "nothing": [""]}.items()
        ),
    ],
)
def test_a_malformed_rule_is_refused_with_its_place(rule: Any, message: str, where: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        rules(good=GOOD, wrong=rule)
    assert caught.value.where == f"data.interlock.protected.wrong{where}"
    assert caught.value.next_step


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({}, id="empty"),
        pytest.param({"interlock": None}, id="null"),
        pytest.param({"interlock": {}}, id="not-said"),
        pytest.param({"interlock": {"protected": {}}}, id="no-rule"),
        pytest.param({"interlock": {"protected": []}}, id="a-list"),
        pytest.param({"interlock": {"protected": None}}, id="taken-away"),
    ],
)
def test_a_bundle_that_does_not_say_what_is_protected_is_refused(data: Any) -> None:
    with pytest.raises(PolicyError, match="does not say which steps are protected"):
        Protection.from_data(data)


words = st.sampled_from(["gpu", "gpu_1", "model://a", "db", "nvidia.com/gpu", UNREADABLE, "kserve", "x"])
some_traits = st.fixed_dictionaries({name: st.lists(words, max_size=2).map(tuple) for name in CRITERIA})
drawn_rules = st.dictionaries(
    st.sampled_from("abcd"),
    st.fixed_dictionaries(
        {
            "protects": st.sampled_from(["training", "deployment", "none"]),
            "priority": st.integers(-1, 2),
            "queues": st.lists(words, min_size=1, max_size=2),
        },
        optional={name: st.lists(words, min_size=1, max_size=2) for name in ("pools", "gpus", "outlets")},
    ),
    min_size=1,
)


@settings(deadline=None)
@given(some_traits, some_traits, drawn_rules)
def test_using_more_never_makes_a_protected_step_ordinary_unless_an_exception_says_so(
    before: dict[str, tuple[str, ...]], more: dict[str, tuple[str, ...]], data: dict[str, Any]
) -> None:
    """Nobody gets rid of the protection by adding an outlet, a tag or a connection."""
    both = Traits(**{name: before[name] + more[name] for name in CRITERIA})
    assert not SHIPPED.judge(Traits(**before)).protects or SHIPPED.judge(both).protects
    found = rules(**data)
    if found.judge(Traits(**before)).protects and not found.judge(both).protects:
        exceptions = [rule | {"protects": "training"} for rule in data.values() if rule["protects"] == "none"]
        assert any(rules(exception=rule).judge(both).protects for rule in exceptions)


def test_every_criterion_is_a_field_of_what_a_step_uses() -> None:
    assert {field.name for field in dataclasses.fields(Traits)} == set(CRITERIA)
