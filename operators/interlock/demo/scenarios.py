"""What each scenario has to come to, and the pure check that it did.

The check trusts the ledger and the registry, not what an orchestrator shows: a run counts as refused only if the signed
receipt says so *and* nothing that the refusal forbids is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import Enum

from interlock.gate import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What an orchestrator calls the steps of the example, in the order in which they run."""

    collect: str
    validate: str
    poisoning: str
    train: str
    scan: str
    others: str
    promote: str

    @property
    def order(self) -> tuple[str, ...]:
        """All of them, first to last."""
        return astuple(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One story.

    Args:
        name: The run's `scenario` parameter.
        story: One sentence for the report.
        refused_at: The step that must refuse; empty when everything must be allowed.
        never: Steps that must not run after the refusal.
        trains: False when no model may come out.
    """

    name: str
    story: str
    refused_at: str = ""
    never: tuple[str, ...] = ()
    trains: bool = True


def scenarios_of(steps: Steps) -> tuple[Scenario, ...]:
    """The three stories, told in an orchestrator's own names of the steps."""
    return (
        Scenario(name="clean", story="New data, nothing wrong: it trains, is scanned and becomes the champion."),
        Scenario(
            name="poisoned",
            story="5 % of the rows carry a patch and the label 0: the poisoning scan refuses, training never starts.",
            refused_at=steps.poisoning,
            never=(steps.train, steps.scan, steps.others, steps.promote),
            trains=False,
        ),
        Scenario(
            name="tampered",
            story="Somebody replaces the model after its scan: the guard of the promotion refuses the other bytes.",
            refused_at=steps.promote,
        ),
    )


class Ended(Enum):
    """How an orchestrator saw a step end."""

    SUCCESS = "success"
    FAILED = "failed"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnd:
    """One step of one run, as its orchestrator shows it.

    Args:
        seconds: How long it ran; None when it did not, or nobody knows.
    """

    step: str
    ended: Ended
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the demo's table.

    Args:
        outcome: A verdict, or ``ran`` for a step without a gate, or ``not started``, or ``failed``.
        seconds: How long the step ran; None when it did not.
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
        seconds: From the start of the orchestrator to the end of the last run.
    """

    rows: tuple[Row, ...]
    problems: tuple[str, ...]
    isolation: str
    report: str
    seconds: float = 0.0


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
    if not scenario.trains and has_model:
        found.append("a model was published although training may not have started")
    return [f"{scenario.name}: {problem}" for problem in found]
