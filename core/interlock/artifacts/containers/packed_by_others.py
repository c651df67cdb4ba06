"""7z and rar: formats for which no reader is kept here (models packed as 7z slipped past scanners as "nullifAI").

Where libarchive's ``bsdtar`` and bubblewrap are installed, it rewrites the archive as a tar inside the sandbox, without
network, and the tar is scanned. Else nobody can tell what is inside: UNDECIDED.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.artifacts.boxed import BoxError, boxed
from interlock.artifacts.containers.streams import ScanHeld
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, open_bytes, stretches

if TYPE_CHECKING:
    from interlock.training.sandbox import Sandbox

OTHERS: Final = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
"""How they start, and what they are called."""

_PROGRAM: Final = "bsdtar"
_NEXT: Final = "unpack it and scan what comes out, or install libarchive-tools and bubblewrap beside Interlock"
_MEMORY: Final = 1 << 30
_BLOCK: Final = 512


def scan_packed(data: Buffer, form: str, *, path: str, record: Record, inner: ScanHeld) -> str:
    """Have an archive rewritten as a tar in the sandbox, and scan that.

    Args:
        data: The whole file, unverified.
        form: ``7z`` or ``rar``.
        path: For findings; what is inside is named ``path!form!member``.
        record: Where findings go.
        inner: Scans the tar as a file.

    Returns:
        `form`.

    Raises:
        LimitPassedError: Nothing here can unpack it, or it passed a limit.
    """
    from interlock.training.spec import Limits as RunLimits

    program, sandbox = shutil.which(_PROGRAM), _strong_sandbox()
    if program is None or sandbox is None:
        missing = _PROGRAM if program is None else "a sandbox with namespaces"
        raise LimitPassedError(
            f"{form} is unpacked only by {_PROGRAM} in a sandbox, and {missing} is not here: {_NEXT}"
        )
    record.budget.spend_bytes(len(data))
    limits = record.budget.limits
    with tempfile.TemporaryDirectory(prefix="interlock-") as work:
        packed = Path(work, "packed")
        with packed.open("wb") as file:
            for piece in stretches(data, 0, len(data)):
                file.write(piece)
        try:
            with (
                boxed(
                    packed,
                    lambda data, _, result: (program, "-c", "-f", str(result), "--format=pax", f"@{data}"),
                    sandbox=sandbox,
                    limits=RunLimits(
                        wall_seconds=limits.seconds,
                        output_bytes=limits.expanded_bytes,
                        output_files=1,
                        memory_bytes=_MEMORY,
                    ),
                ) as tar,
                open_bytes(tar) as content,
            ):
                record.budget.spend_bytes(len(content))
                if not any(content[:_BLOCK]):  # the end of a tar: what libarchive makes of junk behind a rar's magic
                    raise LimitPassedError(f"{_PROGRAM} found nothing in the {form}: {_NEXT}")
                inner(content, f"{path}!{form}")
        except BoxError as error:
            raise LimitPassedError(
                f"{_PROGRAM} could not unpack the {form} whole: {shown(str(error))}; {_NEXT}"
            ) from error
    record.looked(path)
    return form


def _strong_sandbox() -> Sandbox | None:
    from interlock.training.bwrap import BwrapSandbox

    sandbox = BwrapSandbox()
    return sandbox if sandbox.probe().available else None
