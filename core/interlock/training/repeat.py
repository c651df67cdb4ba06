"""Whether a training is repeatable, found out by running it twice and comparing what it wrote, byte for byte.

Decides nothing but that: fact ``training.deterministic`` is true only where both runs ended well and wrote the same
files, false where they did not, and is not there where nobody looked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, Json, Level, UsageError
from interlock.gate.documents import canonical_json
from interlock.training.around import Around, Later, emptied, removed
from interlock.training.determinism import SWITCH, WORKSPACE
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended, Job, Overseer, Sandbox

if TYPE_CHECKING:
    from interlock.artifacts.source import Buffer

_WORST = 20
"""Files and tensors that are named; a training can write any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two runs beside each other.

    Args:
        different: Files that only one run wrote, or that differ; of safetensors files the tensors, too.
        problem: Why the second run cannot be compared; empty when it can.
    """

    different: tuple[str, ...] = ()
    problem: str = ""

    @property
    def equal(self) -> bool:
        """Whether both runs wrote the same."""
        return not self.different and not self.problem


class DeterminismSafeguard(IdleSafeguard):
    """Asks the training to be repeatable, and finds out whether it is.

    Args:
        check: Run it twice; then the sandbox of `around` has to be the one that runs it.
        threads: Threads of each process; all processors when not given. Sums depend on their number.
    """

    def __init__(self, *, check: bool, threads: int | None = None) -> None:
        self._check = check
        self._threads = threads or len(os.sched_getaffinity(0))
        self._twice: _Twice | None = None

    @property
    def name(self) -> str:
        """``determinism``."""
        return "determinism"

    def around(self, sandbox: Sandbox) -> Sandbox:
        """The same sandbox, which runs a job twice where that is to be checked."""
        if not self._check:
            return sandbox
        self._twice = _Twice(sandbox)
        return self._twice

    def provision(self) -> Provision:
        """What has to be set before Python starts."""
        return Provision(environment=(WORKSPACE, (SWITCH, "1"), ("OMP_NUM_THREADS", str(self._threads))))

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002
        """What the comparison found, where there was one."""
        configuration: dict[str, Json] = {"check": self._check, "threads": self._threads}
        found = self._twice.found if self._twice is not None else None
        if found is None:
            return Part(configuration=configuration)
        return Part(
            findings=_findings(found),
            facts={"training": {"deterministic": found.equal}},
            configuration=configuration,
        )


def _findings(found: Comparison) -> tuple[Finding, ...]:
    if found.equal:
        message = "two runs wrote the same bytes"
        return (Finding(rule_id="training.deterministic", level=Level.NOTE, message=message),)
    count = f"{len(found.different)} parts of the output differ: {', '.join(found.different[:3])}"
    return (
        Finding(
            rule_id="training.not-deterministic",
            level=Level.WARNING,
            message=f"two runs did not come to the same: {found.problem or count}",
            evidence=canonical_json({"different": list(found.different[:_WORST]), "problem": found.problem}).decode(),
        ),
    )


class _Twice(Around):
    """A sandbox that runs each job a second time, in the same place, when the first run ended well."""

    found: Comparison | None = None

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job` twice; see `Sandbox.run`.

        Returns:
            How the first run ended, with the time of both.

        Raises:
            UsageError: It keeps checkpoints, so that the second run would not start where the first one did.
        """
        if job.folders.checkpoints is not None:
            raise UsageError(
                "a training that goes on from checkpoints cannot be compared with a second run",
                next_step="check its determinism in a run without checkpoints",
            )
        first = self._sandbox.run(job, on_line=on_line, overseer=overseer)
        if first.failed:
            return first
        out = job.folders.out
        kept = out.with_name(f".{out.name}.first")
        out.rename(kept)
        try:
            out.mkdir(mode=0o700)
            emptied(job.folders.scratch)
            second = self._sandbox.run(job, on_line=on_line, overseer=Later(overseer, first.seconds, deaf=True))
            self.found = _compared(kept, out, second)
        finally:
            removed(out)
            kept.rename(out)
        return replace(first, seconds=first.seconds + second.seconds)


def _compared(one: Path, other: Path, second: Ended) -> Comparison:
    if second.failed:
        why = second.stop.message if second.stop else second.limit.value if second.limit else ""
        return Comparison(problem=f"the second run ended with status {second.exit_status} {why}".rstrip())
    try:
        return Comparison(different=differences(one, other))
    except OSError as error:
        return Comparison(problem=f"the output cannot be read: {error.strerror}")


def differences(one: Path, other: Path) -> tuple[str, ...]:
    """What two output folders do not have in common, sorted.

    Args:
        one: Untrusted; nobody writes to it now. Links are compared as links and never followed.
        other: The same.

    Raises:
        OSError: Something cannot be read.
    """
    first, second = _digests(one), _digests(other)
    found: list[str] = []
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            found += _tensors(one / name, other / name, repr(name)) or [repr(name)]
    return tuple(found)


def _digests(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        name = os.fspath(path.relative_to(folder))
        found[name] = _digest(path) if stat.S_ISREG(mode) else f"no file: {stat.S_IFMT(mode)}"
    return found


def _digest(path: Path) -> str:
    counted = sha256()
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as stream:
        while piece := stream.read(1 << 20):
            counted.update(piece)
    return counted.hexdigest()


def _tensors(one: Path, other: Path, shown: str) -> list[str]:
    """The tensors that differ between two safetensors files; none when they are no such files."""
    from interlock.artifacts.formats.safetensors_file import MalformedHeaderError, read_header
    from interlock.artifacts.source import open_bytes
    from interlock.gate.errors import SubjectError

    if not (one.is_file() and other.is_file()):
        return []
    try:
        with open_bytes(one) as first, open_bytes(other) as second:
            (start, header), (other_start, other_header) = read_header(first), read_header(second)
            names = sorted({*header, *other_header})
            return [
                f"{shown} tensor {name!r}"
                for name in names
                if _bytes(first, start, header.get(name)) != _bytes(second, other_start, other_header.get(name))
            ]
    except (MalformedHeaderError, SubjectError):
        return []


def _bytes(data: Buffer, start: int, entry: dict[str, list[int]] | None) -> bytes | None:
    if entry is None:
        return None
    begin, end = entry["data_offsets"]
    return repr((entry["dtype"], entry["shape"])).encode() + data[start + begin : start + end]
