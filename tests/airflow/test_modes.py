"""How a DAG whose protected steps are not gated is treated: refused, mended, or let pass; by policy data."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, TaskGroup
from tests.airflow.layers import lay

from interlock.airflow import ScanModelOperator, SecureTrainOperator, protect
from interlock.airflow_plugin.inserting import TAG, gate_id

Load = Callable[[DAG], None]
OPTIONS = {
    "interlock/insertion/airflow/validation": {
        "gate": "data-validation",
        "pipelines": ["*"],
        "options": {"suite": "suite.json"},
    },
    "interlock/insertion/airflow/poisoning": {
        "gate": "data-poisoning",
        "pipelines": ["*"],
        "options": {"label": "label"},
    },
}


def train(**other: Any) -> SecureTrainOperator:
    return SecureTrainOperator(**{"task_id": "train", "data": "d", "out": "o", "command": ["x"], **other})


def mode(word: str, **selected: Any) -> dict[str, Any]:
    return {"interlock/enforcement/airflow/some": {"mode": word, **(selected or {"pipelines": ["*"]})}}


def refused(load: Load, dag: DAG) -> str:
    with pytest.raises(AirflowClusterPolicyViolation) as caught:
        load(dag)
    return str(caught.value)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deployment: Path) -> Callable[[dict[str, Any]], None]:
    return lambda documents: (lay(tmp_path / "layer", monkeypatch, documents), None)[1]


def test_a_dag_that_no_rule_selects_is_enforced(load: Load, policy: Any) -> None:
    policy(mode("audit", pipelines=["legacy_*"]))
    with DAG("new") as dag:
        train()
    assert "no data-validation gate holds" in refused(load, dag)
    with DAG("legacy_scores") as old:
        train()
    load(old)


@pytest.mark.parametrize(("word", "tagged"), [("warn", True), ("audit", False)])
def test_what_only_watches_lets_pass_and_says_what_is_wrong(
    load: Load, policy: Any, caplog: pytest.LogCaptureFixture, word: str, tagged: bool
) -> None:
    policy(mode(word))
    with DAG("watched") as dag:
        train()
        shell = BashOperator(task_id="shell", bash_command="true", queue="gpu")
    with caplog.at_level(logging.WARNING, logger="interlock.enforcement"):
        load(dag)
    assert f"mode {word} lets an ungated DAG pass" in caplog.text
    assert "no data-poisoning gate holds training step 'train'" in caplog.text
    assert ("interlock:ungated" in dag.tags) is tagged
    assert shell._pre_execute_hook is None


@pytest.mark.parametrize("word", ["off", "", None, "WARN", 7], ids=str)
def test_a_mode_that_nobody_knows_lets_nothing_protected_pass(load: Load, policy: Any, word: Any) -> None:
    policy(mode(word))
    with DAG("unknown") as dag:
        train()
    assert "cannot be read" in refused(load, dag)


def test_missing_gates_are_put_in_front_of_the_step(load: Load, policy: Any) -> None:
    policy(mode("insert") | OPTIONS)
    with DAG("mended") as dag:
        EmptyOperator(task_id="collect") >> train() >> EmptyOperator(task_id="after")
    load(dag)
    validation, poisoning = gate_id("data-validation", "train"), gate_id("data-poisoning", "train")
    assert set(dag.task_ids) == {"collect", "train", "after", validation, poisoning}
    assert dag.get_task("train").upstream_task_ids == {"collect", validation, poisoning}
    assert dag.get_task(poisoning).upstream_task_ids >= {"collect"}
    assert getattr(dag.get_task(validation), "suite", "") == "suite.json"
    assert "Put in by Interlock" in str(dag.get_task(poisoning).doc_md)
    assert TAG in dag.tags


def test_the_same_gates_are_put_in_at_each_parse_and_only_once(load: Load, policy: Any) -> None:
    policy(mode("insert") | OPTIONS)
    made = []
    for _ in range(2):
        with DAG("again") as dag:
            train()
        load(dag)
        load(dag)
        made.append(sorted(dag.task_ids))
    assert made[0] == made[1]
    assert len(made[0]) == 3


def test_a_gate_is_put_into_the_group_of_its_step(load: Load, policy: Any) -> None:
    policy(mode("insert") | OPTIONS)
    with DAG("grouped") as dag, TaskGroup("part"):
        train()
    load(dag)
    assert all(name.startswith("part.") for name in dag.task_ids)
    load(dag)
    assert len(dag.task_ids) == 3


def test_a_gate_is_put_beside_a_path_that_does_not_hold(load: Load, policy: Any) -> None:
    policy(mode("insert") | OPTIONS)
    with DAG("beside") as dag:
        loose = EmptyOperator(task_id="loose", trigger_rule="all_done")
        ScanModelOperator(task_id="scan", subject="d") >> loose >> train()
    load(dag)
    assert len(dag.task_ids) == 5


@pytest.mark.parametrize(
    ("step", "said"),
    [
        pytest.param({"trigger_rule": "all_done"}, "runs although an upstream failed", id="a-step-that-runs-anyway"),
        pytest.param({"requires": ["inference-probe"]}, "no inference-probe gate", id="a-kind-without-an-operator"),
    ],
)
def test_what_a_gate_in_front_cannot_mend_is_refused(load: Load, policy: Any, step: dict[str, Any], said: str) -> None:
    policy(mode("insert") | OPTIONS)
    with DAG("beyond") as dag:
        train(**step)
    refusal_text = refused(load, dag)
    assert said in refusal_text
    assert "Mode insert could not mend this" in refusal_text


def test_a_gate_that_policy_does_not_set_is_not_put_in(load: Load, policy: Any) -> None:
    policy(mode("insert"))
    with DAG("unset") as dag:
        train()
    assert "data.interlock.insertion.airflow" in refused(load, dag)


def test_wrong_options_are_a_refusal_that_says_where(load: Load, policy: Any) -> None:
    options = {"gate": "data-poisoning", "pipelines": ["*"], "options": {"lable": "y"}}
    policy(mode("insert") | OPTIONS | {"interlock/insertion/airflow/poisoning": options})
    with DAG("misset") as dag:
        train()
    assert "data.interlock.insertion.airflow" in refused(load, dag)


FOREIGN = [
    pytest.param({"queue": "gpu-a100"}, "queue 'gpu-a100'", id="queue"),
    pytest.param({"pool": "gpu"}, "pool 'gpu'", id="pool"),
    pytest.param({"outlets": [Asset("model://fraud/champion")]}, "outlet 'model://fraud/champion'", id="makes-a-model"),
    pytest.param({"resources": {"gpus": 1}}, "gpu 'gpu'", id="resources-of-every-operator"),
    pytest.param({"executor_config": {"pod_override": object()}}, "gpu 'unreadable'", id="resources-nobody-can-read"),
    pytest.param({"executor_config": {"pod_template_file": "gpu.yaml"}}, "gpu 'unreadable'", id="pod-template-file"),
    pytest.param(
        {"executor_config": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 2}}}]}}},
        "gpu 'nvidia.com/gpu'",
        id="gpu-limit",
    ),
]


@pytest.mark.parametrize(("uses", "because"), FOREIGN)
def test_a_step_is_protected_by_what_it_uses(load: Load, uses: dict[str, Any], because: str) -> None:
    with DAG("foreign") as dag:
        PythonOperator(task_id="fit", python_callable=print, **uses)
    said = refused(load, dag)
    assert "training step 'fit' (protected: rule" in said
    assert because in said


@pytest.mark.parametrize(
    "uses",
    [
        pytest.param({"queue": "default"}, id="queue"),
        pytest.param({"executor_config": {"resources": {"limits": {"cpu": 2, "nvidia.com/gpu": 0}}}}, id="no-gpu"),
        pytest.param({"outlets": [Asset("s3://lake/train")]}, id="makes-data"),
        pytest.param({"pool": "gpuless"}, id="another-pool"),
    ],
)
def test_an_ordinary_step_stays_ordinary(load: Load, uses: dict[str, Any]) -> None:
    with DAG("ordinary") as dag:
        step = PythonOperator(task_id="copy", python_callable=print, **uses)
    load(dag)
    assert step._pre_execute_hook is None


def test_a_model_that_is_used_is_deployed_and_one_that_is_made_is_trained(load: Load) -> None:
    with DAG("uses") as dag:
        BashOperator(task_id="serve", bash_command="true", inlets=[Asset("model://fraud/champion")])
    said = refused(load, dag)
    assert "no artifact-scan gate holds deployment step 'serve'" in said


def test_a_foreign_step_that_does_not_say_what_it_uses_is_told_how(load: Load) -> None:
    from interlock.airflow import ScanPoisoningOperator, ValidateDataOperator

    with DAG("unsaid") as dag:
        gates = [
            ValidateDataOperator(task_id="validate", subject="d", suite="s.json"),
            ScanPoisoningOperator(task_id="poisoning", subject="d", label="y"),
        ]
        fit = BashOperator(task_id="fit", bash_command="true", queue="gpu")
        gates >> fit
    said = refused(load, dag)
    assert "does not say what it uses" in said
    assert 'protect(dag.get_task("fit"), subject=' in said
    with DAG("said") as dag:
        gates = [
            ValidateDataOperator(task_id="validate", subject="d/{{ds}}/", suite="s.json"),
            ScanPoisoningOperator(task_id="poisoning", subject="d/{{ ds }}", label="y"),
        ]
        gates >> protect(BashOperator(task_id="fit", bash_command="true", queue="gpu"), subject="d/{{ ds }}")
    load(dag)
    assert getattr(dag.get_task("fit"), "_pre_execute_hook", None) is not None


def test_a_task_can_be_declared_protected(load: Load) -> None:
    with DAG("declared") as dag:
        protect(BashOperator(task_id="fit", bash_command="true"), protects="training", subject="d")
    assert "training step 'fit' (protected: declared by protect())" in refused(load, dag)


def test_gates_of_the_dag_that_triggers_another_do_not_count_there(load: Load) -> None:
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

    from interlock.airflow import ScanPoisoningOperator, ValidateDataOperator

    with DAG("outer") as outer:
        [
            ValidateDataOperator(task_id="validate", subject="d", suite="s.json"),
            ScanPoisoningOperator(task_id="poisoning", subject="d", label="y"),
        ] >> TriggerDagRunOperator(task_id="start", trigger_dag_id="inner")
    load(outer)
    with DAG("inner") as inner:
        train()
    assert "there is none in front of it" in refused(load, inner)


def test_gates_of_the_dag_that_makes_an_asset_do_not_count_where_it_triggers(load: Load) -> None:
    with DAG("by_asset", schedule=[Asset("s3://lake/train")]) as dag:
        train(data="s3://lake/train")
    assert "there is none in front of it" in refused(load, dag)


def test_all_of_it_costs_no_network(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_given: object) -> None:
        raise AssertionError("the policy of a DAG opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with DAG("offline") as dag:
        train()
    assert refused(load, dag)
