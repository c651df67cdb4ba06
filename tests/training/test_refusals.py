"""What was refused gets into the report; and where that goes wrong, nothing is let through and nothing hangs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import UnavailableError, UsageError
from interlock.training import (
    Folders,
    Job,
    Kind,
    LandlockSandbox,
    Limits,
    RlimitsSandbox,
    Sandbox,
    TrainingRun,
    confine,
    listener,
)
from interlock.training.attempts import describe
from interlock.training.refusals import KEPT, Tally
from interlock.training.seccomp import program

TRIES = """
    import ctypes, os, socket, sys, time

    def attempt(step):
        try:
            step()
        except OSError as error:
            print("refused", error.errno, flush=True)
        else:
            print("went through", flush=True)

    libc = ctypes.CDLL(None, use_errno=True)

    def call(name, *arguments):
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    def connect():
        with socket.socket() as stream:
            stream.settimeout(1)
            stream.connect(("192.0.2.1", 80))

    open(sys.argv[2] + "/model.txt", "w").write("x")
    attempt(connect)
    attempt(connect)
    attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    attempt(lambda: open("/etc/x", "w"))
    attempt(lambda: os.mkdir("cache"))
    attempt(lambda: os.rename(sys.argv[1], sys.argv[2] + "/rows"))
    attempt(lambda: call("unshare", 0x10000000))
    attempt(lambda: call("ptrace", 0, 0, 0, 0))
    attempt(lambda: call("mount", b"a", b"b", b"c", 0, None))
"""


def told(run: TrainingRun) -> dict[tuple[Kind, str], int]:
    return {(refusal.kind, refusal.what): refusal.count for refusal in run.refused}


def test_what_the_code_was_refused_is_told(confining_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(TRIES, sandbox=confining_sandbox)
    assert not run.failed, run.log_tail
    assert "went through" not in run.log_tail
    assert run.unwatched == ""
    script, data, out = run.argv[1:]
    network = "socket AF_INET SOCK_STREAM" if isinstance(confining_sandbox, LandlockSandbox) else "connect 192.0.2.1:80"
    assert told(run) == {
        (Kind.NETWORK, network): 2,
        (Kind.NETWORK, "socket AF_PACKET SOCK_RAW"): 1,
        (Kind.FILE, "openat /etc/x"): 1,
        (Kind.FILE, f"mkdir {Path(script).parent}/cache"): 1,
        (Kind.FILE, f"rename {data} -> {out}/rows"): 1,
        (Kind.PROCESS, "unshare 0x10000000"): 1,
        (Kind.PROCESS, "ptrace 0x0"): 1,
        (Kind.KERNEL, "mount"): 1,
    }


def test_ordinary_code_was_refused_nothing(confining_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import os, pwd, shutil, subprocess, sys, tempfile, threading
        try:
            pwd.getpwnam("nobody-of-this-name")  # asks a name service cache first
        except KeyError:
            pass
        open(sys.argv[2] + "/model.txt", "w").write("x")
        shutil.copy2(sys.argv[1], sys.argv[2] + "/rows.csv")
        os.replace(sys.argv[2] + "/rows.csv", sys.argv[2] + "/copied.csv")
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(os.path.dirname(__file__), folder + "/code", symlinks=True)
        subprocess.run(["true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        thread = threading.Thread(target=len, args=("",))
        thread.start()
        thread.join()
        """,
        sandbox=confining_sandbox,
    )
    assert not run.failed, run.log_tail
    assert run.refused == ()
    assert run.unwatched == ""


def test_the_weakest_level_says_that_it_refuses_nothing(run_script: Any) -> None:
    assert run_script(TRIES, sandbox=RlimitsSandbox()).unwatched == "nothing is refused at this level"


