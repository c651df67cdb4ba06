"""The keeper leaves nothing behind: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.airflow.stack import KEEPER

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="orphans are found through /proc and prctl")

STUBBORN = "import signal, time\nfor s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
NOTE = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\n"
SLEEP = "import time; time.sleep(60)\n"


def keep(program: str, note: Path, *, grace: float = 5.0, parent: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", str(KEEPER), str(parent or os.getpid()), str(grace)]
    return subprocess.Popen([*command, sys.executable, "-c", program, str(note)], start_new_session=True)


def until(reached: Callable[[], bool]) -> None:
    for _ in range(400):
        if reached():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def noted(note: Path) -> list[int]:
    return [int(line) for line in note.read_text().split()] if note.exists() else []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def starting_children(*bodies: str) -> str:
    """A program that notes itself and starts one noted child for each body, each in a session of its own."""
    lines = [NOTE, "import subprocess, sys"]
    lines += [
        f"subprocess.Popen([sys.executable, '-c', {NOTE + body!r}, sys.argv[1]], start_new_session=True)"
        for body in bodies
    ]
    return "\n".join(lines) + "\n"


def test_the_status_of_the_command_is_passed_on(tmp_path: Path) -> None:
    assert keep("raise SystemExit(7)", tmp_path / "n").wait(10) == 7
    assert keep("import os; os.kill(os.getpid(), 9)", tmp_path / "n").wait(10) == 137


def test_a_command_that_is_not_there_is_told() -> None:
    command = [sys.executable, "-I", str(KEEPER), str(os.getpid()), "1", "/nowhere/at/all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "cannot run /nowhere/at/all" in done.stderr


def test_children_in_sessions_of_their_own_end_with_the_command(tmp_path: Path) -> None:
    note = tmp_path / "note"
    keeper = keep(starting_children(SLEEP, SLEEP) + SLEEP, note)
    until(lambda: len(noted(note)) == 3)
    keeper.terminate()
    keeper.wait(20)
    assert not [pid for pid in noted(note) if alive(pid)]


def test_orphans_end_when_the_command_ends_by_itself(tmp_path: Path) -> None:
    note = tmp_path / "note"
    keeper = keep(starting_children(SLEEP) + "import time; time.sleep(1)", note)
    until(lambda: len(noted(note)) == 2)
    assert keeper.wait(20) == 0
    assert not [pid for pid in noted(note) if alive(pid)]


def test_what_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    note = tmp_path / "note"
    keeper = keep(starting_children(STUBBORN + SLEEP) + STUBBORN + SLEEP, note, grace=1.0)
    until(lambda: len(noted(note)) == 2)
    time.sleep(0.3)  # so that the signals are ignored by now
    keeper.terminate()
    assert keeper.wait(20) == 137
    assert not [pid for pid in noted(note) if alive(pid)]


def test_all_end_when_whoever_started_the_keeper_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    program = starting_children(SLEEP) + SLEEP
    parent = (
        "import os, subprocess, sys, time\n"
        f"command = [sys.executable, '-I', {str(KEEPER)!r}, str(os.getpid()), '5', sys.executable, '-c', {program!r}]\n"
        f"subprocess.Popen([*command, {str(note)!r}], start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    until(lambda: len(noted(note)) == 2)
    process.kill()
    process.wait()
    until(lambda: not [pid for pid in noted(note) if alive(pid)])


def test_the_command_ends_when_its_keeper_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "note"
    keeper = keep(NOTE + SLEEP, note)
    until(lambda: len(noted(note)) == 1)
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait()
    until(lambda: not alive(noted(note)[0]))
