"""Arrow IPC, as a file and as a stream (Apache Arrow columnar format, "Serialization and IPC").

A record batch is offsets into bytes, and whoever wrote it chose them: each is validated whole before one value is read,
because an offset that points elsewhere would be followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.poisoning.reading.form import Table

MAGIC = b"ARROW1"


@contextmanager
def open_arrow(path: Path, _shown: str) -> Iterator[Table]:
    """An Arrow file or stream of untrusted content; Feather version 2 is such a file."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    from pyarrow import ipc

    with path.open("rb") as content:
        is_file = content.read(len(MAGIC)) == MAGIC
    with pa.memory_map(str(path)) as held, (ipc.open_file if is_file else ipc.open_stream)(held) as reader:
        found = (reader.get_batch(place) for place in range(reader.num_record_batches)) if is_file else reader

        def batches(wanted: Sequence[str], rows: int, _groups: Sequence[int] | None) -> Iterator[Any]:
            return _valid(found, wanted, rows)

        yield Table(schema=reader.schema, batches=batches)


def _valid(found: Iterable[Any], wanted: Sequence[str], rows: int) -> Iterator[Any]:
    for batch in found:
        chosen = batch.select(list(wanted))
        chosen.validate(full=True)
        for at in range(0, chosen.num_rows, rows):
            yield chosen.slice(at, rows)
