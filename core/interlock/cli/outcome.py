"""How the outcome of one gate is shown on a terminal, or written as a report."""

from __future__ import annotations

import sys
from pathlib import Path

from interlock.cli import show
from interlock.cli.poisoning_summary import say_poisoning
from interlock.gate import GateOutcome, UsageError

FORMATS = ("table", "json", "sarif", "html", "png")

QUIET = ("json", "sarif", "png")
"""The formats for programs: nothing moves on standard error while they are made."""


def refuse_terminal(format_: str, out: Path | None, *, option: str = "--out") -> None:
    """Refuse to pour a page or a picture onto a person's terminal.

    Args:
        format_: Of `FORMATS`.
        out: The file that the report goes to; standard output when there is none.
        option: How that file is given.

    Raises:
        UsageError: It would.
    """
    if format_ in ("html", "png") and out is None and show.on_terminal():
        what = "an HTML page" if format_ == "html" else "a picture"
        raise UsageError(f"{what} is not for a terminal", next_step=f"add {option} report.{format_}")


def present(outcome: GateOutcome, format_: str, out: Path | None) -> None:
    """Show the outcome as a table, or write it in a format; with `out` and no format, the file's ending says which.

    Args:
        outcome: Of one gate; its texts are untrusted.
        format_: Of `FORMATS`.
        out: The file that the report goes to; standard output when there is none.
    """
    from interlock.reporting import write_whole

    if format_ == "table":
        (say_poisoning if outcome.report.gate == "data-poisoning" else summary)(outcome)
    if out is not None or format_ != "table":
        content = _rendered(outcome, _format_of(out) if format_ == "table" and out is not None else format_)
        if out is not None:
            write_whole(out, content)
            show.progress(f"report: {out}")
        elif isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(content)


def _format_of(out: Path) -> str:
    return {".html": "html", ".png": "png", ".sarif": "sarif"}.get(out.suffix, "json")


def _rendered(outcome: GateOutcome, format_: str) -> str | bytes:
    import json

    from interlock.reporting import render_html, render_json, render_png, render_sarif

    if format_ == "png":
        return render_png(outcome)
    if format_ == "html":
        return render_html(title=f"{outcome.report.gate}: {outcome.report.subject.name}", outcomes=[outcome])
    document = render_sarif(outcome.report) if format_ == "sarif" else render_json(outcome)
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def summary(outcome: GateOutcome) -> None:
    """The outcome in lines, the verdict first."""
    report, decision = outcome.report, outcome.decision
    show.say_verdict(decision.verdict, f"{report.gate} of {report.subject.uri}")
    show.say(f"sha256:{report.subject.digest}")
    for reason in decision.reasons:
        show.say(f"  {reason.severity.value}: {reason.message}. {reason.remediation}".rstrip())
    for error in decision.errors:
        show.say(f"  could not tell: {error}")
    for warning in decision.warnings:
        show.say(f"  warning: {warning.message}")
    findings = report.observation.findings
    if findings:
        show.table(
            ("level", "rule", "where", "what"),
            [(f.level.value, f.rule_id, str(f.location), f.message) for f in findings[:20]],
        )
        if len(findings) > 20:
            show.say(f"... and {len(findings) - 20} more findings: add --out report.html")
    show.table(("measure", "value", "unit"), [(m.name, f"{m.value:g}", m.unit) for m in report.observation.measures])
    show.say(f"receipt {outcome.recorded.receipt_id}")
