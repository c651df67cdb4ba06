"""The output folder: where it grows, whether it may leave, and how it takes its place.

It grows in a private folder beside its target, so that nothing half-written is ever seen there; a run that was killed
leaves that folder behind, and the next run into the same place sweeps it.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from interlock.gate import UsageError
from interlock.training.sandbox import LimitHit
from interlock.training.spec import Limits
from interlock.training.watch import over_output


@contextmanager
def staging_for(out: str) -> Iterator[Path]:
    """A private, empty folder for the output that will appear at `out`; gone when the context ends.

    Args:
        out: Path or URL; for a path the staging folder lies on the same disk.

    Raises:
        UsageError: The place cannot be written, or holds files that no training of Interlock put there.
    """
    from interlock.evidence.claims import claimed
    from interlock.evidence.sources import local_path

    target = local_path(out)
    with ExitStack() as stack:
        try:
            if target is None:
                claim = claimed(Path(tempfile.gettempdir()), "interlock-training-")
            else:
                _refuse_foreign(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                claim = claimed(target.parent, f".{target.name}.training-")
            room = stack.enter_context(claim) / "out"
            room.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(
                f"the output cannot be written: {error.strerror}", where=out, next_step="choose a folder you may write"
            ) from error
        yield room


def publish(staging: Path, out: str) -> None:
    """Let the checked output at `staging` appear at `out`, whole or not at all.

    Args:
        staging: Folder from `staging_for`, after `run_training`.
        out: The same place.

    Raises:
        UnavailableError: The place did not take it; a reader finds what was there before, or refuses it.
    """
    from interlock.evidence.sources import local_path
    from interlock.evidence.store import Store

    target = local_path(out)
    if target is not None:
        _mark_of(target).touch()
    Store(staging.parent / "store").publish(staging, out)


def _mark_of(target: Path) -> Path:
    """An empty file beside an output, which says that a training may replace that output."""
    return target.with_name(f".{target.name}.interlock-output")


def _refuse_foreign(target: Path) -> None:
    taken = target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir())))
    if taken and not _mark_of(target).exists():
        raise UsageError(
            "the output's place holds files that no training put there",
            where=str(target),
            next_step="choose a folder that is not there yet; a training replaces the whole folder",
        )


def check_output(out: Path, limits: Limits) -> str:
    """Why the output may not leave, or nothing; what may leave gets plain rights and is made durable.

    Args:
        out: Folder that training code wrote, untrusted; no process of it is alive.
        limits: How much it may be.
    """
    count = 0
    for folder, folders, files in os.walk(out, onerror=_raise):
        for name in (*folders, *files):
            path = Path(folder, name)
            found = path.lstat()
            odd = _oddity(name, found)
            if odd:
                return f"the output holds {odd}: {os.fspath(path.relative_to(out))!r}"
            # Before the walk goes in: a folder that hides its files would hide them from this check too.
            path.chmod(0o755 if stat.S_ISDIR(found.st_mode) else 0o644)
            _sync(path)
        count += len(files)
    _sync(out)
    hit = over_output(out, limits)
    if hit is not None:
        most = f"{limits.output_bytes} bytes" if hit is LimitHit.OUTPUT_BYTES else f"{limits.output_files} files"
        return f"the output is more than {most}"
    return "" if count else "the training wrote no output"


def _raise(error: OSError) -> None:
    raise error


def _oddity(name: str, found: os.stat_result) -> str:
    if not name.isprintable() or "\\" in name:
        return "a name that is not plain text"
    if stat.S_ISREG(found.st_mode):
        # A second name outside would let the bytes change after they were judged.
        return "" if found.st_nlink == 1 else "a file with a second name"
    kinds = {stat.S_IFDIR: "", stat.S_IFLNK: "a link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(found.st_mode), "a device")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
