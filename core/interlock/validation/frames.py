"""A pandas DataFrame from code as a subject. A receipt binds bytes, so the frame becomes those of a Parquet file."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import OpenSubject, Subject, SubjectError

if TYPE_CHECKING:
    import pandas


class FrameOpener:
    """An `Opener` that serves one DataFrame, for `run_gate` and for notebooks.

    The digest is of the Parquet bytes that `frame.to_parquet` writes. A guard that is to open on the same receipt must
    be given those bytes: write the frame with `write_frame` to where training reads it.

    Args:
        frame: The data; read, never changed.
    """

    def __init__(self, frame: pandas.DataFrame) -> None:
        self._frame = frame

    @contextmanager
    def open(self, uri: str) -> Iterator[OpenSubject]:
        """Hold the frame as a private Parquet file.

        Args:
            uri: What to call it; nothing is read from there.

        Raises:
            SubjectError: The frame cannot be written as Parquet.
        """
        name = uri.rstrip("/").rpartition("/")[2] or "frame"
        with tempfile.TemporaryDirectory(prefix="interlock-frame-") as folder:
            path = Path(folder) / "frame.parquet"
            digest = write_frame(self._frame, path)
            path.chmod(0o400)
            shown = name if name.endswith(".parquet") else f"{name}.parquet"
            yield OpenSubject(subject=Subject(name=shown, uri=uri, digest=digest), path=path, files=("",))


def write_frame(frame: pandas.DataFrame, path: Path) -> str:
    """Write a DataFrame as Parquet, the way `FrameOpener` judges it.

    Args:
        frame: The data.
        path: Where to.

    Returns:
        sha256 of the written bytes, lower-case hexadecimal.

    Raises:
        SubjectError: A column cannot be written, or the columns have no distinct text names.
    """
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published

    names = list(frame.columns)
    bad = next((name for name in names if not isinstance(name, str) or names.count(name) > 1), None)
    if bad is not None:
        raise SubjectError(
            f"column {bad!r} has no text name of its own", where="DataFrame", next_step="rename the frame's columns"
        )
    try:
        frame.to_parquet(path, engine="pyarrow")
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        # pyarrow quotes the offending value; only the column's name is passed on.
        found = re.search(r"[Cc]onversion failed for column (.+?) with type", str(error.args))
        column = f"column {found.group(1)!r}" if found else "a column"
        raise SubjectError(
            f"{column} mixes types or holds what Parquet cannot", where="DataFrame", next_step="give it one type"
        ) from error
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
