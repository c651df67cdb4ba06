"""Runs a program on hostile bytes in the sandbox, and gives the one file that it wrote, or what that file says."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate.errors import InterlockError

if TYPE_CHECKING:
    from interlock.training.sandbox import Sandbox
    from interlock.training.spec import Limits as RunLimits

RESULT = "result"
MEMORY = 4 << 30
ANSWER = 64 << 20
"""Bytes of what a program of ours may write."""


class BoxError(Exception):
    """The program did not end well; `str()` says why."""


class NotBuiltError(BoxError):
    """The sandbox could not be built, so the program never began."""


@cache
def sandbox_here() -> Sandbox:
    """The best sandbox of this machine: found once a process, as finding out takes three processes.

    Raises:
        UsageError: None works here.
    """
    from interlock.training.sandbox import best_sandbox

    return best_sandbox()


def likely_sandbox() -> Sandbox:
    """The sandbox of this machine if that is known already, else the strongest one, untried.

    For who can do with a `NotBuiltError` and ask `sandbox_here` then: the one attempt that counts is made anyway.
    """
    if sandbox_here.cache_info().currsize:
        return sandbox_here()
    from interlock.training.bwrap import BwrapSandbox

    return BwrapSandbox()


@contextmanager
def boxed(
    data: Path,
    argv: Callable[[Path, Path, Path], tuple[str, ...]],
    *,
    sandbox: Sandbox,
    limits: RunLimits,
    program: Path | None = None,
    beside: Mapping[str, bytes] | None = None,
    visible: Sequence[Path] = (),
    environment: Sequence[tuple[str, str]] = (),
    statuses: Sequence[int] = (0,),
    silent: bool = False,
) -> Iterator[Path]:
    """Run it.

    Args:
        data: The file or folder that it reads; shown read-only.
        argv: Makes the command line from where it sees the data, the program and the result.
        sandbox: Which one.
        limits: What it may use.
        program: A file of ours, shown read-only.
        beside: Further files of ours by their paths beside it, shown read-only.
        visible: Further files and folders, shown read-only where they are.
        environment: Variables beside ``PATH``, ``LC_ALL`` and ``HOME``.
        statuses: The exit statuses with which it ends well.
        silent: Whether it ends well only without a word: for programs that leave something out and only say so.

    Yields:
        The result, as long as the context lasts; its content is untrusted.

    Raises:
        NotBuiltError: There is no such sandbox here.
        BoxError: It failed, passed a limit, or wrote no result.
    """
    from interlock.training.sandbox import Folders, Job

    with tempfile.TemporaryDirectory(prefix="interlock-") as work:
        outside = Folders(data=data, code=Path(work, "code"), out=Path(work, "out"), scratch=Path(work, "tmp"))
        for folder in (outside.code, outside.out, outside.scratch):
            folder.mkdir()
        if program is not None:
            (outside.code / program.name).write_bytes(program.read_bytes())
        for name, content in (beside or {}).items():
            place = outside.code / name
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.write_bytes(content)
            place.chmod(0o600)
        inside = sandbox.inside(outside)
        job = Job(
            argv=argv(inside.data, inside.code / program.name if program else inside.code, inside.out / RESULT),
            environment=(
                *(("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("HOME", str(inside.scratch))),
                *environment,
            ),
            folders=outside,
            visible=tuple(visible),
            limits=limits,
            working_folder=inside.scratch,
        )
        try:
            ended = sandbox.run(job)
        except InterlockError as error:
            raise NotBuiltError(error.what) from error
        except OSError as error:
            raise NotBuiltError(str(error)) from error
        result = outside.out / RESULT
        well = ended.exit_status in statuses and ended.limit is None and not (silent and ended.log_bytes)
        if not well or not result.is_file() or result.is_symlink():
            why = ended.limit.value if ended.limit else ended.log_tail.strip() or f"exit status {ended.exit_status}"
            raise BoxError(why)
        yield result


def asked(
    program: Path,
    data: Path,
    *,
    words: Sequence[str] = (),
    beside: Mapping[str, bytes] | None = None,
    flags: Sequence[str] = (),
    seconds: float,
    sandbox: Sandbox,
) -> dict[str, Any]:
    """What a Python program of ours says of hostile bytes, as the JSON object that it writes.

    Args:
        program: Called with the place of the data, that of its answer, and `words`.
        data: The file or folder that it reads.
        words: What else it is told.
        beside: Further files of ours by their paths beside it.
        flags: Of Python, beside ``-I``.
        seconds: How long it may take.
        sandbox: Which one.

    Raises:
        NotBuiltError: There is no such sandbox here.
        BoxError: It failed, passed a limit, or wrote no JSON object.
    """
    with boxed(
        data,
        lambda data, program, result: (
            *(sys.executable, "-I", *flags, str(program)),
            *(str(data), str(result), *words),
        ),
        sandbox=sandbox,
        limits=result_limits(seconds),
        program=program,
        beside=beside,
    ) as result:
        return answer(result)


def result_limits(seconds: float) -> RunLimits:
    """What a program may use that writes one answer."""
    from interlock.training.spec import Limits as RunLimits

    return RunLimits(wall_seconds=seconds, output_bytes=ANSWER, output_files=4, memory_bytes=MEMORY)


def answer(result: Path) -> dict[str, Any]:
    """The JSON object that a program wrote.

    Args:
        result: As `boxed` gives it.

    Raises:
        BoxError: It is none.
    """
    try:
        said = json.loads(result.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BoxError("what it said is no JSON") from error
    if not isinstance(said, dict):
        raise BoxError("what it said is no JSON object")
    return said
