"""Quarantine through the runner: what is written, what is not, and whose child the cleaned snapshot is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import badnets, digits, square
from tests.poisoning.conftest import columns

from interlock.evidence import Receipt, verify_receipt
from interlock.gate import (
    GateOutcome,
    GuardError,
    Json,
    RunIdentity,
    Settings,
    UnavailableError,
    UsageError,
    Verdict,
    Written,
    utc_now,
)
from interlock.poisoning import quarantine
from interlock.runner import GateRequest, GuardRequest, LocalRunner

DATA = badnets(digits(), square(3, 16), rate=0.03, target=0, top=5, left=5, seed=0)
RUN = RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id="poisoning")


@pytest.fixture
def runner(home: Path) -> Iterator[LocalRunner]:
    with LocalRunner(Settings.load()) as opened:
        yield opened


@pytest.fixture
def poisoned(write: Callable[..., Path]) -> Path:
    return write(DATA)


def scan(runner: LocalRunner, subject: Path, **outputs: Path) -> GateOutcome:
    places = {name: str(place) for name, place in outputs.items()}
    options: dict[str, Json] = {"label": "label", "image_shape": [8, 8]}
    request = GateRequest(kind="data-poisoning", subject=str(subject), options=options, outputs=places, run=RUN)
    return runner.run_gate(request)


def written(outcome: GateOutcome, name: str) -> Written:
    return next(one for one in outcome.written if one.name == name)


def receipt_of(runner: LocalRunner, receipt_id: str) -> Receipt:
    return verify_receipt(runner.ledger.get(receipt_id).envelope, runner.keyring, now=utc_now())


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "quarantine" in path.name]


@dataclass(frozen=True)
class Done:
    """One scan with both outputs."""

    runner: LocalRunner
    outcome: GateOutcome
    subject: Path
    flagged: Path
    clean: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    root = tmp_path_factory.mktemp("quarantine")
    subject, flagged, clean = root / "train.parquet", root / "new" / "flagged.parquet", root / "new" / "clean"
    pq.write_table(pa.table(columns(DATA)), subject, 500)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
            patch.delenv(name)
        patch.setenv("INTERLOCK_HOME", str(root / "home"))
        patch.setenv("INTERLOCK_PROFILE", "dev")
        with LocalRunner(Settings.load()) as opened:
            outcome = scan(opened, subject, flagged=flagged, clean_out=clean)
            yield Done(runner=opened, outcome=outcome, subject=subject, flagged=flagged, clean=clean)


def test_the_flagged_rows_say_who_flags_them_how_surely_and_why(done: Done) -> None:
    outcome, flagged = done.outcome, done.flagged
    assert outcome.decision.verdict is Verdict.DENY
    table = pq.read_table(flagged)
    about = json.loads(table.schema.metadata[b"interlock"])
    assert about["subject"] == outcome.report.subject.digest
    assert about["receipt"] == outcome.recorded.receipt_id
    trigger = [row for row in table.to_pylist() if row["rule"] == "repeated-pattern"]
    assert {row["row"] for row in trigger} >= set(DATA.poisoned.tolist())
    first = trigger[0]
    assert first["detector"] == "pattern"
    assert first["class"] == "0"
    assert first["file"] == "train.parquet"
    assert first["file_row"] == first["row"]
    assert first["p"] == pytest.approx(10 ** -first["decades"])
    assert first["p"] < 1e-3
    assert first["score"] == 1
    assert first["id"] is None
    assert "3x3 pattern" in first["reason"]
    assert written(outcome, "flagged").place == str(flagged)
    rows = table.column("row").to_pylist()
    assert rows == sorted(rows)
    measures = {measure.name: measure.value for measure in outcome.report.observation.measures}
    assert len(set(rows)) == measures["flagged_rows"]


def test_the_cleaned_snapshot_is_the_rest_and_its_receipt_names_its_parent(done: Done) -> None:
    runner, outcome, clean = done.runner, done.outcome, done.clean
    gone = set(pq.read_table(done.flagged).column("row").to_pylist())
    kept = pq.read_table(clean / "train.parquet")
    rest = [row for row in range(len(DATA.labels)) if row not in gone]
    assert kept.equals(pq.read_table(done.subject).take(rest), check_metadata=True)
    child = written(outcome, "clean_out")
    assert child.subject is not None
    assert child.subject.digest == runner.snapshot(str(clean)).subject.digest
    receipt = receipt_of(runner, child.receipt_id)
    assert receipt.subject == child.subject
    assert receipt.verdict is Verdict.UNDECIDED
    assert [material.digest for material in receipt.materials] == [outcome.report.subject.digest]
    assert [one.receipt_id for one in receipt.inputs] == [outcome.recorded.receipt_id]
    configuration: Any = runner.ledger.get(child.receipt_id).report_document()["configuration"]
    assert configuration["parent"]["digest"]["sha256"] == outcome.report.subject.digest
    assert configuration["rows_left_out"] == len(gone)
    runner.ledger.verify()


def test_a_cleaned_snapshot_opens_no_guard_until_it_passed_the_gate_itself(done: Done) -> None:
    runner, clean = done.runner, done.clean
    assert "has passed no gate" in written(done.outcome, "clean_out").note
    guard = GuardRequest(kind="training", subject=str(clean), requires=("data-poisoning",), run=RUN)
    shut = refusal(runner, guard)
    assert "nobody has looked at these bytes yet" in shut
    assert "no data-poisoning receipt opens" in shut
    assert scan(runner, clean).decision.verdict is Verdict.ALLOW
    assert "no data-poisoning receipt opens" not in refusal(runner, guard)


def refusal(runner: LocalRunner, guard: GuardRequest) -> str:
    """Everything that the guard says against opening; it always lacks the validation here."""
    with pytest.raises(GuardError, match="data-validation") as refused, runner.open_guard(guard):
        pass
    return runner.ledger.get(refused.value.receipt_id).report or ""


def test_nothing_flagged_gives_the_same_bytes_and_no_receipt_against_them(
    runner: LocalRunner, tmp_path: Path, write: Callable[..., Path]
) -> None:
    folder = write(digits(), "d/train.parquet").parent
    outcome = scan(runner, folder, flagged=tmp_path / "f.parquet", clean_out=tmp_path / "clean")
    assert outcome.decision.verdict is Verdict.ALLOW
    assert pq.read_table(tmp_path / "f.parquet").num_rows == 0
    child = written(outcome, "clean_out")
    assert child.subject is not None
    assert child.subject.digest == outcome.report.subject.digest
    assert child.receipt_id == ""


def test_a_scan_that_could_not_look_leaves_nothing(runner: LocalRunner, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.csv").write_text("x,label\n1,u\n2,u\n")
    outcome = scan(runner, tmp_path / "d", flagged=tmp_path / "f.parquet", clean_out=tmp_path / "clean")
    assert outcome.decision.verdict is not Verdict.ALLOW
    assert all("not written" in one.note and not one.place for one in outcome.written)
    assert len(outcome.written) == 2
    assert not (tmp_path / "f.parquet").exists()
    assert not (tmp_path / "clean").exists()


def test_a_part_that_nobody_read_keeps_everything_from_being_written(
    runner: LocalRunner, tmp_path: Path, write: Callable[..., Path]
) -> None:
    folder = write(DATA, "d/train.parquet").parent
    (folder / "more.bin").write_bytes(b"who knows")
    outcome = scan(runner, folder, clean_out=tmp_path / "clean")
    assert outcome.decision.verdict is Verdict.DENY
    assert "not everything could be looked at" in written(outcome, "clean_out").note
    assert not (tmp_path / "clean").exists()


@pytest.mark.parametrize("name", ["flagged", "clean_out"])
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_a_place_that_is_taken_is_refused_before_the_scan(
    runner: LocalRunner, tmp_path: Path, name: str, kind: str
) -> None:
    place = tmp_path / "taken"
    make: dict[str, Callable[[], None]] = {
        "file": place.touch,
        "folder": place.mkdir,
        "link": lambda: place.symlink_to("nowhere"),
    }
    make[kind]()
    with pytest.raises(UsageError, match="something is there already"):
        scan(runner, tmp_path / "never opened", **{name: place})


def test_a_place_that_is_taken_meanwhile_keeps_what_it_has(tmp_path: Path) -> None:
    place = tmp_path / "clean"
    places = quarantine.Places.of({"clean_out": str(place)})
    place.mkdir()
    (place / "mine").touch()
    assert places.clean_out is not None
    with pytest.raises(UsageError, match="something is there already"), quarantine._appearing(place) as staged:
        staged.mkdir()
    assert [file.name for file in place.iterdir()] == ["mine"]
    assert not leftovers(tmp_path)


def test_a_place_behind_a_link_to_a_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "lake").symlink_to("disk")
    with quarantine._appearing(tmp_path / "lake" / "clean") as staged:
        staged.mkdir()
    assert (tmp_path / "disk" / "clean").is_dir()


@pytest.mark.parametrize("place", ["s3://lake/clean", "/"])
def test_only_a_named_place_of_this_machine_is_written(place: str) -> None:
    with pytest.raises(UsageError, match="clean_out"):
        quarantine.Places.of({"clean_out": place})


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(UsageError, match="no output 'cleaned'"):
        quarantine.Places.of({"cleaned": "x"})


def test_a_gate_that_leaves_nothing_refuses_outputs(runner: LocalRunner, poisoned: Path, tmp_path: Path) -> None:
    outputs = {"flagged": str(tmp_path / "f")}
    with pytest.raises(UsageError, match="artifact-scan leaves nothing behind"):
        runner.run_gate(GateRequest(kind="artifact-scan", subject=str(poisoned), outputs=outputs, run=RUN))


def test_a_full_disk_leaves_the_receipt_and_nothing_else(
    runner: LocalRunner, poisoned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quarantine, "write_cleaned", full)
    with pytest.raises(UnavailableError, match="No space left"):
        scan(runner, poisoned, clean_out=tmp_path / "clean")
    assert not (tmp_path / "clean").exists()
    assert not leftovers(tmp_path)
    assert [receipt_of(runner, entry.receipt_id).gate for entry in runner.ledger.entries()] == ["data-poisoning"]


KILLED = """
import os, signal, sys
from pathlib import Path
from interlock.poisoning import quarantine
target = Path(sys.argv[1])
with quarantine._appearing(target) as staged:
    staged.mkdir()
    (staged / "rows.csv").write_text("half")
    print("written", flush=True)
    signal.pause()
