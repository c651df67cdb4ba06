"""The step as a child of its guard: it gets the signals, and its end is the guard's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interlock.kubeflow.child import run_child

GUARD = "import sys; from interlock.kubeflow.child import run_child; sys.exit(run_child(sys.argv[1:]))"
STEP = (
    "import signal, sys\n"
    "def stop(number, frame):\n    sys.exit(number + 40)\n"
    "for number in map(int, sys.argv[1:]):\n    signal.signal(number, stop)\n"
    "print('ready', flush=True)\nsignal.pause()\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_the_step_gets_the_signals_of_the_guard(number: signal.Signals) -> None:
    words = [sys.executable, "-c", GUARD, sys.executable, "-c", STEP, str(int(number))]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as guard:
        assert guard.stdout is not None
        assert guard.stdout.readline() == b"ready\n"
        guard.send_signal(number)
        assert guard.wait() == number + 40


def test_a_step_that_a_signal_ended_ends_as_in_a_shell() -> None:
    assert run_child(["sh", "-c", "kill -9 $$"]) == 128 + 9


def test_handlers_are_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run_child(["true"]) == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_step_that_cannot_be_started_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no program")
    assert run_child([str(tmp_path / "text")]) == 126
    assert run_child(["no-such-trainer"]) == 127
    told = capfd.readouterr().err
    assert "cannot be started: Permission denied" in told
    assert "no-such-trainer is not in this image" in told
