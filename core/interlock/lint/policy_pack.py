"""What the policy pack says of compiled pipelines: images, registries, credentials, packages, size, and all the rest.

A compiled pipeline says all of that in the file, so it is asked about before the merge, by the ordinary way: report,
policy, decision. Nothing is signed and nothing stored. The rules that lint has found already by itself, which need no
engine, are not said twice. A DAG file says too little of it: there policy is asked for the receipt alone.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from interlock.gate import Decision, GateContext, InterlockError, Level, Report, RunIdentity, Settings, Subject, Verdict
from interlock.gate.documents import canonical_json, decision_input
from interlock.gate.values import Json, utc_now
from interlock.lint.finding_files import COMPILED, absolute
from interlock.lint.receipts import PipelineGate
from interlock.lint.values import FileResult, LintFinding, LintResult
from interlock.pipeline import Mode

if TYPE_CHECKING:
    from interlock.policy import PolicyDecider

_SAID = frozenset({"pipeline.chain", "pipeline.guard", "pipeline.foreign-receipt"})
"""Rules of the pack whose findings lint has by itself, with the fix."""


def with_policy(result: LintResult, settings: Settings) -> LintResult:
    """Ask policy about each compiled pipeline that could be judged.

    Returns:
        The result with a finding for each reason. Where no engine can be asked, the files are undecided.
    """
    asked = [file for file in result.files if file.path.endswith(COMPILED) and file.dags and file.digest]
    if not asked:
        return result
    try:
        more = _answers(asked, result, settings)
    except InterlockError as error:
        more = {
            file.path: (_finding(file, "lint.policy-unanswered", str(error), (error.next_step,)),) for file in asked
        }
    files = tuple(replace(file, findings=(*file.findings, *more.get(file.path, ()))) for file in result.files)
    return replace(result, files=files)


def _answers(asked: list[FileResult], result: LintResult, settings: Settings) -> dict[str, tuple[LintFinding, ...]]:
    from interlock.policy import PolicyDecider, load_policy, open_engine

    bundle = load_policy(settings)
    decider = PolicyDecider(open_engine(settings, bundle), bundle)
    try:
        return {file.path: tuple(_about(file, result, decider)) for file in asked}
    finally:
        decider.close()


def _about(file: FileResult, result: LintResult, decider: PolicyDecider) -> Iterator[LintFinding]:
    decision = decider.decide(_question(file, result))
    if decision.verdict is Verdict.UNDECIDED:
        yield _finding(file, "lint.policy-unanswered", "; ".join(decision.errors) or "it gave no reason", ())
        return
    yield from _reasons(file, decision)


def _question(file: FileResult, result: LintResult) -> dict[str, Json]:
    gate = PipelineGate(file, result.bundle_digest)
    now = utc_now()
    report = Report(
        gate=gate.kind,
        subject=Subject(name=file.path, uri=absolute(file.path), digest=file.digest),
        observation=gate.graph_alone(),
        tools=gate.tools,
        configuration=canonical_json(gate.configuration()).decode(),
        started=now,
        finished=now,
    )
    run = RunIdentity(orchestrator="cli", pipeline=getpass.getuser(), run_id="lint", task_id="lint")
    return decision_input(report, GateContext(run=run, profile=result.profile), now=now)


def _reasons(file: FileResult, decision: Decision) -> Iterator[LintFinding]:
    """Denials count unless the mode of every pipeline of the file lets it pass; warnings only inform."""
    soft = all(Mode(dag.mode).lets_pass for dag in file.dags)
    for reason in decision.reasons:
        if reason.id not in _SAID:
            found = _finding(file, "lint.policy", f"{reason.message} [{reason.id}]", (reason.remediation,))
            yield replace(found, level=Level.WARNING) if soft else found
    for warning in decision.warnings:
        found = _finding(file, "lint.policy", f"{warning.message} [{warning.id}]", (warning.remediation,))
        yield replace(found, level=Level.WARNING)


def _finding(file: FileResult, rule: str, message: str, fixes: tuple[str, ...]) -> LintFinding:
    return LintFinding(
        rule_id=rule,
        level=Level.ERROR,
        message=message,
        path=file.path,
        dag=file.dags[0].dag,
        fixes=tuple(filter(None, fixes)),
    )
