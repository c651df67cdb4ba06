"""Runs a program on hostile bytes in the sandbox, and gives the one file that it wrote, or what that file says."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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


@contextmanager
def boxed(
    data: Path,
    argv: Callable[[Path, Path, Path], tuple[str, ...]],
    *,
    sandbox: Sandbox,
    limits: RunLimits,
    program: Path | None = None,
) -> Iterator[Path]:
    """Run it.

    Args:
        data: The file or folder that it reads; shown read-only.
        argv: Makes the command line from where it sees the data, the program and the result.
        sandbox: Which one.
        limits: What it may use.
        program: A file of ours, shown read-only.

    Yields:
        The result, as long as the context lasts; its content is untrusted.

    Raises:
        BoxError: It failed, passed a limit, or wrote no result.
    """
    from interlock.training.sandbox import Folders, Job

    with tempfile.TemporaryDirectory(prefix="interlock-") as work:
        outside = Folders(data=data, code=Path(work, "code"), out=Path(work, "out"), scratch=Path(work, "tmp"))
        for folder in (outside.code, outside.out, outside.scratch):
            folder.mkdir()
        if program is not None:
            (outside.code / program.name).write_bytes(program.read_bytes())
        inside = sandbox.inside(outside)
        job = Job(
            argv=argv(inside.data, inside.code / program.name if program else inside.code, inside.out / RESULT),
            environment=(("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")),
            folders=outside,
            visible=(),
            limits=limits,
            working_folder=inside.scratch,
        )
        try:
            ended = sandbox.run(job)
        except InterlockError as error:
            raise BoxError(error.what) from error
        result = outside.out / RESULT
        if ended.exit_status or ended.limit is not None or not result.is_file() or result.is_symlink():
            why = ended.limit.value if ended.limit else ended.log_tail.strip() or f"exit status {ended.exit_status}"
            raise BoxError(why)
        yield result


def asked(program: Path, data: Path, *, flags: Sequence[str] = (), seconds: float, sandbox: Sandbox) -> dict[str, Any]:
    """What a Python program of ours says of hostile bytes, as the JSON object that it writes.

    Args:
        program: Called with the place of the data and that of its answer.
        data: The file or folder that it reads.
        flags: Of Python, beside ``-I``.
        seconds: How long it may take.
        sandbox: Which one.

    Raises:
        BoxError: It failed, passed a limit, or wrote no JSON object.
    """
    from interlock.training.spec import Limits as RunLimits

    allowed = RunLimits(wall_seconds=seconds, output_bytes=ANSWER, output_files=4, memory_bytes=MEMORY)
    with boxed(
        data,
        lambda data, program, result: (sys.executable, "-I", *flags, str(program), str(data), str(result)),
        sandbox=sandbox,
        limits=allowed,
        program=program,
    ) as result:
        try:
            said = json.loads(result.read_bytes())
        except (ValueError, RecursionError) as error:
            raise BoxError("what it said is no JSON") from error
    if not isinstance(said, dict):
        raise BoxError("what it said is no JSON object")
    return said
