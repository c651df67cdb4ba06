"""A pipeline on this machine: what its log tells of tasks, and that nothing outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from interlock.gate import UnavailableError, UsageError
from interlock.kubeflow.demo import run_demo
from interlock.kubeflow.local_run import _ends

CYAN, GREEN, RED, RESET = "\x1b[96m", "\x1b[92m", "\x1b[91m", "\x1b[0m"


def began(name: str) -> str:
    return f"01:28:13.627 - INFO - Executing task {CYAN}'{name}'{RESET}\n"


def ended(name: str, status: str) -> str:
    colour, level = (GREEN, "INFO") if status == "SUCCESS" else (RED, "ERROR")
    return f"01:28:13.728 - {level} - Task {CYAN}'{name}'{RESET} finished with status {colour}{status}{RESET}\n"


def told(*lines: str) -> dict[str, bool]:
    return {task.name: task.succeeded for task in _ends(iter(lines))}


def test_a_log_tells_how_tasks_ended() -> None:
    lines = (began("a"), ended("a", "SUCCESS"), began("b"), ended("b", "FAILURE"))
    assert told(*lines) == {"a": True, "b": False}


def test_a_task_that_the_log_leaves_open_has_failed() -> None:
    assert told(began("a")) == {"a": False}


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((f"    {began('a')}", f"    {ended('a', 'SUCCESS')}"), id="printed-by-a-task"),
        pytest.param((ended("a", "SUCCESS"),), id="never-begun"),
        pytest.param(("01:28:13.728 - INFO - Pipeline 'a' finished with status SUCCESS\n",), id="a-pipeline"),
    ],
)
def test_nothing_else_in_a_log_is_a_task(lines: tuple[str, ...]) -> None:
    assert told(*lines) == {}


def test_a_demo_without_its_example_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gated_retraining"):
        run_demo(tmp_path / "home", tmp_path, say=lambda _: None)


def test_an_example_that_does_not_compile_ends_the_demo_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "gated_retraining.py").write_text("raise SystemExit('not gated')\n")
    with pytest.raises(UnavailableError, match="not gated"):
        run_demo(tmp_path / "home", tmp_path, say=lambda _: None)
    assert not (tmp_path / "home" / "runs").exists()


STARTED_BY_HAND = """
import sys
from pathlib import Path
from kfp import compiler, dsl
from interlock.kubeflow.local_run import run_locally

@dsl.component(base_image="python@sha256:0", install_kfp_package=False)
def wait(mark: str) -> None:
    import os, pathlib, time
    pathlib.Path(mark).write_text(str(os.getpid()))
    time.sleep(600)

@dsl.pipeline(name="waiting")
def waiting(mark: str) -> None:
    wait(mark=mark)

folder = Path(sys.argv[1])
compiler.Compiler().compile(waiting, str(folder / "p.yaml"))
run_locally(folder / "p.yaml", folder / "run", {"mark": str(folder / "pid")})
"""


PATIENCE = 1200
"""Looks, 0.05 s apart, before a test gives up."""


@pytest.mark.slow
def test_no_step_outlives_a_killed_run(tmp_path: Path) -> None:
    script, mark = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(STARTED_BY_HAND)
    starter = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    try:
        for _ in range(PATIENCE):
            if mark.exists() and mark.read_text():
                break
            assert starter.poll() is None
            time.sleep(0.05)
    finally:
        starter.kill()
        starter.wait()
    step = int(mark.read_text())
    try:
        for _ in range(PATIENCE):
            if not is_alive(step):
                break
            time.sleep(0.05)
        assert not is_alive(step)
    finally:
        if is_alive(step):
            os.kill(step, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
