"""`SecureTrainPodOperator` on Airflow's real Kubernetes provider, which talks to a server that is no cluster.

Skipped where the provider is not installed: it needs a newer ``kubernetes`` than ``kfp`` allows, so the lock has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.airflow.kube_api import Pods, served
from tests.airflow.runs import QUIET, RunDag, gates_of, verdicts
from tests.training.cluster.api import Cluster, Held
from tests.training.cluster.attacks import ATTACKS, put

from interlock.gate import UsageError

pytest.importorskip("airflow.providers.cncf.kubernetes", reason="needs apache-airflow-providers-cncf-kubernetes")

from interlock.airflow.cluster_pod import SecureTrainPodOperator

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

pytestmark = QUIET
IMAGE = f"registry.example/train@sha256:{'1' * 64}"
WHAT: dict[str, Any] = {
    "image": IMAGE,
    "interlock_image": f"registry.example/interlock@sha256:{'2' * 64}",
    "command": ["python", "train.py", "{data}", "{out}"],
    "data_claim": "lake",
    "data_path": "train.csv",
    "out_claim": "models",
    "namespace": "training",
    "log_events_on_startup": False,
    "get_logs": False,
}


class OnServer(SecureTrainPodOperator):
    """The operator, whose client asks the server of the test; everything else of the provider is real."""

    url: str

    @cached_property
    def client(self) -> CoreV1Api:
        from kubernetes.client import ApiClient, Configuration, CoreV1Api

        return CoreV1Api(ApiClient(Configuration(host=self.url)))


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def server(pods: Pods) -> Iterator[None]:
    with served(Cluster(), pods) as url:
        OnServer.url = url
        yield


def built(**options: Any) -> Any:
    """An operator after its guard, as the test's own DAG would have it."""
    from tests.training.cluster.objects import opening

    from interlock.airflow.cluster import ClusterStep

    operator = OnServer(task_id="train", data="/lake/train.csv", **WHAT | options)
    assert isinstance(operator._step(), ClusterStep)
    operator._asked = operator._step().training("train", "3" * 64), opening()
    return operator


@pytest.mark.usefixtures("server")
def test_the_pod_behind_an_open_guard_trains_on_the_digest_of_the_guard(
    run_dag: RunDag, data: Path, pods: Pods
) -> None:
    from airflow.sdk import DAG

    from interlock.evidence import take_snapshot

    with DAG("pod", schedule=None) as dag:
        train = OnServer(task_id="train", data=str(data), memory="32Gi", on_finish_action="keep_pod", **WHAT)
        gates_of(data) >> train
    assert run_dag(dag)["train"] == "success"
    assert verdicts()["train"] == "ALLOW"
    (pod,) = pods.created
    assert pod["spec"]["initContainers"][0]["command"][4] == f"sha256:{take_snapshot(str(data)).digest}"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "32Gi"
    assert pod["metadata"]["labels"]["interlock.dev/network"] == "none"
    assert pod["metadata"]["labels"]["dag_id"] == "pod"


@pytest.mark.usefixtures("server")
def test_a_webhook_that_weakens_the_pod_ends_it(pods: Pods) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    pods._webhook = put("spec/automountServiceAccountToken", True)
    operator = built()
    operator.durable = operator.reattach_on_restart = False
    with pytest.raises(AirflowFailException, match="the pod that the cluster made of it is not hardened"):
        operator.get_or_create_pod(request(operator), {})
    assert len(pods.deleted) == 1
    assert pods.held == {}


def request(operator: Any) -> Any:
    return operator.build_pod_request_obj(None)


@pytest.mark.parametrize("name", ["a token", "a host path", "a sidecar", "another digest", "the network label gone"])
def test_a_mutation_hook_that_weakens_the_pod_refuses_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hook is the deployment's own; it gets a real `V1Pod` and changes it as such a hook does."""
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from airflow.sdk.exceptions import AirflowFailException
    from kubernetes.client import ApiClient

    def hook(pod: Any) -> None:
        document: Held = ApiClient().sanitize_for_serialization(pod)
        ATTACKS[name][1](document)
        changed = PodGenerator.deserialize_model_dict(document)
        pod.spec, pod.metadata = changed.spec, changed.metadata

    monkeypatch.setattr("airflow.settings.pod_mutation_hook", hook)
    with pytest.raises(AirflowFailException, match="not hardened"):
        request(built())


@pytest.mark.parametrize(
    "name",
    [
        *("full_pod_spec", "pod_template_file", "pod_template_dict", "volumes", "volume_mounts", "env_vars", "secrets"),
        *("hostnetwork", "security_context", "container_security_context", "automount_service_account_token"),
        *("service_account_name", "init_containers", "callbacks", "deferrable", "do_xcom_push", "executor_config"),
        *("labels", "annotations", "env_from", "cmds", "arguments", "container_resources", "reattach_on_restart"),
        *("durable", "base_container_name", "runtime_class_name", "pod_override"),
    ],
)
def test_what_would_change_the_pod_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        OnServer(**{"task_id": "train", "data": "/lake/train.csv", **WHAT, name: None})


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("full_pod_spec", object()),
        ("hostnetwork", True),
        ("automount_service_account_token", True),
        ("env_vars", {"A": "b"}),
        ("pod_template_file", "/etc/passwd"),
        ("labels", {"interlock.dev/network": "all"}),
    ],
)
def test_what_is_set_later_is_not_read(attribute: str, value: object) -> None:
    operator = built()
    setattr(operator, attribute, value)
    pod, plain = request(operator), request(built())
    for one in (pod, plain):
        one.metadata.name = "train"
    assert pod == plain


def test_there_is_no_pod_before_the_guard() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    operator = OnServer(task_id="train", data="/lake/train.csv", **WHAT)
    with pytest.raises(AirflowFailException, match="before the guard"):
        operator.dry_run()


@pytest.mark.usefixtures("server")
def test_without_receipts_no_pod_is_created(
    run_dag: RunDag, data: Path, pods: Pods, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk import DAG
    from tests.airflow.layers import lay

    lay(
        tmp_path / "l",
        monkeypatch,
        {"interlock/enforcement/airflow/podless": {"mode": "warn", "pipelines": ["podless"]}},
    )
    with DAG("podless", schedule=None) as dag:
        OnServer(task_id="train", data=str(data), **WHAT)
    assert run_dag(dag) == {"train": "failed"}
    assert verdicts() == {"train": "DENY"}
    assert pods.created == []


def test_the_cluster_policy_knows_the_step_as_a_training(load: Callable[[Any], None], data: Path) -> None:
    from airflow.exceptions import AirflowClusterPolicyViolation
    from airflow.sdk import DAG

    with DAG("forgotten_pod", schedule=None) as dag:
        SecureTrainPodOperator(task_id="train", data=str(data), **WHAT)
    with pytest.raises(AirflowClusterPolicyViolation, match="not gated"):
        load(dag)
