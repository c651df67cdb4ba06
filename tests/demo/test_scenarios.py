"""The check of a demo's runs: it passes what ended as it should, and it can fail."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.demo import Row, Scenario, Steps, problems_of, scenarios_of

STEPS = Steps(
    collect="collect",
    validate="validate-data",
    poisoning="scan-poisoning",
    train="secure-train",
    scan="scan-model",
    others="others",
    promote="deploy-gate",
)
CLEAN, POISONED, TAMPERED = scenarios_of(STEPS)


def rows(scenario: str, refused_at: str = "") -> list[Row]:
    """How a run looks that ended as it should."""
    found = []
    stopped = False
    for step in STEPS.order:
        outcome = "ran" if step in ("collect", "others") else "ALLOW"
        outcome = "not started" if stopped else "DENY" if step == refused_at else outcome
        stopped = stopped or step == refused_at
        found.append(Row(scenario=scenario, step=step, outcome=outcome, reason="", seconds=1.0))
    return found


def with_outcome(given: list[Row], step: str, outcome: str) -> list[Row]:
    return [replace(row, outcome=outcome) if row.step == step else row for row in given]


def test_runs_that_ended_as_they_should_have_no_problems() -> None:
    assert problems_of(CLEAN, rows("clean"), promoted=True, has_model=True) == []
    assert problems_of(POISONED, rows("poisoned", STEPS.poisoning), promoted=False, has_model=False) == []
    assert problems_of(TAMPERED, rows("tampered", STEPS.promote), promoted=False, has_model=True) == []


@pytest.mark.parametrize(
    ("scenario", "given", "promoted", "has_model", "says"),
    [
        pytest.param(CLEAN, [], True, True, "no task", id="nothing-ran"),
        pytest.param(CLEAN, rows("clean"), False, True, "did not become", id="clean-not-promoted"),
        pytest.param(CLEAN, rows("clean", STEPS.scan), False, True, "scan-model should have gone", id="clean-refused"),
        pytest.param(
            POISONED, rows("poisoned"), False, False, "scan-poisoning should have been refused", id="poison-not-seen"
        ),
        pytest.param(
            POISONED,
            with_outcome(rows("poisoned", STEPS.poisoning), STEPS.train, "ALLOW"),
            False,
            False,
            "secure-train should not have started",
            id="trained-on-poison",
        ),
        pytest.param(
            POISONED, rows("poisoned", STEPS.poisoning), False, True, "a model was published", id="model-from-poison"
        ),
        pytest.param(
            POISONED,
            with_outcome(rows("poisoned", STEPS.poisoning), STEPS.poisoning, "UNDECIDED"),
            False,
            False,
            "scan-poisoning should have been refused",
            id="undecided-is-not-a-refusal",
        ),
        pytest.param(
            TAMPERED, rows("tampered", STEPS.promote), True, True, "became the champion", id="swapped-champion"
        ),
    ],
)
def test_a_run_that_ended_otherwise_is_told(
    *, scenario: Scenario, given: list[Row], promoted: bool, has_model: bool, says: str
) -> None:
    found = problems_of(scenario, given, promoted=promoted, has_model=has_model)
    assert any(says in problem for problem in found)
