"""The demo whole, on a real Airflow: it ends as it should, and survives kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from interlock.evidence import Ledger

DAGS = Path(__file__).parents[2] / "dags_examples" / "airflow"


@contextmanager
def demo(home: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo as a person starts it, in a process group of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "INTERLOCK_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "interlock.cli.app", "demo", "--home", str(home), "--dags", str(DAGS)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.slow
@pytest.mark.stack
def test_the_demo_ends_as_it_should_and_again_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    ledger = tmp_path / "interlock" / "ledger.db"
    moment = random.Random(os.environ.get("INTERLOCK_TEST_SEED", "7"))
    for marker in ("three runs", "poisoning"):
        with demo(tmp_path) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if marker in line:
                    break
            time.sleep(moment.uniform(0.0, 3.0))
            victims = _processes_below(process.pid)
            for victim in moment.sample(victims, k=min(len(victims), 3)):
                _kill(victim)
            os.killpg(process.pid, signal.SIGKILL)
        if ledger.exists():
            Ledger.open(f"sqlite:///{ledger}").verify()
    with demo(tmp_path) as process:
        said, _ = process.communicate(timeout=900)
    assert process.returncode == 0, said
    assert "all three ended as they should" in said
    Ledger.open(f"sqlite:///{ledger}").verify()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Repeated pattern" in page
    assert "data:image/png;base64," in page
    champion = json.loads((tmp_path / "interlock/registry/digits/aliases/champion.json").read_text(encoding="utf-8"))
    assert champion


def _processes_below(pid: int) -> list[int]:
    """All descendants of `pid`, from /proc."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
    found, frontier = [], {pid}
    while frontier:
        frontier = {child for child, parent in parents.items() if parent in frontier}
        found += sorted(frontier)
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
