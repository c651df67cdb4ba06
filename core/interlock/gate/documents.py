"""Values to JSON and back: the report document, and the input document that policy reads.

One writer and one reader for each shape, because receipts, the ledger, Rego authors and `--format json` all meet the
same names. The published schemas are ``policies/schemas/report.json`` and ``policies/schemas/decision_input.json``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from interlock.gate.errors import PolicyError
from interlock.gate.protocols import GateContext
from interlock.gate.values import (
    Control,
    Coverage,
    Decision,
    Finding,
    Gap,
    Json,
    Level,
    Location,
    Measure,
    Observation,
    Reason,
    Report,
    RunIdentity,
    Severity,
    Subject,
    Tool,
    Verdict,
)


def canonical_json(value: Json) -> bytes:
    """One spelling for one value: sorted keys, no spaces, UTF-8, no NaN (the subset of RFC 8785 that we need)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def unambiguous_json(text: str | bytes, *, constants: bool = False) -> Json:
    """Parse JSON of which every reader takes the same: no name twice in an object, no bottomless nesting.

    Args:
        text: Untrusted; bytes as `json.loads` takes them.
        constants: Let ``NaN`` and the infinities pass, which are no JSON, as the floats that Python writes so.

    Raises:
        ValueError: It is no such JSON; says why, in a line, with names of the text in it as Python literals.
    """
    constant: Callable[[str], Json] = float if constants else _no_constant
    try:
        found: Json = json.loads(text, object_pairs_hook=_once_each, parse_constant=constant)
    except RecursionError as error:
        raise ValueError("it nests deeper than readers can follow") from error
    return found


def _once_each(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:80]!r} stands twice in one object, of which readers take either")
            seen.add(name)
    return found


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")


def digest_of(value: Json) -> str:
    """sha256 over `canonical_json`, lower-case hexadecimal."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with a ``Z``, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment_of(text: str) -> datetime:
    """The reverse of `timestamp`.

    Raises:
        ValueError: `text` is no RFC 3339 timestamp with an offset, or no moment of the years 1 to 9999 in UTC.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp without an offset: {text!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"timestamp out of range: {text!r}") from error


def subject_document(subject: Subject) -> dict[str, Json]:
    """An in-toto v1 ResourceDescriptor."""
    return {"name": subject.name, "uri": subject.uri, "digest": {"sha256": subject.digest}}


def run_document(run: RunIdentity) -> dict[str, Json]:
    """The run identity under its wire names."""
    return {
        "orchestrator": run.orchestrator,
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "task_id": run.task_id,
        "attempt": run.attempt,
        "map_index": run.map_index,
    }


def report_document(report: Report) -> dict[str, Json]:
    """The whole report, attachments included; its `digest_of` is what a receipt binds."""
    seen = report.observation
    return {
        "gate": report.gate,
        "subject": subject_document(report.subject),
        "tools": [{"name": tool.name, "version": tool.version} for tool in report.tools],
        "configuration": json.loads(report.configuration),
        "started": timestamp(report.started),
        "finished": timestamp(report.finished),
        "findings": [_finding_document(finding) for finding in seen.findings],
        "measures": {measure.name: {"value": measure.value, "unit": measure.unit} for measure in seen.measures},
        "coverage": _coverage_document(seen.coverage),
        "facts": {name: json.loads(text) for name, text in seen.facts},
        "attachments": dict(seen.attachments),
    }


def report_from(document: Mapping[str, Json]) -> Report:
    """The reverse of `report_document`, for reports read back from a ledger.

    Raises:
        KeyError, TypeError, ValueError: The document has another shape; callers name the file or row.
    """
    subject = _mapping(document["subject"])
    return Report(
        gate=str(document["gate"]),
        subject=Subject(
            name=str(subject["name"]), uri=str(subject["uri"]), digest=str(_mapping(subject["digest"])["sha256"])
        ),
        tools=tuple(
            Tool(name=str(tool["name"]), version=str(tool["version"])) for tool in _mappings(document["tools"])
        ),
        configuration=canonical_json(document["configuration"]).decode(),
        started=moment_of(str(document["started"])),
        finished=moment_of(str(document["finished"])),
        observation=Observation(
            findings=tuple(_finding_from(finding) for finding in _mappings(document["findings"])),
            measures=tuple(
                Measure(name=name, value=_number(_mapping(measure)["value"]), unit=str(_mapping(measure)["unit"]))
                for name, measure in _mapping(document["measures"]).items()
            ),
            coverage=_coverage_from(_mapping(document["coverage"])),
            facts=tuple(
                (name, canonical_json(fact).decode()) for name, fact in _mapping(document.get("facts", {})).items()
            ),
            attachments=tuple((name, str(text)) for name, text in _mapping(document["attachments"]).items()),
        ),
    )


def decision_document(decision: Decision) -> dict[str, Json]:
    """A decision as it stands in receipts and in `--format json`."""
    event: dict[str, Json] = {"event": {"sha256": decision.event_digest}} if decision.event_digest else {}
    return event | {
        "verdict": decision.verdict.value,
        "reasons": [_reason_document(reason) for reason in decision.reasons],
        "warnings": [_reason_document(reason) for reason in decision.warnings],
        "exemptions": list(decision.exemptions),
        "engine": {"name": decision.engine, "version": decision.engine_version},
        "bundle_digest": decision.bundle_digest,
        "decision_id": decision.decision_id,
        "errors": list(decision.errors),
    }


