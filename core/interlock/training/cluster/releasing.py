"""From a suspended TrainJob to a running one: judge what the API server holds, open the guard, release exactly that.

The guard decides; this makes sure that what it decided on is what starts. The API server's optimistic concurrency
does the last step: the patch names the resource version that was judged, and any change in between refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from interlock.gate import GuardError, UnavailableError
from interlock.gate.documents import digest_of
from interlock.training.cluster.check import hardened_findings
from interlock.training.cluster.job import ClusterTraining
from interlock.training.cluster.pod import Opening
from interlock.training.cluster.trainjob import (
    judged_spec,
    pod_template,
    release_patch,
    runtime_name,
    train_job,
    training_runtime,
)

Document = Mapping[str, Any]

_ATTEMPTS = 5


class StaleError(UnavailableError):
    """Somebody else wrote the object first (HTTP 409); read it again."""


class TakenError(UnavailableError):
    """An object of that name exists already (HTTP 409 on creation)."""


class TrainJobs(Protocol):
    """What is needed of the Kubernetes API; every method raises `UnavailableError` when it does not answer."""

    def create(self, document: Document) -> Document:
        """Create an object and return it as it is held.

        Raises:
            TakenError: There is one of that kind and name.
        """
        ...

    def read(self, kind: str, namespace: str, name: str) -> Document:
        """The object as it is held: ``TrainJob`` or ``TrainingRuntime``."""
        ...

    def patch(self, namespace: str, name: str, patch: Document) -> Document:
        """Merge `patch` into a TrainJob.

        Raises:
            StaleError: The patch names a resource version that is not the newest.
        """
        ...

    def delete(self, namespace: str, name: str) -> None:
        """Delete a TrainJob and its pods; it may be gone already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A suspended TrainJob that runs what was asked for.

    Args:
        digest: sha256 over what it runs and its runtime.
        resource_version: Of the TrainJob, as it was judged.
    """

    digest: str
    resource_version: str


def train_when_open(
    jobs: TrainJobs, training: ClusterTraining, guard: Callable[[Judged], AbstractContextManager[Opening]]
) -> Opening:
    """Create a TrainJob that waits, open the guard, and let exactly that TrainJob go on.

    When anything refuses, the TrainJob is deleted without ever having run.

    Args:
        jobs: The cluster.
        training: What to run.
        guard: Opens on the data; raises when it stays shut.

    Returns:
        What the guard left; the TrainJob carries it.

    Raises:
        GuardError: The guard stayed shut, or the objects are not what was asked for.
        UnavailableError: The cluster did not answer, or there is a TrainJob of that name.
    """
    with suppress(TakenError):  # the same training ran before; `judge` looks at what is there
        jobs.create(training_runtime(training))
    jobs.create(train_job(training))
    try:
        judged = judge(jobs, training)
        with guard(judged) as opening:
            release(jobs, training, judged, opening)
    except BaseException:
        jobs.delete(training.namespace, training.name)
        raise
    return opening


def judge(jobs: TrainJobs, training: ClusterTraining) -> Judged:
    """Whether the TrainJob and its runtime, as they are held now, are those of `training`, and wait.

    Raises:
        GuardError: They are not.
        UnavailableError: The cluster did not answer.
    """
    job = jobs.read("TrainJob", training.namespace, training.name)
    runtime = jobs.read("TrainingRuntime", training.namespace, runtime_name(training))
    if _object(job.get("spec")).get("suspend") is not True:
        raise _refused(training, "the TrainJob does not wait for its guard", "delete it and create it suspended")
    return Judged(digest=_digest(training, job, runtime), resource_version=_version(job))


def release(jobs: TrainJobs, training: ClusterTraining, judged: Judged, opening: Opening) -> Document:
    """End the suspension of a judged TrainJob, unless it or its runtime changed.

    The controller writes conditions into a waiting TrainJob, which gives it a new resource version; then it is judged
    again and the patch tried again. A runtime that changed after the patch is met by suspending once more.

    Args:
        jobs: The cluster.
        training: What was judged.
        judged: What `judge` said.
        opening: The guard that opened, on the digest that the pod compares with.

    Raises:
        GuardError: What would run is not what was judged, or the guard opened on other bytes.
        UnavailableError: The cluster did not answer, or it was changed again and again.
    """
    if opening.subject_digest != training.data.digest:
        raise _refused(training, "the guard opened on other bytes than the pod would check", "run the step again")
    for _ in range(_ATTEMPTS):
        now = judge(jobs, training)
        if now.digest != judged.digest:
            raise _refused(training, "the TrainJob changed since it was judged", "find out who changed it")
        try:
            released = jobs.patch(
                training.namespace, training.name, release_patch(training, opening, now.resource_version)
            )
        except StaleError:
            continue
        _hold_back_if_changed(jobs, training)
        return released
    raise UnavailableError("the TrainJob changes all the time", where=_where(training), next_step="try again")


def _hold_back_if_changed(jobs: TrainJobs, training: ClusterTraining) -> None:
    """No patch of one object depends on the version of another, so the runtime is looked at once more."""
    runtime = jobs.read("TrainingRuntime", training.namespace, runtime_name(training))
    if _runs(runtime) != _runs(training_runtime(training)):
        jobs.patch(training.namespace, training.name, {"spec": {"suspend": True}})
        raise _refused(training, "the training runtime changed while the TrainJob was released", "find out who did it")


def _digest(training: ClusterTraining, job: Document, runtime: Document) -> str:
    if judged_spec(job) != judged_spec(train_job(training)):
        raise _refused(training, "the TrainJob is not the one that was asked for", "find out who changed it")
    weaknesses = hardened_findings(pod_template(runtime), training)
    if weaknesses:
        first = weaknesses[0]
        raise _refused(
            training,
            f"the training runtime makes no hardened pods: {first.where}: {first.message}"
            + (f" (and {len(weaknesses) - 1} more)" if len(weaknesses) > 1 else ""),
            "delete the runtime, then run the step again",
        )
    if _runs(runtime) != _runs(training_runtime(training)):
        raise _refused(training, "the training runtime is not the one that was asked for", "delete the runtime")
    return digest_of({"job": judged_spec(job), "runtime": _runs(runtime)})


def _runs(runtime: Document) -> dict[str, Any]:
    return dict(_object(runtime.get("spec")))


def _version(job: Document) -> str:
    return str(_object(job.get("metadata")).get("resourceVersion", ""))


def _object(value: object) -> Document:
    return value if isinstance(value, Mapping) else {}


def _where(training: ClusterTraining) -> str:
    return f"TrainJob {training.namespace}/{training.name}"


def _refused(training: ClusterTraining, why: str, next_step: str) -> GuardError:
    return GuardError(why, where=_where(training), next_step=next_step)
