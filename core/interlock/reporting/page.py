"""One self-contained HTML page: a table of steps, then one card for each gate outcome, with pictures.

Jinja with autoescaping writes it. The page loads nothing (its content security policy forbids it) and holds no script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from interlock.gate import GateOutcome, Level, Verdict
from interlock.gate.documents import digest_of, report_document, timestamp
from interlock.reporting.charts import charts_of
from interlock.reporting.curves import HEIGHT, WIDTH
from interlock.reporting.galleries import galleries_of
from interlock.reporting.meters import meters_of
from interlock.reporting.refused import refused_of

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

MAX_FINDINGS = 100
MAX_FACTS = 6
"""Measures that stand open in a card; gates name the telling ones first."""

MAX_TEXT = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioRow:
    """One line of the table at the top.

    Args:
        seconds: How long the step ran; None when it did not.
    """

    scenario: str
    step: str
    outcome: str
    reason: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeGroup:
    """Outcomes that belong together, for example those of one run."""

    title: str
    outcomes: tuple[GateOutcome, ...]


def render_html(
    *,
    title: str,
    outcomes: Sequence[GateOutcome] = (),
    rows: Sequence[ScenarioRow] = (),
    groups: Sequence[OutcomeGroup] = (),
) -> str:
    """Write the page.

    Args:
        title: Heading.
        outcomes: Outcomes without a group.
        rows: The table at the top.
        groups: Outcomes under headings of their own.
    """
    every = (*(() if not outcomes else (OutcomeGroup(title="", outcomes=tuple(outcomes)),)), *groups)
    shown = [(group.title, [_card(outcome) for outcome in group.outcomes]) for group in every]
    verdicts = [outcome.decision.verdict for group in every for outcome in group.outcomes]
    tally = [(verdict.value, verdicts.count(verdict)) for verdict in Verdict if verdict in verdicts]
    return _template().render(title=title, rows=rows, groups=shown, tally=tally)


def _card(outcome: GateOutcome) -> dict[str, Any]:
    report, seen = outcome.report, outcome.report.observation
    findings = sorted(seen.findings, key=lambda finding: list(Level).index(finding.level))
    return {
        "outcome": outcome,
        "report": report,
        "decision": outcome.decision,
        "findings": findings[:MAX_FINDINGS],
        "more_findings": max(0, len(findings) - MAX_FINDINGS),
        "measures": seen.measures,
        "facts": seen.measures[:MAX_FACTS],
        "coverage": seen.coverage,
        "galleries": galleries_of(seen),
        "charts": (*charts_of(seen), *refused_of(report)),
        "meters": meters_of(report),
        "report_digest": digest_of(report_document(report)),
        "started": timestamp(report.started),
        "seconds": (report.finished - report.started).total_seconds(),
    }


def shown_number(value: float) -> str:
    """Whole numbers whole, others with four digits that count."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def _breakable(text: str) -> Markup:
    """A rule id that may wrap after its dots and hyphens."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[.-])", text))


def _brief(text: object) -> str:
    """Text of a length that a reader may meet; the whole of it is in the ledger."""
    whole = str(text)
    return whole if len(whole) <= MAX_TEXT else f"{whole[:MAX_TEXT]}… ({len(whole) - MAX_TEXT} more characters)"


def _short(value: float) -> str:
    """Whole numbers whole, others with four digits that count, very large and very small ones by powers of ten."""
    return f"{value:.3g}" if abs(value) >= 1e7 else shown_number(value)


def _path(places: Sequence[tuple[float, float]]) -> str:
    """Places as an SVG path of straight lines."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["shown"] = shown_number
    environment.filters["breakable"] = _breakable
    environment.filters["brief"] = _brief
    environment.filters["path"] = _path
    environment.filters["short"] = _short
    environment.globals["curve_box"] = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return environment.from_string(files("interlock.reporting").joinpath("page.html.jinja").read_text(encoding="utf-8"))
