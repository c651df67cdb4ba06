"""What each scenario has to come to, and the pure check that it did.

The check trusts the ledger and the registry, not the colours in Airflow's UI: a run counts as refused only if the
signed receipt says so *and* nothing that the refusal forbids is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from interlock.gate import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story.

    Args:
        name: The run's `scenario` parameter.
        story: One sentence for the report.
        refused_at: The task that must refuse; empty when everything must be allowed.
        never: Tasks that must not run after the refusal.
    """

    name: str
    story: str
    refused_at: str = ""
    never: tuple[str, ...] = ()


SCENARIOS = (
    Scenario(name="clean", story="New data, nothing wrong: it trains, is scanned and becomes the champion."),
    Scenario(
        name="poisoned",
        story="5 % of the rows carry a patch and the label 0: the poisoning scan refuses and training never starts.",
        refused_at="poisoning",
        never=("train", "scan", "others", "promote"),
    ),
    Scenario(
        name="tampered",
        story="Somebody replaces the model after its scan: the guard of the promotion refuses the other bytes.",
        refused_at="promote",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the demo's table.

    Args:
        outcome: A verdict, or ``ran`` for a step without a gate, or ``not started``, or ``failed``.
        seconds: How long the task ran; None when it did not.
        receipt_id: The receipt that speaks for the step, or empty.
    """

    scenario: str
    step: str
    outcome: str
    reason: str
    seconds: float | None
    receipt_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the three runs came to.

    Args:
        rows: The table.
        problems: What did not end as it should; empty when all is well.
        isolation: The sandbox level that the receipts name.
        report: Path of the HTML page.
        seconds: From the start of Airflow to the end of the last run.
    """

    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    isolation: str
    report: str
    seconds: float = field(default=0.0)


def problems_of(scenario: Scenario, rows: Sequence[Row], *, promoted: bool, has_model: bool) -> list[str]:
    """What of `scenario` did not end as it should.

    Args:
        scenario: What was meant to happen.
        rows: What happened, that scenario's rows only.
        promoted: True when the registry's alias names a model of this run.
        has_model: True when a model of this run was published.
    """
    found: list[str] = []
    by_step = {row.step: row for row in rows}
    expected = dict.fromkeys(by_step, "")
    expected |= dict.fromkeys(scenario.never, "not started")
    for step, row in by_step.items():
        wanted = expected[step]
        if step == scenario.refused_at:
            if row.outcome != Verdict.DENY.value:
                found.append(f"{step} should have been refused, but it says {row.outcome}: {row.reason}")
        elif wanted and row.outcome != wanted:
            found.append(f"{step} should not have started, but it says {row.outcome}")
        elif not wanted and row.outcome not in (Verdict.ALLOW.value, "ran"):
            found.append(f"{step} should have gone through, but it says {row.outcome}: {row.reason}")
    if not by_step:
        found.append("no task of it was seen")
    if scenario.refused_at and scenario.refused_at not in by_step:
        found.append(f"{scenario.refused_at} was never reached")
    if promoted is bool(scenario.refused_at):
        found.append("its model became the champion" if promoted else "its model did not become the champion")
    if "train" in scenario.never and has_model:
        found.append("a model was published although training may not have started")
    return [f"{scenario.name}: {problem}" for problem in found]
