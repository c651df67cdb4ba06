"""A TrainJob starts only after its guard, only as it was judged, and never when anything changed in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from tests.training.cluster.api import Cluster, Held, RejectedError
from tests.training.cluster.objects import opening, training

from interlock.gate import GuardError, UnavailableError
from interlock.training.cluster import (
    Judged,
    Opening,
    TakenError,
    TrainJobs,
    judge,
    release,
    train_job,
    train_when_open,
    training_runtime,
)

IMAGE = f"registry.example/evil@sha256:{'9' * 64}"


@contextmanager
def open_guard(_: Judged) -> Iterator[Opening]:
    yield opening()


def waiting(**options: Any) -> Cluster:
    cluster = Cluster(**options)
    cluster.create(training_runtime(training()))
    cluster.create(train_job(training()))
    return cluster


def held_job(cluster: Cluster) -> Held:
    return cluster.read("TrainJob", "training", "fraud-7")


def pod_of(runtime: Held) -> Held:
    pod: Held = runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    return pod


def test_an_open_guard_releases_what_was_judged_with_its_receipt() -> None:
    cluster = Cluster()
    jobs: TrainJobs = cluster
    asked: list[Judged] = []

    @contextmanager
    def guard(judged: Judged) -> Iterator[Opening]:
        assert not cluster.ran
        asked.append(judged)
        yield opening()

    assert train_when_open(jobs, training(), guard) == opening()
    job = held_job(cluster)
    assert cluster.ran
    assert job["metadata"]["annotations"] == opening().annotations
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert replicated["template"]["spec"]["template"]["metadata"]["annotations"] == opening().annotations
    assert len(asked[0].digest) == 64


def test_a_guard_that_stays_shut_leaves_no_trainjob() -> None:
    cluster = Cluster()

    def shut(_: Judged) -> AbstractContextManager[Opening]:
        raise GuardError("the training guard stays shut")

    with pytest.raises(GuardError, match="stays shut"):
        train_when_open(cluster, training(), shut)
    assert not cluster.ran
    assert {kind for kind, _, _ in cluster.objects} == {"TrainingRuntime"}


def test_a_guard_that_opened_on_other_bytes_releases_nothing() -> None:
    cluster = waiting()
    with pytest.raises(GuardError, match="other bytes"):
        release(cluster, training(), judge(cluster, training()), opening(subject_digest="0" * 64))
    assert not cluster.ran


def test_a_trainjob_of_that_name_is_left_alone() -> None:
    cluster = waiting()
    with pytest.raises(TakenError):
        train_when_open(cluster, training(), open_guard)
    assert held_job(cluster)["spec"]["suspend"] is True


def other_image(job: Held) -> None:
    """The server lets nobody do this to a trainer that is set; whoever can delete and create anew gets there."""
    job["spec"]["trainer"]["image"] = IMAGE


def other_runtime(job: Held) -> None:
    job["spec"]["runtimeRef"]["name"] = "torch-distributed"


def other_command(job: Held) -> None:
    job["spec"]["trainer"]["command"] = ["sh", "-c", "cat /interlock/data/*"]


def more_nodes(job: Held) -> None:
    job["spec"]["trainer"]["numNodes"] = 64


def longer(job: Held) -> None:
    job["spec"]["activeDeadlineSeconds"] = 10**6


def other_manager(job: Held) -> None:
    job["spec"]["runtimePatches"].append(
        {
            "manager": "kueue.x-k8s.io/manager",
            "trainingRuntimeSpec": {
                "template": {
                    "spec": {
                        "replicatedJobs": [
                            {"name": "node", "template": {"spec": {"template": {"spec": {"serviceAccountName": "a"}}}}}
                        ]
                    }
                }
            },
        }
    )


def weaker_patch(job: Held) -> None:
    (patch,) = job["spec"]["runtimePatches"]
    (replicated,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    replicated["template"]["spec"]["template"]["metadata"]["labels"] = {"interlock.dev/network": "all"}


def already_released(job: Held) -> None:
    job["spec"]["suspend"] = False


JOB_ATTACKS = [
    other_image,
    other_runtime,
    other_command,
    more_nodes,
    longer,
    other_manager,
    weaker_patch,
    already_released,
]


def a_token(runtime: Held) -> None:
    pod_of(runtime)["automountServiceAccountToken"] = True


def no_check(runtime: Held) -> None:
    pod_of(runtime)["initContainers"][0]["command"] = ["true"]


def another_digest(runtime: Held) -> None:
    pod_of(runtime)["initContainers"][0]["command"][4] = f"sha256:{'0' * 64}"


def a_host_path(runtime: Held) -> None:
    pod_of(runtime)["volumes"].append({"name": "more", "hostPath": {"path": "/"}})


def a_second_job(runtime: Held) -> None:
    jobs = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    jobs.append({**jobs[0], "name": "launcher"})


def more_replicas(runtime: Held) -> None:
    runtime["spec"]["template"]["spec"]["replicatedJobs"][0]["replicas"] = 8


def another_policy(runtime: Held) -> None:
    runtime["spec"]["mlPolicy"] = {"numNodes": 4}


def no_network_label(runtime: Held) -> None:
    jobs = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    del jobs[0]["template"]["spec"]["template"]["metadata"]["labels"]


RUNTIME_ATTACKS = [
    a_token,
    no_check,
    another_digest,
    a_host_path,
    a_second_job,
    more_replicas,
    another_policy,
    no_network_label,
]
ATTACKS = [
    *(pytest.param("TrainJob", attack, id=attack.__name__) for attack in JOB_ATTACKS),
    *(pytest.param("TrainingRuntime", attack, id=attack.__name__) for attack in RUNTIME_ATTACKS),
]


@pytest.mark.parametrize(("kind", "attack"), ATTACKS)
def test_what_is_held_is_not_what_was_asked_for(kind: str, attack: Callable[[Held], None]) -> None:
    """Whoever made the objects first made them so; no update was needed that a server could refuse."""
    cluster = Cluster()
    for document in (training_runtime(training()), train_job(training())):
        if document["kind"] == kind:
            attack(document)
        cluster.create(document)
    cluster.ran = False
    with pytest.raises(GuardError):
        judge(cluster, training())
    assert not cluster.ran


@pytest.mark.parametrize(("kind", "attack"), ATTACKS)
def test_a_change_between_the_judgement_and_the_patch_refuses_the_release(
    kind: str, attack: Callable[[Held], None]
) -> None:
    done: list[bool] = []

    def between(cluster: Cluster) -> None:
        """Deleted and made anew, which the rules about immutable fields do not see."""
        if done:
            return
        done.append(True)
        (old,) = (held for held in cluster.objects.values() if held["kind"] == kind)
        del cluster.objects[kind, old["metadata"]["namespace"], old["metadata"]["name"]]
        attack(old)
        cluster.create(old)
        cluster.ran = False

    cluster = waiting(between=between)
    with pytest.raises((GuardError, UnavailableError)):
        release(cluster, training(), judge(cluster, training()), opening())
    held = held_job(cluster)
    assert held["spec"]["suspend"] is True or attack is already_released
    assert "annotations" not in held["metadata"] or held["spec"]["suspend"] is True


def test_the_server_refuses_to_change_what_a_waiting_trainjob_runs() -> None:
    """Trainer's own rules, from the published CRD; a merge patch cannot get around them either."""
    cluster = waiting()
    for attack in (other_image, other_runtime, other_command, more_nodes, longer):
        with pytest.raises(RejectedError, match="immutable"):
            cluster.change("TrainJob", attack)


