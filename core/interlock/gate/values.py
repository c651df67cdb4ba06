"""The values that travel the one way through: subject -> report -> decision.

They are frozen, hold tuples rather than lists, and know nothing of files, engines or orchestrators. Receipts, which
bind them to bytes by a signature, live in `interlock.evidence`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TypeAlias

from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY, EXIT_UNDECIDED, UsageError

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What `json.loads` can return, read-only."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

GATE_KINDS = (
    "data-validation",
    "data-poisoning",
    "artifact-scan",
    "model-probe",
    "inference-probe",
    "training",
    "pipeline",
    "approval",
    "deployment",
)
"""The kinds of gate that the design names, in the order in which a pipeline meets them."""


class Verdict(Enum):
    """The three outcomes. Only ALLOW lets a step go on, so there is no truth value that would hide the third."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    UNDECIDED = "UNDECIDED"

    @property
    def exit_status(self) -> int:
        """The process exit status that stands for this verdict: 0, 1 or 3."""
        return {Verdict.ALLOW: EXIT_ALLOW, Verdict.DENY: EXIT_DENY, Verdict.UNDECIDED: EXIT_UNDECIDED}[self]

    def __bool__(self) -> bool:
        raise TypeError("a Verdict has three values: compare it with Verdict.ALLOW")


class Level(Enum):
    """SARIF 2.1.0 section 3.27.10: how much a finding matters to the tool that made it (policy may differ)."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Severity(Enum):
    """How much a policy reason matters, as its author wrote in the rule's METADATA."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Stage(Enum):
    """Where on the way through a decision is asked for."""

    GATE = "gate"
    GUARD = "guard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged, named by content (an in-toto v1 ResourceDescriptor).

    Args:
        name: Short name for people, usually the last part of the URI.
        uri: Where the bytes were read from; unverified, for people only.
        digest: sha256 in lower-case hexadecimal, of one file or of the manifest over many.
    """

    name: str
    uri: str
    digest: str

    def __post_init__(self) -> None:
        if not _SHA256.match(self.digest):
            raise UsageError("a subject's digest is 64 lower-case hexadecimal digits", where=repr(self.digest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where in a subject a finding points. Empty fields do not apply.

    Args:
        path: File or member, relative to the subject.
        row: Zero-based row of a dataset.
        column: Column or field name.
        offset: Byte offset inside `path`.
    """

    path: str = ""
    row: int | None = None
    column: str = ""
    offset: int | None = None

    def __str__(self) -> str:
        parts = [self.path] if self.path else []
        parts += [f"row {self.row}"] if self.row is not None else []
        parts += [f"column {self.column}"] if self.column else []
        parts += [f"byte {self.offset}"] if self.offset is not None else []
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a gate saw.

    Args:
        rule_id: Stable identifier, `<gate>.<what>` in kebab case, for example ``artifact-scan.unsafe-global``.
        level: What the tool thinks of it.
        message: One sentence for people.
        location: Where it is.
        evidence: What was seen, as JSON text that a reader can check; untrusted content.
    """

    rule_id: str
    level: Level
    message: str
    location: Location = field(default_factory=Location)
    evidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number that a gate measured, for policy to compare with a threshold.

    Args:
        name: snake_case, stable, documented by the gate: policies are written against it.
        value: Finite number; NaN and infinity are findings, not measures.
        unit: ``rows``, ``fraction``, ``seconds``, ``bytes`` or empty.
    """

    name: str
    value: float
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A part of the subject that was skipped or failed, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What was looked at, so that "no findings" and "nothing was looked at" stay two different values.

    Args:
        looked_at: Files or members that were examined whole.
        skipped: Parts left out on purpose; policy decides whether that is enough.
        failed: Parts that could not be examined; never ALLOW while there is one.
    """

    looked_at: tuple[str, ...] = ()
    skipped: tuple[Gap, ...] = ()
    failed: tuple[Gap, ...] = ()

    @property
    def nothing_looked_at(self) -> bool:
        """True when no part of the subject was examined."""
        return not self.looked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A piece of software that took part, by name and version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one gate saw of one subject. It measures and finds; it never decides.

    Args:
        facts: Named JSON texts that policy reads beside the numbers: what the gate established of the subject
            (formats, licences, GPU states, the pipeline's graph). Content comes from the subject, so it is untrusted.
        attachments: Named JSON texts for the report page (for example pictures of flagged rows); never read by
            policy, digested with the report.
    """

    findings: tuple[Finding, ...] = ()
    measures: tuple[Measure, ...] = ()
    coverage: Coverage = field(default_factory=Coverage)
    facts: tuple[tuple[str, str], ...] = ()
    attachments: tuple[tuple[str, str], ...] = ()


