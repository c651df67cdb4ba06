"""CSV, block by block; a column's type is what its first block holds (RFC 4180)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.poisoning.batches import BATCH_BYTES
from interlock.poisoning.reading.form import Table


@contextmanager
def open_csv(path: Path, _shown: str) -> Iterator[Table]:
    """A CSV file of untrusted content, with a header."""
    import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published

    with pc.open_csv(path, read_options=pc.ReadOptions(block_size=BATCH_BYTES)) as reader:

        def batches(_wanted: Sequence[str], rows: int, _groups: Sequence[int] | None) -> Iterator[Any]:
            return (batch.slice(at, rows) for batch in reader for at in range(0, batch.num_rows, rows))

        yield Table(schema=reader.schema, batches=batches)