def decision_from(document: Mapping[str, Json]) -> Decision:
    """The reverse of `decision_document`.

    Raises:
        KeyError, TypeError, ValueError: The document has another shape.
    """
    engine = _mapping(document["engine"])
    event = _mapping(document.get("event", {}))
    return Decision(
        verdict=Verdict(document["verdict"]),
        reasons=tuple(reason_from(reason) for reason in _mappings(document["reasons"])),
        warnings=tuple(reason_from(reason) for reason in _mappings(document["warnings"])),
        exemptions=tuple(str(item) for item in _items(document["exemptions"])),
        engine=str(engine["name"]),
        engine_version=str(engine["version"]),
        bundle_digest=str(document["bundle_digest"]),
        decision_id=str(document["decision_id"]),
        errors=tuple(str(item) for item in _items(document["errors"])),
        event_digest=str(event.get("sha256", "")),
    )


def decision_input(
    report: Report,
    context: GateContext,
    *,
    now: datetime,
    receipts: Sequence[Json] = (),
    lineage: Sequence[Json] = (),
    requested: Json = None,
) -> dict[str, Json]:
    """The one document that a policy author's rule reads.

    Args:
        report: What the gate saw; attachments are left out (policy never reads them).
        context: Run, profile and stage.
        now: The time to compare with expiries, UTC.
        receipts: Already verified receipts, with who signed (a guard fills this in).
        lineage: What the subject was made from, each with its own verified receipts (a deployment guard fills this in).
        requested: What the step asks for: image, resources, parameters, isolation.
    """
    document = report_document(report)
    del document["attachments"]
    return {
        "gate": report.gate,
        "profile": context.profile,
        "stage": context.stage.value,
        "subject": subject_document(report.subject),
        "report": document,
        "run": run_document(context.run),
        "receipts": list(receipts),
        "lineage": list(lineage),
        "exemptions": [],
        "approvals": [],
        "requested": requested if requested is not None else {},
        "now": timestamp(now),
    }


def reason_from(document: Mapping[str, Json]) -> Reason:
    """One reason of a Rego answer.

    Raises:
        PolicyError: A field is missing or has another type.
    """
    try:
        return Reason(
            id=_text(document["id"]),
            title=_text(document["title"]),
            severity=Severity(document["severity"]),
            message=_text(document["message"]),
            remediation=_text(document.get("remediation", "")),
            controls=tuple(
                Control(framework=_text(c["framework"]), version=_text(c["version"]), id=_text(c["id"]))
                for c in _mappings(document.get("controls", []))
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PolicyError(
            f"a policy reason has another shape: {error}",
            where=json.dumps(document, default=str)[:200],
            next_step="give it id, title, severity and message as policies/schemas/decision.json says",
        ) from error


def _reason_document(reason: Reason) -> dict[str, Json]:
    return {
        "id": reason.id,
        "title": reason.title,
        "severity": reason.severity.value,
        "message": reason.message,
        "remediation": reason.remediation,
        "controls": [{"framework": c.framework, "version": c.version, "id": c.id} for c in reason.controls],
    }


def _finding_document(finding: Finding) -> dict[str, Json]:
    where = finding.location
    return {
        "rule_id": finding.rule_id,
        "level": finding.level.value,
        "message": finding.message,
        "location": {"path": where.path, "row": where.row, "column": where.column, "offset": where.offset},
        "evidence": finding.evidence,
    }


def _finding_from(document: Mapping[str, Json]) -> Finding:
    where = _mapping(document["location"])
    return Finding(
        rule_id=str(document["rule_id"]),
        level=Level(document["level"]),
        message=str(document["message"]),
        location=Location(
            path=str(where["path"]),
            row=_whole(where["row"]),
            column=str(where["column"]),
            offset=_whole(where["offset"]),
        ),
        evidence=str(document["evidence"]),
    )


def _coverage_document(coverage: Coverage) -> dict[str, Json]:
    return {
        "looked_at": list(coverage.looked_at),
        "skipped": [{"path": gap.path, "reason": gap.reason} for gap in coverage.skipped],
        "failed": [{"path": gap.path, "reason": gap.reason} for gap in coverage.failed],
    }


def _coverage_from(document: Mapping[str, Json]) -> Coverage:
    return Coverage(
        looked_at=tuple(str(path) for path in _items(document["looked_at"])),
        skipped=tuple(Gap(path=str(g["path"]), reason=str(g["reason"])) for g in _mappings(document["skipped"])),
        failed=tuple(Gap(path=str(g["path"]), reason=str(g["reason"])) for g in _mappings(document["failed"])),
    )


def _mapping(value: Json) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise TypeError(f"an object was expected, not {type(value).__name__}")
    return value


def _items(value: Json) -> Sequence[Json]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise TypeError(f"an array was expected, not {type(value).__name__}")
    return value


def _mappings(value: Json) -> list[Mapping[str, Json]]:
    return [_mapping(item) for item in _items(value)]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string was expected, not {type(value).__name__}")
    return value


def _number(value: Json) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number was expected, not {type(value).__name__}")
    return value


def _whole(value: Json) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"a whole number was expected, not {type(value).__name__}")
    return value
