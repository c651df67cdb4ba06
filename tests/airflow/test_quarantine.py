"""Level L2 without a server: real DAGs, written and read back by Airflow's serializer, and real task instances."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow import settings
from airflow.models.taskinstance import TaskInstance
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Asset, task, task_group
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.airflow.layers import lay
from tests.airflow.versions import as_the_scheduler_has_it

from interlock.airflow import (
    DeployGateOperator,
    ScanModelOperator,
    ScanPoisoningOperator,
    SecureTrainOperator,
    ValidateDataOperator,
    protect,
)
from interlock.airflow_plugin import quarantine
from interlock.airflow_plugin.judgement import Judge
from interlock.airflow_plugin.quarantine import POOL, hold_if_ungated
from interlock.airflow_plugin.quarantine_events import told
from interlock.evidence import Ledger
from interlock.gate import Settings

Build = Callable[[], None]


@pytest.fixture(autouse=True)
def scheduler(deployment: Path) -> Iterator[None]:
    """Each test is a scheduler of its own, in a deployment of its own."""
    quarantine.judge.cache_clear()
    yield
    quarantine.judge.cache_clear()


def validate(**other: Any) -> ValidateDataOperator:
    return ValidateDataOperator(**{"task_id": "validate", "subject": "data.parquet", "suite": "suite.json", **other})


def poisoning(**other: Any) -> ScanPoisoningOperator:
    return ScanPoisoningOperator(**{"task_id": "poisoning", "subject": "data.parquet", "label": "label", **other})


def train(**other: Any) -> SecureTrainOperator:
    said = {"task_id": "train", "data": "data.parquet", "out": "model", "command": ["python", "train.py"], **other}
    return SecureTrainOperator(**said)


def instance_of(dag: DAG, task_id: str, **other: Any) -> TaskInstance:
    """A task instance as the scheduler makes it, which calls the hook by way of the entry point."""
    task = as_the_scheduler_has_it(dag).get_task(task_id)
    made = TaskInstance(task, **{"dag_version_id": None, "run_id": "run", **other})
    settings.task_instance_mutation_hook(made)  # as `DagRun` does: on 3.1 the constructor asks before it has the run
    return made


def pools(dag: DAG) -> dict[str, str]:
    read = as_the_scheduler_has_it(dag)
    made = [TaskInstance(task, dag_version_id=None, run_id="run") for task in read.task_dict.values()]
    return {instance.task_id: instance.pool for instance in made}


def held(dag: DAG) -> set[str]:
    return {task_id for task_id, pool in pools(dag).items() if pool == POOL}


def test_airflow_asks_the_hook_when_it_inserts_task_instances_in_bulk() -> None:
    assert settings.task_instance_mutation_hook.is_noop is False  # type: ignore[attr-defined]  # set by Airflow


def test_a_gated_dag_waits_for_nothing() -> None:
    with DAG("gated") as dag:
        scan = ScanModelOperator(task_id="scan", subject="model")
        promote = DeployGateOperator(task_id="promote", model="model", to="registry://digits/champion")
        [validate(), poisoning()] >> train() >> scan >> promote
    assert set(pools(dag).values()) == {"default_pool"}


def test_an_ordinary_dag_keeps_its_pools() -> None:
    with DAG("ordinary") as dag:
        EmptyOperator(task_id="a") >> PythonOperator(task_id="b", python_callable=print, pool="mine", pool_slots=3)
    assert pools(dag) == {"a": "default_pool", "b": "mine"}
    assert instance_of(dag, "b").pool_slots == 3


def _forgotten() -> None:
    validate() >> train()


def _forgotten_with_a_pool() -> None:
    train(pool="fast_lane", pool_slots=4)


def _loose_train() -> None:
    [validate(), poisoning()] >> train(trigger_rule="all_done")


def _loose_between() -> None:
    [validate(), poisoning()] >> EmptyOperator(task_id="mid", trigger_rule="all_done") >> train()


def _pre_execute() -> None:
    [validate(), poisoning(pre_execute=print)] >> train(trigger_rule="none_failed")


def _teardown() -> None:
    [validate(), poisoning()] >> train().as_teardown()


def _callback() -> None:
    [validate(), poisoning(on_failure_callback=print)] >> train()


class ScanPoisoningTwin(ScanPoisoningOperator):
    """A subclass, under a name of its own."""


class TrainTwin(SecureTrainOperator):
    """A subclass of the step that is protected."""


def _subclass_of_a_gate() -> None:
    [validate(), ScanPoisoningTwin(task_id="poisoning", subject="data.parquet", label="label")] >> train()


def _subclass_of_the_step() -> None:
    TrainTwin(task_id="train", data="data.parquet", out="model", command=["x"])


def _mapped_gate_with_callback() -> None:
    gate = ScanPoisoningOperator.partial(task_id="poisoning", label="label", on_success_callback=print)
    [validate(), gate.expand(subject=["data.parquet"])] >> train()


def _mapped_gate_with_pre_execute() -> None:
    gate = ScanPoisoningOperator.partial(task_id="poisoning", label="label", pre_execute=print)
    [validate(), gate.expand(subject=["data.parquet"])] >> train()


def _mapped_step() -> None:
    SecureTrainOperator.partial(task_id="train", out="m", command=["x"]).expand(data=["a", "b"])


class DeployTwin(DeployGateOperator):
    """A subclass of the other protected step."""


def _mapped_subclass_of_the_step() -> None:
    TrainTwin.partial(task_id="train", out="m", command=["x"]).expand(data=["a", "b"])


def _mapped_subclass_of_the_deployment() -> None:
    DeployTwin.partial(task_id="train", to="registry://m/champion").expand(model=["a", "b"])


def _in_a_mapped_group() -> None:
    @task_group
    def each(data: str) -> None:
        SecureTrainOperator(task_id="train", data=data, out="m", command=["x"])

    each.expand(data=["a", "b"])


def _guarded() -> None:
    @task.guarded(task_id="train", subject="data.parquet")
    def fit(data: str) -> None: ...

    fit()  # type: ignore[call-arg,misc]  # the guard fills `data` in


def _guarded_and_mapped() -> None:
    @task.guarded(task_id="train", subject="data.parquet")
    def fit(data: str, fold: int) -> None: ...

    fit.expand(fold=[1, 2])


def _other_subject() -> None:
    [validate(subject="clean.parquet"), poisoning(subject="clean.parquet")] >> train()


def _protect() -> None:
    protect(BashOperator(task_id="train", bash_command="make model"), subject="data.parquet", protects="training")


def _by_queue() -> None:
    BashOperator(task_id="train", bash_command="make model", queue="gpu")


def _by_pool() -> None:
    BashOperator(task_id="train", bash_command="make model", pool="gpu_pool", pool_slots=2)


def _by_gpu() -> None:
    BashOperator(
        task_id="train",
        bash_command="make model",
        executor_config={"pod_override": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1}}}]}}},
    )


def _by_outlet() -> None:
    BashOperator(task_id="train", bash_command="make model", outlets=[Asset("model://fraud/candidate")])


def _by_resources() -> None:
    PythonOperator(task_id="train", python_callable=print, resources={"gpus": 1})


def _by_queue_and_mapped() -> None:
    BashOperator.partial(task_id="train", queue="gpu").expand(bash_command=["make a", "make b"])


def _by_pool_and_mapped() -> None:
    BashOperator.partial(task_id="train", pool="gpu").expand(bash_command=["make a", "make b"])


def _by_outlet_and_mapped() -> None:
    BashOperator.partial(task_id="train", outlets=[Asset("model://m")]).expand(bash_command=["make a", "make b"])


def _by_inlet_and_mapped() -> None:
    BashOperator.partial(task_id="train", inlets=[Asset("model://m")]).expand(bash_command=["make a", "make b"])


def _by_gpu_and_mapped() -> None:
    pod = {"pod_override": {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1}}}]}}}
    BashOperator.partial(task_id="train", executor_config=pod).expand(bash_command=["make a", "make b"])


def _by_resources_and_mapped() -> None:
    BashOperator.partial(task_id="train", resources={"gpus": 1}).expand(bash_command=["make a", "make b"])


def _an_unknown_kind() -> None:
    @task.guarded(task_id="train", subject="model", protects="traning")
    def fit(data: str) -> None: ...

    fit()  # type: ignore[call-arg,misc]  # the guard fills `data` in


UNGATED = [
    pytest.param(_forgotten, id="a-gate-is-forgotten"),
    pytest.param(_forgotten_with_a_pool, id="the-author-names-another-pool"),
    pytest.param(_loose_train, id="1-train-all-done"),
    pytest.param(_loose_between, id="2-all-done-between"),
    pytest.param(_pre_execute, id="3-pre-execute-on-gate"),
    pytest.param(_teardown, id="4-train-as-teardown"),
    pytest.param(_callback, id="5-callback-on-gate"),
    pytest.param(_subclass_of_a_gate, id="6-subclass-of-a-gate"),
    pytest.param(_subclass_of_the_step, id="subclass-of-the-step"),
    pytest.param(_mapped_gate_with_callback, id="callback-on-mapped-gate"),
    pytest.param(_mapped_gate_with_pre_execute, id="pre-execute-on-mapped-gate"),
    pytest.param(_mapped_step, id="mapped-step"),
    pytest.param(_mapped_subclass_of_the_step, id="mapped-subclass-of-the-step"),
    pytest.param(_mapped_subclass_of_the_deployment, id="mapped-subclass-of-the-deployment"),
    pytest.param(_in_a_mapped_group, id="step-in-a-mapped-group"),
    pytest.param(_guarded, id="guarded-task"),
    pytest.param(_guarded_and_mapped, id="guarded-task-mapped"),
    pytest.param(_other_subject, id="gates-on-other-data"),
    pytest.param(_protect, id="declared-by-protect"),
    pytest.param(_by_queue, id="gpu-queue"),
    pytest.param(_by_pool, id="gpu-pool"),
    pytest.param(_by_gpu, id="gpu-request"),
    pytest.param(_by_outlet, id="model-outlet"),
    pytest.param(_by_resources, id="gpu-resources"),
    pytest.param(_by_queue_and_mapped, id="gpu-queue-mapped"),
    pytest.param(_by_pool_and_mapped, id="gpu-pool-mapped"),
    pytest.param(_by_outlet_and_mapped, id="model-outlet-mapped"),
    pytest.param(_by_inlet_and_mapped, id="model-inlet-mapped"),
    pytest.param(_by_gpu_and_mapped, id="gpu-request-mapped"),
    pytest.param(_by_resources_and_mapped, id="gpu-resources-mapped"),
    pytest.param(_an_unknown_kind, id="protects-an-unknown-kind"),
]


@pytest.mark.parametrize("build", UNGATED)
def test_an_ungated_step_is_quarantined(build: Build) -> None:
    with DAG("ungated") as dag:
        build()
    (step,) = [name for name in dag.task_dict if name.rsplit(".")[-1] == "train"]
    instance = instance_of(dag, step)
    assert (instance.pool, instance.pool_slots) == (POOL, 1)


@pytest.mark.parametrize("build", [param for param in UNGATED if param.id != "protects-an-unknown-kind"])
def test_beside_it_nothing_is(build: Build) -> None:
    with DAG("ungated") as dag:
        build()
        BashOperator(task_id="ordinary", bash_command="true")
    assert {name.rsplit(".")[-1] for name in held(dag)} - {"poisoning"} == {"train"}


@pytest.mark.parametrize(
    ("build", "also"),
    [
        pytest.param(_callback, {"poisoning"}, id="callback"),
        pytest.param(_pre_execute, {"poisoning"}, id="pre-execute"),
        pytest.param(_forgotten, set(), id="forgotten"),
        pytest.param(_subclass_of_a_gate, set(), id="subclass"),
    ],
)
def test_a_gate_with_code_around_it_waits_too_for_that_code_may_be_the_training(build: Build, also: set[str]) -> None:
    with DAG("ungated") as dag:
        build()
    assert set(held(dag)) == {"train"} | also


def test_what_is_protected_goes_into_json_and_back() -> None:
    with DAG("round_trip") as dag:
        train(requires=["artifact-scan"])
        protect(
            BashOperator(task_id="publish", bash_command="publish"),
            subject="s3://models/{{ ds }}/",
            protects="deployment",
            requires=["pipeline"],
        )
        SecureTrainOperator.partial(task_id="mapped", out="m", command=["x"], requires=["pipeline"]).expand(data=["a"])
    steps = quarantine.judge().judge(as_the_scheduler_has_it(dag)).steps
    assert steps["train"].requires == ("data-validation", "data-poisoning", "artifact-scan")
    assert steps["train"].inputs == ("data.parquet",)
    assert (steps["publish"].protects, steps["publish"].requires[-1]) == ("deployment", "pipeline")
    assert steps["publish"].inputs == ("s3://models/{{ ds }}",)
    assert (steps["mapped"].protects, steps["mapped"].requires[-1]) == ("training", "pipeline")


@pytest.mark.parametrize(("mode", "waits"), [("enforce", True), ("insert", True), ("warn", False), ("audit", False)])
def test_the_mode_of_the_dag_says_whether_its_steps_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, waits: bool
) -> None:
    rule = {"mode": mode, "pipelines": ["legacy_*"]}
    lay(tmp_path / "layer", monkeypatch, {"interlock/enforcement/airflow/legacy": rule})
    with DAG("legacy_scores") as dag:
        _an_unknown_kind()
        train(task_id="other")
    assert bool(held(dag)) is waits


def test_an_organisations_own_rule_protects_here_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(
        tmp_path / "layer",
        monkeypatch,
        {"interlock/protected/a100": {"protects": "training", "queues": ["a100"]}},
    )
    with DAG("organisation") as dag:
        BashOperator(task_id="train", bash_command="make", queue="a100")
        BashOperator(task_id="ordinary", bash_command="make")
    assert held(dag) == {"train"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("INTERLOCK_PROFILE", "nonsense", id="unknown-profile"),
        pytest.param("INTERLOCK_POLICY", "/nowhere/at/all", id="bundle-missing"),
        pytest.param("INTERLOCK_ENGINE", "nonsense", id="settings-malformed"),
        pytest.param("INTERLOCK_CONFIG", "/nowhere/config.toml", id="settings-file-missing"),
    ],
)
def test_where_policy_cannot_be_read_all_waits_but_the_gates(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with DAG("gated") as dag:
        [validate(), poisoning()] >> train() >> BashOperator(task_id="ordinary", bash_command="true")
    assert held(dag) == {"train", "ordinary"}


def test_a_broken_layer_holds_everything_until_it_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    judge = Judge(clock=lambda: now[0])
    layer = lay(tmp_path / "layer", monkeypatch, {"interlock/protected/x": {"protects": "training", "queues": ["x"]}})
    data = layer / "interlock" / "protected" / "x" / "data.json"
    whole = data.read_text()
    with DAG("ordinary") as dag:
        BashOperator(task_id="ordinary", bash_command="true")
    read = as_the_scheduler_has_it(dag)
    assert not judge.judge(read).problem
    data.write_text("{")
    assert not judge.judge(read).problem, "policy is not read at each task"
    now[0] += Settings.load().policy_poll
    assert "cannot be read" in judge.judge(read).hold(read.get_task("ordinary"))
    data.write_text(whole)
    now[0] += 5
    assert not judge.judge(read).problem


def test_a_changed_policy_is_noticed_after_its_poll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    judge = Judge(clock=lambda: now[0])
    with DAG("organisation") as dag:
        BashOperator(task_id="train", bash_command="make", queue="a100")
    read = as_the_scheduler_has_it(dag)
    assert judge.judge(read).hold(read.get_task("train")) == ""
    rule = {"protects": "training", "queues": ["a100"]}
    lay(tmp_path / "layer", monkeypatch, {"interlock/protected/a100": rule})
    assert judge.judge(read).hold(read.get_task("train")) == ""
    now[0] += Settings.load().policy_poll
    assert "no data-validation gate holds training step 'train'" in judge.judge(read).hold(read.get_task("train"))


def test_a_dag_is_judged_once_as_long_as_nothing_changes_and_forgotten_with_it() -> None:
    now = [0.0]
    judge = Judge(clock=lambda: now[0])
    with DAG("kept") as dag:
        train()
    read = as_the_scheduler_has_it(dag)
    first = judge.judge(read)
    now[0] += 10_000
    assert judge.judge(read) is first, "policy was read again, and is the same"
    again = as_the_scheduler_has_it(dag)
    assert judge.judge(again) is not first, "a new object may be another version"
    del read, again
    gc.collect()
    assert not judge._kept, "it is bounded, which cannot be seen from outside"


def test_a_version_that_is_gated_lets_the_waiting_task_go() -> None:
    with DAG("mended") as ungated:
        train(pool="fast_lane", pool_slots=2)
    instance = instance_of(ungated, "train")
    assert (instance.pool, instance.pool_slots) == (POOL, 1)
    with DAG("mended") as gated:
        [validate(), poisoning()] >> train(pool="fast_lane", pool_slots=2)
    newer = as_the_scheduler_has_it(gated)
    instance.refresh_from_task(newer.get_task("train"))  # as clearing does
    assert (instance.pool, instance.pool_slots) == ("fast_lane", 2)


def test_clearing_and_a_pool_that_the_caller_names_change_nothing() -> None:
    with DAG("ungated") as dag:
        train()
    instance = instance_of(dag, "train")
    instance.refresh_from_task(as_the_scheduler_has_it(dag).get_task("train"), pool_override="fast_lane")
    assert instance.pool == POOL


def from_the_database(dag: DAG, task_id: str, **other: Any) -> SimpleNamespace:
    """What the hook is given of an instance that was read from the database: no task, but the run and its DAG."""
    run = SimpleNamespace(dag=as_the_scheduler_has_it(dag))
    said = {"dag_id": dag.dag_id, "task_id": task_id, "run_id": "run", "pool": "default_pool", "pool_slots": 1}
    return SimpleNamespace(**{**said, "state": None, "dag_run": run, **other})


@pytest.mark.parametrize(
    "state", [None, "scheduled", "queued", "up_for_retry", "up_for_reschedule", "deferred", "removed"]
)
def test_a_run_that_goes_on_with_an_ungated_version_is_stopped(state: str | None) -> None:
    with DAG("ungated") as dag:
        train()
    instance = from_the_database(dag, "train", state=state)
    hold_if_ungated(instance)  # type: ignore[arg-type]  # all that it uses of a TaskInstance
    assert instance.pool == POOL


@pytest.mark.parametrize("state", ["success", "failed", "skipped", "upstream_failed"])
def test_what_is_over_is_left_as_it_was(state: str) -> None:
    with DAG("ungated") as dag:
        train()
    instance = from_the_database(dag, "train", state=state)
    hold_if_ungated(instance)  # type: ignore[arg-type]  # as above
    assert instance.pool == "default_pool"


def test_a_task_that_its_dag_does_not_have_waits() -> None:
    with DAG("ordinary") as dag:
        BashOperator(task_id="a", bash_command="true")
    instance = from_the_database(dag, "b")
    hold_if_ungated(instance)  # type: ignore[arg-type]  # as above
    assert instance.pool == POOL


def test_a_live_task_is_left_to_the_processes_of_its_author() -> None:
    with DAG("ungated"):
        live = train()
        mapped = SecureTrainOperator.partial(task_id="m", out="m", command=["x"]).expand(data=["a"])
    for each in (live, mapped):
        instance = SimpleNamespace(task=each, pool="default_pool", state=None)
        hold_if_ungated(instance)  # type: ignore[arg-type]  # as above
        assert instance.pool == "default_pool"


class Explosive:
    """Raises whatever is asked of it."""

    def __init__(self, error: type[BaseException]) -> None:
        self.__dict__["_error"] = error

    def __getattr__(self, name: str) -> Any:
        raise self.__dict__["_error"](name)


class Unwritable:
    """Takes no pool."""

    __slots__ = ()


class TaskTimeout(BaseException):
    """As Airflow's `AirflowTaskTimeout`."""