def conditions(cluster: Cluster) -> None:
    def suspended(job: Held) -> None:
        job["status"] = {
            "conditions": [
                {
                    "type": "Suspended",
                    "status": "True",
                    "reason": "Suspended",
                    "message": "TrainJob is suspended",
                    "lastTransitionTime": "2026-11-27T12:00:00Z",
                }
            ]
        }

    if "status" not in held_job(cluster):
        cluster.change("TrainJob", suspended)


def test_the_controller_that_writes_conditions_meanwhile_stops_nothing() -> None:
    cluster = waiting(between=conditions)
    release(cluster, training(), judge(cluster, training()), opening())
    assert cluster.ran
    assert cluster.calls.count("patch TrainJob") == 2


def test_a_trainjob_that_never_keeps_still_is_given_up() -> None:
    def touched(job: Held) -> None:
        job["metadata"].setdefault("labels", {})["n"] = job["metadata"]["resourceVersion"]

    cluster = waiting(between=lambda cluster: cluster.change("TrainJob", touched))
    with pytest.raises(UnavailableError, match="changes all the time"):
        release(cluster, training(), judge(cluster, training()), opening())
    assert not cluster.ran


@pytest.mark.parametrize("attack", RUNTIME_ATTACKS, ids=lambda attack: attack.__name__)
def test_a_runtime_that_changes_with_the_release_suspends_the_trainjob_again(attack: Callable[[Held], None]) -> None:
    done: list[bool] = []

    def after(cluster: Cluster) -> None:
        if not done:
            done.append(True)
            cluster.change("TrainingRuntime", attack)

    cluster = waiting(after=after)
    with pytest.raises(GuardError, match="runtime changed"):
        release(cluster, training(), judge(cluster, training()), opening())
    assert held_job(cluster)["spec"]["suspend"] is True


def test_the_judged_digest_names_what_runs_and_nothing_else() -> None:
    first, second = waiting(), waiting(between=conditions)
    conditions(second)
    assert judge(first, training()).digest == judge(second, training()).digest
    other = Cluster()
    changed = training(seed=1)
    other.create(training_runtime(changed))
    other.create(train_job(changed))
    assert judge(other, changed).digest != judge(first, training()).digest
