"""Runs the demo: the example compiled once, three runs of it at once under `kfp.local`, a table, one HTML page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from interlock.demo import (
    DemoEvidence,
    DemoResult,
    Ended,
    RunSeen,
    StepEnd,
    Steps,
    conclude,
    isolation_line,
    scenarios_of,
)
from interlock.gate import MissingExtraError, Settings, UnavailableError, UsageError
from interlock.kubeflow.local_run import RunEnd, TaskEnd, run_locally

EXAMPLE = "gated_retraining.py"
STEPS = Steps(
    collect="collect",
    validate="validate-data",
    poisoning="scan-poisoning",
    train="secure-train",
    scan="scan-model",
    others="others",
    promote="deploy-gate",
)
SCENARIOS = scenarios_of(STEPS)

Progress = Callable[[str], None]


def run_demo(home: Path, pipelines: Path, *, say: Progress) -> DemoResult:
    """Run all scenarios and write the report.

    Args:
        home: Folder for everything that the demo makes; the next run takes away this one's artifacts, not its ledger.
        pipelines: Folder with ``gated_retraining.py``.
        say: Gets one line of progress at a time.

    Raises:
        UsageError: The folder of examples is not there.
        UnavailableError: The example does not compile.
        MissingExtraError: kfp is not installed.
    """
    started = time.monotonic()
    home, example = home.absolute(), pipelines.absolute() / EXAMPLE
    if not example.is_file():
        raise UsageError(
            f"{EXAMPLE} is not there", where=str(pipelines), next_step="run from a checkout, or give --dags FOLDER"
        )
    if find_spec("kfp") is None:
        raise MissingExtraError("kfp", extra="kubeflow")
    shutil.rmtree(home / "runs", ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    environment = os.environ | _environment(home)
    say(isolation_line())
    compiled = _compiled(example, home / "pipeline.yaml", environment)
    say(f"three runs of {compiled} under kfp.local, offline")
    ends = _run_all(compiled, home / "runs", environment, say)
    evidence = DemoEvidence(Settings.load(environment))
    return conclude(
        evidence,
        SCENARIOS,
        {name: _seen(end, evidence) for name, end in ends.items()},
        title="Interlock demo: three retrainings in Kubeflow Pipelines",
        page=home / "report.html",
        started=started,
    )


def _environment(home: Path) -> dict[str, str]:
    """What the demo's steps get on top of the caller's environment: all that they keep stays under `home`."""
    return {"INTERLOCK_HOME": str(home / "interlock"), "INTERLOCK_PROFILE": "dev", "OMP_NUM_THREADS": "1"}


def _compiled(example: Path, target: Path, environment: Mapping[str, str]) -> Path:
    """Compile the example as its reader would."""
    done = subprocess.run(
        [sys.executable, str(example), str(target)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UnavailableError(f"{example} does not compile: {done.stderr.strip()}")
    return target


def _run_all(pipeline: Path, runs: Path, environment: Mapping[str, str], say: Progress) -> dict[str, RunEnd]:
    """All scenarios at once, each in a folder of its own."""
    ended: SimpleQueue[tuple[str, RunEnd | BaseException]] = SimpleQueue()

    def run(scenario: str) -> None:
        try:
            end = run_locally(
                pipeline,
                runs / scenario,
                {"scenario": scenario},
                environment=environment,
                on_end=partial(_tell, scenario, say),
            )
        except BaseException as error:  # noqa: BLE001 (raised again, where somebody waits for it)
            ended.put((scenario, error))
        else:
            ended.put((scenario, end))

    for scenario in SCENARIOS:
        Thread(target=run, args=(scenario.name,), daemon=True).start()  # Ctrl-C waits for none of them
    found: dict[str, RunEnd] = {}
    while len(found) < len(SCENARIOS):
        name, end = ended.get()
        if isinstance(end, BaseException):
            raise end
        found[name] = end
    return found


def _tell(scenario: str, say: Progress, task: TaskEnd) -> None:
    say(f"{scenario:9} {task.name:14} {'success' if task.succeeded else 'failed':16} {task.seconds:.1f} s")


def _seen(run: RunEnd, evidence: DemoEvidence) -> RunSeen:
    """What one run came to: which tasks kfp started, and under which name its receipts stand in the ledger."""
    by_name = {task.name: task for task in run.tasks}
    order = (*STEPS.order, *sorted(set(by_name) - set(STEPS.order)))
    return RunSeen(
        run_id=evidence.run_id_of(run.root.rglob("receipt")),
        ends=tuple(_end(step, by_name.get(step)) for step in order),
        has_model=any(run.root.rglob("model.safetensors")),
    )


def _end(step: str, task: TaskEnd | None) -> StepEnd:
    if task is None:
        return StepEnd(step=step, ended=Ended.NOT_STARTED)
    return StepEnd(step=step, ended=Ended.SUCCESS if task.succeeded else Ended.FAILED, seconds=task.seconds)
