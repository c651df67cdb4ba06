"""A guarded step in its pod: a real deployment, receipts by its own signer, and the executor input that KFP would give.

The receipts are recorded as gates record them, with the deployment's policy bundle, but nobody looked at the data: what
is tested here is what a guard makes of receipts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.evidence.bench import decision, report

from interlock.gate import GateContext, InterlockError, RunIdentity, Verdict
from interlock.kubeflow.guard import Guarded, run_guarded
from interlock.runner import LocalRunner

GATES = ("data-validation", "data-poisoning")
COPY = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_text(pathlib.Path(sys.argv[1]).read_text())"


@dataclass
class Pod:
    """One guarded step: its data, its receipts and its arguments, each of which a test may spoil.

    Args:
        runner: Of the deployment.
        root: Where artifacts lie; it names the run and is in the data, so that no two pods share receipts.
        trained: The file that the step writes; while it is not there the step has not begun.
    """

    runner: LocalRunner
    root: Path
    data: Path = field(init=False)
    trained: Path = field(init=False)
    artifacts: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=lambda: {"epochs": 3})
    receipts: list[str] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.data, self.trained = self.root / "data", self.root / "trained"
        self.data.write_text(f"a,b\n{self.root},2\n")
        self.artifacts["data"] = artifact(self.data)
        own = {"interlock_pipeline": "retrain", "interlock_run": str(self.root), "interlock_task": "train"}
        self.parameters.update(own)
        self.command = [sys.executable, "-c", COPY, str(self.data), str(self.trained)]

    def receipt(
        self,
        gate: str,
        verdict: Verdict = Verdict.ALLOW,
        *,
        of: Path | None = None,
        run_id: str = "",
    ) -> str:
        """Record a receipt, and give its envelope."""
        with self.runner.store.open(str(of or self.data)) as opened:
            told = decision(verdict, bundle=self.runner.decider.bundle_digest)
            run = RunIdentity(
                orchestrator="kubeflow", pipeline="retrain", run_id=run_id or str(self.root), task_id=gate
            )
            context = GateContext(run=run, profile="dev")
            recorded = self.runner.recorder.record(report(opened.subject, gate), told, context)
        return self.runner.ledger.get(recorded.receipt_id).envelope

    def hand_over(self, gate: str, envelope: str) -> Path:
        """Wire one more receipt to the step."""
        name = f"interlock_receipt_{len(self.receipts) + 1}"
        file = self.root / name
        file.write_text(envelope)
        self.artifacts[name] = artifact(file)
        self.receipts.append(name)
        self.requires.append(gate)
        return file

    def pass_gates(self, gates: Sequence[str] = GATES) -> None:
        """Record and wire the receipts of `gates`."""
        for gate in gates:
            self.hand_over(gate, self.receipt(gate))

    def executor_input(self) -> str:
        """What KFP puts in place of ``{{$}}``."""
        held = {name: {"artifacts": [one]} for name, one in self.artifacts.items()}
        outputs = {"outputFile": str(self.root / "executor_output.json")}
        return json.dumps({"inputs": {"artifacts": held, "parameterValues": self.parameters}, "outputs": outputs})

    def guarded(self) -> Guarded:
        """The guard's arguments."""
        return Guarded(
            step="training",
            subject="data",
            receipts=tuple(self.receipts),
            requires=tuple(self.requires),
            executor_input=self.executor_input(),
            command=tuple(self.command),
        )

    def run(self) -> tuple[int, str]:
        """What `interlock.kubeflow.guard.main` does: the status, and why the step did not begin."""
        try:
            return run_guarded(Guarded.parse(self.arguments()), self.runner), ""
        except InterlockError as error:
            return error.exit_status, str(error)

    def arguments(self) -> list[str]:
        """The same as words, without the guard's own command."""
        return self.guarded().words()[3:]


def artifact(place: Path | str, **more: object) -> dict[str, Any]:
    """A runtime artifact at a place."""
    kind = {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}
    return {"name": "n", "type": kind, "uri": str(place), "metadata": {}, **more}
