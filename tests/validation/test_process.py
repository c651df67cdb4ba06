"""How the gate behaves as a guest: in a process it does not own, after a fork, on threads, at a terminal."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pty
import socket
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

import interlock.validation
from interlock.gate import Json
from interlock.validation import FrameOpener, Silent, ValidationGate
from interlock.validation.progress import terminal_progress

SUITE: dict[str, Json] = {
    "name": "s",
    "expectations": [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "a"}}],
}
FRAME = pd.DataFrame({"a": [1.0, None, 3.0]})


def rules() -> list[str]:
    with FrameOpener(FRAME).open("frame") as opened:
        seen = ValidationGate(SUITE, progress=Silent()).look(opened)
    return [finding.rule_id for finding in seen.findings]


EXPECTED = ["data-validation.expect_column_values_to_not_be_null"]


def test_exported_members() -> None:
    assert sorted(interlock.validation.__all__) == interlock.validation.__all__
    assert all(hasattr(interlock.validation, name) for name in interlock.validation.__all__)


def test_importing_the_room_brings_nothing_heavy() -> None:
    heavy = "{'pandas', 'numpy', 'pyarrow', 'great_expectations', 'rich', 'sqlalchemy'} & set(sys.modules)"
    code = f"import sys, interlock.validation; sys.exit(str({heavy}) if {heavy} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_look_works_after_a_fork() -> None:
    assert rules() == EXPECTED  # the parent has imported and used everything
    with warnings.catch_warnings():
        # Python 3.12 and later warn of any fork with threads alive; Airflow forks like this all the same.
        warnings.simplefilter("ignore", DeprecationWarning)
        pool = multiprocessing.get_context("fork").Pool(1)
    try:
        assert pool.apply_async(rules).get(timeout=60) == EXPECTED
    finally:
        # Not `terminate`: the child has the handlers of whatever ran here before, and Airflow's outlives a SIGTERM.
        pool.close()
        pool.join()


def test_looks_on_several_threads_do_not_meet() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert [future.result() for future in [pool.submit(rules) for _ in range(8)]] == [EXPECTED] * 8


def test_a_look_leaves_no_file_no_context_and_no_log_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from great_expectations.data_context.data_context.context_factory import project_manager

    for folder in ("cwd", "home", "tmp"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    sentinel = object()
    project_manager.set_project(sentinel)  # type: ignore[arg-type]  # any mark will do
    level = logging.getLogger("great_expectations").level
    try:
        assert rules() == EXPECTED
        assert project_manager.get_current_project() is sentinel
    finally:
        project_manager.set_project(None)
    assert logging.getLogger("great_expectations").level == level
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
    assert capfd.readouterr() == ("", "")


def test_a_look_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert rules() == EXPECTED


def test_an_errored_expectation_writes_no_stack_trace(capfd: pytest.CaptureFixture[str]) -> None:
    suite: dict[str, Json] = {
        "name": "s",
        "expectations": [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "a", "min_value": 1}}],
    }
    with FrameOpener(pd.DataFrame({"a": ["Ada", "Kurt"]})).open("frame") as opened:
        seen = ValidationGate(suite, progress=Silent()).look(opened)
    assert seen.coverage.failed
    assert capfd.readouterr() == ("", "")


def test_progress_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(stream: io.TextIOBase) -> None:
        monkeypatch.setattr(sys, "stderr", stream)
        with terminal_progress() as progress:
            progress.stage("reading Parquet", steps=2)
            progress.advance()
            progress.stage("evaluating")

    piped = io.StringIO()
    told(piped)
    assert piped.getvalue() == ""

    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        told(stream)
        stream.flush()
        shown = b""
        while b"evaluating" not in shown:  # a terminal hands out what is there; the test's time limit ends a silent one
            shown += os.read(controller, 65536)
    os.close(controller)
    assert b"reading Parquet" in shown
