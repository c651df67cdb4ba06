"""Approvals that gates record: what becomes a receipt, what a deployment guard counts, and what takes a word back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.layers import lay

from interlock.deployment.approval import Answer, Behind, Choice, Person, approvers_of
from interlock.evidence import KeyRing, Ledger
from interlock.evidence.recorded_approvals import RecordedApprovals
from interlock.evidence.snapshot import take_snapshot
from interlock.gate import GateOutcome, RunIdentity, Settings, Tool, Verdict
from interlock.gate.errors import GuardError, PolicyError, UsageError
from interlock.runner import ApprovalRequest, DeployRequest, GateRequest, LocalRunner

RUN = RunIdentity(orchestrator="airflow", pipeline="release", run_id="r1", task_id="approve")
BOB = Person(id="7", name="bob")
LAYER: dict[str, Any] = {
    "interlock/approvers": {"deployment": ["bob", "carol"], "training": ["erin"]},
    "interlock/profiles/dev": {
        "required": {"deployment": ["artifact-scan"]},
        "deployment": {"approvals": 1, "required_of_data": []},
        "model": {"training_receipt": False},
    },
}
Record = Callable[..., GateOutcome]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "interlock"))
    monkeypatch.setenv("INTERLOCK_PROFILE", "dev")
    monkeypatch.setenv("HOME", str(tmp_path))
    lay(tmp_path / "layer", monkeypatch, LAYER)
    return Settings.load()


def answer_of(model: Path, **changed: Any) -> Answer:
    """A sound answer about the bytes at `model`, changed."""
    sound = Answer(
        step="deployment",
        choice=Choice.APPROVED,
        asked=take_snapshot(str(model)).subject.digest,
        by=BOB,
        answered=datetime.now(UTC),
        behind=Behind(names=("alice",), known=True),
        via=Tool(name="airflow", version="3.3.2"),
        record="https://airflow.example/api/v2/dags/release",
    )
    return replace(sound, **changed)


@pytest.fixture
def record(settings: Settings, model: Path) -> Record:
    """Records an answer about the model, changed."""

    def recorded(**changed: Any) -> GateOutcome:
        with LocalRunner(settings) as runner:
            return runner.record_approval(
                ApprovalRequest(subject=str(model), answer=answer_of(model, **changed), run=RUN)
            )

    return recorded


def deploy(settings: Settings, model: Path, author: str = "alice") -> None:
    """Scan the model and promote it."""
    with LocalRunner(settings) as runner:
        runner.run_gate(GateRequest(kind="artifact-scan", subject=str(model), run=RUN)).raise_unless_allowed()
        request = DeployRequest(model=str(model), to="registry://m/champion", declared={"author": author}, run=RUN)
        runner.deploy(request)


def ids(outcome: GateOutcome) -> set[str]:
    return {reason.id for reason in outcome.decision.reasons}


def test_a_recorded_approval_opens_a_deployment_that_asks_for_one(
    settings: Settings, model: Path, record: Record
) -> None:
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(settings, model)
    assert record().decision.verdict is Verdict.ALLOW
    deploy(settings, model)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        pytest.param({"choice": Choice.REJECTED}, "deployment.answer-no", id="rejected"),
        pytest.param({"choice": Choice.NONE, "by": None, "answered": None}, "deployment.answer-no", id="timed-out"),
        pytest.param({"choice": Choice.OTHER}, "deployment.answer-no", id="not-offered"),
        pytest.param({"by": None}, "deployment.answer-person", id="the-task-answered-itself"),
        pytest.param({"by": Person(id="bob", name="mallory")}, "deployment.answer-person", id="not-listed"),
        pytest.param({"by": Person(id="9", name="erin")}, "deployment.answer-person", id="listed-for-another-step"),
        pytest.param({"behind": Behind(names=("Bob",), known=True)}, "deployment.answer-own", id="own-run"),
        pytest.param({"behind": Behind(known=False)}, "deployment.answer-own", id="nobody-knows-who-started"),
        pytest.param({"asked": "0" * 64}, "deployment.answer-bytes", id="other-bytes"),
    ],
)
def test_any_other_answer_is_a_denial_with_a_receipt_and_opens_nothing(
    settings: Settings, model: Path, record: Record, changed: dict[str, Any], rule: str
) -> None:
    outcome = record(**changed)
    assert outcome.decision.verdict is Verdict.DENY
    assert rule in ids(outcome)
    assert Ledger.open(settings.ledger_url).get(outcome.recorded.receipt_id).receipt_id == outcome.recorded.receipt_id
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(settings, model)


def test_an_approval_is_for_bytes_and_not_for_a_place(settings: Settings, model: Path, record: Record) -> None:
    record()
    model.write_bytes(model.read_bytes()[:-16] + bytes(range(16)))
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(settings, model)


def test_the_author_does_not_approve_through_airflow_either(settings: Settings, model: Path, record: Record) -> None:
    record()
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(settings, model, author="BOB")


def test_a_later_rejection_by_the_same_person_takes_the_word_back(
    settings: Settings, model: Path, record: Record
) -> None:
    record()
    record(choice=Choice.REJECTED, by=Person(id="8", name="carol"))
    deploy(settings, model)
    record(choice=Choice.REJECTED)
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(settings, model)
    record(by=Person(id="8", name="carol"))
    deploy(settings, model)


def test_whoever_was_taken_off_the_list_approves_nothing_any_more(
    settings: Settings, model: Path, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalRunner(settings) as runner:
        before = runner.decider.bundle_digest
    record()
    lay(tmp_path / "other", monkeypatch, LAYER | {"interlock/approvers": {"deployment": ["carol"]}})
    monkeypatch.setenv("INTERLOCK_KNOWN_BUNDLES", before)
    with pytest.raises(GuardError, match="0 others than the author"):
        deploy(Settings.load(), model)


def held(settings: Settings, model: Path, **changed: Any) -> tuple[int, tuple[str, ...]]:
    """How many approvals hold for the model, and why others do not."""
    with LocalRunner(settings) as runner:
        digest = runner.decider.bundle_digest
    known = changed.pop("bundles", {digest})
    now = changed.pop("now", datetime.now(UTC))
    source = RecordedApprovals(
        Ledger.open(settings.ledger_url), KeyRing.load(settings), bundles=lambda: known, clock=lambda: now
    )
    asked = {"gate": "deployment", "name": "m", "digest": take_snapshot(str(model)).subject.digest, "profile": "dev"}
    found = source.holding(**(asked | changed))
    return len(found.approvals), found.refused


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({}, "", id="sound"),
        pytest.param({"gate": "training"}, None, id="another-step"),
        pytest.param({"gate": "artifact-scan"}, None, id="no-step-at-all"),
        pytest.param({"digest": "0" * 64}, None, id="other-bytes"),
        pytest.param({"profile": "strict"}, "profile 'dev' allowed it", id="a-weaker-profile"),
        pytest.param({"bundles": {"0" * 64}}, "unknown policy bundle", id="an-unknown-bundle"),
        pytest.param({"bundles": {""}}, "unknown policy bundle", id="a-bundle-that-nobody-can-name"),
        pytest.param({"now": datetime.now(UTC) + timedelta(days=2)}, "expired", id="expired"),
    ],
)
def test_a_recorded_approval_counts_like_any_receipt(
    settings: Settings, model: Path, record: Record, changed: dict[str, Any], says: str | None
) -> None:
    record()
    count, refused = held(settings, model, **changed)
    assert count == (1 if says == "" else 0)
    assert (says in refused[0]) if says else not refused


def test_an_approval_under_a_key_that_may_not_approve_does_not_count(
    settings: Settings, model: Path, record: Record
) -> None:
    record()
    (settings.trusted_keys / "dev.json").write_text(json.dumps({"gates": ["artifact-scan"]}))
    count, refused = held(settings, model)
    assert count == 0
    assert "approval" in refused[0]


def test_an_exempted_answer_is_no_approval(settings: Settings, model: Path, record: Record) -> None:
    from click.testing import CliRunner

    from interlock.cli.exempt import exempt

    signed = CliRunner().invoke(
        exempt, [str(model), "--gate", "approval", "--rule", "deployment.answer-no", "--reason", "in a hurry"]
    )
    assert signed.exit_code == 0, signed.output
    assert record(choice=Choice.REJECTED).decision.verdict is Verdict.ALLOW
    count, refused = held(settings, model)
    assert count == 0
    assert "an exemption allowed it" in refused[0]


def test_a_person_is_shown_the_bytes_the_receipts_and_who_may_answer(settings: Settings, model: Path) -> None:
    with LocalRunner(settings) as runner:
        runner.run_gate(GateRequest(kind="artifact-scan", subject=str(model), run=RUN))
        question = runner.question(str(model), "deployment")
    assert question.subject.name == "model.safetensors"
    assert question.subject.digest == take_snapshot(str(model)).subject.digest
    assert [one.receipt.gate for one in question.testimonies if one.receipt] == ["artifact-scan"]
    assert question.approvers == ("bob", "carol")


def test_only_a_protected_step_can_be_approved(settings: Settings, model: Path) -> None:
    with LocalRunner(settings) as runner, pytest.raises(UsageError, match="nobody can approve"):
        runner.question(str(model), "artifact-scan")


@pytest.mark.parametrize("approvers", [None, {}, {"deployment": None}, {"deployment": "bob"}, {"deployment": [7]}])
def test_a_list_of_another_shape_is_said(approvers: Any) -> None:
    with pytest.raises(PolicyError, match="no list of approvers"):
        approvers_of({"interlock": {"approvers": approvers}}, "deployment")
