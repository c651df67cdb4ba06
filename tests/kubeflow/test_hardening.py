"""What `harden` writes into a compiled pipeline, as KFP's back end reads it."""

from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own
from kfp import compiler, dsl
from tests.training.cluster.objects import problems

from interlock.gate import UsageError
from interlock.kubeflow.hardening import harden, steps_policy
from interlock.training.cluster import Resources


@dsl.component(base_image=f"registry.example/train@sha256:{'1' * 64}", install_kfp_package=False)
def train() -> None:
    print("trains")


def compiled(path: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The container and the platform part of the one executor."""

    @dsl.pipeline(name="p")
    def pipeline() -> None:
        harden(train(), **options)

    compiler.Compiler().compile(pipeline, str(path / "p.yaml"))
    spec, platform = yaml.safe_load_all((path / "p.yaml").read_text())
    (executor,) = spec["deploymentSpec"]["executors"].values()
    (asked,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    return executor["container"], asked


def test_a_hardened_step_is_nobody_and_ends(tmp_path: Path) -> None:
    container, asked = compiled(tmp_path, wall_clock=600)
    assert asked["securityContext"] == {"runAsUser": "65532", "runAsGroup": "65532", "runAsNonRoot": True}
    assert asked["activeDeadlineSeconds"] == "600"
    assert asked["imagePullPolicy"] == "IfNotPresent"
    assert asked["podMetadata"]["labels"] == {"interlock.dev/network": "steps"}
    assert "accelerator" not in container["resources"]


def test_requests_are_limits_and_gpus_are_counted(tmp_path: Path) -> None:
    amounts = Resources(cpu="8", memory="32Gi", gpus=2, gpu_resource="nvidia.com/mig-1g.10gb")
    container, _ = compiled(tmp_path, resources=amounts)
    resources = container["resources"]
    assert (resources["resourceCpuLimit"], resources["resourceCpuRequest"]) == ("8", "8")
    assert (resources["resourceMemoryLimit"], resources["resourceMemoryRequest"]) == ("32Gi", "32Gi")
    assert resources["accelerator"]["resourceType"] == "nvidia.com/mig-1g.10gb"
    assert resources["accelerator"]["resourceCount"] == "2"


@pytest.mark.parametrize("wrong", [{"user": 0}, {"wall_clock": 0}, {"pull_policy": "Sometimes"}], ids=str)
def test_a_step_that_is_root_or_never_ends_cannot_be_asked_for(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        compiled(tmp_path, **wrong)


def test_hardened_steps_reach_what_they_need_and_nothing_else() -> None:
    policy: Any = steps_policy("team", networks=("10.2.0.7/32",))
    assert problems(policy) == []
    spec = policy["spec"]
    assert spec["podSelector"] == {"matchLabels": {"interlock.dev/network": "steps"}}
    assert (spec["ingress"], spec["policyTypes"]) == ([], ["Egress", "Ingress"])
    assert {"ipBlock": {"cidr": "10.2.0.7/32"}} in spec["egress"][0]["to"]


@pytest.mark.parametrize("wrong", [{"namespace": "*"}, {"networks": ("10.2.0.7/99",)}, {"services": ("",)}], ids=str)
def test_what_is_no_network_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        steps_policy(**{"namespace": "team", **wrong})
