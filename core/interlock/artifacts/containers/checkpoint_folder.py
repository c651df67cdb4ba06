"""Checkpoint folders of torch.distributed.checkpoint: what ``.metadata`` says against what the other files are.

The reader takes from each ``*.distcp`` file the stretches that ``.metadata`` names, and loads some of them without
``weights_only``. So each has to be exactly one archive that was scanned: a stretch inside a tensor would be another.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

from interlock.artifacts import record as rules
from interlock.artifacts.record import Record, shown


def check_slices(record: Record, scanned: Collection[str]) -> None:
    """Compare every stretch that was named with the archives that were found.

    Args:
        record: Of a scan of the whole subject.
        scanned: The names of its files, as findings name them.
    """
    for metadata, name, offset, length in record.slices:
        record.budget.check_time()
        file = str(PurePosixPath(metadata).parent / str(name))
        pieces = record.pieces.get(file)
        if pieces is not None and (offset, length) in pieces:
            continue
        if file not in scanned:
            record.fail(metadata, f"it takes tensors from {shown(file)!r}, which is not here: scan the whole folder")
            return
        record.error(
            rules.CHECKPOINT_SLICE,
            f"it takes {length} bytes at {offset} of {shown(file)!r}, where no archive of torch was found",
            metadata,
        )
