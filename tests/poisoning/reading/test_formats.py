"""Every format gives the same rows, whole, in order, and in pieces."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset
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
    as_lists,
    as_manifest,
    as_npz,
    as_packed_idx,
    as_stream,
    encoded,
    put,
    read,
)

from interlock.gate import Location, SubjectError
from interlock.poisoning import Columns, Source


@pytest.mark.parametrize(
    ("write_as", "named"),
    [
        pytest.param(as_arrow, NUMBERS, id="arrow-file"),
        pytest.param(as_stream, NUMBERS, id="arrow-stream"),
        pytest.param(as_jsonl, NUMBERS, id="jsonl"),
        pytest.param(as_csv, NUMBERS, id="csv"),
        pytest.param(as_npz, NUMBERS, id="npz"),
        pytest.param(as_npz, {"label": "label", "image": "images"}, id="npz-images"),
        pytest.param(as_idx, {}, id="idx"),
        pytest.param(as_packed_idx, {}, id="idx-gz"),
        pytest.param(as_embedding, VECTOR, id="embedding-of-one-length"),
        pytest.param(as_lists, VECTOR, id="embedding-in-jsonl"),
        pytest.param(as_image_bytes, PICTURE, id="image-bytes"),
        pytest.param(as_manifest, PICTURE, id="manifest"),
        pytest.param(as_hugging_face, PICTURE, id="hugging-face"),
    ],
)
def test_every_format_gives_the_same_rows(
    write_as: Callable[[Dataset, Path], Path], named: dict[str, Any], few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    features, labels, source = read(write_as(few, tmp_path), hold, **named)
    assert np.array_equal(features, few.images)
    assert labels == [str(label) for label in few.labels]
    assert source.skipped == source.unread == ()


@pytest.mark.parametrize("write_as", [as_arrow, as_csv, as_jsonl, as_npz])
def test_one_file_without_an_ending_is_told_by_its_content(
    write_as: Callable[[Dataset, Path], Path], few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    unnamed = write_as(few, tmp_path).rename(tmp_path / "data")
    features, labels, _ = read(unnamed, hold, **NUMBERS)
    assert np.array_equal(features, few.images)
    assert labels == [str(label) for label in few.labels]


@pytest.mark.parametrize("content", [b"", b"\n", b"\0,\0", b"one column\n1\n"])
def test_a_file_without_an_ending_that_tells_nothing_is_not_guessed(content: bytes, tmp_path: Path, hold: Hold) -> None:
    with pytest.raises(SubjectError, match="no file here is"):
        read(put(tmp_path / "data", content), hold, **NUMBERS)


@pytest.mark.parametrize("write_as", [as_idx, as_manifest, as_hugging_face])
def test_images_say_their_shape(write_as: Any, few: Dataset, tmp_path: Path, hold: Hold) -> None:
    _, _, source = read(write_as(few, tmp_path), hold, **({} if write_as is as_idx else PICTURE))
    assert source.columns.image_shape == (8, 8)


def test_class_folders_name_their_labels_and_their_rows(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    for row, (content, label) in enumerate(zip(encoded(few), few.labels, strict=True)):
        put(tmp_path / f"set/train/class {label}/{row:02d}.png", content)
    features, labels, source = read(tmp_path / "set", hold)
    order = np.argsort(few.labels, kind="stable")
    assert np.array_equal(features, few.images[order])
    assert labels == [f"class {label}" for label in few.labels[order]]
    assert next(source.batches()).ids[0] == "train/class 0/00.png"
    assert source.where(1, 2) == Location(path="train/class 1/07.png")


def test_class_names_come_from_the_features_of_a_hugging_face_shard(tmp_path: Path, hold: Hold) -> None:
    info = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    schema = pa.schema({"a": pa.float32(), "label": pa.int64()}, metadata={"huggingface": json.dumps(info)})
    pq.write_table(pa.table({"a": [1.0, 2.0, 3.0], "label": [1, 0, -1]}, schema), tmp_path / "train.parquet")
    _, labels, _ = read(tmp_path / "train.parquet", hold, label="label")
    assert labels == ["dog", "cat", None]


def test_a_folder_of_several_formats_is_one_dataset(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = tmp_path / "lake"
    folder.mkdir()
    for write_as in (as_arrow, as_csv, as_jsonl):
        write_as(few, folder)
    features, _, source = read(folder, hold, label="label")
    assert source.files == ("train.arrow", "train.csv", "train.jsonl")
    assert np.array_equal(features, np.concatenate([few.images] * 3))


def test_a_source_can_travel_to_a_worker(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    _, labels, source = read(as_manifest(few, tmp_path), hold, **PICTURE)
    again = pickle.loads(pickle.dumps(source))
    assert sum(len(batch.labels) for batch in again.batches()) == len(labels)


@pytest.mark.parametrize("write_as", [as_arrow, as_jsonl, as_csv, as_embedding])
@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_the_pieces_of_a_file_are_its_rows(  # noqa: PLR0917 (fixtures)
    write_as: Any, pieces: int, few: Dataset, tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.poisoning.reading.table.rows_per_block", lambda _: 2)
    source = Source.of(hold(write_as(few, tmp_path)), Columns(**(VECTOR if write_as is as_embedding else NUMBERS)))
    part: Any = source.parts[0]
    found = [one for number in range(pieces) for one in part.piece(source.columns, number, pieces)]
    found.sort(key=lambda one: one[0])
    assert np.array_equal(np.concatenate([block.features for _, block in found]), few.images)
    assert [at for at, _ in found] == np.cumsum([0, *(len(block.labels) for _, block in found)])[:-1].tolist()
