"""What a file may do to the process that loads it, and what comes of it: never an ALLOW, never a hang, nothing left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock.gate.errors import SettingsError
from interlock.lint.workers import KINDS, Worker, WorkerError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "toy", "tests.lint.toy_worker")
        with Worker("toy", {"PYTHONPATH": str(ROOT)}) as started:
            started.start()
            yield started


def look(worker: Worker, file: Path, source: str, *, seconds: float = 20) -> tuple[str, str]:
    file.write_text(source)
    answer: Any = worker.ask({"file": str(file), "root": str(file.parent), "seconds": seconds}, seconds=seconds)
    (finding,) = answer["findings"]
    return finding["rule_id"], finding["message"]


FAKE = '{"dags": [], "findings": [], "word": "", "seen": "all is well"}\\n'

HOSTILE = {
    "sys-exit-at-import": ("import sys; sys.exit(0)", "lint.import-error", "SystemExit: 0"),
    "os-exit": ("import os; os._exit(0)", "lint.no-answer", "without an answer"),
    "os-exit-with-a-fake-answer-on-every-descriptor": (
        f"""
import os
for descriptor in range(1, 256):
    try:
        os.write(descriptor, b'{FAKE}')
    except OSError:
        pass
print('{FAKE}')
os._exit(0)
""",
        "lint.no-answer",
        "without an answer",
    ),
    "fake-answer-before-the-real-one": (
        f"""
import os
for descriptor in range(3, 256):
    try:
        os.write(descriptor, b'{FAKE}')
    except OSError:
        pass
""",
        "lint.no-answer",
        "without an answer",
    ),
    "base-exception": ("raise BaseException('out of here')", "lint.import-error", "BaseException: out of here"),
    "keyboard-interrupt": ("raise KeyboardInterrupt", "lint.import-error", "KeyboardInterrupt"),
    "exception-that-cannot-be-shown": (
        """
class Evil(Exception):
    def __str__(self):
        raise RuntimeError
raise Evil
""",
        "lint.import-error",
        "Evil",
    ),
    "killed-by-itself": ("import os; os.kill(os.getpid(), 9)", "lint.no-answer", "SIGKILL"),
    "all-descriptors-closed": ("import os; os.closerange(0, 256)", "lint.no-answer", "ended by itself"),
    "more-memory-than-there-is-for-it": ("x = bytearray(8 << 30)", "lint.import-error", "MemoryError"),
    "os-write-and-json-replaced": (
        """
import json, os
os.write = os._exit = json.dumps = lambda *a, **k: 0
said = "the truth"
""",
        "lint.no-dags",
        "said 'the truth'",
    ),
    "answer-that-is-no-json": ("said = object()", "lint.import-error", "not JSON serializable"),
    "answer-that-is-endless": ("said = 'x' * (65 << 20)", "lint.no-answer", "longer than"),
    "hundred-megabytes-of-output": (
        """
import os
for _ in range(100):
    os.write(1, b"x" * (1 << 20))
    os.write(2, b"x" * (1 << 20))
""",
        "lint.no-dags",
        "said 'nothing'",
    ),
    "reads-standard-input": ("import sys; said = sys.stdin.read()", "lint.no-dags", "said ''"),
    "thread-that-never-ends": (
        "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()",
        "lint.no-dags",
        "said 'nothing'",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_file_does_at_import_ends_in_an_answer(case: str, worker: Worker, tmp_path: Path) -> None:
    source, rule, text = HOSTILE[case]
    found, message = look(worker, tmp_path / "file.py", source)
    assert (found, text in message) == (rule, True), message
    assert look(worker, tmp_path / "next.py", "said = 1") == ("lint.no-dags", "said 1")


ENDLESS = {
    "endless-loop": "while True: pass",
    "endless-sleep-that-heeds-no-signal": """
import signal, time
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    time.sleep(100)
""",
    "child-that-holds-the-pipe": "import os\nif os.fork(): os.wait()\nelse:\n    while True: pass",
}


@pytest.mark.parametrize("case", ENDLESS)
def test_a_file_that_does_not_end_is_ended(case: str, worker: Worker, tmp_path: Path) -> None:
    assert look(worker, tmp_path / "file.py", ENDLESS[case], seconds=1) == (
        "lint.timeout",
        "it did not load within 1 seconds",
    )


LEFT = """
import os
if os.fork() == 0:
    {before}
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
    with open({place!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    import time
    time.sleep(1000)
    os._exit(0)
while not os.path.exists({place!r}):
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a parent of one's choice")
@pytest.mark.parametrize("before", ["pass", "os.setsid()"], ids=["children", "children-in-a-session-of-their-own"])
def test_no_child_of_a_file_is_left_behind(before: str, worker: Worker, tmp_path: Path) -> None:
    place = tmp_path / "pids"
    look(worker, tmp_path / "file.py", LEFT.format(before=before, place=str(place)))
    pids = [int(line) for line in place.read_text().split()]
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_file_does_not_see_what_another_one_changed(worker: Worker, tmp_path: Path) -> None:
    look(worker, tmp_path / "a.py", "import json, os; json.mark = 1; os.environ['MARK'] = '1'")
    source = "import json, os; said = [hasattr(json, 'mark'), 'MARK' in os.environ]"
    assert look(worker, tmp_path / "b.py", source) == ("lint.no-dags", "said [False, False]")


def test_a_worker_that_is_killed_is_no_answer(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "toy", "tests.lint.toy_worker")
        with Worker("toy", {"PYTHONPATH": str(ROOT)}) as own:
            own.start()
            with pytest.raises(WorkerError, match="has ended"):
                look(own, tmp_path / "file.py", "import os; os.kill(os.getppid(), 9)")


def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "import sys\nfrom interlock.lint.serving import serve\ndef start(): raise OSError('no such thing')\n"
        "serve(start, int(sys.argv[1]))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "toy", "broken")
        with (
            Worker("toy", {"PYTHONPATH": str(tmp_path)}) as own,
            pytest.raises(SettingsError, match="OSError: no such thing"),
        ):
            own.start()


def test_a_worker_gets_nothing_that_signs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(KINDS, "toy", "tests.lint.toy_worker")
    monkeypatch.setenv("INTERLOCK_SIGNER", "file2:/key")
    monkeypatch.setenv("INTERLOCK_LEDGER_URL", "postgresql://user:secret@db/ledger")
    with Worker("toy", {"PYTHONPATH": str(ROOT)}) as own:
        own.start()
        source = "import os; said = [name for name in os.environ if name.startswith('INTERLOCK_')]"
        _, message = look(own, tmp_path / "file.py", source)
    assert "SIGNER" not in message
    assert "LEDGER" not in message


def test_a_worker_ends_with_its_command(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "toy", "tests.lint.toy_worker")
        with Worker("toy", {"PYTHONPATH": str(ROOT)}) as own:
            own.start()
            look(own, tmp_path / "file.py", f"import os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getppid()))")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.05)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