"""


def test_a_kill_between_write_and_rename_leaves_nothing_and_the_next_run_sweeps(tmp_path: Path) -> None:
    target = tmp_path / "clean"
    code = textwrap.dedent(KILLED)
    with subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    assert leftovers(tmp_path)
    with quarantine._appearing(target) as staged:
        staged.mkdir()
    assert target.is_dir()
    assert not leftovers(tmp_path)


def test_the_command_line_says_what_it_wrote_and_that_it_is_not_allowed_yet(
    home: Path, poisoned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from interlock.cli import main

    places = ["--flagged", str(tmp_path / "f.parquet"), "--clean-out", str(tmp_path / "clean")]
    asked = ["gate", "data-poisoning", str(poisoned), "--label", "label", "--image-shape", "8x8", "--format", "json"]
    with pytest.raises(SystemExit, match="1"):
        main([*asked, *places])
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert f"flagged: {tmp_path / 'f.parquet'}" in told.err
    assert "it has passed no gate: run data-poisoning on it" in told.err
    with pytest.raises(SystemExit, match="2"):
        main([*asked, *places])
    assert "something is there already" in capsys.readouterr().err


def test_the_operator_hands_on_where_the_outputs_go() -> None:
    pytest.importorskip("airflow")
    from interlock.airflow import ScanPoisoningOperator

    operator = ScanPoisoningOperator(task_id="p", subject="d", label="y", clean_out="clean/{{ ds }}")
    assert operator.gate_outputs() == {"clean_out": "clean/{{ ds }}"}
    assert "clean_out" not in operator.gate_options()
