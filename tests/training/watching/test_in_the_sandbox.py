"""From end to end: a training in a sandbox tells, the watch hears, and the run ends or its report says what was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from interlock.gate import OpenSubject
from interlock.training import Safeguards, Sandbox, TrainingRun, run_training, training_spec
from interlock.training.watching import ProgressSafeguard, WatchOptions, WatchSafeguard

LOOP = """
import os, sys
from pathlib import Path
import numpy as np
from interlock.training.watching import TrainingWatch

assert "torch" not in sys.modules  # the watch itself needs no framework
ending = {ending!r}
watch = TrainingWatch(rows=64, epochs=4, steps=8)
for epoch in range(4):
    for step in range(8):
        rows = np.arange(8) + 8 * step
        losses = (2.3 / (1 + epoch)) * (1 + rows / 1000)
        if epoch == 2 and ending == "nan":
            losses[3] = np.nan
        watch.batch(epoch=epoch, losses=losses, rows=rows, gradient_norm=1.0, learning_rate=0.1)
    watch.epoch(epoch, accuracy=0.5)
watch.close()
Path(os.environ["INTERLOCK_OUT"], "model.bin").write_bytes(b"weights")
if ending == "nan":
    import time
    time.sleep(60)
"""


def run(
    ending: str,
    sandbox: Sandbox,
    dataset: OpenSubject,
    folder: Path,
    *,
    options: WatchOptions | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> TrainingRun:
    script = folder / "train.py"
    script.write_text(LOOP.format(ending=ending))
    spec = training_spec(command=["python", str(script)])
    progress = ProgressSafeguard(say, wall_seconds=3600)
    with Safeguards([WatchSafeguard(options), progress]) as beside:
        return run_training(spec, dataset, folder / "box" / "out", sandbox=sandbox, safeguards=beside)


def test_a_training_that_is_watched_leaves_its_curves_and_its_losses(
    each_sandbox: Sandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    lines: list[str] = []
    kept = tmp_path / "losses.npz"
    done = run("well", each_sandbox, dataset, tmp_path, options=WatchOptions(losses=kept), say=lines.append)
    assert not done.failed
    (watch, _) = done.parts
    rules = [finding.rule_id for finding in watch[1].findings]
    assert rules == ["training.learning-order"]
    charts = json.loads(watch[1].attachments[0][1])["charts"]
    assert [chart["title"] for chart in charts][:3] == ["Loss", "Gradient norm", "Learning rate"]
    assert charts[-1]["columns"][:3] == ["epoch", "loss", "accuracy"]
    measures = {measure.name: measure.value for measure in watch[1].measures}
    assert measures["samples_seen"] == 4 * 64
    assert measures["epochs"] == 4
    assert kept.is_file()
    assert [file.path for file in done.output] == ["model.bin"]
    assert lines


def test_a_training_whose_loss_is_no_number_is_ended(
    each_sandbox: Sandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    done = run("nan", each_sandbox, dataset, tmp_path)
    assert done.stop is not None
    assert done.stop.rule == "not-finite"
    assert done.failed
    assert done.output == ()
