"""A run in the sandbox goes on from what the one before saved, and the report says from what."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import Level, Observation, OpenSubject
from interlock.training import (
    Limits,
    Safeguards,
    Sandbox,
    TrainingRun,
    run_training,
    training_observation,
    training_spec,
)
from interlock.training.checkpoints import CheckpointSafeguard, LineageKey, store

KEY = LineageKey(secret=bytes(range(32)))

# Counts instead of learning, so that the test pays for no framework.
COUNTING = """
import os, signal, sys
from interlock.training.checkpoints import SafeCheckpointer

keeper = SafeCheckpointer()
start = keeper.resume() or 0
total = keeper.values.get("total", 0)
for step in range(start + 1, 6):
    total += step
    keeper.save(step, total=total)
    if step == 3 and start == 0:
        os.kill(os.getpid(), signal.SIGKILL)
open(sys.argv[1] + "/total", "w").write(f"{start} {total}")
"""

Train = Callable[..., tuple[TrainingRun, Observation]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def train(tmp_path: Path, folder: Path, dataset: OpenSubject) -> Train:
    def run(
        source: str, sandbox: Sandbox, *, key: LineageKey = KEY, bounds: Limits | None = None
    ) -> tuple[TrainingRun, Observation]:
        script = tmp_path / "train.py"
        script.write_text(textwrap.dedent(source))
        spec = training_spec(command=["python", str(script), "{out}"])
        room = tmp_path / f"box{len(list(tmp_path.glob('box*')))}" / "out"
        with Safeguards([CheckpointSafeguard(folder, key, limits=bounds)]) as beside:
            done = run_training(spec, dataset, room, sandbox=sandbox, safeguards=beside, checkpoints=folder)
        opened = OpenSubject(subject=dataset.subject, path=room, files=())
        return done, training_observation(done, spec, opened)

    return run


def measures(seen: Observation) -> dict[str, float]:
    return {measure.name: measure.value for measure in seen.measures}


def told(seen: Observation) -> list[tuple[str, Level]]:
    return [
        (finding.rule_id.removeprefix("training.checkpoint-"), finding.level)
        for finding in seen.findings
        if finding.rule_id.startswith("training.checkpoint-")
    ]


def test_a_killed_run_is_gone_on_from_and_the_report_says_so(
    train: Train, each_sandbox: Sandbox, folder: Path, tmp_path: Path
) -> None:
    first, seen = train(COUNTING, each_sandbox)
    assert first.exit_status == 137
    assert measures(seen)["checkpoints_written"] == 3
    assert "resumed_step" not in measures(seen)

    newest = store.look(store.complete(folder)[0], KEY)
    second, seen = train(COUNTING, each_sandbox)
    assert (second.exit_status, second.problem) == (0, "")
    assert (tmp_path / "box1" / "out" / "total").read_text() == "3 15"
    found = measures(seen)
    assert (found["resumed_step"], found["checkpoints_written"], found["checkpoints"]) == (3, 2, 2)
    assert told(seen) == [("resumed", Level.NOTE)]
    assert dict(seen.facts)["training"] == f'{{"resumed_from":"{newest.digest}"}}'
    assert newest.digest in {material.digest for material in second.materials}


def _flipped(folder: Path) -> None:
    state = store.complete(folder)[0] / "state.json"
    state.write_bytes(state.read_bytes().replace(b"6", b"7"))


def _of_another_lineage(folder: Path) -> None:
    from interlock.training.checkpoints import SafeCheckpointer

    SafeCheckpointer(folder, key=LineageKey(secret=bytes(32))).save(4, total=1000)


def test_a_checkpoint_of_this_run_that_does_not_hold_is_an_error(train: Train, bwrap: Sandbox) -> None:
    spoiled = COUNTING.replace(
        "open(sys.argv[1]", 'open(f"{keeper.latest().place}/manifest.json", "a").write(" ")\nopen(sys.argv[1]'
    )
    train(COUNTING, bwrap)
    _, seen = train(spoiled, bwrap)
    assert ("damaged", Level.ERROR) in told(seen)


@pytest.mark.parametrize("damage", [_flipped, _of_another_lineage], ids=["changed", "signed by another lineage"])
def test_a_checkpoint_that_somebody_changed_is_not_gone_on_from(
    train: Train, bwrap: Sandbox, folder: Path, damage: Callable[[Path], None]
) -> None:
    train(COUNTING, bwrap)
    damage(folder)
    refused, seen = train(COUNTING, bwrap)
    assert refused.exit_status == 1
    assert store.complete(folder)[0].name in refused.log_tail
    assert ("damaged", Level.WARNING) in told(seen)

    allowed, seen = train(COUNTING.replace("resume()", "resume(allow_previous=True)"), bwrap)
    assert allowed.exit_status == 0
    assert ("resumed", Level.WARNING) in told(seen)


def test_what_the_job_says_of_a_checkpoint_that_nobody_signed_counts_for_nothing(train: Train, bwrap: Sandbox) -> None:
    source = """
        import sys
        from interlock.training.events import tell
        tell("resumed", digest="0" * 64, step=7)
        open(sys.argv[1] + "/model", "w").write("m")
    """
    done, seen = train(source, bwrap)
    assert told(seen) == [("unknown", Level.ERROR)]
    assert len(done.materials) == 2
    assert "resumed_step" not in measures(seen)


def test_checkpoints_past_their_limit_end_the_run(train: Train, each_sandbox: Sandbox) -> None:
    source = """
        import os, time
        open(os.environ["INTERLOCK_CHECKPOINTS"] + "/large", "wb").truncate(1 << 30)
        time.sleep(30)
    """
    done, _ = train(source, each_sandbox, bounds=Limits(output_bytes=1 << 20))
    assert done.stop is not None
    assert done.stop.rule == "checkpoint-limit"


def test_workers_of_a_launcher_that_closes_descriptors_find_the_key(train: Train, bwrap: Sandbox, folder: Path) -> None:
    source = """
        import subprocess, sys
        work = "from interlock.training.checkpoints import SafeCheckpointer; SafeCheckpointer().save(1, x=1)"
        subprocess.run([sys.executable, "-c", work], check=True, close_fds=True)
        open(sys.argv[1] + "/model", "w").write("m")
    """
    done, seen = train(source, bwrap)
    assert done.exit_status == 0, done.log_tail
    assert measures(seen)["checkpoints"] == 1


def test_nothing_of_the_key_is_left_where_the_job_could_have_put_it(train: Train, bwrap: Sandbox, folder: Path) -> None:
    done, seen = train(COUNTING, bwrap)
    written: list[Any] = [done.environment, done.argv, seen.facts, done.parts, done.log_tail]
    assert KEY.secret.hex() not in repr(written)
    assert repr(KEY.secret) not in repr(written)
    assert all(KEY.secret not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
