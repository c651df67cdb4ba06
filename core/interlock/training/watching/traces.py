"""Recorded losses after the run: merged, looked at, and moved out of the output where that was asked for.

The files were written by untrusted code: they are read as `interlock.poisoning.models.LossRecord` reads them, within
limits. What is found are rows for the poisoning gate to look at, and no verdict.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Finding, InterlockError, Level, Measure
from interlock.gate.durable import replacing
from interlock.training.watching.inside import LOSSES

if TYPE_CHECKING:
    from interlock.poisoning.models.losses import LossRecord

MAX_BYTES = 256 * 2**20
"""Of one file, unpacked."""

MAX_FILES = 64
MAX_ROWS = 200
"""Rows that a finding names; all of them are counted."""

_NEXT = "interlock gate data-poisoning --with-training --losses looks at the rows themselves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What recorded losses said."""

    findings: tuple[Finding, ...] = ()
    measures: tuple[Measure, ...] = ()


def looked_at(out: Path, *, to: Path | None, look: bool) -> Trace:
    """Look at the losses that a run recorded, if it did.

    Args:
        out: The run's output folder; untrusted.
        to: Where the losses go instead; None leaves them there.
        look: Whether they are searched for rows that keep apart.
    """
    files = _files(out)
    if not files:
        return Trace()
    try:
        record = _merged(files)
        if to is not None or len(files) > 1:
            _write(record, to if to is not None else out / LOSSES)
    except (InterlockError, OSError) as error:
        said = error.what if isinstance(error, InterlockError) else str(error)
        return Trace(findings=(_finding("losses-unreadable", Level.WARNING, f"recorded losses are unusable: {said}"),))
    finally:
        for path in files if to is not None else files[1:]:
            path.unlink(missing_ok=True)
    return _searched(record) if look else Trace(measures=_measures(record))


def _files(out: Path) -> list[Path]:
    found = [out / LOSSES, *sorted(out.glob(f"{Path(LOSSES).stem}.rank*.npz"))[:MAX_FILES]]
    return [path for path in found if path.is_file() and not path.is_symlink()]


def _merged(files: list[Path]) -> LossRecord:
    """One record out of those of all processes, each of which saw some of the rows.

    Raises:
        SubjectError: A file is no record, is too large, or they do not fit each other.
    """
    import numpy as np

    from interlock.gate import SubjectError
    from interlock.poisoning.models.losses import LossRecord

    records = []
    for path in files:
        _check_size(path)
        records.append(LossRecord.read(path).losses)
    rows = {len(losses) for losses in records}
    if len(rows) != 1:
        raise SubjectError("processes of one training recorded losses of datasets of different sizes", where=LOSSES)
    whole = np.full((*rows, max(losses.shape[1] for losses in records)), np.nan, dtype=np.float32)
    for losses in records:
        part = whole[:, : losses.shape[1]]
        np.fmin(part, losses, out=part)
    return LossRecord(losses=whole)


def _check_size(path: Path) -> None:
    from interlock.gate import SubjectError

    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise SubjectError(f"the losses cannot be read ({error})", where=path.name) from error
    if size > MAX_BYTES:
        raise SubjectError(f"{size:,} bytes of losses; up to {MAX_BYTES:,} are looked at here", where=path.name)


def _write(record: LossRecord, path: Path) -> None:
    import numpy as np

    with replacing(path) as file:
        np.savez_compressed(file, losses=record.losses)


def _searched(record: LossRecord) -> Trace:
    from interlock.poisoning.models.order import learning_order

    reason = record.unfit(len(record.losses))
    if reason:
        words = f"recorded losses do not say in which order rows were learned: {reason}"
        return Trace(findings=(_finding("losses-not-ranked", Level.NOTE, words),), measures=_measures(record))
    order = learning_order(record)
    words = f"{len(order.never)} of {len(record.losses)} rows were never learned; {len(order.first)} were learned first"
    evidence = {
        "never_learned": [int(row) for row in order.never[:MAX_ROWS]],
        "learned_first": [int(row) for row in order.first[:MAX_ROWS]],
    }
    finding = _finding("learning-order", Level.NOTE, f"{words}; {_NEXT}", json.dumps(evidence))
    never = Measure(name="never_learned", value=len(order.never), unit="rows")
    return Trace(findings=(finding,), measures=(*_measures(record), never))


def _measures(record: LossRecord) -> tuple[Measure, ...]:
    import numpy as np

    share = float(np.isfinite(record.losses).mean()) if record.losses.size else 0.0
    return (
        Measure(name="recorded_rows", value=len(record.losses), unit="rows"),
        Measure(name="recorded_epochs", value=record.losses.shape[1]),
        Measure(name="recorded_losses", value=share, unit="fraction"),
    )


def _finding(rule: str, level: Level, message: str, evidence: str = "") -> Finding:
    return Finding(rule_id=f"training.{rule}", level=level, message=message, evidence=evidence)
