"""The cluster policy on a real Airflow: it is found by its entry point, and real DAGs pass or are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.exceptions import AirflowClusterPolicyViolation
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, task
from tests.airflow.versions import dag_bag, policy_plugins

from interlock.airflow import (
    DeployGateOperator,
    ScanModelOperator,
    ScanPoisoningOperator,
    SecureTrainOperator,
    ValidateDataOperator,
)

Load = Callable[[DAG], None]


def validate(**other: Any) -> ValidateDataOperator:
    return ValidateDataOperator(**{"task_id": "validate", "subject": "data.parquet", "suite": "suite.json", **other})


def poisoning(**other: Any) -> ScanPoisoningOperator:
    return ScanPoisoningOperator(**{"task_id": "poisoning", "subject": "data.parquet", "label": "label", **other})


def train(**other: Any) -> SecureTrainOperator:
    given = {"task_id": "train", "data": "data.parquet", "out": "model", "command": ["python", "train.py"], **other}
    return SecureTrainOperator(**given)


def scan(**other: Any) -> ScanModelOperator:
    return ScanModelOperator(**{"task_id": "scan", "subject": "model", **other})


def promote(**other: Any) -> DeployGateOperator:
    return DeployGateOperator(**{"task_id": "promote", "model": "model", "to": "registry://digits/champion", **other})


def refusal_of(load: Load, dag: DAG) -> str:
    with pytest.raises(AirflowClusterPolicyViolation) as caught:
        load(dag)
    return str(caught.value)


def test_a_gated_retraining_dag_is_loaded(load: Load) -> None:
    with DAG("gated") as dag:
        [validate(), poisoning()] >> train() >> scan() >> promote()
    load(dag)


def test_an_ordinary_dag_is_left_alone_even_where_the_settings_cannot_be_read(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_ENGINE", "nonsense")
    with DAG("ordinary") as dag:
        EmptyOperator(task_id="a") >> PythonOperator(task_id="b", python_callable=print, trigger_rule="all_done")
    load(dag)


def test_gates_alone_are_left_alone(load: Load) -> None:
    with DAG("gates_only") as dag:
        validate(pre_execute=print)
    load(dag)


def test_all_violations_stand_in_one_message_with_their_fixes(load: Load) -> None:
    with DAG("forgotten") as dag:
        validate() >> train() >> promote()
    said = refusal_of(load, dag)
    assert "DAG 'forgotten': 2 protected steps are not gated (policy profile 'standard')" in said
    assert "no data-poisoning gate holds training step 'train': there is none in front of it" in said
    assert "no artifact-scan gate holds deployment step 'promote'" in said
    assert 'ScanPoisoningOperator(task_id="data-poisoning", subject=\'data.parquet\', label="label")' in said
    assert '>> dag.get_task("train")' in said
    assert said.count("fix:") == 2


def test_a_gate_that_is_there_but_not_connected_is_to_be_connected(load: Load) -> None:
    with DAG("apart") as dag:
        poisoning()
        validate() >> train()
    assert 'fix: dag.get_task("poisoning") >> dag.get_task("train")' in refusal_of(load, dag)


def _loose_train() -> None:
    [validate(), poisoning()] >> train(trigger_rule="all_done")


def _loose_between() -> None:
    [validate(), poisoning()] >> EmptyOperator(task_id="mid", trigger_rule="none_failed") >> train()


def _pre_execute() -> None:
    [validate(), poisoning(pre_execute=print)] >> train()


def _post_execute() -> None:
    [validate(), poisoning(post_execute=print)] >> train()


def _teardown() -> None:
    [validate(), poisoning()] >> train().as_teardown()


def _callback() -> None:
    [validate(), poisoning(on_failure_callback=print)] >> train()


def _execute_replaced() -> None:
    gate = poisoning()
    object.__setattr__(gate, "execute", lambda context: None)
    [validate(), gate] >> train()


def _options_replaced() -> None:
    gate = poisoning()
    object.__setattr__(gate, "gate_options", dict)
    [validate(), gate] >> train()


def _kind_replaced() -> None:
    gate = poisoning()
    object.__setattr__(gate, "interlock_gate", "data-validation")
    [validate(), gate] >> train()


class ScanPoisoningTwin(ScanPoisoningOperator):
    """A subclass, under a name of its own."""


def _subclass() -> None:
    [validate(), ScanPoisoningTwin(task_id="poisoning", subject="data.parquet", label="label")] >> train()


def _subclass_in_disguise() -> None:
    twin = type("ScanPoisoningOperator", (ScanPoisoningOperator,), {"__module__": "interlock.airflow.gates"})
    [validate(), twin(task_id="poisoning", subject="data.parquet", label="label")] >> train()


def _mapped_gate_with_callback() -> None:
    gate = ScanPoisoningOperator.partial(task_id="poisoning", label="label", on_success_callback=print)
    [validate(), gate.expand(subject=["data.parquet"])] >> train()


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        pytest.param(_loose_train, 'dag.get_task("train"): write trigger_rule="all_success"', id="1-train-all-done"),
        pytest.param(
            _loose_between, 'dag.get_task("mid"): write trigger_rule="all_success"', id="2-none-failed-between"
        ),
        pytest.param(_pre_execute, 'dag.get_task("poisoning"): write pre_execute=None', id="3-pre-execute-on-gate"),
        pytest.param(_post_execute, 'dag.get_task("poisoning"): write post_execute=None', id="3b-post-execute-on-gate"),
        pytest.param(_teardown, 'dag.get_task("train"): leave out .as_teardown()', id="4-train-as-teardown"),
        pytest.param(_callback, 'dag.get_task("poisoning"): write on_failure_callback=None', id="5-callback-on-gate"),
        pytest.param(_execute_replaced, 'dag.get_task("poisoning"): write execute=None', id="6-execute-replaced"),
        pytest.param(_options_replaced, 'dag.get_task("poisoning"): write gate_options=None', id="6b-options-replaced"),
        pytest.param(_kind_replaced, 'dag.get_task("poisoning"): write interlock_gate=None', id="6c-kind-replaced"),
        pytest.param(_subclass, "use ScanPoisoningOperator itself", id="6d-subclass"),
        pytest.param(_subclass_in_disguise, "use ScanPoisoningOperator itself", id="6e-subclass-of-the-same-name"),
        pytest.param(_mapped_gate_with_callback, "write on_success_callback=None", id="6f-callback-on-mapped-gate"),
    ],
)
def test_a_trick_is_refused_with_its_fix(load: Load, build: Callable[[], None], fix: str) -> None:
    with DAG("trick") as dag:
        build()
    assert fix in refusal_of(load, dag)


def test_a_callback_of_the_default_arguments_is_on_the_gate_too_and_none_takes_it_off(load: Load) -> None:
    with DAG("default_args", default_args={"on_failure_callback": print}) as refused:
        [validate(), poisoning()] >> train()
    assert "on_failure_callback=None" in refusal_of(load, refused)
    with DAG("default_args", default_args={"on_failure_callback": print}) as dag:
        [validate(on_failure_callback=None), poisoning(on_failure_callback=None)] >> train()
    load(dag)


def test_a_mapped_gate_and_a_mapped_training_are_seen(load: Load) -> None:
    with DAG("mapped") as dag:
        gate = ScanPoisoningOperator.partial(task_id="poisoning", label="label").expand(subject=["a", "b"])
        fit = SecureTrainOperator.partial(task_id="train", out="m", command=["x"]).expand(data=["a", "b"])
        valid = ValidateDataOperator.partial(task_id="validate", suite="suite.json").expand(subject=["a", "b"])
        [valid, gate] >> fit
    load(dag)
    with DAG("mapped_over_something_else") as dag:
        gate = ScanPoisoningOperator.partial(task_id="poisoning", label="label").expand(subject=["a"])
        valid = ValidateDataOperator.partial(task_id="validate", suite="suite.json").expand(subject=["a", "b"])
        fit = SecureTrainOperator.partial(task_id="train", out="m", command=["x"]).expand(data=["a", "b"])
        [valid, gate] >> fit
    assert "'poisoning' looks at something else than the step uses (expand([a]))" in refusal_of(load, dag)
    with DAG("mapped_and_forgotten") as dag:
        SecureTrainOperator.partial(task_id="train", out="m", command=["x"]).expand(data=["a", "b"])
    assert "no data-validation gate holds training step 'train'" in refusal_of(load, dag)


def test_arguments_that_a_task_is_expanded_over_are_read_and_those_of_a_function_are_its_own(load: Load) -> None:
    with DAG("expanded") as dag:

        @task
        def rows() -> list[dict[str, int]]:
            return [{"row": 1}]

        @task
        def count(row: int) -> None: ...

        count.expand_kwargs(rows())
        EmptyOperator.partial(task_id="empty").expand_kwargs([{}, {"doc": "two"}])
        BashOperator.partial(task_id="shell").expand_kwargs([{"bash_command": "true"}, {"bash_command": "false"}])
    load(dag)
    with DAG("expanded_to_a_gpu") as dag:
        BashOperator.partial(task_id="shell").expand_kwargs([{"bash_command": "true", "pod_template_file": "gpu.yaml"}])
    assert "protected: rule gpu-requests" in refusal_of(load, dag)


def test_a_guarded_task_needs_what_policy_and_the_task_itself_require(load: Load) -> None:
    with DAG("guarded") as dag:

        @task.guarded(subject="data.parquet", requires=["artifact-scan"])
        def fit(data: str) -> None: ...

        [validate(), poisoning()] >> fit()  # type: ignore[call-arg,misc]  # the guard fills `data` in
    said = refusal_of(load, dag)
    assert "no artifact-scan gate holds training step 'fit'" in said
    assert "1 protected step is not gated" in said


def test_a_guarded_deployment_follows_the_rules_of_deployment(load: Load) -> None:
    with DAG("guarded_deployment") as dag:

        @task.guarded(subject="model", protects="deployment")
        def publish(data: str) -> None: ...

        [validate(), poisoning()] >> train() >> scan() >> publish()  # type: ignore[call-arg,misc]  # the guard fills `data` in
    load(dag)


def test_a_guarded_task_of_an_unknown_kind_is_refused(load: Load) -> None:
    with DAG("unknown_kind") as dag:

        @task.guarded(subject="model", protects="traning")
        def publish(data: str) -> None: ...

        publish()  # type: ignore[call-arg,misc]  # the guard fills `data` in
    assert "traning" in refusal_of(load, dag)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("INTERLOCK_PROFILE", "nonsense", id="unknown-profile"),
        pytest.param("INTERLOCK_POLICY", "/nowhere/at/all", id="bundle-missing"),
        pytest.param("INTERLOCK_ENGINE", "nonsense", id="settings-malformed"),
        pytest.param("INTERLOCK_CONFIG", "/nowhere/config.toml", id="settings-file-missing"),
    ],
)
def test_where_policy_cannot_be_read_no_protected_step_is_let_through(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with DAG("gated") as dag:
        [validate(), poisoning()] >> train()
    assert "cannot be read" in refusal_of(load, dag)


def test_a_violation_is_an_import_error_of_the_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "forgotten.py").write_text(
        "from airflow.sdk import DAG\n"
        "from interlock.airflow import SecureTrainOperator\n"
        "with DAG('forgotten'):\n"
        "    SecureTrainOperator(task_id='train', data='d', out='o', command=['x'])\n"
    )
    bag = dag_bag(str(tmp_path))
    ((file, said),) = bag.import_errors.items()
    assert file.endswith("forgotten.py")
    assert "Interlock refuses DAG 'forgotten'" in said
    assert not bag.dags


def test_the_entry_point_brings_the_policy_and_it_declares_what_every_airflow_3_knows() -> None:
    manager = policy_plugins()
    policy = manager.get_plugin("interlock")
    assert policy is not None
    hooks = {"dag_policy": ("dag",), "task_instance_mutation_hook": ("task_instance",)}
    assert {caller.name for caller in manager.get_hookcallers(policy) or []} == set(hooks)
    for name, arguments in hooks.items():
        code = getattr(policy, name).__code__
        assert code.co_varnames[: code.co_argcount] == arguments


def test_airflow_loads_the_policy_and_little_else_of_interlock() -> None:
    """Scheduler, API server, DAG processor and workers all import `airflow.settings`, which loads the entry point."""
    program = "import sys, airflow.settings; print(*(name for name in sys.modules if name.startswith('interlock')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    described = {"interlock.airflow", "interlock.airflow.get_provider_info"}  # read by Airflow's provider manager
    own = {"interlock.airflow_plugin", "interlock.airflow_plugin.policy", "interlock.airflow_plugin.preload"}
    assert set(loaded) - described == {"interlock", *own}


def test_a_process_that_the_dag_processor_forks_finds_policy_read(home: Path) -> None:
    program = (
        "import os, sys; sys.argv = ['airflow', 'dag-processor']\n"
        "import airflow.settings\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    from interlock.airflow_plugin import rules\n"
        "    from interlock.pipeline import rules as kept\n"
        "    kept.read_rules = None\n"  # it would have to be called to read them again
        "    os._exit(0 if rules.load_rules().profile == 'dev' else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
