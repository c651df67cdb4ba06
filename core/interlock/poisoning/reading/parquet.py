"""Parquet, row group by row group, and a large row group piece by piece (Apache Parquet format 2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.poisoning.reading.form import Table

BUFFERED_BYTES = 32 * 2**20
"""Read ahead, over all columns. Without buffers a whole row group is held, and a file may be one row group."""

LEAST_BUFFER_BYTES = 4 * 2**10


@contextmanager
def open_parquet(path: Path, _shown: str) -> Iterator[Table]:
    """A Parquet file of untrusted content; its page checksums are verified where it has some."""
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    columns = max(1, pq.read_metadata(path).num_columns)
    buffer = max(LEAST_BUFFER_BYTES, BUFFERED_BYTES // columns)
    with pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False, buffer_size=buffer) as file:

        def batches(wanted: Sequence[str], rows: int, groups: Sequence[int] | None) -> Iterator[Any]:
            chosen = None if groups is None else list(groups)
            return iter(file.iter_batches(batch_size=rows, row_groups=chosen, columns=list(wanted)))

        lengths = (file.metadata.row_group(place).num_rows for place in range(file.num_row_groups))
        yield Table(schema=file.schema_arrow, batches=batches, groups=tuple(lengths))
