"""Whether a compiled pipeline is gated: read, turned into the neutral graph, and judged by policy's data.

This is what `interlock.kubeflow.pipeline` asks as it compiles and `interlock lint` before the merge. It is level L0 and
L1 of Kubeflow: it helps people who forget. What holds is the guard inside the protected step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interlock.kubeflow_plugin.documents import read_documents
from interlock.kubeflow_plugin.ir_graph import graph_of_ir
from interlock.kubeflow_plugin.wording import fixes, guard_fix
from interlock.pipeline import Graph, Mode, Violation, check, wording
from interlock.pipeline.rules import Rules, load_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProblem:
    """Why the start of a protected step is not held, whatever stands in front of it.

    Args:
        rule_id: ``lint.unguarded`` or ``lint.foreign-receipt``.
        step_id: The protected step.
        message: One sentence for people.
        fix: One line of code.
        gate: ``guard`` where a baseline may accept it for a while; else empty.
    """

    rule_id: str
    step_id: str
    message: str
    fix: str
    gate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IrCheck:
    """One compiled pipeline by the policy of now.

    Args:
        name: Of the pipeline; untrusted, as all that is quoted.
        profile: The policy profile in force.
        mode: How strictly the pipeline is treated.
        graph: As it was judged.
        violations: What the chain rule found.
        problems: What is wrong with the start of protected steps.
        lines: Step id to the line in the file, one-based.
    """

    name: str
    profile: str
    mode: Mode
    graph: Graph
    violations: tuple[Violation, ...]
    problems: tuple[StartProblem, ...]
    lines: Mapping[str, int]

    @property
    def is_gated(self) -> bool:
        """Nothing at all was found."""
        return not self.violations and not self.problems

    @property
    def refusal(self) -> str:
        """Why the pipeline is refused, all of it with fixes; empty when nothing is wrong or its mode lets it pass."""
        return "" if self.is_gated or self.mode.lets_pass else self.said

    @property
    def said(self) -> str:
        """All that is wrong, whatever the mode; empty when nothing is."""
        if self.is_gated:
            return ""
        more = [(one.step_id, one.message, [one.fix]) for one in self.problems]
        return wording.refusal(f"pipeline {self.name!r}", self.violations, self.fixes, profile=self.profile, more=more)

    def fixes(self, violation: Violation) -> Iterator[str]:
        """The shortest fix as KFP code."""
        return fixes(self.graph, violation)


def check_ir(text: bytes | str, rules: Rules | None = None) -> IrCheck:
    """Judge what kfp's compiler wrote.

    Args:
        text: The YAML (or JSON) of one pipeline, its platforms' document included; untrusted.
        rules: Policy's word on Kubeflow; this deployment's when not given.

    Raises:
        UnreadableError: It is no pipeline that can be judged, which is never a reason to let it pass.
        InterlockError: The settings or the policy cannot be read.
    """
    known = rules if rules is not None else load_rules("kubeflow")
    read = graph_of_ir(read_documents(text), known.protection, known.required, gate_images=known.gate_images)
    return IrCheck(
        name=read.name,
        profile=known.profile,
        mode=known.enforcement.mode(read.name, ()),
        graph=read.graph,
        violations=check(read.graph),
        problems=tuple(_start_problems(read.graph)),
        lines=read.lines,
    )


def _start_problems(graph: Graph) -> Iterator[StartProblem]:
    for step in graph.steps:
        if step.protects and step.unguarded:
            message = f"nothing asks for evidence as {step.protects} step {step.id!r} starts: {step.unguarded}"
            yield StartProblem(
                rule_id="lint.unguarded", step_id=step.id, message=message, fix=guard_fix(step), gate="guard"
            )
        if step.foreign_receipts:
            given = ", ".join(step.foreign_receipts)
            message = f"what {step.protects} step {step.id!r} gets as evidence is no receipt of a gate: {given}"
            yield StartProblem(rule_id="lint.foreign-receipt", step_id=step.id, message=message, fix=guard_fix(step))
