"""The operators in real Airflow task runs: what each outcome does to the task, its retries and its receipts."""

from __future__ import annotations

import inspect
import json
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.airflow.layers import lay
from tests.airflow.runs import QUIET, RunDag, gates_of, verdicts

from interlock.gate import MissingExtraError

if TYPE_CHECKING:
    from airflow.sdk import DAG

pytestmark = QUIET


@pytest.fixture
def model(tmp_path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    return path


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    return path


def test_an_allowed_scan_succeeds_and_its_xcom_only_points(run_dag: RunDag, model: Path) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import ScanModelOperator

    with DAG("allowed", schedule=None) as dag:
        scan = ScanModelOperator(task_id="scan", subject=str(model))
    assert run_dag(dag) == {"scan": "success"}
    assert verdicts() == {"scan": "ALLOW"}
    assert scan.template_fields == ("subject", "accepted")


def test_a_denied_scan_fails_at_once_whatever_its_retries(run_dag: RunDag, hostile: Path) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import ScanModelOperator

    with DAG("denied", schedule=None) as dag:
        ScanModelOperator(task_id="scan", subject=str(hostile), retries=3)
    assert run_dag(dag) == {"scan": "failed"}
    assert verdicts() == {"scan": "DENY"}
    assert tries(dag) == 1


def test_what_cannot_be_told_fails_and_says_so_in_the_ledger(run_dag: RunDag, tmp_path: Path) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import ScanModelOperator

    unknown = tmp_path / "model.bin"
    unknown.write_bytes(bytes(range(256)))
    with DAG("undecided", schedule=None) as dag:
        ScanModelOperator(task_id="scan", subject=str(unknown))
    assert run_dag(dag) == {"scan": "failed"}
    assert verdicts() == {"scan": "UNDECIDED"}


def test_trouble_with_the_infrastructure_is_retried(
    run_dag: RunDag, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import ScanModelOperator

    monkeypatch.setenv("INTERLOCK_LEDGER_URL", "postgresql+pg8000://nobody:x@127.0.0.1:1/none")
    with DAG("unavailable", schedule=None) as dag:
        ScanModelOperator(task_id="scan", subject=str(model), retries=1, retry_delay=timedelta(0))
    assert run_dag(dag) == {"scan": "failed"}
    assert tries(dag) == 2


def tries(dag: DAG) -> int:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        return max(i.try_number for i in session.query(TaskInstance).filter(TaskInstance.dag_id == dag.dag_id))


def test_a_missing_subject_fails_without_a_retry(run_dag: RunDag, tmp_path: Path) -> None:
    from airflow.sdk import DAG

    from interlock.airflow import ScanModelOperator

    with DAG("missing", schedule=None) as dag:
        ScanModelOperator(task_id="scan", subject=str(tmp_path / "none"), retries=3)
    assert run_dag(dag) == {"scan": "failed"}


def test_a_guarded_task_never_runs_on_bytes_that_no_gate_saw(
    run_dag: RunDag, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG, task

    lay(tmp_path / "l", monkeypatch, {"interlock/enforcement/airflow/guarded": {"mode": "warn", "pipelines": ["*"]}})
    ran, other = tmp_path / "ran", tmp_path / "other.csv"
    other.write_text("a,b,label\n1,2,0\n")
    with DAG("guarded", schedule=None) as dag:

        @task.guarded(subject=str(other), requires=["data-validation", "data-poisoning"])
        def train(data: Path) -> None:
            ran.touch()

        guarded: Any = train  # the guard fills `data` in, which no type checker can know
        gates_of(data) >> guarded()
    assert run_dag(dag) == {"validate": "success", "poisoning": "success", "train": "failed"}
    assert not ran.exists()
    assert verdicts()["train"] == "DENY"


def test_a_guarded_task_gets_the_held_copy_of_the_bytes(run_dag: RunDag, data: Path, tmp_path: Path) -> None:
    from airflow.sdk import DAG, task

    from interlock.airflow import CheckPolicyOperator

    seen = tmp_path / "seen"
    with DAG("held", schedule=None) as dag:

        @task.guarded(subject=str(data), requires=["data-validation", "data-poisoning"])
        def train(data: Path, epochs: int) -> int:
            seen.write_text(f"{data}\n{data.read_text()}")
            return epochs

        early = CheckPolicyOperator(task_id="early", subject=str(data), step="training")
        guarded: Any = train  # as above
        gates_of(data) >> early >> guarded(epochs=3)
    assert set(run_dag(dag).values()) == {"success"}
    place, content = seen.read_text().split("\n", 1)
    assert content == data.read_text()
    assert place != str(data)
    assert verdicts() == dict.fromkeys(("validate", "poisoning", "early", "train"), "ALLOW")


def test_a_guarded_function_must_take_data() -> None:
    from airflow.sdk import task

    from interlock.gate import UsageError

    @task.guarded(subject="s3://lake/train/")
    def train() -> None: ...

    with pytest.raises(UsageError, match="takes `data`"):
        train()


@pytest.mark.parametrize(
    ("name", "templated"),
    [
        ("ValidateDataOperator", {"subject"}),
        ("ScanPoisoningOperator", {"subject", "flagged", "clean_out", "accepted", "clean", "losses", "profile_out"}),
        ("ScanModelOperator", {"subject", "accepted"}),
        ("EvaluateModelOperator", {"subject", "evaluation", "accepted"}),
        ("ApprovalGateOperator", {"subject"}),
        ("CheckPolicyOperator", {"subject"}),
        ("SnapshotOperator", {"subject", "to"}),
        ("SecureTrainOperator", {"data", "out", "checkpoints", "base", "losses"}),
        ("DeployGateOperator", {"model", "to", "declared"}),
    ],
)
def test_only_what_is_checked_can_be_a_template(name: str, templated: set[str]) -> None:
    operator = getattr(import_module("interlock.airflow"), name)
    assert set(operator.template_fields) == templated
    keyword_only = [p for p in inspect.signature(operator.__init__).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert keyword_only


def test_a_cluster_operator_is_there_or_says_what_brings_it() -> None:
    module = import_module("interlock.airflow")
    assert module.SecureTrainJobOperator.interlock_protects == "training"
    assert "image" in module.ClusterStep.__dataclass_fields__
    if find_spec("airflow.providers.cncf"):
        assert module.SecureTrainPodOperator.interlock_protects == "training"
    else:
        with pytest.raises(MissingExtraError, match=r"pip install 'interlock\[kubernetes\]'"):
            module.SecureTrainPodOperator  # noqa: B018 (the access is the test)


def test_exported_members() -> None:
    module = import_module("interlock.airflow")
    assert all(getattr(module, name) for name in module.__all__)
    with pytest.raises(AttributeError):
        module.NoSuchOperator  # noqa: B018 (the access is the test)
