"""Limits end a run, whole; nothing of it stays alive."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import OpenSubject
from interlock.training import Folders, Job, LimitHit, Limits, Sandbox, TrainingRun

MIB = 1 << 20


def alive(marker: str) -> list[int]:
    """Processes with `marker` in their command line, zombies not counted."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if marker.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def test_a_run_that_takes_too_long_is_ended_even_if_it_ignores_signals(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        """
        import signal, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        print("started")
        time.sleep(300)
        """,
        sandbox=each_sandbox,
        limits=Limits(wall_seconds=1.5),
    )
    assert run.timed_out
    assert run.failed
    assert run.log_tail == "started"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("while True: open(sys.argv[2] + '/x', 'ab').write(bytes(1 << 20))", id="one-growing-file"),
        pytest.param(
            "[open(sys.argv[2] + f'/{n}', 'wb').write(bytes(1 << 20)) for n in range(10**6)]", id="many-files"
        ),
        pytest.param("open(sys.argv[2] + '/x', 'wb').truncate(1 << 23); time.sleep(300)", id="a-sparse-file"),
        pytest.param("open(sys.argv[2] + '/x', 'wb').write(bytes(5 << 20))", id="just-before-the-end"),
    ],
)
def test_output_over_its_byte_limit_stops_the_run(each_sandbox: Sandbox, run_script: Any, source: str) -> None:
    run: TrainingRun = run_script(
        f"import sys, time; {source}" if "while" not in source else f"import sys\n{source}",
        sandbox=each_sandbox,
        limits=Limits(output_bytes=4 * MIB, wall_seconds=30),
    )
    assert run.failed
    assert run.limit is LimitHit.OUTPUT_BYTES or "File too large" in run.log_tail


def test_too_many_output_files_stop_the_run(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        "import os, sys, time\nfor n in range(200): os.mkdir(f'{sys.argv[2]}/{n}')\ntime.sleep(300)",
        sandbox=each_sandbox,
        limits=Limits(output_files=100, wall_seconds=30),
    )
    assert run.limit is LimitHit.OUTPUT_FILES


def test_a_nearly_full_disk_stops_the_run(each_sandbox: Sandbox, run_script: Any, tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    run: TrainingRun = run_script(
        """
        import os, sys, time
        hidden = os.open(sys.argv[2] + "/x", os.O_RDWR | os.O_CREAT)
        os.unlink(sys.argv[2] + "/x")
        os.posix_fallocate(hidden, 0, 192 << 20)
        time.sleep(300)
        """,
        sandbox=each_sandbox,
        limits=Limits(disk_reserve_bytes=disk.f_bavail * disk.f_frsize - 96 * MIB, wall_seconds=60),
    )
    assert run.limit is LimitHit.DISK_RESERVE


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("for _ in range(9):\n    os.fork()\ntime.sleep(60)", id="fork-bomb"),
        pytest.param(
            "for _ in range(500):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            id="thread-bomb",
        ),
        pytest.param(
            # The first process stays, too: where it ended, the sandbox would end with it before anybody could count.
            "for _ in range(500):\n    if os.fork() == 0:\n        os.setsid()\n        break\ntime.sleep(60)",
            id="bomb-of-sessions",
        ),
    ],
)
def test_a_bomb_is_ended(each_sandbox: Sandbox, run_script: Any, source: str) -> None:
    # 500 processes and no more: if the sandbox lost against an endless one, so would the machine that runs this test.
    marker = secrets.token_hex(8)
    run: TrainingRun = run_script(
        # The bomb goes off in a process that is found again by its command line.
        f"import os, sys\nif len(sys.argv) == 3: os.execv(sys.executable, [sys.executable, *sys.argv, {marker!r}])\n"
        f"import threading, time\n{source}",
        sandbox=each_sandbox,
        limits=Limits(processes=60, wall_seconds=30, memory_bytes=512 * MIB),
    )
    # Root is not held by RLIMIT_NPROC (fork(2)) and met by the watch; others are refused by the kernel.
    assert run.limit is LimitHit.PROCESSES or "unavailable" in run.log_tail or "can't start new thread" in run.log_tail
    assert run.failed
    assert not alive(marker)


def test_processor_seconds_are_limited(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        "while True: pass", sandbox=each_sandbox, limits=Limits(cpu_seconds=1, wall_seconds=60)
    )
    assert run.limit is LimitHit.CPU_SECONDS


def test_memory_is_limited(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script("x = bytearray(1 << 30)", sandbox=each_sandbox, limits=Limits(memory_bytes=256 * MIB))
    assert run.failed
    assert "MemoryError" in run.log_tail


def test_open_files_are_limited_and_never_raised(each_sandbox: Sandbox, run_script: Any) -> None:
    run: TrainingRun = run_script(
        "import resource; print('files', resource.getrlimit(resource.RLIMIT_NOFILE))",
        sandbox=each_sandbox,
        limits=Limits(open_files=1 << 40),
    )
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert f"files ({hard}, {hard})" in run.log_tail


LEAVE_BEHIND = """
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execv("/bin/sleep", ["{marker}", "300"])
        os._exit(0)
    os.wait()
    open(sys.argv[2] + "/model.txt", "w").write("x")
    time.sleep({seconds})
