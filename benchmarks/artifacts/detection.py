"""What each scanner says of every subject of the corpus; see `benchmarks.artifacts.peers`."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.artifacts.subjects import Listed

DRIVER = Path(__file__).with_name("driver.py")
SECONDS = 60.0
"""For one subject; a scanner that takes longer is ended, and started again for the next one."""

JOBS = 6
PART = 300
"""Subjects that one process is asked about."""

VERDICTS = ("refused", "doubtful", "unread", "passed")
DEFAULT = "interlock, default profile"


class Scanner:
    """A scanner in a process of its own.

    Args:
        tool: As `driver` names it.
        python: Of the environment where it is installed.
    """

    def __init__(self, tool: str, python: Path) -> None:
        self._python = python
        self._argv = [str(python), str(DRIVER), tool]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, profile: str) -> str:
        """Its verdict; one that crashes or does not end is in doubt."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"path": path, "profile": profile}).encode() + b"\n")
        process.stdin.flush()
        line = self._line(process)
        if not line:
            self.close()
            return "doubtful"
        return str(json.loads(line)["verdict"])

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(self._python),
        )
        if b"ready" not in self._line(process):
            process.kill()
            process.communicate()
            raise RuntimeError(f"it does not start: {' '.join(self._argv)} PATH PROFILE says why")
        return process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        return process.stdout.readline() if ready else b""

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def environment(python: Path) -> dict[str, str]:
    """Of a scanner: its own packages, compiled once, and one thread."""
    left = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    own = {"PYTHONPATH": os.pathsep.join(sys.path[1:])} if python == Path(sys.executable) else {}
    return left | own | {"OMP_NUM_THREADS": "1"}


def tables(corpus: Path, pythons: Mapping[str, Path]) -> str:
    """Three tables: all subjects by scanner, hostile ones by family, harmless ones by family."""
    subjects = [Listed(**one) for one in json.loads((corpus / "list.json").read_text())]
    own = Path(sys.executable)
    calls = [("interlock", "interlock", own, ""), (DEFAULT, "interlock", own, "torch-state-dict")]
    calls += [(tool, tool, python, "") for tool, python in pythons.items()]
    # No time is taken here, so all of them may run at once.
    with ThreadPoolExecutor(JOBS) as pool:
        parts = [
            (title, pool.submit(_answers, Scanner(tool, python), subjects[start : start + PART], profile))
            for title, tool, python, profile in calls
            for start in range(0, len(subjects), PART)
        ]
        said: dict[str, list[str]] = {title: [] for title, *_ in calls}
        for title, part in parts:
            said[title] += part.result()
    return "\n".join([*_summary(said, subjects), "", *_families(said, subjects), "", *_harmless(said, subjects)])


def _answers(scanner: Scanner, subjects: Sequence[Listed], profile: str) -> list[str]:
    try:
        return [scanner.ask(one.path, profile or one.profile) for one in subjects]
    finally:
        scanner.close()


def _summary(said: Mapping[str, Sequence[str]], subjects: Sequence[Listed]) -> list[str]:
    hostile = sum(one.hostile for one in subjects)
    head = f"| scanner | of {hostile:,} hostile: refused | doubtful | not read | passed "
    rest = f"| of {len(subjects) - hostile:,} harmless: refused | doubtful | not read | passed |"
    lines = [head + rest, "|" + " --- |" * 9]
    for tool, verdicts in said.items():
        counts: dict[bool, Counter[str]] = defaultdict(Counter)
        for one, verdict in zip(subjects, verdicts, strict=True):
            counts[one.hostile][verdict] += 1
        cells = [f"{counts[kind][verdict]:,}" for kind in (True, False) for verdict in VERDICTS]
        lines.append(f"| {tool} | {' | '.join(cells)} |")
    return lines


def _families(said: Mapping[str, Sequence[str]], subjects: Sequence[Listed]) -> list[str]:
    tools = [tool for tool in said if tool != DEFAULT]
    return ["Hostile, by family: refused + doubtful", "", *_by_family(said, subjects, tools, hostile=True)]


def _harmless(said: Mapping[str, Sequence[str]], subjects: Sequence[Listed]) -> list[str]:
    return ["Harmless, by family: refused + doubtful", "", *_by_family(said, subjects, list(said), hostile=False)]


def _by_family(
    said: Mapping[str, Sequence[str]], subjects: Sequence[Listed], tools: Sequence[str], *, hostile: bool
) -> list[str]:
    counts: dict[tuple[str, str, str], int] = Counter()
    families: Counter[str] = Counter()
    for number, one in enumerate(subjects):
        if one.hostile is hostile:
            families[one.family] += 1
            for tool in tools:
                counts[one.family, tool, said[tool][number]] += 1
    lines = [f"| family | subjects | {' | '.join(tools)} |", "|" + " --- |" * (len(tools) + 2)]
    for family, number in families.items():
        cells = [f"{counts[family, tool, 'refused']} + {counts[family, tool, 'doubtful']}" for tool in tools]
        lines.append(f"| {family} | {number} | {' | '.join(cells)} |")
    return lines