def test_a_job_that_tries_without_end_is_counted_in_bounded_space(confining_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import os, sys
        open(sys.argv[2] + "/model.txt", "w").write("x")
        for n in range(500):
            try:
                open(f"/etc/{n}" + "x" * 200, "w")
            except OSError:
                pass
        """,
        sandbox=confining_sandbox,
    )
    assert len(run.refused) == KEPT + 1
    assert sum(refusal.count for refusal in run.refused) == 500
    assert max(len(refusal.what) for refusal in run.refused) <= 200


@given(st.lists(st.tuples(st.sampled_from(Kind), st.text(max_size=300)), max_size=300))
def test_every_attempt_is_counted_and_none_is_kept_whole(attempts: list[tuple[Kind, str]]) -> None:
    tally = Tally()
    for kind, what in attempts:
        tally.add(kind, what)
    refused = tally.refusals()
    assert sum(refusal.count for refusal in refused) == len(attempts)
    for refusal in refused:
        assert len(refusal.what) <= 200
        assert refusal.what.isprintable()
    for kind in Kind:
        assert sum(1 for refusal in refused if refusal.kind is kind) <= KEPT + 1


def test_without_a_listener_the_same_is_refused_and_the_report_says_why(
    confining_sandbox: Sandbox, run_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old_kernel(rules: Any, machine: Any, *, heard: bool) -> bytes:
        # An empty filter is refused by the kernel as a listener is by one that is too old, or has one already.
        return b"" if heard else program(rules, machine, heard=heard)

    monkeypatch.setattr(confine, "program", old_kernel)
    run: TrainingRun = run_script(TRIES, sandbox=confining_sandbox)
    assert not run.failed, run.log_tail
    assert "went through" not in run.log_tail
    assert run.unwatched == "Invalid argument"


def test_a_kernel_that_takes_no_filter_starts_nothing(
    confining_sandbox: Sandbox, run_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confine, "program", lambda rules, machine, *, heard: b"")
    with pytest.raises(UnavailableError, match="does not confine the job: Invalid argument"):
        run_script("print('started')", sandbox=confining_sandbox)


def test_a_listener_that_fails_lets_nothing_through_and_leaves_nothing_hanging(
    confining_sandbox: Sandbox, run_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(caller: Any, kind: Any, writable: Any) -> Any:
        if kind is Kind.NETWORK:
            raise RuntimeError("a defect")
        return describe(caller, kind, writable)

    monkeypatch.setattr(listener, "describe", failing)
    run: TrainingRun = run_script(TRIES, sandbox=confining_sandbox, limits=Limits(wall_seconds=30))
    assert run.limit is None
    assert "went through" not in run.log_tail
    answers = [int(line.split()[1]) for line in run.log_tail.splitlines() if line.startswith("refused ")]
    assert answers[0] == 1
    # Nobody listens any more: the kernel says that there is no such call.
    assert set(answers[2:]) == {38}
    assert "a defect" in run.unwatched


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("libc.prctl(4, 0, 0, 0, 0)", id="unreadable-memory"),
        pytest.param("libc.open(0x10, os.O_WRONLY); libc.open(ctypes.c_void_p(-1), 1)", id="no-path"),
        pytest.param("libc.connect(0, ctypes.c_void_p(8), 1 << 31)", id="no-address"),
        pytest.param("libc.connect(0, b'\\x02', 1)", id="half-an-address"),
        pytest.param("libc.open(b'a' * (1 << 20), os.O_WRONLY)", id="long-path"),
        pytest.param("libc.openat(1 << 20, b'x', os.O_WRONLY)", id="no-folder"),
        pytest.param("libc.open(b'\\xff\\n\\x1b[2J', os.O_WRONLY)", id="bytes-that-are-no-text"),
        pytest.param("libc.socket(-1, -1, -1); libc.socket(99, 9, 9)", id="no-family"),
        pytest.param("libc.chmod(0, 0); libc.fchmod(-1, 0); libc.utimensat(-100, b'x', 1, 0)", id="no-attributes"),
        pytest.param(
            "libc.utimensat(-100, sys.argv[2].encode(), (ctypes.c_int64 * 4)(1 << 62, -1, 1 << 62, 5), 0)", id="no-time"
        ),
    ],
)
def test_hostile_arguments_confuse_nobody(source: str, confining_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        f"""
        import ctypes, os, socket, sys
        libc = ctypes.CDLL(None, use_errno=True)
        {source}
        try:
            socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        except PermissionError:
            open(sys.argv[2] + "/model.txt", "w").write("x")
        """,
        sandbox=confining_sandbox,
    )
    assert not run.failed, run.log_tail
    assert run.unwatched == ""
    assert (Kind.NETWORK, "socket AF_PACKET SOCK_RAW") in told(run)


def test_rights_and_times_of_its_own_files_are_the_codes_and_no_others(
    landlock: LandlockSandbox, run_script: Any, secret: Path
) -> None:
    before = secret.stat()
    run: TrainingRun = run_script(
        f"""
        import os, sys
        own = sys.argv[2] + "/model.txt"
        open(own, "w").write("x")
        os.chmod(own, 0o640)
        os.utime(own, (1, 2))
        os.utime(own, ns=(3, 4))
        with open(own) as stream:
            os.fchmod(stream.fileno(), 0o600)
        os.chdir(sys.argv[2])
        os.chmod("model.txt", 0o611)
        print("own", oct(os.stat(own).st_mode), os.stat(own).st_mtime_ns)
        os.symlink({str(secret)!r}, "link")
        folder = os.open("..", os.O_PATH)
        for step in (
            lambda: os.chmod({str(secret)!r}, 0o777),
            lambda: os.chmod("link", 0o777),
            lambda: os.utime("link", (1, 2)),
            lambda: os.chmod(own, 0o4755),
            lambda: os.chmod("..", 0o777, dir_fd=folder),
            lambda: os.chown(own, 1, 1),
            lambda: os.setxattr({str(secret)!r}, "user.x", b"x"),
        ):
            try:
                step()
            except OSError as error:
                print("refused", error.errno)
            else:
                print("CHANGED")
        try:
            os.chmod("missing", 0o600)
        except FileNotFoundError:
            print("not there")
        os.unlink("link")
        """,
        sandbox=landlock,
    )
    assert not run.failed, run.log_tail
    assert "own 0o100611 4" in run.log_tail
    assert "CHANGED" not in run.log_tail
    assert run.log_tail.count("refused 1") == 6
    assert "not there" in run.log_tail
    after = secret.stat()
    assert (before.st_mode, before.st_mtime_ns) == (after.st_mode, after.st_mtime_ns)


def test_the_code_cannot_reach_its_supervisor(landlock: LandlockSandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import os, signal, sys
        open(sys.argv[2] + "/model.txt", "w").write("x")
        for number in (0, signal.SIGSTOP, signal.SIGKILL):
            try:
                os.kill(os.getppid(), number)
                print("ESCAPED")
            except PermissionError:
                print("refused")
        """,
        sandbox=landlock,
    )
    assert not run.failed
    assert run.log_tail.split() == ["refused"] * 3


