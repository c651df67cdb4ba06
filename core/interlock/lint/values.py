"""What lint finds and what comes of it: findings, files, and the whole run with its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from interlock.gate.values import Level, Verdict
from interlock.pipeline import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCard:
    """What a rule is about.

    Args:
        title: One line.
        verdict: What a finding of level ``error`` makes of its file.
    """

    title: str
    verdict: Verdict


RULES = {
    "lint.ungated-training": RuleCard(title="A training step is not held by a gate", verdict=Verdict.DENY),
    "lint.ungated-deployment": RuleCard(title="A deployment step is not held by a gate", verdict=Verdict.DENY),
    "lint.other-subject": RuleCard(title="A gate looks at something else than the step uses", verdict=Verdict.DENY),
    "lint.unsaid-subject": RuleCard(title="A protected step does not say what it uses", verdict=Verdict.DENY),
    "lint.unguarded": RuleCard(title="A protected step starts without asking for evidence", verdict=Verdict.DENY),
    "lint.foreign-receipt": RuleCard(
        title="What is handed over as evidence is no gate's receipt", verdict=Verdict.DENY
    ),
    "lint.policy": RuleCard(title="A rule of the policy pack refuses the pipeline", verdict=Verdict.DENY),
    "lint.policy-unanswered": RuleCard(title="Policy could not be asked about the pipeline", verdict=Verdict.UNDECIDED),
    "lint.tampering": RuleCard(title="A file changes Interlock or Airflow's policies", verdict=Verdict.DENY),
    "lint.receipt-refused": RuleCard(title="Policy refuses the lint receipt", verdict=Verdict.DENY),
    "airflow.cluster-policy": RuleCard(title="A cluster policy refuses the DAG", verdict=Verdict.DENY),
    "lint.import-error": RuleCard(title="The file cannot be loaded", verdict=Verdict.UNDECIDED),
    "lint.unreadable": RuleCard(title="The file is no pipeline that can be judged", verdict=Verdict.UNDECIDED),
    "lint.timeout": RuleCard(title="The file takes too long to load", verdict=Verdict.UNDECIDED),
    "lint.no-answer": RuleCard(title="The process that loaded the file gave no answer", verdict=Verdict.UNDECIDED),
    "lint.changed": RuleCard(title="The file changed while it was looked at", verdict=Verdict.UNDECIDED),
    "lint.nothing": RuleCard(title="There was nothing to look at", verdict=Verdict.UNDECIDED),
    "lint.baseline-stale": RuleCard(title="A baseline entry is of no use any more", verdict=Verdict.UNDECIDED),
    "lint.baseline-expired": RuleCard(title="A baseline entry has run out", verdict=Verdict.DENY),
    "lint.inserted-gate": RuleCard(title="Airflow puts a gate in", verdict=Verdict.ALLOW),
    "lint.placeholder-image": RuleCard(title="A step's image stands for none", verdict=Verdict.ALLOW),
    "lint.started-by": RuleCard(title="Another pipeline's gates do not count here", verdict=Verdict.ALLOW),
    "lint.no-dags": RuleCard(title="The file holds no pipeline", verdict=Verdict.ALLOW),
}
"""All rules, by their stable ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """Why a finding is in the baseline, and until when (the last day included)."""

    reason: str
    expires: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One thing to say about a file. All texts may quote the file and are untrusted.

    Args:
        rule_id: One of `RULES`.
        level: ``error`` counts against the file, the others only inform.
        message: One sentence for people.
        path: The file, as the user named it.
        line: One-based; 0 when it is not known.
        dag: The pipeline's id; empty when it is about the file.
        step: The step's id; empty when it is about the pipeline.
        gate: The gate kind that is missing.
        fixes: The shortest fix, as lines of code.
        accepted: Set when a baseline has it; then it does not count.
    """

    rule_id: str
    level: Level
    message: str
    path: str
    line: int = 0
    dag: str = ""
    step: str = ""
    gate: str = ""
    fixes: tuple[str, ...] = ()
    accepted: Accepted | None = None

    @property
    def verdict(self) -> Verdict:
        """What this finding alone makes of its file."""
        counts = self.level is Level.ERROR and self.accepted is None
        return RULES[self.rule_id].verdict if counts else Verdict.ALLOW


@dataclass(frozen=True, slots=True, kw_only=True)
class DagResult:
    """One pipeline of a file.

    Args:
        dag: Its id.
        mode: How policy treats it: ``enforce``, ``insert``, ``warn`` or ``audit``.
        line: Where it is made; 0 when that is not known.
        graph: As it was judged; None when it has no steps.
    """

    dag: str
    mode: str
    line: int = 0
    graph: Graph | None = None

    @property
    def protected(self) -> tuple[str, ...]:
        """Ids of its protected steps."""
        return tuple(step.id for step in self.graph.steps if step.protects) if self.graph else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """One file that was looked at.

    Args:
        path: As the user named it, or below the folder that they named.
        digest: sha256 of the bytes that were looked at; empty when they could not be read.
        dags: In the order of their ids.
        findings: In the order of their lines.
        receipt: Id of the lint receipt that was written; empty when none was.
    """

    path: str
    digest: str
    dags: tuple[DagResult, ...] = ()
    findings: tuple[LintFinding, ...] = ()
    receipt: str = ""

    @property
    def verdict(self) -> Verdict:
        """DENY when anything was found, else UNDECIDED when anything could not be told."""
        return worst(finding.verdict for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A file that was passed over, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LintResult:
    """A whole run.

    Args:
        profile: The policy profile.
        bundle_digest: sha256 of the policy bundle.
        files: In the order of their paths.
        passed: Files that were passed over.
        findings: What is said of no single file that was looked at.
    """

    profile: str
    bundle_digest: str
    files: tuple[FileResult, ...]
    passed: tuple[Passed, ...] = ()
    findings: tuple[LintFinding, ...] = ()

    @property
    def every_finding(self) -> tuple[LintFinding, ...]:
        """Those of the files and those of the run."""
        return (*(finding for file in self.files for finding in file.findings), *self.findings)

    @property
    def verdict(self) -> Verdict:
        """Of all that was found."""
        return worst(finding.verdict for finding in self.every_finding)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """DENY before UNDECIDED before ALLOW: what was found stands, whatever else could not be told."""
    seen = set(verdicts)
    return next((verdict for verdict in (Verdict.DENY, Verdict.UNDECIDED) if verdict in seen), Verdict.ALLOW)
