"""A training that dies is started again from what it left, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.gate import OpenSubject
from interlock.training import Limits, Safeguards, Sandbox, TrainingRun, run_training, training_spec
from interlock.training.checkpoints import LineageKey
from interlock.training.checkpoints.safeguard import CheckpointSafeguard

KEY = LineageKey(secret=bytes(32))

COUNTS = """
import os, sys, time
from interlock.training import SafeCheckpointer
checkpointer = SafeCheckpointer()
counter = {"total": 0}
step = checkpointer.resume() or 0
total = checkpointer.values.get("total", 0)
open(sys.argv[2] + f"/began-at-{step}", "w").close()
while step < 6:
    step += 1
    total += step
    checkpointer.save(step, total=total)
    DIE
open(sys.argv[2] + "/total", "w").write(str(total))
"""


def ran(
    source: str, dataset: OpenSubject, tmp_path: Path, sandbox: Sandbox, *, restarts: int, wall: float = 60.0
) -> TrainingRun:
    script, folder = tmp_path / "train.py", tmp_path / "checkpoints"
    script.write_text(source)
    spec = training_spec(command=["python", str(script), "{data}", "{out}"], limits=Limits(wall_seconds=wall))
    with Safeguards([CheckpointSafeguard(folder, KEY, restarts=restarts)]) as beside:
        return run_training(
            spec, dataset, tmp_path / "box" / "out", sandbox=sandbox, safeguards=beside, checkpoints=folder
        )


def part(run: TrainingRun) -> tuple[dict[str, float], set[str], list[dict[str, object]]]:
    (found,) = (part for name, part in run.parts if name == "checkpoints")
    measures = {measure.name: measure.value for measure in found.measures}
    invocations = found.configuration["invocations"]
    assert isinstance(invocations, list)
    return measures, {finding.rule_id for finding in found.findings}, invocations


@pytest.mark.parametrize("die", ["if step == 3: os._exit(7)", "if step == 3: os.kill(os.getpid(), 9)"])
def test_one_that_died_goes_on_where_it_was(
    die: str, dataset: OpenSubject, tmp_path: Path, each_sandbox: Sandbox
) -> None:
    run = ran(COUNTS.replace("DIE", die), dataset, tmp_path, each_sandbox, restarts=2)
    assert run.exit_status == 0, run.log_tail
    out = tmp_path / "box" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["began-at-3", "total"]
    assert (out / "total").read_text() == "21"
    measures, rules, invocations = part(run)
    assert measures["started_again"] == 1
    assert "training.checkpoint-restarted" in rules
    assert "training.checkpoint-unknown" not in rules
    assert [bool(one["continues"]) for one in invocations] == [False, True]
    assert not any(material.name.startswith("checkpoint") for material in run.materials)


def test_one_that_dies_too_often_has_failed(dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox) -> None:
    run = ran(COUNTS.replace("DIE", "os._exit(7)"), dataset, tmp_path, bwrap, restarts=2)
    assert run.exit_status == 7
    measures, _, invocations = part(run)
    assert measures["started_again"] == 2
    assert [one["exit_status"] for one in invocations] == [7, 7, 7]
    assert run.output == ()


def test_one_that_makes_no_progress_is_not_started_again(dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox) -> None:
    stuck = COUNTS.replace("while step", "if step: os._exit(9)\nwhile step").replace("DIE", "os._exit(7)")
    run = ran(stuck, dataset, tmp_path, bwrap, restarts=5)
    assert [one["exit_status"] for one in part(run)[2]] == [7, 9]


def test_one_that_never_saved_is_not_started_again(dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox) -> None:
    run = ran("raise SystemExit(5)", dataset, tmp_path, bwrap, restarts=3)
    assert [one["exit_status"] for one in part(run)[2]] == [5]


def test_a_limit_is_no_death(dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox) -> None:
    run = ran(COUNTS.replace("DIE", "time.sleep(60)"), dataset, tmp_path, bwrap, restarts=5, wall=2)
    assert run.timed_out
    assert len(part(run)[2]) == 1


def test_all_runs_together_have_one_wall_clock(dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox) -> None:
    dies = COUNTS.replace("DIE", "time.sleep(1.2); os._exit(7)")
    run = ran(dies, dataset, tmp_path, bwrap, restarts=50, wall=4)
    assert run.failed
    assert len(part(run)[2]) < 6


def test_one_that_goes_on_from_another_checkpoint_than_it_left_is_ended(
    dataset: OpenSubject, tmp_path: Path, bwrap: Sandbox
) -> None:
    lies = "if step == 2: os._exit(7)\n    tell('resumed', digest='0' * 64); time.sleep(0.3)"
    source = COUNTS.replace("DIE", lies).replace("import SafeCheckpointer", "import SafeCheckpointer, tell")
    alone = source.replace("checkpointer.resume() or 0", "2 if os.listdir(os.environ['INTERLOCK_CHECKPOINTS']) else 0")
    run = ran(alone, dataset, tmp_path, bwrap, restarts=2)
    assert run.stop is not None
    assert run.stop.rule == "checkpoint-unknown"