ERRORS = st.sampled_from([ValueError, RecursionError, MemoryError, KeyError, TaskTimeout, GeneratorExit])
VALUES = st.one_of(
    st.none(), st.text(), st.integers(), st.lists(st.text()), ERRORS.map(Explosive), st.builds(SimpleNamespace)
)
NAMES = ["dag", "dag_id", "task_id", "task_dict", "tags", "pool", "trigger_rule", "downstream_task_ids", "queue"]
TASKS = st.dictionaries(st.sampled_from(NAMES), VALUES)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a machine that may be busy
@given(
    instance=st.dictionaries(st.sampled_from(["dag_run", "state", "dag_id", "task_id", "run_id", "pool"]), VALUES),
    task=TASKS,
    dag=TASKS,
)
def test_whatever_airflow_hands_over_the_hook_never_raises_and_holds_the_task(
    instance: dict[str, Any], task: dict[str, Any], dag: dict[str, Any]
) -> None:
    made = SimpleNamespace(**{**instance, "task": SimpleNamespace(**{"dag": SimpleNamespace(**dag), **task})})
    hold_if_ungated(made)  # type: ignore[arg-type]  # that is the point
    assert made.pool == POOL


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param(None, id="none"),
        pytest.param(7, id="number"),
        pytest.param(Unwritable(), id="takes-no-pool"),
        pytest.param(Explosive(ValueError), id="raises-an-error"),
        pytest.param(Explosive(TaskTimeout), id="raises-what-is-no-error"),
    ],
)
def test_where_there_is_no_task_instance_at_all_nothing_is_raised(thing: Any) -> None:
    hold_if_ungated(thing)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_scheduler_can_be_stopped_inside_the_hook(error: type[BaseException]) -> None:
    with pytest.raises(error):
        hold_if_ungated(SimpleNamespace(task=SimpleNamespace(dag=Explosive(error))))  # type: ignore[arg-type]  # as above


def test_the_ledger_is_told_once_a_run_and_task() -> None:
    with DAG("told_once") as dag:
        train()
    for _ in range(3):
        instance_of(dag, "train")
    instance_of(dag, "train", run_id="other")
    assert told().flush(30)
    ledger = Ledger.open(Settings.load().ledger_url)
    (event,) = [row.enforcement_event() for row in ledger.events(pipeline="told_once", run_id="run")]
    assert (event.kind.value, event.level, event.orchestrator, event.task_id) == (
        "quarantined",
        "L2",
        "airflow",
        "train",
    )
    assert "no data-validation gate holds training step 'train'" in event.reason
