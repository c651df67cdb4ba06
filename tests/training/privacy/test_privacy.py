"""Private trainings on the whole way: what they say, what is recomputed, and what adds up for their dataset."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
from tests.evidence.bench import Bench
from tests.training.privacy.conftest import run, vouch

import interlock.training.privacy
from interlock.gate import GuardError, Level, Subject, UsageError, Verdict, utc_now
from interlock.runner import LocalRunner, TrainOutcome, TrainRequest
from interlock.training import Ended, Moment, Part, Safeguards, Stop, training_spec
from interlock.training.budgets.turns import StartTurn
from interlock.training.events import EventReader
from interlock.training.privacy import (
    Mechanism,
    PrivacySafeguard,
    PrivacyTarget,
    epsilon_of,
    parents_of,
    privacy_target,
    private,
    spent_on,
)

DELTA = 1e-3
STEPS = Mechanism(noise_multiplier=1.5, sample_rate=0.1, steps=50)
SCRIPT = """
import json, os, pathlib
from interlock.training.events import tell
for said in json.loads(os.environ["SAID"]):
    tell("epsilon", **said)
(pathlib.Path(os.environ["INTERLOCK_OUT"]) / "model.bin").write_bytes(b"weights")
"""


def said(**other: object) -> dict[str, object]:
    told: dict[str, object] = {
        "process": "p",
        "engine": 0,
        "segment": 0,
        "spent": epsilon_of([STEPS], DELTA),
        "delta": DELTA,
        "noise_multiplier": STEPS.noise_multiplier,
        "sample_rate": STEPS.sample_rate,
        "steps": STEPS.steps,
        "accountant": "rdp",
    }
    return told | other


def train(
    runner: LocalRunner,
    data: Path,
    *events: dict[str, object],
    epsilon: float | None = 4.0,
) -> TrainOutcome:
    script = data.with_name("train.py")
    script.write_text(SCRIPT)
    environment = {"SAID": json.dumps(events)}
    request = TrainRequest(
        data=str(data),
        out=str(data.with_name("out")),
        spec=training_spec(command=["python", str(script)], environment=environment, wall_clock=60),
        privacy=None if epsilon is None else PrivacyTarget(epsilon=epsilon, delta=DELTA),
        run=run("train"),
    )
    return runner.train(request)


def measures(trained: TrainOutcome) -> dict[str, float]:
    return {measure.name: measure.value for measure in trained.outcome.report.observation.measures}


def test_exported_members() -> None:
    for name in interlock.training.privacy.__all__:
        assert getattr(interlock.training.privacy, name) is not None
    with pytest.raises(AttributeError):
        _ = interlock.training.privacy.nothing


def test_epsilon_adds_up_over_the_trainings_on_a_dataset_until_none_is_left(runner: LocalRunner, data: Path) -> None:
    once = epsilon_of([STEPS], DELTA)
    first = train(runner, data, said(steps=10), said())
    assert first.outcome.decision.verdict is Verdict.ALLOW
    assert measures(first)["epsilon"] == measures(first)["dataset_epsilon"] == pytest.approx(once)
    second = train(runner, data, said())
    assert measures(second)["dataset_epsilon"] == pytest.approx(2 * once)
    # The Rényi bound of both together is below the sum of the bounds of each.
    both = epsilon_of([STEPS, STEPS], 2 * DELTA)
    assert measures(second)["dataset_epsilon_rdp"] == pytest.approx(both)
    assert once < both < 2 * once
    with pytest.raises(GuardError, match=r"epsilon \d+\.\d+ of the dataset, with epsilon 9 asked for; .* at most 10"):
        train(runner, data, said(), epsilon=9.0)
    digest = runner.snapshot(str(data)).subject.digest
    now = spent_on(runner.ledger, runner.keyring, digest, now=utc_now())
    assert (now.runs, now.running) == (2, 0)
    assert now.delta == pytest.approx(2 * DELTA)
    runner.ledger.verify()


def test_a_training_without_privacy_does_not_start_on_a_capped_dataset(runner: LocalRunner, data: Path) -> None:
    with pytest.raises(GuardError, match="epsilon nothing readable of the dataset"):
        train(runner, data, epsilon=None)


def test_what_is_made_from_a_dataset_spends_of_it_too(runner: LocalRunner, data: Path) -> None:
    parent = runner.snapshot(str(data)).subject
    child = data.with_name("clean.csv")
    child.write_text(data.read_text().replace("3,1\n", ""))
    vouch(runner, child, "data-poisoning", verdict=Verdict.UNDECIDED, materials=(parent,))
    for kind in ("data-validation", "data-poisoning"):
        made = vouch(runner, child, kind)
    assert parents_of(runner.ledger, runner.keyring, made.digest) == (parent.digest,)
    once = measures(train(runner, data, said()))["epsilon"]
    assert measures(train(runner, child, said()))["dataset_epsilon"] == pytest.approx(2 * once)
    spent = spent_on(runner.ledger, runner.keyring, parent.digest, now=utc_now())
    assert spent.epsilon == pytest.approx(2 * once)


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        pytest.param([], "unheard", id="silence"),
        pytest.param([said(steps=0, spent=0)], "unheard", id="no-steps"),
        pytest.param([said(spent="nan")], "unusable", id="epsilon-that-is-no-number"),
        pytest.param([said(spent="inf")], "unusable", id="endless-epsilon"),
        pytest.param([said(spent=-1)], "unusable", id="negative-epsilon"),
        pytest.param([said(spent=None)], "unusable", id="no-epsilon"),
        pytest.param([said(delta=0.5)], "unusable", id="a-larger-delta"),
        pytest.param([said(noise_multiplier=-1)], "unusable", id="negative-noise"),
        pytest.param([said(sample_rate=2)], "unusable", id="more-than-everybody"),
        pytest.param([said(), said(steps="all")], "unusable", id="steps-as-text"),
        pytest.param([said(spent=3.9)], "inconsistent", id="more-epsilon-than-the-steps-come-to"),
    ],
)
def test_an_epsilon_that_does_not_hold_up_is_an_error(
    tmp_path: Path, events: list[dict[str, object]], rule: str
) -> None:
    part, stop = heard(tmp_path, events)
    assert stop is None
    (finding,) = part.findings
    assert (finding.rule_id, finding.level) == (f"training.epsilon-{rule}", Level.ERROR)
    assert part.measures == ()
    assert "epsilon" not in part.facts["privacy"]


def test_a_refused_training_that_told_nothing_counts_as_what_it_asked_for(runner: LocalRunner, data: Path) -> None:
    trained = train(runner, data)
    assert trained.outcome.decision.verdict is Verdict.DENY
    digest = trained.training.data.digest
    assert spent_on(runner.ledger, runner.keyring, digest, now=utc_now()).epsilon == 4.0


def test_less_epsilon_than_the_steps_come_to_counts_as_what_they_come_to(tmp_path: Path) -> None:
    part, _ = heard(tmp_path, [said(spent=0.1)])
    assert part.facts["privacy"]["epsilon"] == pytest.approx(epsilon_of([STEPS], DELTA))


def test_steps_that_are_told_again_smaller_take_none_back_and_other_processes_add(tmp_path: Path) -> None:
    less, other = said(steps=1, spent=0.1), said(process="restarted", steps=5, spent=0.1)
    further = Mechanism(noise_multiplier=1.5, sample_rate=0.1, steps=5)
    part, _ = heard(tmp_path, [said(), less, other])
    assert part.facts["privacy"]["epsilon"] == pytest.approx(epsilon_of([STEPS, further], DELTA))


def test_no_training_makes_the_accounting_grow_without_end(tmp_path: Path) -> None:
    part, _ = heard(tmp_path, [said(process=str(number), steps=1, spent=0) for number in range(101)])
    assert "more than 100 mechanisms" in part.findings[0].message


def test_a_training_that_spends_more_than_it_asked_for_is_ended(tmp_path: Path) -> None:
    for told in (said(steps=5000, spent=0.1), said(spent=4.5)):
        _, stop = heard(tmp_path / str(told["steps"]), [told])
        assert stop is not None
        assert stop.rule == "over-epsilon"
    part, _ = heard(tmp_path / "unseen", [said(steps=5000, spent=0.1)], looks=False)
    assert part.findings[0].rule_id == "training.over-epsilon"


def heard(
    folder: Path, events: list[dict[str, object]], *, epsilon: float = 4.0, looks: bool = True
) -> tuple[Part, Stop | None]:
    """What a safeguard makes of events, and whether it stops the run when it looks."""
    folder.mkdir(exist_ok=True)
    bench = Bench.at(folder)
    target = PrivacyTarget(epsilon=epsilon, delta=DELTA)
    turn = StartTurn(bench.ledger)
    guarded = PrivacySafeguard(target, bench.ledger, bench.keyring, wall_seconds=60, turn=turn, clock=bench.clock)
    with Safeguards([guarded]) as beside:
        beside.beforehand(Subject(name="d", uri="file:///d", digest="d" * 64))
        assert dict(beside.provision().environment) == {"INTERLOCK_EPSILON": repr(epsilon), "INTERLOCK_DELTA": "0.001"}
        lines = b"".join(json.dumps(one | {"event": "epsilon"}).encode() + b"\n" for one in events)
        assert [stop for event in EventReader().feed(lines) if (stop := beside.hear(event)) is not None] == []
        stop = beside.tick(Moment(seconds=1, root=os.getpid(), out=folder)) if looks else None
        ended = Ended(exit_status=0, seconds=1, limit=None, stop=stop, log_tail="", log_bytes=0)
        ((_, part),) = beside.after(ended, folder)
    return part, stop


@pytest.mark.parametrize(
    ("epsilon", "delta", "norm"),
    [
        *((epsilon, 1e-5, None) for epsilon in (0.0, -1.0, math.nan, math.inf, None)),
        *((1.0, delta, None) for delta in (0.0, 1.0, math.nan, None)),
        *((1.0, 1e-5, norm) for norm in (0.0, -1.0, math.inf, math.nan)),
    ],
)
def test_a_target_that_is_none_is_refused(epsilon: float | None, delta: float | None, norm: float | None) -> None:
    with pytest.raises(UsageError):
        privacy_target(epsilon, delta, norm)
    assert privacy_target(None, None, None) is None


TORCH = """
import os, pathlib, warnings
warnings.simplefilter("ignore")
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset
from interlock.training.privacy import private

