"""`SecureTrainPodOperator`: the guard in the worker, then a hardened pod that trains on exactly those bytes.

Needs ``apache-airflow-providers-cncf-kubernetes`` (extra ``kubernetes``). The pod is rendered from values; nothing
that Airflow's operator would merge into a pod (templates, overrides, hooks) is used, the cluster policy's
``pod_mutation_hook`` is called as always, and the checker looks at the pod after it, and at what the API server holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException

from interlock.airflow.base import open_runner, pointer, run_identity, serialized_with_ours
from interlock.airflow.cluster import ClusterStep, label_of
from interlock.gate.errors import MissingExtraError, UsageError

try:
    from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise MissingExtraError("airflow.providers.cncf.kubernetes", extra="kubernetes") from error

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import V1Pod

    from interlock.training.cluster import ClusterTraining, Opening

_AUTHORS = frozenset(
    {
        *("kubernetes_conn_id", "in_cluster", "cluster_context", "config_file"),
        *("startup_timeout_seconds", "startup_check_interval_seconds", "schedule_timeout_seconds"),
        *("get_logs", "logging_interval", "log_events_on_failure", "log_events_on_startup", "on_finish_action"),
    }
)
"""Arguments of Airflow's operator that say where the cluster is and what is logged, and nothing of the pod."""


