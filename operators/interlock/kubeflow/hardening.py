"""`harden()`: what a pipeline can ask of the cluster for one step, through `kfp.kubernetes`.

The pipeline's author calls it, so it is no boundary: it makes the safe thing short, and admission judges the pod. What
KFP's API cannot say (a read-only root, a runtime class, a network policy, a pod without the service-account token that
its own launcher needs) is for the cluster; docs/kubeflow-cluster.md has the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import TYPE_CHECKING

from interlock.gate.errors import UsageError
from interlock.training.cluster import Resources
from interlock.training.cluster.pod import NETWORK_LABEL

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

    from interlock.gate import Json

STEPS = "steps"
"""Value of the label `NETWORK_LABEL` on hardened steps, by which `steps_policy` selects them."""

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def harden(
    task: PipelineTask,
    *,
    resources: Resources | None = None,
    wall_clock: int = 3600,
    user: int = 65532,
    pull_policy: str = "IfNotPresent",
) -> PipelineTask:
    """Run a step as nobody, for a bounded time, on bounded resources, in reach of what `steps_policy` lets it reach.

    Args:
        task: Of a gate, or of the user's own component.
        resources: What it gets; requests are limits. 4 CPUs and 16 GiB when not given. KFP bounds no ephemeral storage.
        wall_clock: Seconds after which the cluster ends its pod.
        user: User and group number, above 0.
        pull_policy: ``Always``, ``IfNotPresent`` or ``Never``.

    Returns:
        The same task.

    Raises:
        UsageError: It would run as root or without an end.
    """
    from kfp import kubernetes

    if wall_clock < 1 or user < 1:
        raise UsageError("a step needs a deadline and a user that is not root", where="wall_clock, user")
    if pull_policy not in {"Always", "IfNotPresent", "Never"}:
        raise UsageError(f"{pull_policy!r} is no pull policy", where="pull_policy")
    amounts = resources or Resources()
    kubernetes.set_security_context(task, run_as_user=user, run_as_group=user, run_as_non_root=True)
    kubernetes.set_timeout(task, wall_clock)
    kubernetes.set_image_pull_policy(task, pull_policy)
    kubernetes.add_pod_label(task, NETWORK_LABEL, STEPS)
    task.set_cpu_request(amounts.cpu).set_cpu_limit(amounts.cpu)
    task.set_memory_request(amounts.memory).set_memory_limit(amounts.memory)
    if amounts.gpus:
        task.set_accelerator_type(amounts.gpu_resource).set_accelerator_limit(amounts.gpus)
    return task


def steps_policy(
    namespace: str, *, services: Sequence[str] = ("kubeflow",), networks: Sequence[str] = ()
) -> dict[str, Json]:
    """The network policy of hardened steps: nobody reaches them, they reach KFP's services, and the networks named.

    Args:
        namespace: Where the pipeline's pods run.
        services: Namespaces whose pods they reach: KFP's own, with its artifact store.
        networks: Further networks (CIDR): the ledger's database, an object store.

    Raises:
        UsageError: A name or a network is none.
    """
    for name in (namespace, *services):
        if not _NAMESPACE.fullmatch(name):
            raise UsageError(f"{name!r} is no name of a namespace", where="namespace, services")
    for network in networks:
        try:
            ip_network(network)
        except ValueError as error:
            raise UsageError(f"{network!r} is no network: {error}", where="networks") from error
    label = "kubernetes.io/metadata.name"
    dns: Json = {
        "to": [{"namespaceSelector": {"matchLabels": {label: "kube-system"}}}],
        "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
    }
    reached: list[Json] = [{"namespaceSelector": {"matchLabels": {label: name}}} for name in services]
    reached += [{"ipBlock": {"cidr": network}} for network in networks]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "interlock-steps",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "interlock"},
        },
        "spec": {
            "podSelector": {"matchLabels": {NETWORK_LABEL: STEPS}},
            "policyTypes": ["Egress", "Ingress"],
            "egress": [{"to": reached}, dns] if reached else [dns],
            "ingress": [],
        },
    }