def test_a_program_that_is_not_there_says_so(confining_sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("data", "code", "out", "scratch"):
        (tmp_path / name).mkdir()
    outside = Folders(**{name: tmp_path / name for name in ("data", "code", "out", "scratch")})
    job = Job(
        argv=("/usr/bin/no-such-program",),
        environment=(),
        folders=outside,
        visible=(),
        limits=Limits(),
        working_folder=confining_sandbox.inside(outside).scratch,
    )
    with pytest.raises(UsageError, match=r"No such file or directory.*no-such-program"):
        confining_sandbox.run(job)


def test_no_variable_of_the_job_acts_before_the_filter_is_there(confining_sandbox: Sandbox, run_script: Any) -> None:
    # A Python that took these for its own would not start.
    run: TrainingRun = run_script(
        "print('started')", sandbox=confining_sandbox, environment={"LD_PRELOAD": "/nowhere.so", "PYTHONSTARTUP": "/x"}
    )
    assert run.log_tail.count("cannot be preloaded") == 1
    assert "started" in run.log_tail


def test_landlock_that_is_not_there_says_how_to_get_it() -> None:
    found = LandlockSandbox(abi=0).probe()
    assert not found.available
    assert "no Landlock" in found.reason
    assert "lsm=" in found.how_to_get


def test_landlock_that_does_not_work_is_tried_and_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "program", lambda rules, machine, *, heard: b"")
    found = LandlockSandbox(abi=1).probe()
    assert not found.available
    assert "does not confine" in found.reason


def test_the_interface_of_landlock_is_recorded(landlock: LandlockSandbox) -> None:
    found = landlock.probe()
    assert found.reason.startswith("Landlock ABI ")
    assert "landlock-abi" in {tool.name for tool in found.tools}