class SecureTrainPodOperator(KubernetesPodOperator):  # type: ignore[misc]  # unknown where the provider is not installed
    """Trains in a hardened pod without a network, once the guard is open on the data.

    The bytes are held and judged in the worker; the pod's first container copies the same ones from the claim by
    their digest, or the pod ends there. What comes out lies in the output's claim and has no receipt: a gate of a
    later step looks at those bytes as they are then.

    Args:
        data: Path or URL of the dataset, as the worker sees it (templated).
        image: What trains, by digest.
        interlock_image: Image with Interlock in it, by digest.
        command: Program and arguments; ``{data}`` and ``{out}`` become the paths in the pod.
        data_claim: PersistentVolumeClaim with the same bytes, for the pod.
        data_path: Where they lie in it (templated).
        out_claim: PersistentVolumeClaim for the output.
        namespace: Where the pod runs; its network policy must be there (docs/training-cluster.md).
        requires: Gate kinds on top of those that policy requires.
        interlock_conn_id: As in every Interlock operator.
        **kwargs: Further fields of `interlock.airflow.cluster.ClusterStep`, arguments of ``BaseOperator``, and those of
            `KubernetesPodOperator` that say nothing of the pod. Any other is refused.
    """

    template_fields: Sequence[str] = ("data", "data_path")
    template_fields_renderers: ClassVar[dict[str, str]] = {}
    interlock_protects: ClassVar[str] = "training"
    interlock_step: ClassVar[str] = "interlock.airflow.cluster_pod.SecureTrainPodOperator"
    custom_operator_name = "SecureTrainPodOperator"
    ui_color = "#f7ead9"

    @classmethod
    def get_serialized_fields(cls) -> frozenset[str]:
        """Airflow's, and what the scheduler needs to judge the step."""
        return serialized_with_ours(super().get_serialized_fields())

    def __init__(
        self,
        *,
        data: str,
        image: str,
        interlock_image: str,
        command: Sequence[str],
        data_claim: str,
        data_path: str,
        out_claim: str,
        namespace: str,
        requires: Sequence[str] = (),
        interlock_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        _refuse(kwargs)
        self._step_options = {name: kwargs.pop(name) for name in _step_fields() & set(kwargs)}
        super().__init__(image=image, namespace=namespace, cmds=list(command), deferrable=False, **kwargs)
        self.data = data
        self.interlock_image = interlock_image
        self.command = command
        self.data_claim = data_claim
        self.data_path = data_path
        self.out_claim = out_claim
        self.requires = requires
        self.interlock_conn_id = interlock_conn_id
        self._asked: tuple[ClusterTraining, Opening] | None = None

    def execute(self, context: Context) -> None:
        """Guard, then the pod on the digest that the guard opened on."""
        from interlock.training.cluster import Opening

        step = self._step()
        with open_runner(self.interlock_conn_id) as runner:
            request = step.guard_request(self.data, self.requires, run_identity(context))
            with runner.open_guard(request) as opened:
                opening = Opening.left_by(opened)
                self._asked = step.training(label_of(self.task_id), opening.subject_digest), opening
        self.log.info("guard open on sha256:%s, receipt %s", opening.subject_digest, opening.receipt_id)
        context["ti"].xcom_push(key="interlock_guard", value=pointer(opened.recorded))  # pyright: ignore[reportTypedDictNotRequiredAccess]
        # What Airflow's operator would do beside its pod: no code of the author's between the check and the start,
        # no pod that somebody else made, no container for XCom.
        self.callbacks: list[object] = []
        self.pod_request_obj = None
        self.durable = self.reattach_on_restart = False
        self.deferrable = self.do_xcom_push = False
        self.base_container_name = self.BASE_CONTAINER_NAME
        super().execute(context)

    def build_pod_request_obj(self, context: Context | None = None, **_: Any) -> V1Pod:
        """The hardened pod with Airflow's labels, after the cluster policy's hook, if it is still hardened then."""
        from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import add_unique_suffix  # pyright: ignore[reportMissingImports]
        from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator  # pyright: ignore[reportMissingImports]
        from airflow.settings import pod_mutation_hook

        from interlock.training.cluster import hardened_pod

        training, opening = self._after_guard()
        pod = PodGenerator.deserialize_model_dict(hardened_pod(training, opening))
        pod.metadata.name = add_unique_suffix(name=training.name)
        pod.metadata.labels |= self._get_ti_pod_labels(context)
        pod_mutation_hook(pod)  # type: ignore[no-untyped-call]  # Airflow's own
        self._refuse_weak(pod, "the pod that would be created")
        return pod

    def get_or_create_pod(self, pod_request_obj: V1Pod, context: Context) -> V1Pod:
        """Create the pod, and end it again if the API server holds another one than was sent."""
        self._refuse_weak(pod_request_obj, "the pod that would be created")
        pod = super().get_or_create_pod(pod_request_obj, context)
        held = self.pod_manager.read_pod(pod)
        try:
            self._refuse_weak(held, "the pod that the cluster made of it")
        except AirflowFailException:
            self.pod_manager.delete_pod(held)
            raise
        return pod

    def _step(self) -> ClusterStep:
        return ClusterStep(
            image=str(self.image),
            interlock_image=self.interlock_image,
            command=self.command,
            data_claim=self.data_claim,
            data_path=self.data_path,
            out_claim=self.out_claim,
            namespace=str(self.namespace),
            **self._step_options,
        )

    def _after_guard(self) -> tuple[ClusterTraining, Opening]:
        if self._asked is None:
            raise AirflowFailException(f"{self.task_id}: there is no pod before the guard opened")
        return self._asked

    def _refuse_weak(self, pod: V1Pod, what: str) -> None:
        """Raise unless `pod` is the hardened pod that was asked for.

        Raises:
            AirflowFailException: It is not.
        """
        from kubernetes.client import ApiClient

        from interlock.training.cluster import hardened_findings

        training, _ = self._after_guard()
        found = hardened_findings(ApiClient().sanitize_for_serialization(pod), training)
        if found:
            told = "; ".join(f"{weakness.where}: {weakness.message}" for weakness in found[:5])
            raise AirflowFailException(f"{what} is not hardened: {told} ({len(found)} in all)")


def _step_fields() -> set[str]:
    return set(ClusterStep.__dataclass_fields__) - {"image", "interlock_image", "command", "namespace"}


def _refuse(arguments: Mapping[str, Any]) -> None:
    """Raise for what would change the pod, or the worker that judges it.

    Raises:
        UsageError: One of them is there.
    """
    airflows: Collection[str] = inspect.signature(KubernetesPodOperator.__init__).parameters
    refused = (set(airflows) - _AUTHORS - _step_fields() - {"self", "kwargs"}) | {"executor_config", "pod_override"}
    for name in sorted(refused & set(arguments)):
        raise UsageError(
            f"{name} would change a hardened pod",
            where=f"SecureTrainPodOperator: {arguments.get('task_id', '')}",
            next_step="leave it out; what a pod may be given is in docs/training-cluster.md",
        )