torch.manual_seed(0)
rows = torch.randn(256, 8)
labels = (rows[:, 0] > 0).long()
model = torch.nn.Linear(8, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(TensorDataset(rows, labels), batch_size=32)
model, optimizer, loader = private(model, optimizer, loader, epochs=2)
for _ in range(2):
    for row, label in loader:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(row), label).backward()
        optimizer.step()
save_file(model._module.state_dict(), pathlib.Path(os.environ["INTERLOCK_OUT"]) / "model.safetensors")
"""


@pytest.mark.slow
def test_a_real_private_training_spends_what_it_asked_for_and_no_more(runner: LocalRunner, data: Path) -> None:
    pytest.importorskip("opacus", reason="extra dp is not installed")
    script = data.with_name("dp.py")
    script.write_text(TORCH)
    request = TrainRequest(
        data=str(data),
        out=str(data.with_name("out")),
        spec=training_spec(command=["python", str(script)], wall_clock=300),
        privacy=PrivacyTarget(epsilon=4.0, delta=DELTA, max_grad_norm=1.5),
        run=run("train"),
    )
    trained = runner.train(request)
    assert trained.outcome.decision.verdict is Verdict.ALLOW, trained.training.log_tail
    assert 3.9 < measures(trained)["epsilon"] <= 4.0
    report = dict(trained.outcome.report.observation.facts)
    (mechanism,) = json.loads(report["privacy"])["mechanisms"]
    assert (mechanism["sample_rate"], mechanism["steps"]) == (0.125, 16)


@pytest.mark.slow
def test_private_without_a_target_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opacus", reason="extra dp is not installed")
    monkeypatch.delenv("INTERLOCK_EPSILON", raising=False)
    with pytest.raises(UsageError, match="a private training needs a target"):
        private(None, None, [1], epochs=1)
