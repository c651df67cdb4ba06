"""Parquet, CSV and npz to blocks of features and labels. Knows nothing of detectors."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interlock.gate import MissingExtraError, SubjectError, UnsafeSubjectError
from interlock.poisoning.batches import BATCH_BYTES, Block, Columns

MAX_NPZ_BYTES = 8 * 2**30
"""An npz whose members unpack to more than this is refused: it could be a few bytes that blow up."""

MAX_FEATURES = 262_144
MAX_BLOCK_ROWS = 65_536
NUMERIC_KINDS = "biuf"
"""numpy's letters for truth values, whole numbers and floating point."""


def read_file(path: Path, shown: str, columns: Columns) -> Iterator[Block]:
    """Read one file in blocks.

    Args:
        path: The held file, untrusted content.
        shown: Its name for people.
        columns: Label and features.

    Raises:
        SubjectError: It cannot be read, lacks a column, or holds text where numbers are needed.
        UnsafeSubjectError: It unpacks to more than the limit.
    """
    suffix = Path(shown).suffix.lower() or path.suffix.lower()
    if suffix == ".npz":
        yield from _npz(path, shown, columns)
        return
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", extra="torch") from error
    try:
        yield from (_parquet if suffix == ".parquet" else _csv)(path, shown, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError, ValueError, OverflowError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise SubjectError(
            f"the file cannot be read, it may be truncated: {reason}", where=shown, next_step="write the file again"
        ) from error


def _parquet(path: Path, shown: str, columns: Columns) -> Iterator[Block]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = _feature_names(file.schema_arrow, shown, columns)
        others = _categories(file.schema_arrow, columns)
        wanted = [*columns.named, *names, *others]
        for batch in file.iter_batches(batch_size=_rows_per_block(len(names) + len(others)), columns=wanted):
            yield _block(batch, names, others, shown, columns)


def _csv(path: Path, shown: str, columns: Columns) -> Iterator[Block]:
    import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published

    with pc.open_csv(path, read_options=pc.ReadOptions(block_size=BATCH_BYTES)) as reader:
        names = _feature_names(reader.schema, shown, columns)
        others = _categories(reader.schema, columns)
        for batch in reader:
            yield _block(batch, names, others, shown, columns)


def _feature_names(schema: Any, shown: str, columns: Columns) -> list[str]:
    have = list(schema.names)
    twice = sorted({name for name in have if have.count(name) > 1})
    if twice:
        raise SubjectError(f"column {twice[0]!r} stands twice", where=shown, next_step="rename one of them")
    _check_named(schema, shown, columns)
    if columns.features is None:
        names = [name for name in have if name not in columns.named and is_numeric(schema.field(name).type)]
    else:
        names = list(columns.features)
        for name in names:
            if name not in have:
                raise _no_column(name, "feature", have, shown)
            if not is_numeric(schema.field(name).type):
                raise SubjectError(
                    f"feature column {name!r} holds {schema.field(name).type}, not numbers",
                    where=shown,
                    next_step="encode it as numbers, or leave it out of `features`",
                )
    return _usable(names, shown, columns)


def _check_named(schema: Any, shown: str, columns: Columns) -> None:
    """Refuse a label, text, source or id column that is not there or cannot be one."""
    import pyarrow as pa

    for name in columns.named:
        role = columns.role(name)
        if name not in schema.names:
            raise _no_column(name, role, list(schema.names), shown)
        kind = schema.field(name).type
        if pa.types.is_nested(kind):
            raise SubjectError(f"the {role} column {name!r} holds lists or records, not {role}s", where=shown)
        if role == "text" and not is_text(kind):
            raise SubjectError(f"text column {name!r} holds {kind}, not text", where=shown)


def _categories(schema: Any, columns: Columns) -> list[str]:
    """Columns of text that are nothing else, when features are not named."""
    if columns.features is not None:
        return []
    return [name for name in schema.names if name not in columns.named and is_text(schema.field(name).type)]


def is_text(kind: Any) -> bool:
    """True for a column whose values are texts."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def left_out(path: Path, shown: str, columns: Columns) -> tuple[str, ...]:
    """Columns or arrays that nobody looks at because they hold neither numbers nor text; empty when features are named.

    Args:
        path: A held file that `read_file` could read.
        shown: Its name for people.
        columns: Label and features.
    """
    if columns.features is not None:
        return ()
    suffix = Path(shown).suffix.lower() or path.suffix.lower()
    if suffix == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            others = [name for name in arrays.files if name not in columns.named]
            return tuple(name for name in others if arrays[name].dtype.kind not in NUMERIC_KINDS)
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    if suffix == ".parquet":
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
    else:
        with pc.open_csv(path, read_options=pc.ReadOptions(block_size=BATCH_BYTES)) as reader:
            schema = reader.schema
    kinds = {name: schema.field(name).type for name in schema.names if name not in columns.named}
    return tuple(name for name, kind in kinds.items() if not is_numeric(kind) and not is_text(kind))


def is_numeric(kind: Any) -> bool:
    """True for what can be cast to float32 with its meaning kept."""
    import pyarrow as pa

    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
    return any(check(kind) for check in checks)


def _usable(names: list[str], shown: str, columns: Columns) -> list[str]:
    if not names and not columns.texts:
        raise SubjectError(
            "no numeric column is left beside the label", where=shown, next_step="name feature columns with `features`"
        )
    _check_width(len(names), shown, columns)
    return names


def _check_width(width: int, shown: str, columns: Columns) -> None:
    if width > MAX_FEATURES:
        raise UnsafeSubjectError(f"{width} features are more than {MAX_FEATURES}", where=shown)
    if columns.image_shape is not None:
        pixels = 1
        for side in columns.image_shape:
            pixels *= side
        if pixels != width:
            shape = "x".join(str(side) for side in columns.image_shape)
            raise SubjectError(
                f"{width} feature columns are no {shape} image, which has {pixels} values",
                where=shown,
                next_step="correct `image_shape`, or name the pixel columns with `features`",
            )


def _no_column(name: str, what: str, have: list[str], shown: str) -> SubjectError:
    some = ", ".join(have[:8]) + (", ..." if len(have) > 8 else "")
    return SubjectError(f"there is no {what} column {name!r}", where=shown, next_step=f"the file has {some}")


def _rows_per_block(features: int) -> int:
    return min(MAX_BLOCK_ROWS, max(64, BATCH_BYTES // (4 * max(1, features))))


def _block(batch: Any, names: list[str], others: list[str], shown: str, columns: Columns) -> Block:
    import numpy as np
    import pyarrow as pa

    features = np.empty((batch.num_rows, len(names)), dtype=np.float32)
    for place, name in enumerate(names):
        column = batch.column(name)
        if not is_numeric(column.type):  # CSV guesses a type per column from its first block
            raise SubjectError(f"feature column {name!r} holds {column.type}, not numbers", where=shown)
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and that is looked at as such
            values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
            features[:, place] = values
    return Block(
        features=features,
        labels=batch.column(columns.label).to_pylist(),
        texts={name: [text or "" for text in batch.column(name).to_pylist()] for name in columns.texts},
        categories={name: batch.column(name).to_pylist() for name in others},
        sources=None if columns.source is None else batch.column(columns.source).to_pylist(),
        ids=None if columns.id is None else batch.column(columns.id).to_pylist(),
        names=tuple(names),
    )


def _npz(path: Path, shown: str, columns: Columns) -> Iterator[Block]:
    import numpy as np

    try:
        with zipfile.ZipFile(path) as members:
            unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > MAX_NPZ_BYTES:
            raise UnsafeSubjectError(f"the arrays unpack to {unpacked} bytes, more than {MAX_NPZ_BYTES}", where=shown)
        with np.load(path, allow_pickle=False) as arrays:
            whole = _npz_arrays(arrays, shown, columns)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile, KeyError) as error:
        raise SubjectError(
            f"the npz file cannot be read: {error}",
            where=shown,
            next_step="write it again with numpy.savez, without object arrays",
        ) from error
    features, names, named = whole
    step = _rows_per_block(features.shape[1])
    for at in range(0, len(features), step):
        rows = slice(at, at + step)
        with np.errstate(over="ignore"):
            values = features[rows].astype(np.float32)
        yield Block(
            features=values,
            labels=named[columns.label][rows].tolist(),
            texts={name: [str(text) for text in named[name][rows]] for name in columns.texts},
            sources=None if columns.source is None else named[columns.source][rows].tolist(),
            ids=None if columns.id is None else named[columns.id][rows].tolist(),
            names=names,
        )


def _npz_arrays(arrays: Any, shown: str, columns: Columns) -> tuple[Any, tuple[str, ...], dict[str, Any]]:
    """The features of all rows, their names, and the arrays that are something else."""
    import numpy as np

    named = {name: _npz_named(arrays, name, shown, columns) for name in columns.named}
    rows = len(named[columns.label])
    for name, values in named.items():
        if len(values) != rows:
            raise SubjectError(f"the array {name!r} has another length than the labels ({rows})", where=shown)
    chosen = columns.features or tuple(name for name in arrays.files if name not in columns.named)
    parts, names = [], []
    for name in chosen:
        if name not in arrays.files:
            raise _no_column(name, "feature", list(arrays.files), shown)
        part = arrays[name]
        if part.dtype.kind not in NUMERIC_KINDS:
            if columns.features is None:
                continue
            raise SubjectError(f"the array {name!r} holds {part.dtype}, not numbers", where=shown)
        if part.ndim < 1 or len(part) != rows:
            raise SubjectError(f"the array {name!r} has another length than the labels ({rows})", where=shown)
        parts.append(part.reshape(rows, -1))
        width = parts[-1].shape[1]
        names += [name] if part.ndim == 1 else [f"{name}[{place}]" for place in range(width)]
    if not parts and not columns.texts:
        raise SubjectError("no numeric array is left beside the label", where=shown)
    parts = parts or [np.empty((rows, 0), dtype=np.float32)]
    features = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    _check_width(features.shape[1], shown, columns)
    return features, tuple(names), named


def _npz_named(arrays: Any, name: str, shown: str, columns: Columns) -> Any:
    """The array of labels, texts, sources or ids."""
    if name not in arrays.files:
        raise _no_column(name, columns.role(name), list(arrays.files), shown)
    values = arrays[name]
    if values.ndim != 1:
        raise SubjectError(f"the array {name!r} has {values.ndim} dimensions, not one", where=shown)
    return values