"""


def test_a_process_left_behind_is_dead_afterwards(each_sandbox: Sandbox, run_script: Any) -> None:
    marker = f"left-{secrets.token_hex(8)}"
    run: TrainingRun = run_script(LEAVE_BEHIND.format(marker=marker, seconds=0.2), sandbox=each_sandbox)
    assert not run.failed, run.log_tail
    assert not alive(marker)


def test_nothing_writes_any_more_once_the_sandbox_returns(
    each_sandbox: Sandbox, tmp_path: Path, dataset: OpenSubject
) -> None:
    marker = f"left-{secrets.token_hex(8)}"
    code, out, scratch = tmp_path / "code", tmp_path / "out", tmp_path / "scratch"
    for folder in (code, out, scratch):
        folder.mkdir()
    (code / "train.py").write_text(
        "import os, sys\n"
        "for n in range(20):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        command = 'while true; do date > $0/%d; done' % n\n"
        "        os.execv('/bin/sh', [sys.argv[2], '-c', command, sys.argv[1], sys.argv[2]])\n"
    )
    outside = Folders(data=dataset.path, code=code, out=out, scratch=scratch)
    inside = each_sandbox.inside(outside)
    job = Job(
        argv=(sys.executable, str(inside.code / "train.py"), str(inside.out), marker),
        environment=(("PATH", "/usr/bin:/bin"),),
        folders=outside,
        visible=(),
        limits=Limits(),
        working_folder=inside.scratch,
    )
    each_sandbox.run(job)
    assert not alive(marker)


def test_a_callback_that_raises_ends_the_run(each_sandbox: Sandbox, run_script: Any) -> None:
    marker = f"left-{secrets.token_hex(8)}"

    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="ready"):
        run_script(
            f"import os\nprint('ready', flush=True)\nos.execv('/bin/sleep', ['{marker}', '300'])",
            sandbox=each_sandbox,
            on_line=stop,
        )
    assert not alive(marker)


def test_the_run_dies_with_interlock_and_its_staging_is_swept_by_the_next_run(
    each_sandbox: Sandbox, tmp_path: Path, dataset: Any
) -> None:
    from interlock.training import staging_for

    marker = f"left-{secrets.token_hex(8)}"
    script = tmp_path / "train.py"
    script.write_text(LEAVE_BEHIND.format(marker=marker, seconds=300).replace("\n    ", "\n"))
    caller = f"""
from pathlib import Path
from interlock.gate import OpenSubject, Subject
from interlock.training import *
data = OpenSubject(subject=Subject(name="d", uri="", digest="{dataset.subject.digest}"),
                   path=Path({str(dataset.path)!r}), files=("",))
spec = training_spec(command=["python", {str(script)!r}, "{{data}}", "{{out}}"])
with staging_for({str(tmp_path / "model")!r}) as staging:
    run_training(spec, data, staging, sandbox={type(each_sandbox).__name__}())
"""
    process = subprocess.Popen([sys.executable, "-c", caller])
    assert eventually(lambda: bool(alive(marker)))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert eventually(lambda: not alive(marker))
    assert list(tmp_path.glob(".model.training-*")), "a killed run cannot clean up after itself"
    with staging_for(str(tmp_path / "model")) as staging:
        assert [path.name for path in tmp_path.glob(".model.training-*") if path.is_dir()] == [staging.parent.name]
    assert not list(tmp_path.glob(".model.training-*"))
    assert not (tmp_path / "model").exists()


def eventually(condition: Any) -> bool:
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False