def joined(observations: Sequence[Observation]) -> Observation:
    """Several observations of one subject as one, in their order."""
    return Observation(
        findings=tuple(finding for one in observations for finding in one.findings),
        measures=tuple(measure for one in observations for measure in one.measures),
        coverage=Coverage(
            looked_at=tuple(path for one in observations for path in one.coverage.looked_at),
            skipped=tuple(gap for one in observations for gap in one.coverage.skipped),
            failed=tuple(gap for one in observations for gap in one.coverage.failed),
        ),
        facts=tuple(fact for one in observations for fact in one.facts),
        attachments=tuple(text for one in observations for text in one.attachments),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An observation bound to its subject, its gate and the way it was made.

    Args:
        gate: One of `GATE_KINDS`.
        tools: What looked, versions included.
        configuration: How the gate was set, as canonical JSON text; its digest is in the receipt.
        started: UTC.
        finished: UTC.
    """

    gate: str
    subject: Subject
    observation: Observation
    tools: tuple[Tool, ...]
    configuration: str
    started: datetime
    finished: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control of a published framework that a rule supports. Ids move between versions, so both are kept."""

    framework: str
    version: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why policy said no, or what it warns of."""

    id: str
    title: str
    severity: Severity
    message: str
    remediation: str = ""
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What policy says of one input document.

    Args:
        verdict: ALLOW only if the engine answered a complete document with ``allow: true``.
        reasons: Why not; empty for ALLOW.
        warnings: Said, but not in the way.
        exemptions: Ids of the exemptions that were used.
        engine: For example ``opa-embedded``.
        engine_version: For example ``1.20.2``.
        bundle_digest: sha256 of the policy bundle.
        decision_id: Unique id, the same in OPA's decision log.
        errors: What kept the engine from answering; only with UNDECIDED.
        event_digest: sha256 of this decision's event in the ledger's decision log; empty where none was written.
        not_after: When the first of the exemptions that were used runs out; no receipt of this decision outlives it.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    exemptions: tuple[str, ...] = ()
    engine: str = ""
    engine_version: str = ""
    bundle_digest: str = ""
    decision_id: str = ""
    errors: tuple[str, ...] = ()
    event_digest: str = ""
    not_after: datetime | None = None

    def __post_init__(self) -> None:
        if self.verdict is Verdict.ALLOW and (self.errors or self.reasons):
            raise UsageError("an ALLOW carries neither reasons nor errors", where=self.decision_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run of which pipeline this is. Receipts of another run do not open a guard that asks for this one.

    Args:
        orchestrator: ``airflow``, ``kubeflow`` or ``cli``.
        pipeline: DAG id or pipeline name.
        run_id: Unverified text from the orchestrator.
        task_id: The step.
        attempt: First try is 1.
        map_index: Index of a mapped task, -1 when not mapped.
    """

    orchestrator: str
    pipeline: str
    run_id: str
    task_id: str
    attempt: int = 1
    map_index: int = -1


def utc_now() -> datetime:
    """The current time in UTC, to the microsecond."""
    return datetime.now(UTC)
