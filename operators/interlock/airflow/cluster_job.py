"""`SecureTrainJobOperator`: a Kubeflow TrainJob that waits for the guard; and the client that it goes through.

The client needs the package ``kubernetes`` and nothing of Airflow's provider; the operator needs the provider for the
connection (extra ``kubernetes``).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException

from interlock.airflow.base import InterlockOperator, open_runner, pointer, run_identity
from interlock.airflow.cluster import ClusterStep, label_of
from interlock.gate.errors import MissingExtraError, UnavailableError, UsageError
from interlock.training.cluster import Opening, StaleError, TakenError, TrainJobs, train_when_open

if TYPE_CHECKING:
    from airflow.sdk import Context
    from kubernetes.client import CustomObjectsApi

    from interlock.evidence import Opened
    from interlock.gate import RunIdentity
    from interlock.training.cluster import Judged

_GROUP, _VERSION = "trainer.kubeflow.org", "v1alpha1"
_PLURALS = {"TrainJob": "trainjobs", "TrainingRuntime": "trainingruntimes"}
_TIMEOUT = (5.0, 30.0)  # seconds to connect, and for an answer


class KubernetesTrainJobs:
    """`interlock.training.cluster.TrainJobs` through the official client.

    Args:
        api: With credentials for the namespace.
    """

    def __init__(self, api: CustomObjectsApi) -> None:
        self._api = api
        # Which kind of patch a client sends by itself, and how it can be told, differs between its versions.
        shared = api.api_client.configuration
        self._patching = type(api)(type(api.api_client)(shared, "Content-Type", "application/merge-patch+json"))

    def create(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Create a TrainJob or a TrainingRuntime."""
        kind, namespace = document["kind"], document["metadata"]["namespace"]
        with _errors(f"{kind} {namespace}/{document['metadata']['name']}", conflict=TakenError):
            return self._asked(self._api.create_namespaced_custom_object, namespace, _PLURALS[kind], document)

    def read(self, kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        """Read one of them."""
        with _errors(f"{kind} {namespace}/{name}"):
            return self._asked(self._api.get_namespaced_custom_object, namespace, _PLURALS[kind], name)

    def patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Merge a patch (RFC 7386) into a TrainJob."""
        with _errors(f"TrainJob {namespace}/{name}", conflict=StaleError):
            return self._asked(
                self._patching.patch_namespaced_custom_object,
                namespace,
                _PLURALS["TrainJob"],
                name,
                patch,
            )

    def delete(self, namespace: str, name: str) -> None:
        """Delete a TrainJob with what belongs to it."""
        with _errors(f"TrainJob {namespace}/{name}", gone=True):
            self._asked(
                self._api.delete_namespaced_custom_object,
                namespace,
                _PLURALS["TrainJob"],
                name,
                propagation_policy="Foreground",
            )

    def _asked(self, call: Callable[..., Any], namespace: str, *arguments: Any, **options: Any) -> Mapping[str, Any]:
        # Undecoded: versions of the client decode custom objects differently.
        response = call(
            _GROUP, _VERSION, namespace, *arguments, _request_timeout=_TIMEOUT, _preload_content=False, **options
        )
        try:
            answer = json.loads(response.data)
        except ValueError:
            answer = None
        if not isinstance(answer, Mapping):
            raise UnavailableError("the cluster answered with something else than an object", next_step="try again")
        return answer


@contextmanager
def _errors(where: str, *, conflict: type[UnavailableError] = UnavailableError, gone: bool = False) -> Iterator[None]:
    """The client's errors as Interlock's; `gone` lets a missing object pass."""
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        said = f"the cluster answered {error.status} {error.reason}"
        if error.status == 404 and gone:
            return
        if error.status == 409:
            raise conflict(said, where=where, next_step="look at who else uses that name") from error
        if error.status in {400, 401, 403, 404, 422}:
            raise UsageError(said, where=where, next_step=_advice(error.status)) from error
        raise UnavailableError(said, where=where, next_step="try again") from error
    except (HTTPError, OSError) as error:
        raise UnavailableError(f"the cluster did not answer: {error}", where=where, next_step="try again") from error


def _advice(status: int) -> str:
    if status in {401, 403}:
        return "let this service account get, create, patch and delete trainjobs, and get and create trainingruntimes"
    return "install Kubeflow Trainer 2.3" if status == 404 else "compare the object with the cluster's version of it"


class SecureTrainJobOperator(InterlockOperator):
    """Creates a TrainJob that waits, opens the guard, releases exactly that TrainJob, and waits for its end.

    What comes out lies in the output's claim and has no receipt: a gate of a later step looks at those bytes.

    Args:
        data: Path or URL of the dataset, as the worker sees it (templated).
        step: The training; the same fields as `SecureTrainPodOperator` takes.
        kubernetes_conn_id: Airflow connection of the cluster.
        requires: Gate kinds on top of those that policy requires.
        poll: Seconds between two looks at the TrainJob.
    """

    template_fields: Collection[str] = ("data",)
    interlock_protects: ClassVar[str] = "training"
    interlock_step: ClassVar[str] = "interlock.airflow.cluster_job.SecureTrainJobOperator"
    custom_operator_name = "SecureTrainJobOperator"
    ui_color = "#f7ead9"

    def __init__(
        self,
        *,
        data: str,
        step: ClusterStep,
        kubernetes_conn_id: str = "kubernetes_default",
        requires: Sequence[str] = (),
        poll: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.step = step
        self.kubernetes_conn_id = kubernetes_conn_id
        self.requires = requires
        self.poll = poll
        self._started: str = ""

    def execute(self, context: Context) -> dict[str, str]:
        """Snapshot, suspended TrainJob, guard, release, end."""
        run = run_identity(context)
        opened: list[Opened] = []
        with open_runner(self.interlock_conn_id) as runner:
            jobs = self.jobs()
            name = f"{label_of(self.task_id)}-{_suffix(run)}"
            training = self.step.training(name, runner.snapshot(self.data).subject.digest)

            @contextmanager
            def guard(judged: Judged) -> Iterator[Opening]:
                request = self.step.guard_request(self.data, self.requires, run, manifest_digest=judged.digest)
                with runner.open_guard(request) as opening:
                    opened.append(opening)
                    yield Opening.left_by(opening)

            self._started = name
            train_when_open(jobs, training, guard)
            self.log.info(
                "TrainJob %s/%s goes on, receipt %s", self.step.namespace, name, opened[0].recorded.receipt_id
            )
            self._await_end(jobs, name)
        return pointer(opened[0].recorded)

    def on_kill(self) -> None:
        """Delete the TrainJob."""
        if self._started:
            self.jobs().delete(self.step.namespace, self._started)

    def jobs(self) -> TrainJobs:
        """The cluster of the connection.

        Raises:
            MissingExtraError: The provider is not installed.
        """
        try:
            from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise MissingExtraError("airflow.providers.cncf.kubernetes", extra="kubernetes") from error
        return KubernetesTrainJobs(KubernetesHook(conn_id=self.kubernetes_conn_id).custom_object_client)

    def _await_end(self, jobs: TrainJobs, name: str) -> None:
        while True:
            conditions = jobs.read("TrainJob", self.step.namespace, name).get("status", {}).get("conditions", [])
            held = {one.get("type"): one for one in conditions if one.get("status") == "True"}
            if "Failed" in held:
                raise AirflowException(f"TrainJob {name} failed: {held['Failed'].get('message', '')}")
            if "Complete" in held:
                return
            time.sleep(self.poll)


def _suffix(run: RunIdentity) -> str:
    """The same for one try of one task, so that two of them never share a TrainJob."""
    from interlock.gate.documents import digest_of

    return digest_of([run.pipeline, run.run_id, run.task_id, run.map_index, run.attempt])[:10]
