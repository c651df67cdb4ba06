"""7z and rar: formats for which no reader is kept here (models packed as 7z slipped past scanners as "nullifAI").

Where libarchive's ``bsdtar`` and bubblewrap are installed, it rewrites a 7z as a tar inside the sandbox, without
network, and the tar is scanned. Else nobody can tell what is inside: UNDECIDED. A rar always is, because bsdtar reads
something else in it than unrar: it gives members with a password as they are, leaves out the second of two with one
name, and prefers an ISO 9660 image or a zip in the same bytes.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.artifacts import record as rules
from interlock.artifacts.boxed import BoxError, boxed
from interlock.artifacts.containers.zip_end import END_MAGIC
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer, ScanHeld, open_bytes, stretches

if TYPE_CHECKING:
    from interlock.training.sandbox import Sandbox

OTHERS: Final = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar"}
"""How they start, and what they are called."""

_PROGRAM: Final = "bsdtar"
_NEXT: Final = "unpack it and scan what comes out, or install libarchive-tools and bubblewrap beside Interlock"
_MEMORY: Final = 1 << 30
_BLOCK: Final = 512
_ISO_9660: Final = (0x8001, b"CD001")  # ECMA-119, 8.4.3: libarchive takes any file with these bytes for an image
_ZIP_END_WITHIN: Final = 22 + 0xFFFF


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
        LimitPassedError: Nothing here can unpack it so that everybody would read the same, or it passed a limit.
    """
    from interlock.training.spec import Limits as RunLimits

    if form == "rar":
        raise LimitPassedError("rar is not read here: unpack it and scan what comes out, or pack it as tar or zip")
    _refuse_other_archives(data, form, path=path, record=record)
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
                    silent=True,
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
                if not any(content[:_BLOCK]):  # the end of a tar, and no member before it
                    raise LimitPassedError(f"{_PROGRAM} found nothing in the {form}: {_NEXT}")
                inner(content, f"{path}!{form}")
        except BoxError as error:
            raise LimitPassedError(
                f"{_PROGRAM} could not unpack the {form} whole: {shown(str(error))}; {_NEXT}"
            ) from error
    record.looked(path)
    return form


def _refuse_other_archives(data: Buffer, form: str, *, path: str, record: Record) -> None:
    """Another archive in the same bytes, which bsdtar or another reader may open in place of this one."""
    at, magic = _ISO_9660
    if data[at : at + len(magic)] == magic:
        record.error(rules.POLYGLOT, f"a {form} file that is also an ISO 9660 image: readers may open either", path, at)
    if data.rfind(END_MAGIC, max(0, len(data) - _ZIP_END_WITHIN)) >= 0:
        # No error, because a zip that was packed without compression stands there as well.
        raise LimitPassedError(f"a {form} file in which readers may find a zip: unpack it and scan what comes out")


def _strong_sandbox() -> Sandbox | None:
    from interlock.training.bwrap import BwrapSandbox

    sandbox = BwrapSandbox()
    return sandbox if sandbox.probe().available else None
