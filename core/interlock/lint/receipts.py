"""Lint receipts: for each file that could be judged, the ordinary way report -> policy -> receipt -> ledger.

The subject is the file, by the sha256 of its bytes; the gate kind is `pipeline`. A verifying DAG bundle lets Airflow
import exactly the bytes whose newest receipt says ALLOW, so a file that is not gated gets its DENY: it takes back what
was said before. A file that could not be judged gets nothing, because a slow machine takes nothing back. The report
carries the graphs of all pipelines of the file as one, and policy judges it by its own rules (pinned images, size), so
a file that lint lets pass may still be refused.
"""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING
from uuid import uuid4

from interlock.gate import (
    Coverage,
    Finding,
    Gap,
    GateContext,
    GateOutcome,
    Json,
    Level,
    Observation,
    OpenSubject,
    RunIdentity,
    Settings,
    Tool,
    Verdict,
    run_gate,
)
from interlock.lint.finding_files import absolute
from interlock.lint.values import FileResult, LintFinding, LintResult
from interlock.pipeline import Graph, Step, graph_document

if TYPE_CHECKING:
    from interlock.runner import LocalRunner

IMPORT = "import"
"""The step that every file has: Airflow and Python run its top level. No pipeline's step has an id without a slash."""


def with_receipts(result: LintResult, settings: Settings) -> LintResult:
    """Write a receipt for each file that could be judged.

    Returns:
        The result with the ids of the receipts that say ALLOW, and a finding for each file that only policy refuses.

    Raises:
        EvidenceError, UnavailableError: The key, the ledger or the policy engine cannot be used.
    """
    from interlock.runner import LocalRunner

    with LocalRunner(settings) as runner:
        files = tuple(_attested(file, result, runner, settings) for file in result.files)
    return replace(result, files=files)


@dataclass(frozen=True, slots=True)
class PipelineGate:
    """A `Gate` over a file that lint has looked at.

    Args:
        result: What lint found.
        bundle_digest: sha256 of the policy bundle by whose data it was judged.
    """

    result: FileResult
    bundle_digest: str

    @property
    def kind(self) -> str:
        """``pipeline``."""
        return "pipeline"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Lint is the tool."""
        return (Tool(name="interlock lint", version=version("interlock")),)

    def configuration(self) -> Mapping[str, Json]:
        """By which policy's data protected steps and modes were told."""
        return {"policy_bundle": self.bundle_digest}

    def look(self, opened: OpenSubject) -> Observation:
        """Say what lint found, if these are the bytes that it looked at."""
        name = opened.subject.name
        if opened.subject.digest != self.result.digest:
            gap = Gap(path=name, reason="the file changed after lint looked at it")
            return Observation(coverage=Coverage(failed=(gap,)))
        return Observation(
            findings=tuple(
                Finding(rule_id=f"pipeline.{one.rule_id.replace('.', '-')}", level=one.level, message=one.message)
                for one in self.result.findings
                if one.level is not Level.NOTE
            ),
            coverage=Coverage(looked_at=(name,)),
            facts=self.graph_alone().facts,
        )

    def graph_alone(self) -> Observation:
        """The graph of the file's pipelines, without what lint says of it."""
        facts = (("pipeline", json.dumps(graph_document(joined(self.result)))),)
        return Observation(coverage=Coverage(looked_at=(self.result.path,)), facts=facts)


def joined(file: FileResult) -> Graph:
    """The graphs of all pipelines of a file as one, with ids ``<pipeline>/<step>``, and the step of its import."""
    steps, edges = [Step(id=IMPORT)], []
    ids = [dag.dag for dag in file.dags]
    for number, dag in enumerate(file.dags):
        twin = ids[:number].count(dag.dag)  # two pipelines of a file may well share an id
        name = f"{dag.dag}/{twin + 1}" if twin else dag.dag
        if dag.graph is not None:
            steps += [replace(step, id=f"{name}/{step.id}") for step in dag.graph.steps]
            edges += [(f"{name}/{upper}", f"{name}/{lower}") for upper, lower in dag.graph.edges]
    return Graph(steps=tuple(steps), edges=tuple(edges))


def _attested(file: FileResult, result: LintResult, runner: LocalRunner, settings: Settings) -> FileResult:
    if file.verdict is Verdict.UNDECIDED:
        return file
    run = RunIdentity(
        orchestrator="cli",
        pipeline=getpass.getuser(),
        run_id=os.environ.get("INTERLOCK_RUN_ID") or uuid4().hex,
        task_id="lint",
    )
    outcome = run_gate(
        PipelineGate(file, result.bundle_digest),
        absolute(file.path),
        context=GateContext(run=run, profile=settings.profile),
        opener=runner.store,
        decider=runner.decider,
        recorder=runner.recorder,
    )
    if outcome.decision.verdict is Verdict.ALLOW:
        return replace(file, receipt=outcome.recorded.receipt_id)
    if file.verdict is Verdict.DENY:
        return file
    return replace(file, findings=(*file.findings, _refusal(file, outcome)))


def _refusal(file: FileResult, outcome: GateOutcome) -> LintFinding:
    """An error, unless lint has already said why: what a mode or the baseline lets pass has no receipt."""
    told = any(finding.accepted or finding.level is Level.WARNING for finding in file.findings)
    decision = outcome.decision
    why = "; ".join([reason.message for reason in decision.reasons] or list(decision.errors)) or "it gave no reason"
    return LintFinding(
        rule_id="lint.receipt-refused",
        level=Level.WARNING if told else Level.ERROR,
        message=f"policy refuses the receipt ({decision.verdict.value}): {why}",
        path=file.path,
        fixes=tuple(reason.remediation for reason in decision.reasons if reason.remediation),
    )
