"""From what the runs of a demo left behind to its result: the table, the page, and what did not end as it should."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from interlock.demo.evidence import DemoEvidence
from interlock.demo.scenarios import DemoResult, Scenario, StepEnd, problems_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSeen:
    """One run, as its orchestrator shows it.

    Args:
        run_id: The run, as its receipts name it.
        ends: How its steps ended, in the order in which they run.
        has_model: True when a model of this run was published.
    """

    run_id: str
    ends: tuple[StepEnd, ...]
    has_model: bool


def conclude(
    evidence: DemoEvidence,
    scenarios: Sequence[Scenario],
    runs: Mapping[str, RunSeen],
    *,
    title: str,
    page: Path,
    started: float,
) -> DemoResult:
    """Read the evidence back, hold it against the scenarios and write the page.

    Args:
        evidence: Of the runs.
        scenarios: What was meant to happen.
        runs: What happened, by the scenario's name.
        title: The page's heading.
        page: Where it goes.
        started: When the demo began, by `time.monotonic`.
    """
    by_scenario = {s.name: evidence.rows(s.name, runs[s.name].run_id, runs[s.name].ends) for s in scenarios}
    problems = [
        problem
        for scenario in scenarios
        for problem in problems_of(
            scenario,
            by_scenario[scenario.name],
            promoted=evidence.promoted(runs[scenario.name].run_id),
            has_model=runs[scenario.name].has_model,
        )
    ]
    problems += evidence.ledger_problems()
    rows = tuple(row for found in by_scenario.values() for row in found)
    evidence.write_page(page, title, scenarios, rows, {name: run.run_id for name, run in runs.items()})
    return DemoResult(
        rows=rows,
        problems=tuple(problems),
        isolation=evidence.isolation(runs[scenarios[0].name].run_id),
        report=str(page),
        seconds=time.monotonic() - started,
    )
