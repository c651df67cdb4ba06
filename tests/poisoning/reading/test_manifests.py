"""What a manifest or a card may name: files of the subject, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset
from tests.poisoning.conftest import Hold
from tests.poisoning.reading.writers import (
    PICTURE,
    as_hugging_face,
    as_manifest,
    grey,
    put,
)

from interlock.gate import SubjectError, UnsafeSubjectError
from interlock.poisoning import Columns, PoisoningGate, Source


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("../secret.png", id="parent"),
        pytest.param("pictures/../../secret.png", id="parent-inside"),
        pytest.param("/etc/passwd", id="absolute"),
        pytest.param("C:/secret.png", id="drive"),
        pytest.param("s3://other/secret.png", id="url"),
        pytest.param("file:///etc/passwd", id="file-url"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_path_that_leaves_the_subject_is_unsafe(path: str, suffix: str, tmp_path: Path, hold: Hold) -> None:
    put(tmp_path / "secret.png", grey(1))
    put(tmp_path / "set/pictures/1.png", grey(1))
    rows = [{"picture": "pictures/1.png", "label": 0}, {"picture": path, "label": 1}]
    text = {"csv": f"picture,label\npictures/1.png,0\n{path},1\n", "jsonl": "\n".join(map(json.dumps, rows))}
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set/train.parquet")
    else:
        put(tmp_path / f"set/train.{suffix}", text[suffix].encode())
    with pytest.raises(UnsafeSubjectError, match="leaves the dataset"):
        PoisoningGate("label", image="picture").look(hold(tmp_path / "set"))


def test_a_link_out_of_the_subject_is_unsafe(tmp_path: Path, hold: Hold) -> None:
    put(tmp_path / "secret.png", grey(1))
    put(tmp_path / "set/train.csv", b"picture,label\n1.png,0\n")
    (tmp_path / "set/1.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(UnsafeSubjectError, match="link"):
        PoisoningGate("label", image="picture").look(hold(tmp_path / "set"))


def test_a_path_in_a_hugging_face_record_may_not_leave_either(tmp_path: Path, hold: Hold) -> None:
    put(tmp_path / "set/1.png", grey(1))
    values = pa.array([{"bytes": None, "path": "../1.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"picture": values, "label": [0]}), tmp_path / "set/train.parquet")
    with pytest.raises(UnsafeSubjectError, match="leaves"):
        PoisoningGate("label", image="picture").look(hold(tmp_path / "set"))


def test_an_image_that_is_not_there_is_a_row_that_was_not_looked_at(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_manifest(few, tmp_path)
    (folder / "pictures/3.png").unlink()
    source = Source.of(hold(folder), Columns(**PICTURE))
    (unread,) = (one for batch in source.batches() for one in batch.unread)
    assert (unread.row, unread.name, unread.reason) == (3, "pictures/3.png", "no such file is here")


def test_images_that_no_manifest_names_are_skipped_and_said_to_be(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_manifest(few, tmp_path)
    for name in ("x", "y"):
        put(folder / f"more/{name}.png", grey(1))
    (gap,) = Source.of(hold(folder), Columns(**PICTURE)).skipped
    assert (gap.path, gap.reason) == ("more/x.png", "no row of a manifest names this image (and 1 other images)")


def test_a_manifest_alone_is_refused(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    with pytest.raises(SubjectError, match=r"no part of the subject.*give the folder"):
        PoisoningGate("label", image="picture").look(hold(as_manifest(few, tmp_path) / "train.csv"))


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ({"_data_files": [{"filename": "../../secret.arrow"}]}, UnsafeSubjectError, "names no shard beside it"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, SubjectError, "not there"),
        ({"_data_files": [{"filename": "x"}], "_indices_files": [{"filename": "i"}]}, SubjectError, "flatten_indices"),
        ({"_data_files": []}, SubjectError, "names no shards"),
        ([], SubjectError, "no JSON object"),
    ],
    ids=["leaves", "missing-shard", "selection", "no-shards", "no-object"],
)
def test_a_state_that_cannot_be_is_refused(  # noqa: PLR0917 (fixtures)
    state: Any, error: type[SubjectError], said: str, few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    folder = as_hugging_face(few, tmp_path)
    put(folder / "train/state.json", json.dumps(state).encode())
    with pytest.raises(error, match=said):
        Source.of(hold(folder), Columns(**PICTURE))


def test_arrow_files_that_are_no_shards_are_said(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    folder = as_hugging_face(few, tmp_path)
    put(folder / "train/cache-1.arrow", b"x")
    put(folder / "train/more.arrow", b"x")
    source = Source.of(hold(folder), Columns(**PICTURE))
    assert [gap.path for gap in source.skipped] == ["train/cache-1.arrow"]
    assert [gap.path for gap in source.unread] == ["train/more.arrow"]
