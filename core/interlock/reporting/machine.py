"""What machines read: the object behind ``--format json``, and SARIF 2.1.0."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from urllib.parse import quote

from interlock.gate import Finding, GateOutcome, Json, Report
from interlock.gate.documents import decision_document, digest_of, report_document

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_json(outcome: GateOutcome) -> dict[str, Json]:
    """The one object that ``--format json`` prints (``policies/schemas/gate_outcome.json``).

    The report stands in it without its attachments; `report_digest` is over the whole report, as in the receipt.
    """
    document = report_document(outcome.report)
    digest = digest_of(document)
    del document["attachments"]
    return {
        "gate": outcome.report.gate,
        "verdict": outcome.decision.verdict.value,
        "subject": document["subject"],
        "receipt_id": outcome.recorded.receipt_id,
        "envelope_digest": {"sha256": outcome.recorded.envelope_digest},
        "report_digest": {"sha256": digest},
        "decision": decision_document(outcome.decision),
        "report": document,
    }


def render_sarif(report: Report) -> dict[str, Json]:
    """One SARIF log with one run: findings as results, gaps in coverage as tool notifications.

    Source: SARIF 2.1.0 sections 3.13 (log), 3.14 (run), 3.20 (invocation), 3.27 (result), 3.58 (notification).
    """
    seen = report.observation
    rules = sorted({finding.rule_id for finding in seen.findings})
    gaps = [(gap, "error") for gap in seen.coverage.failed] + [(gap, "note") for gap in seen.coverage.skipped]
    driver: dict[str, Json] = {
        "name": f"interlock {report.gate}",
        "version": own_version(),
        "rules": [{"id": rule} for rule in rules],
    }
    helpers: list[Json] = [{"name": tool.name, "version": tool.version} for tool in report.tools]
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": driver, "extensions": helpers},
                "results": [_result(finding, rules, report) for finding in seen.findings],
                "artifacts": [
                    {"location": {"uri": file_uri(report.subject.uri)}, "hashes": {"sha-256": report.subject.digest}}
                ],
                "invocations": [
                    {
                        "executionSuccessful": not seen.coverage.failed,
                        "startTimeUtc": _sarif_time(report.started.isoformat()),
                        "endTimeUtc": _sarif_time(report.finished.isoformat()),
                        "toolExecutionNotifications": [
                            {"level": level, "message": {"text": f"{gap.path or report.subject.name}: {gap.reason}"}}
                            for gap, level in gaps
                        ],
                    }
                ],
            }
        ],
    }


def _result(finding: Finding, rules: list[str], report: Report) -> dict[str, Json]:
    where = finding.location
    inside = where.path and where.path != report.subject.name
    place = f"{report.subject.uri.rstrip('/')}/{where.path}" if inside else report.subject.uri
    physical: dict[str, Json] = {"artifactLocation": {"uri": file_uri(place)}}
    if where.offset is not None:
        physical["region"] = {"byteOffset": where.offset}
    location: dict[str, Json] = {"physicalLocation": physical}
    if where.column or where.row is not None:
        row = f"row {where.row}" if where.row is not None else ""
        location["logicalLocations"] = [{"fullyQualifiedName": "/".join(filter(None, (where.column, row)))}]
    return {
        "ruleId": finding.rule_id,
        "ruleIndex": rules.index(finding.rule_id),
        "level": finding.level.value,
        "message": {"text": finding.message},
        "locations": [location],
        "properties": {"evidence": finding.evidence},
    }


def file_uri(text: str) -> str:
    """A path as a URI reference as RFC 3986 has it: whatever else a path holds is percent-encoded (SARIF 3.4.3)."""
    return quote(text, safe="/:?#[]@!$&'()*+,;=%~")


def own_version() -> str:
    """Of the installed distribution."""
    try:
        return version("interlock")
    except PackageNotFoundError:
        return "unknown"


def _sarif_time(moment: str) -> str:
    return moment.replace("+00:00", "Z")
