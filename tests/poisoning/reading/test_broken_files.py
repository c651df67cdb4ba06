"""Files that lie about what is in them are refused by name."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset
from pyarrow import ipc
from tests.poisoning.conftest import Hold
from tests.poisoning.reading.writers import (
    NUMBERS,
    PICTURE,
    VECTOR,
    as_arrow,
    as_csv,
    as_embedding,
    as_hugging_face,
    as_idx,
    as_image_bytes,
    as_jsonl,
    as_manifest,
    as_npz,
    as_packed_idx,
    as_stream,
    put,
    read,
)

from interlock.gate import SubjectError
from interlock.poisoning import Columns, PoisoningGate, Source
from interlock.poisoning.reading import jsonl

Write = Callable[..., Path]
ROWS = 300
NOISE = np.random.default_rng(0).normal(size=(ROWS, 3))
TABLE: dict[str, Any] = {"a": NOISE[:, 0], "b": NOISE[:, 1], "c": NOISE[:, 2], "label": np.arange(ROWS) % 3}


def broken_offsets(folder: Path) -> Path:
    """An Arrow file in which the end of one text lies far behind the bytes of all texts."""
    table = pa.table({"a": [1.0, 2.0], "label": ["x" * 1111, "y" * 1111]})
    with ipc.new_file(folder / "train.arrow", table.schema) as file:
        file.write_table(table)
    whole = (folder / "train.arrow").read_bytes()
    offsets = struct.pack("<iii", 0, 1111, 2222)
    assert whole.count(offsets) == 1
    return put(folder / "train.arrow", whole.replace(offsets, struct.pack("<iii", 0, 1_000_000, 2222)))


def test_arrow_offsets_that_point_elsewhere_are_refused(tmp_path: Path, hold: Hold) -> None:
    with pytest.raises(SubjectError, match=r"train\.arrow"):
        read(broken_offsets(tmp_path), hold, label="label")


@pytest.mark.parametrize("write_as", [as_arrow, as_stream, as_jsonl, as_embedding, as_npz])
def test_a_file_that_ends_in_the_middle_is_refused_by_name(
    write_as: Any, few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    path = write_as(few, tmp_path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3])
    with pytest.raises(SubjectError) as caught:
        read(path, hold, **(VECTOR if write_as is as_embedding else NUMBERS))
    assert path.name in str(caught.value)


def test_every_cut_of_an_idx_file_is_refused(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_idx(few, tmp_path)
    images = folder / "train-images-idx3-ubyte"
    whole = images.read_bytes()
    for content in (whole[:2], whole[:7], whole[:100], whole[:-1], whole + b"\0", b"junk" + whole[4:]):
        images.write_bytes(content)
        with pytest.raises(SubjectError, match="train-images"):
            read(folder, hold)


def test_a_packed_idx_file_that_ends_early_is_refused(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_packed_idx(few, tmp_path)
    images = folder / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-20])
    with pytest.raises(SubjectError, match="IDX file cannot be read"):
        read(folder, hold)


def test_idx_images_without_their_labels_and_labels_without_images(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_idx(few, tmp_path)
    (folder / "train-labels-idx1-ubyte").rename(folder / "t10k-labels-idx1-ubyte")
    source = Source.of(hold(folder), Columns())
    assert [gap.path for gap in source.unread] == ["t10k-labels-idx1-ubyte"]
    with pytest.raises(SubjectError, match="labels are not here"):
        list(source.batches())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('{"a": 1, "a": 2, "label": 0}', "stands twice"),
        ('{"a": 1, "label": 0}\n{"a": 1', "line 2 is no JSON"),
        ('{"a": 1, "label": 0}\n[1]', "line 2 is no JSON object"),
        ('{"a": [1], "label": 0}\n{"a": "x", "label": 0}', "several kinds"),
        ('{"a": ' + "9" * 30 + ', "label": 0}', "several kinds"),
        ("[" * 5000, "line 1 is no JSON"),
        ("", "no label column"),
    ],
    ids=["key-twice", "cut-line", "no-object", "mixed-kinds", "huge-number", "deep", "empty"],
)
def test_json_lines_that_cannot_be_are_refused_with_their_line(
    lines: str, said: str, tmp_path: Path, hold: Hold
) -> None:
    with pytest.raises(SubjectError, match=said):
        read(put(tmp_path / "train.jsonl", lines.encode()), hold, label="label")


def test_a_line_without_end_is_refused(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    with pytest.raises(SubjectError, match="line 2 has more than 100 bytes"):
        read(put(tmp_path / "train.jsonl", b'{"a": 1, "label": 0}\n' + b" " * 200), hold, label="label")


def test_a_key_that_begins_late_is_refused_unless_features_are_named(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 1)
    path = put(tmp_path / "train.jsonl", b'{"a": 1, "label": 0}\n{"a": 2, "b": 3, "label": 1}\n{"label": 1}')
    with pytest.raises(SubjectError, match="'b' is in no line of the first"):
        read(path, hold, label="label")
    features, labels, _ = read(path, hold, label="label", features=("a",))
    assert labels == ["0", "1", "1"]
    assert np.isnan(features[2, 0])


def test_files_that_order_their_columns_differently_are_refused(write: Write, hold: Hold) -> None:
    write(TABLE, "lake/a.parquet")
    folder = write({name: TABLE[name] for name in ("b", "a", "c", "label")}, "lake/b.parquet").parent
    with pytest.raises(SubjectError, match="feature 0 is 'a' in one file and 'b' in another"):
        PoisoningGate("label").look(hold(folder))


FORMATS = [
    pytest.param(as_arrow, NUMBERS, id="arrow-file"),
    pytest.param(as_stream, NUMBERS, id="arrow-stream"),
    pytest.param(as_jsonl, NUMBERS, id="jsonl"),
    pytest.param(as_csv, NUMBERS, id="csv"),
    pytest.param(as_npz, NUMBERS, id="npz"),
    pytest.param(as_idx, {}, id="idx"),
    pytest.param(as_packed_idx, {}, id="idx-gz"),
    pytest.param(as_embedding, VECTOR, id="parquet"),
    pytest.param(as_image_bytes, PICTURE, id="image-bytes"),
    pytest.param(as_manifest, PICTURE, id="manifest"),
    pytest.param(as_hugging_face, PICTURE, id="hugging-face"),
]


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The same with some bytes changed, cut out or put in, or without its end."""
    changed = bytearray(content)
    for _ in range(dice.choice([1, 1, 3, 20])):
        at = dice.randrange(len(changed) + 1)
        how = dice.choice(["change", "change", "cut", "insert", "end"])
        if how == "end":
            return bytes(changed[:at])
        changed[at : at + (how != "insert") * dice.randrange(1, 9)] = dice.randbytes(4 * (how != "cut"))
    return bytes(changed)


@pytest.mark.parametrize(("write_as", "named"), FORMATS)
def test_damaged_files_give_rows_or_an_error_that_blames_them(
    write_as: Any, named: dict[str, Any], few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    dice = random.Random(7)
    path = write_as(few, tmp_path)
    for file in sorted(file for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()):
        whole = file.read_bytes()
        for _ in range(12 if path.is_file() else 4):
            file.write_bytes(damaged(whole, dice))
            with contextlib.suppress(SubjectError):
                read(path, hold, **named)
        file.write_bytes(whole)
