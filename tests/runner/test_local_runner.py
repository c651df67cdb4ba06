"""The whole way with real parts: gates, guard, sandbox, provenance, promotion, each in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.deployment import FolderRegistry
from interlock.evidence import verify_receipt
from interlock.evidence.ancestry import Worth, trace
from interlock.gate import (
    DeniedError,
    GuardError,
    Json,
    MissingExtraError,
    RunIdentity,
    Settings,
    SubjectNotFoundError,
    UsageError,
    Verdict,
    utc_now,
)
from interlock.runner import DeployRequest, GateRequest, GuardRequest, LocalRunner, TrainRequest, build_gate
from interlock.training import training_spec

SCRIPT = """
import json, os, pathlib, sys
out = pathlib.Path(os.environ["INTERLOCK_OUT"])
header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
header += b" " * (-len(header) % 8)
(out / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
sys.exit(int(os.environ.get("FAIL", "0")))
"""


def run(task: str, run_id: str = "r1") -> RunIdentity:
    return RunIdentity(orchestrator="cli", pipeline="retrain", run_id=run_id, task_id=task)


@pytest.fixture
def runner(home: Path) -> Iterator[LocalRunner]:
    with LocalRunner(Settings.load()) as opened:
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    lines = [f"{n % 17},{(n * 7) % 23},{n % 2}" for n in range(400)]
    path.write_text("a,b,label\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def pass_the_data_gates(runner: LocalRunner, data: Path, run_id: str = "r1") -> None:
    suite = {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}]}
    for kind, options in (("data-validation", {"suite": suite}), ("data-poisoning", {"label": "label"})):
        request = GateRequest(kind=kind, subject=str(data), options=options, run=run(kind, run_id))  # type: ignore[arg-type]  # nested JSON
        assert runner.run_gate(request).decision.verdict is Verdict.ALLOW


def train(runner: LocalRunner, data: Path, script: Path, out: Path, **environment: str) -> None:
    spec = training_spec(command=["python", str(script)], environment=environment)
    trained = runner.train(TrainRequest(data=str(data), out=str(out), spec=spec, run=run("train")))
    trained.outcome.raise_unless_allowed()


def test_a_model_goes_the_whole_way_and_a_swapped_one_does_not(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "model"
    pass_the_data_gates(runner, data)
    train(runner, data, script, out)
    scanned = runner.run_gate(GateRequest(kind="artifact-scan", subject=str(out), run=run("scan")))
    assert scanned.decision.verdict is Verdict.ALLOW
    reckless: dict[str, Json] = {"rollout": {"canary_percent": "all"}}
    with pytest.raises(GuardError, match="canary"):
        runner.deploy(DeployRequest(model=str(out), to="registry://m/champion", declared=reckless, run=run("promote")))
    deployed = runner.deploy(DeployRequest(model=str(out), to="registry://m/champion", run=run("promote")))
    assert deployed.promotion.digest == scanned.report.subject.digest

    out.chmod(0o700)
    weights = out / "model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x80")
    with pytest.raises(GuardError, match="bytes differ from what was scanned"):
        runner.deploy(DeployRequest(model=str(out), to="registry://m/champion", run=run("promote")))
    now = FolderRegistry(Settings.load().registry).resolve("registry://m/champion")
    assert now.digest == deployed.promotion.digest
    runner.ledger.verify()


def test_the_provenance_names_data_and_code_by_digest(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    pass_the_data_gates(runner, data)
    train(runner, data, script, tmp_path / "model")
    receipts = [verify_receipt(entry.envelope, runner.keyring, now=utc_now()) for entry in runner.ledger.entries()]
    provenance = next(receipt for receipt in receipts if receipt.gate == "training" and receipt.materials)
    data_digest = runner.snapshot(str(data)).subject.digest
    assert data_digest in {material.digest for material in provenance.materials}
    assert len(provenance.materials) == 2
    entry = next(e for e in runner.ledger.entries() if e.receipt_id == provenance.receipt_id)
    assert json.loads(entry.envelope)["payloadType"] == "application/vnd.in-toto+json"


def test_a_fine_tuned_model_is_walked_back_to_the_data_of_its_base(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    pass_the_data_gates(runner, data)
    train(runner, data, script, tmp_path / "base")
    other = SCRIPT.replace("bytes(8)", 'bytes(7) + b"?"')
    script.write_text("import os\nassert os.path.exists(os.environ['INTERLOCK_BASE'] + '/model.safetensors')\n" + other)
    spec = training_spec(command=["python", str(script)], seed=1)
    request = TrainRequest(
        data=str(data), out=str(tmp_path / "tuned"), spec=spec, base=str(tmp_path / "base"), run=run("tune")
    )
    outcome = runner.train(request).outcome
    outcome.raise_unless_allowed()
    found = trace(outcome.report.subject, runner.receipts, runner.keyring, now=utc_now())
    assert [(depth, one.role, one.worth) for depth, one in found.all() if one.role != "code"] == [
        (0, "subject", Worth.VALID),
        (1, "data", Worth.VALID),
        (1, "base model", Worth.VALID),
        (2, "data", Worth.VALID),
    ]


def test_training_without_receipts_never_starts_and_publishes_nothing(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    with pytest.raises(GuardError, match="no data-validation receipt") as refused:
        train(runner, data, script, out)
    assert not out.exists()
    assert runner.ledger.get(refused.value.receipt_id)


def test_data_that_changed_after_its_scan_is_not_trained_on(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    pass_the_data_gates(runner, data)
    with data.open("a") as file:
        file.write("1,1,1\n")
    with pytest.raises(GuardError, match="bytes differ"):
        train(runner, data, script, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_training_that_fails_is_denied_and_publishes_nothing(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    pass_the_data_gates(runner, data)
    with pytest.raises(DeniedError):
        train(runner, data, script, tmp_path / "model", FAIL="3")
    assert not (tmp_path / "model").exists()


def test_a_guard_hands_out_the_held_copy_and_more_gates_can_be_required(runner: LocalRunner, data: Path) -> None:
    pass_the_data_gates(runner, data)
    with runner.open_guard(GuardRequest(kind="training", subject=str(data), run=run("train"))) as opened:
        before = data.read_text()
        data.write_text("changed while the guard is open\n")
        assert opened.subject.path.read_text() == before
    data.write_text(before)
    with (
        pytest.raises(GuardError, match="model-probe"),
        runner.open_guard(
            GuardRequest(kind="training", subject=str(data), requires=("model-probe",), run=run("train"))
        ),
    ):
        pytest.fail("the guard opened")


def test_the_standard_profile_does_not_open_on_a_dev_key(
    runner: LocalRunner, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_the_data_gates(runner, data)
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    with (
        LocalRunner(Settings.load()) as strict,
        pytest.raises(GuardError, match="dev"),
        strict.open_guard(GuardRequest(kind="training", subject=str(data), run=run("train"))),
    ):
        pytest.fail("the guard opened")


def test_a_snapshot_is_published_under_its_digest(runner: LocalRunner, data: Path, tmp_path: Path) -> None:
    taken = runner.snapshot(str(data), str(tmp_path / "frozen"))
    assert (tmp_path / "frozen" / f"sha256-{taken.subject.digest}").exists()
    assert taken.files == 1
    with pytest.raises(SubjectNotFoundError):
        runner.snapshot(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        pytest.param("vibes", {}, "no gate of kind", id="unknown-kind"),
        pytest.param("artifact-scan", {"strict": False}, "has no option 'strict'", id="unknown-option"),
        pytest.param("data-validation", {}, "cannot be set up", id="missing-option"),
    ],
)
def test_a_gate_that_cannot_be_set_up_is_a_usage_error(kind: str, options: dict[str, bool], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build_gate(kind, options)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> object:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("interlock.runner.catalogue.import_module", missing)
    with pytest.raises(MissingExtraError, match=r"interlock\[torch\]"):
        build_gate("data-poisoning", {"label": "label"})


def test_every_decision_is_logged_and_bound_by_its_receipt(
    runner: LocalRunner, data: Path, script: Path, tmp_path: Path
) -> None:
    pass_the_data_gates(runner, data)
    train(runner, data, script, tmp_path / "model")
    receipts = [verify_receipt(entry.envelope, runner.keyring, now=utc_now()) for entry in runner.ledger.entries()]
    logged = {one.decision_id: one for one in runner.ledger.decisions()}
    assert {receipt.decision.decision_id for receipt in receipts} == set(logged)
    for receipt in receipts:
        event = logged[receipt.decision.decision_id]
        assert event.event_digest == receipt.decision.event_digest
        custom = event.document()["custom"]
        assert isinstance(custom, dict)
        assert (custom["verdict"], custom["exemptions"]) == (receipt.verdict.value, [])


def test_a_decision_that_cannot_be_logged_lets_nothing_go_on(
    home: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DECISION_LOG", "/dev/full")
    with LocalRunner(Settings.load()) as runner:
        outcome = runner.run_gate(GateRequest(kind="artifact-scan", subject=str(data), run=run("scan")))
        assert outcome.decision.verdict is Verdict.UNDECIDED
        assert any("the decision log cannot be written" in error for error in outcome.decision.errors)
        assert runner.ledger.get(outcome.recorded.receipt_id)
