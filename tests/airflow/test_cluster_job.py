"""The TrainJob behind the guard: the official client against a server over HTTP, and the operator in real task runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.airflow.kube_api import served
from tests.airflow.runs import QUIET, RunDag, gates_of, verdicts
from tests.training.cluster.api import Cluster, Held
from tests.training.cluster.objects import opening, training

from interlock.airflow.cluster import ClusterStep, label_of
from interlock.airflow.cluster_job import KubernetesTrainJobs, SecureTrainJobOperator
from interlock.gate import UnavailableError, UsageError
from interlock.training.cluster import (
    StaleError,
    TakenError,
    TrainJobs,
    judge,
    release,
    train_job,
    train_when_open,
    training_runtime,
)
from interlock.training.cluster.trainjob import release_patch

if TYPE_CHECKING:
    from kubernetes.client import CustomObjectsApi

pytestmark = QUIET
IMAGE = f"registry.example/train@sha256:{'1' * 64}"
STEP = ClusterStep(
    image=IMAGE,
    interlock_image=IMAGE,
    command=("python", "train.py", "{data}", "{out}"),
    data_claim="lake",
    data_path="train.csv",
    out_claim="models",
    namespace="training",
)


def client(url: str) -> CustomObjectsApi:
    from kubernetes.client import ApiClient, Configuration, CustomObjectsApi

    configuration = Configuration(host=url)
    configuration.retries = False
    return CustomObjectsApi(ApiClient(configuration))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def jobs(cluster: Cluster) -> Iterator[TrainJobs]:
    with served(cluster) as url:
        yield KubernetesTrainJobs(client(url))


def test_the_client_releases_a_trainjob_over_http(jobs: TrainJobs, cluster: Cluster) -> None:
    jobs.create(training_runtime(training()))
    jobs.create(train_job(training()))
    release(jobs, training(), judge(jobs, training()), opening())
    assert cluster.ran
    jobs.delete("training", "fraud-7")
    jobs.delete("training", "fraud-7")  # it may be gone already


def test_an_old_resource_version_is_a_conflict_and_changes_nothing(jobs: TrainJobs, cluster: Cluster) -> None:
    jobs.create(train_job(training()))
    with pytest.raises(StaleError, match="409"):
        jobs.patch("training", "fraud-7", release_patch(training(), opening(), "1"))
    assert not cluster.ran


def test_a_name_that_is_taken_is_said_to_be(jobs: TrainJobs) -> None:
    jobs.create(train_job(training()))
    with pytest.raises(TakenError):
        jobs.create(train_job(training()))


def test_an_object_that_the_cluster_does_not_take_is_no_trouble_to_try_again(jobs: TrainJobs) -> None:
    wrong: Any = train_job(training())
    wrong["spec"]["podTemplateOverrides"] = []
    with pytest.raises(UsageError, match="422"):
        jobs.create(wrong)
    with pytest.raises(UsageError, match="404"):
        jobs.read("TrainJob", "training", "none")


def test_a_cluster_that_does_not_answer_is_worth_a_retry() -> None:
    with served(Cluster()) as url:
        pass
    with pytest.raises(UnavailableError, match="did not answer"):
        KubernetesTrainJobs(client(url)).read("TrainJob", "training", "fraud-7")


def ends(cluster: Cluster, kind: str) -> None:
    """What the controller writes when the pods have ended."""

    def condition(job: Held) -> None:
        done = {"type": kind, "status": "True", "reason": "r", "message": "m"}
        job["status"] = {"conditions": [{**done, "lastTransitionTime": "2026-11-27T12:00:00Z"}]}

    cluster.change("TrainJob", condition)


class OnFakeCluster(SecureTrainJobOperator):
    """The operator, whose cluster is the one of the test."""

    cluster: Cluster

    def jobs(self) -> TrainJobs:
        return self.cluster


@pytest.mark.parametrize(("end", "state"), [("Complete", "success"), ("Failed", "failed")])
def test_a_trainjob_runs_behind_its_guard(run_dag: RunDag, data: Path, end: str, state: str) -> None:
    from airflow.sdk import DAG

    released: list[Cluster] = []

    def after(cluster: Cluster) -> None:
        if not released:
            released.append(cluster)
            ends(cluster, end)

    OnFakeCluster.cluster = Cluster(after=after)
    with DAG(f"trainjob_{end.lower()}", schedule=None) as dag:
        train = OnFakeCluster(task_id="Train_it", data=str(data), step=STEP, poll=0.01)
        gates_of(data) >> train
    assert run_dag(dag)["Train_it"] == state
    assert verdicts()["Train_it"] == "ALLOW"
    (job,) = (held for held in OnFakeCluster.cluster.objects.values() if held["kind"] == "TrainJob")
    assert job["metadata"]["name"].startswith("train-it-")
    assert job["spec"]["suspend"] is False


def test_without_receipts_no_trainjob_ever_runs(
    run_dag: RunDag, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG
    from tests.airflow.layers import lay

    lay(
        tmp_path / "l",
        monkeypatch,
        {"interlock/enforcement/airflow/ungated": {"mode": "warn", "pipelines": ["ungated"]}},
    )
    OnFakeCluster.cluster = Cluster()
    with DAG("ungated", schedule=None) as dag:
        OnFakeCluster(task_id="train", data=str(data), step=STEP, poll=0.01, retries=0)
    assert run_dag(dag) == {"train": "failed"}
    assert verdicts() == {"train": "DENY"}
    assert not OnFakeCluster.cluster.ran
    assert not [kind for kind, _, _ in OnFakeCluster.cluster.objects if kind == "TrainJob"]


def test_the_cluster_policy_knows_the_step_as_a_training(load: Callable[[Any], None], data: Path) -> None:
    from airflow.exceptions import AirflowClusterPolicyViolation
    from airflow.sdk import DAG

    with DAG("forgotten", schedule=None) as dag:
        SecureTrainJobOperator(task_id="train", data=str(data), step=STEP)
    with pytest.raises(AirflowClusterPolicyViolation, match="not gated"):
        load(dag)


@pytest.mark.parametrize(("task_id", "label"), [("Train_it", "train-it"), ("a.b", "a-b"), ("___", "training")])
def test_a_task_id_becomes_a_label(task_id: str, label: str) -> None:
    assert label_of(task_id) == label


def test_the_same_release_goes_through_the_client_and_the_guard(jobs: TrainJobs, cluster: Cluster) -> None:
    from contextlib import nullcontext

    train_when_open(jobs, training(), lambda _: nullcontext(opening()))
    assert cluster.ran
