"""Runs the function of a shipped component as KFP's executor does in a pod, in this process and without a cluster.

The executor input is what KFP fills in; artifacts lie under one folder, as under kfp.local.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kfp.dsl.executor import Executor
from tests.kubeflow.pods import artifact

from interlock.kubeflow import components
from interlock.kubeflow.published import shipped_spec


@dataclass
class Ran:
    """What a step left behind.

    Args:
        root: Where its artifacts lie, by the name of the output.
        output: Its executor output; empty when it failed.
        error: Why it failed.
    """

    root: Path
    output: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def said(self) -> Any:
        """Its parameter ``Output``."""
        return self.output["parameterValues"]["Output"]

    def metadata(self, name: str) -> Mapping[str, Any]:
        """The metadata of one of its artifacts."""
        found: Mapping[str, Any] = self.output["artifacts"][name]["artifacts"][0]["metadata"]
        return found


def run_step(
    name: str,
    root: Path,
    *,
    options: Mapping[str, Any],
    artifacts: Mapping[str, Path],
    parameters: Mapping[str, Any] | None = None,
    outputs: tuple[str, ...] = ("receipt", "report"),
    run: str = "run-1",
) -> Ran:
    """Run one step.

    Args:
        name: One of `interlock.kubeflow.published.NAMES`.
        root: Folder of its own.
        options: As the factory makes them.
        artifacts: Where its inputs lie.
        parameters: Beside options and identity.
        outputs: Its output artifacts.
        run: KFP's id of the run.
    """
    spec = shipped_spec(name)
    own = {"interlock_pipeline": "retrain", "interlock_run": run, "interlock_task": spec.name}
    values = {**own, **(parameters or {})}
    if "options" in spec.inputs:
        values["options"] = dict(options)
    asked = {
        "inputs": {
            "parameterValues": values,
            "artifacts": {key: {"artifacts": [artifact(place)]} for key, place in artifacts.items()},
        },
        "outputs": {
            "artifacts": {key: {"artifacts": [artifact(root / key)]} for key in outputs},
            "outputFile": str(root / "executor_output.json"),
        },
    }
    try:
        Executor(executor_input=asked, function_to_execute=getattr(components, name)).execute()
    except Exception as error:  # noqa: BLE001  (whatever it is, the pod would fail)
        return Ran(root=root, error=error)
    return Ran(root=root, output=json.loads((root / "executor_output.json").read_text()))
