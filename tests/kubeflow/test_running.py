"""What the components do in their pods: receipts and reports that are there before anything is raised."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.kubeflow import pods
from tests.kubeflow.running_steps import Ran, run_step

from interlock.cli.app import main
from interlock.gate import (
    DeniedError,
    EvidenceError,
    GuardError,
    Settings,
    SubjectError,
    UndecidedError,
    UsageError,
    Verdict,
)
from interlock.kubeflow.running import Pod
from interlock.runner import LocalRunner

SCAN = {"profile": "torch-state-dict", "also": [], "look_for": []}


@dataclass
class Artifact:
    """An artifact whose URI is not its place, as on a cluster."""

    uri: str
    path: str
    metadata: dict[str, object] = field(default_factory=dict)


@pytest.fixture
def model(tmp_path: Path, home: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "model"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(range(16)))
    return path


@pytest.fixture
def guarded(tmp_path: Path, home: Path) -> Iterator[pods.Pod]:
    with LocalRunner(Settings.load()) as runner:
        yield pods.Pod(runner=runner, root=tmp_path / "pod")


def verified(file: Path) -> object:
    with pytest.raises(SystemExit) as left:
        main(["verify", str(file)])
    return left.value.code


def scanned(subject: Path, root: Path) -> Ran:
    return run_step("scan_model", root, options=SCAN, artifacts={"subject": subject})


def test_an_allowed_gate_leaves_what_interlock_verify_accepts(model: Path, tmp_path: Path) -> None:
    ran = scanned(model, tmp_path / "scan")
    assert ran.error is None
    assert ran.said == "ALLOW"
    assert verified(ran.root / "receipt") == 0
    page = (ran.root / "report").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "<script" not in page
    about = ran.metadata("receipt")
    assert about == ran.metadata("report")
    assert about["verdict"] == "ALLOW"
    assert str(about["receipt_id"]) in page


@pytest.mark.parametrize(
    ("content", "error", "status"),
    [
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", DeniedError, 1, id="denied"),
        pytest.param(bytes(range(256)), UndecidedError, 3, id="undecided"),
    ],
)
def test_a_refusal_leaves_receipt_and_report_and_then_fails(
    content: bytes, error: type[Exception], status: int, tmp_path: Path, home: Path
) -> None:
    hostile = tmp_path / "hostile"
    hostile.write_bytes(content)
    ran = scanned(hostile, tmp_path / "scan")
    assert isinstance(ran.error, error)
    assert verified(ran.root / "receipt") == status
    assert "hostile" in (ran.root / "report").read_text()
    assert not (ran.root / "executor_output.json").exists()


def test_an_artifact_that_is_not_there_fails_without_a_receipt(tmp_path: Path, home: Path) -> None:
    ran = scanned(tmp_path / "none", tmp_path / "scan")
    assert isinstance(ran.error, SubjectError)
    assert not (ran.root / "receipt").exists()


def test_a_step_without_its_options_says_which(model: Path, tmp_path: Path) -> None:
    ran = run_step("check_policy", tmp_path / "check", options={}, artifacts={"subject": model})
    assert isinstance(ran.error, UsageError)
    assert "no option 'step'" in str(ran.error)


def test_a_step_that_does_not_know_its_run_fails(model: Path, tmp_path: Path) -> None:
    ran = run_step(
        "scan_model", tmp_path / "scan", options=SCAN, artifacts={"subject": model}, run="{{$.pipeline_job_uuid}}"
    )
    assert isinstance(ran.error, UsageError)
    assert not (ran.root / "receipt").exists()


def test_a_receipt_names_the_artifact_by_its_uri_and_binds_its_bytes(model: Path, tmp_path: Path) -> None:
    uri = "minio://mlpipeline/v2/artifacts/retrain/run-1/train/model"
    receipt, report = (Artifact(uri=f"x://{name}", path=str(tmp_path / name)) for name in ("receipt", "report"))
    with Pod("retrain", "run-1", "scan-model", options=SCAN, receipt=receipt, report=report) as pod:
        assert pod.gate("artifact-scan", Artifact(uri=uri, path=str(model))) == "ALLOW"
        found = pod.runner.ledger.of_run(pod.run)
        told = pod.runner.ledger.get(found[0].receipt_id).report_document()
    assert told["subject"] == {"name": "model", "uri": uri, "digest": {"sha256": str(receipt.metadata["digest"])[7:]}}


def test_the_folder_that_a_gate_reads_beside_its_subject_is_the_artifact(model: Path, tmp_path: Path) -> None:
    ran = run_step(
        "scan_model", tmp_path / "scan", options=SCAN, artifacts={"subject": model, "accepted": tmp_path / "never"}
    )
    assert isinstance(ran.error, DeniedError | UndecidedError | SubjectError)
    assert "never" in str(ran.error) or "never" in (ran.root / "report").read_text()


def test_a_snapshot_is_a_copy_with_the_digest_that_was_named(model: Path, tmp_path: Path) -> None:
    first = run_step(
        "snapshot",
        tmp_path / "a",
        options={"digest": ""},
        artifacts={},
        parameters={"uri": str(model)},
        outputs=("data",),
    )
    assert (first.root / "data").read_bytes() == model.read_bytes()
    assert first.metadata("data") == {"digest": first.said, "source": str(model)}
    again = run_step(
        "snapshot",
        tmp_path / "b",
        options={"digest": first.said},
        artifacts={},
        parameters={"uri": str(model)},
        outputs=("data",),
    )
    assert again.said == first.said
    model.write_bytes(b"other")
    changed = run_step(
        "snapshot",
        tmp_path / "c",
        options={"digest": first.said},
        artifacts={},
        parameters={"uri": str(model)},
        outputs=("data",),
    )
    assert isinstance(changed.error, EvidenceError)
    assert not (changed.root / "data").exists()


def looked_up(guarded: pods.Pod, root: Path, requires: list[str]) -> Ran:
    return run_step(
        "verify", root, options={"requires": requires}, artifacts={"subject": guarded.data}, outputs=("receipt",)
    )


def test_receipts_that_the_ledger_has_are_brought(guarded: pods.Pod, tmp_path: Path) -> None:
    envelope = guarded.receipt("data-validation", run_id="of another run")
    ran = looked_up(guarded, tmp_path / "verify", ["data-validation"])
    assert ran.said == "ALLOW"
    assert json.loads((ran.root / "receipt").read_text()) == json.loads(envelope)
    assert verified(ran.root / "receipt") == 0


def test_a_kind_that_the_ledger_does_not_have_is_undecided(guarded: pods.Pod, tmp_path: Path) -> None:
    guarded.receipt("data-validation")
    ran = looked_up(guarded, tmp_path / "verify", ["data-validation", "data-poisoning"])
    assert isinstance(ran.error, UndecidedError)


def test_a_later_denial_takes_back_an_earlier_receipt(guarded: pods.Pod, tmp_path: Path) -> None:
    guarded.receipt("data-validation")
    guarded.receipt("data-validation", Verdict.DENY)
    ran = looked_up(guarded, tmp_path / "verify", ["data-validation"])
    assert isinstance(ran.error, DeniedError)


def test_policy_is_asked_before_anything_waits(guarded: pods.Pod, tmp_path: Path) -> None:
    options = {"step": "training", "requires": []}
    asked = {"options": options, "artifacts": {"subject": guarded.data}, "run": str(guarded.root)}
    early = run_step("check_policy", tmp_path / "early", **asked)  # type: ignore[arg-type]
    assert isinstance(early.error, GuardError)
    assert verified(early.root / "receipt") == 1
    assert "data-validation" in (early.root / "report").read_text()
    for gate in pods.GATES:
        guarded.receipt(gate)
    late = run_step("check_policy", tmp_path / "late", **asked)  # type: ignore[arg-type]
    assert late.said == "ALLOW"
    assert verified(late.root / "receipt") == 0


def trained(guarded: pods.Pod, root: Path) -> Ran:
    """A training that would leave a file beside the data if its guard opened."""
    options = {
        "command": ["python", "-c", "open('ran', 'w')"],
        "code": {"parts": [], "files": {}},
        "image_code": [],
        "requires": list(guarded.requires),
    }
    artifacts = {"data": guarded.data, **{name: guarded.root / name for name in guarded.receipts}}
    outputs = ("model", "receipt", "report")
    return run_step("secure_train", root, options=options, artifacts=artifacts, outputs=outputs, run=str(guarded.root))


def a_missing_file(pod: pods.Pod) -> None:
    (pod.root / pod.receipts[0]).unlink()


def other_bytes(pod: pods.Pod) -> None:
    pod.data.write_text("a,b\n6,6\n")


def no_receipt_at_all(pod: pods.Pod) -> None:
    pod.receipts.clear()


@pytest.mark.parametrize(
    "spoil",
    [a_missing_file, other_bytes, no_receipt_at_all],
    ids=lambda one: one.__name__.replace("_", " "),
)
def test_a_training_never_begins_on_evidence_that_does_not_hold(
    spoil: Callable[[pods.Pod], None], guarded: pods.Pod, tmp_path: Path
) -> None:
    guarded.pass_gates()
    spoil(guarded)
    ran = trained(guarded, tmp_path / "train")
    assert isinstance(ran.error, GuardError)
    assert verified(ran.root / "receipt") != 0
    assert (ran.root / "report").exists()
    assert not (ran.root / "model").exists()


def test_a_model_without_receipts_is_not_promoted(model: Path, tmp_path: Path) -> None:
    ran = run_step(
        "deploy_gate",
        tmp_path / "deploy",
        options={"requires": ["artifact-scan"]},
        artifacts={"model": model},
        parameters={"to": "registry://m/champion", "declared": {}},
    )
    assert isinstance(ran.error, GuardError)
    assert verified(ran.root / "receipt") != 0
