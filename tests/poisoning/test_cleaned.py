"""A dataset without some of its rows: what stays is what it was, in every format."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from interlock.gate import OpenSubject, SubjectError, UsageError
from interlock.poisoning import Columns
from interlock.poisoning.batches import Source
from interlock.poisoning.cleaned import Cut, write_cleaned
from interlock.poisoning.kept_rows import keep_csv, keep_jsonl

Hold = Callable[[Path], OpenSubject]
ROWS = 40
GONE = (0, 3, 4, 17, 39)
STAY = [row for row in range(ROWS) if row not in GONE]


def table() -> pa.Table:
    columns = {
        "a": pa.array([row / 3 for row in range(ROWS)], pa.float64()),
        "b": pa.array([None if row % 7 == 0 else row for row in range(ROWS)], pa.int16()),
        "word": pa.array([f"w{row % 3}" for row in range(ROWS)]).dictionary_encode(),
        "label": pa.array([f"class {row % 2}" for row in range(ROWS)]),
    }
    made = pa.table(columns)
    schema = made.schema.with_metadata({"who": "me"}).set(0, pa.field("a", pa.float64(), metadata={"unit": "m"}))
    return made.cast(schema)


def cleaned(hold: Hold, path: Path, out: Path, rows: tuple[int, ...] = GONE, **columns: Any) -> Path:
    source = Source.of(hold(path), Columns(**{"label": "label", **columns}))
    lengths = [0] * len(source.parts)
    for batch in source.batches():
        lengths[batch.file] += len(batch.labels)
    out.mkdir()
    write_cleaned(Cut.of(source, tuple(lengths), rows), out)
    return out


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_parquet_keeps_schema_metadata_compression_and_row_groups(tmp_path: Path, hold: Hold, compression: str) -> None:
    path = tmp_path / "t.parquet"
    coded: Any = ["word"]
    pq.write_table(table(), path, 10, compression=compression, use_dictionary=coded)
    out = cleaned(hold, path, tmp_path / "out", (*GONE, *range(20, 30))) / "t.parquet"
    found, before = pq.ParquetFile(out), pq.ParquetFile(path)
    assert found.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert found.read().equals(table().take([row for row in STAY if not 20 <= row < 30]), check_metadata=True)
    assert [found.metadata.row_group(group).num_rows for group in range(found.metadata.num_row_groups)] == [7, 9, 9]
    assert found.metadata.row_group(0).column(0).compression == before.metadata.row_group(0).column(0).compression


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_arrow_keeps_schema_and_kind(tmp_path: Path, hold: Hold, kind: str) -> None:
    path = tmp_path / {"file": "t.arrow", "stream": "t.arrows", "feather": "t.feather"}[kind]
    with (ipc.new_stream if kind == "stream" else ipc.new_file)(path, table().schema) as writer:
        writer.write_table(table(), 15)
    out = cleaned(hold, path, tmp_path / "out") / path.name
    with (ipc.open_stream if kind == "stream" else ipc.open_file)(pa.OSFile(str(out))) as reader:
        assert reader.read_all().equals(table().take(STAY), check_metadata=True)


def test_csv_keeps_every_line_byte_for_byte(tmp_path: Path, hold: Hold) -> None:
    lines = [f'{row}.50, "x" {row},"a ""{row}"", b",class {row % 2}\r\n'.encode() for row in range(ROWS)]
    lines.insert(20, b"\r\n")
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,t,u,label\r\n" + b"".join(lines))
    out = cleaned(hold, path, tmp_path / "out") / "t.csv"
    kept = [line for line in lines if line == b"\r\n" or int(line.split(b".")[0]) in STAY]
    assert out.read_bytes() == b"\xef\xbb\xbfa,t,u,label\r\n" + b"".join(kept)


def test_jsonl_keeps_every_line_byte_for_byte(tmp_path: Path, hold: Hold) -> None:
    lines = [f'{{"a":  {row}.0, "label": "class {row % 2}" }}\n'.encode() for row in range(ROWS)]
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"".join([*lines[:9], b"\n", *lines[9:]]).rstrip(b"\n"))
    out = cleaned(hold, path, tmp_path / "out") / "t.jsonl"
    assert out.read_bytes().replace(b"\n\n", b"\n") == b"".join(lines[row] for row in STAY)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.text(alphabet='ab",\n', max_size=6), min_size=1, max_size=12),
    drop=st.sets(st.integers(0, 11)),
)
def test_quoted_line_breaks_and_commas_end_no_row(tmp_path: Path, cells: list[str], drop: set[int]) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    held, target = tmp_path / "q.csv", tmp_path / "kept.csv"
    target.unlink(missing_ok=True)
    records = [f"{row},{cell},z\n" for row, cell in enumerate(quoted)]
    held.write_text("n,cell,label\n" + "".join(records), newline="")
    gone = np.array(sorted(row for row in drop if row < len(cells)), dtype=np.int64)
    assert keep_csv(held, target, gone) == len(cells)
    kept = [record for row, record in enumerate(records) if row not in drop]
    assert target.read_bytes().decode() == "n,cell,label\n" + "".join(kept)


def test_arrays_of_rows_are_filtered_and_others_stay(tmp_path: Path, hold: Hold) -> None:
    arrays: dict[str, Any] = {
        "x": np.arange(ROWS * 6, dtype=">i2").reshape(ROWS, 2, 3),
        "label": np.array([f"c{row % 2}" for row in range(ROWS)]),
        "names": np.array(["c0", "c1"]),
    }
    path = tmp_path / "t.npz"
    np.savez_compressed(path, **arrays)
    out = cleaned(hold, path, tmp_path / "out", features=("x",)) / "t.npz"
    with np.load(out) as found:
        assert found["x"].dtype == ">i2"
        assert (found["x"] == arrays["x"][STAY]).all()
        assert (found["label"] == arrays["label"][STAY]).all()
        assert (found["names"] == arrays["names"]).all()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_both_files_of_an_idx_pair_lose_the_row(tmp_path: Path, hold: Hold, ending: str) -> None:
    images = np.arange(ROWS * 4, dtype=np.uint8).reshape(ROWS, 2, 2)
    labels = np.arange(ROWS, dtype=np.uint8) % 2
    root = tmp_path / "d"
    root.mkdir()
    pack: Callable[[bytes], bytes] = gzip.compress if ending else bytes
    head = struct.pack(">BBBB3I", 0, 0, 8, 3, ROWS, 2, 2), struct.pack(">BBBBI", 0, 0, 8, 1, ROWS)
    names = f"train-images-idx3-ubyte{ending}", f"train-labels-idx1-ubyte{ending}"
    (root / names[0]).write_bytes(pack(head[0] + images.tobytes()))
    (root / names[1]).write_bytes(pack(head[1] + labels.tobytes()))
    out = cleaned(hold, root, tmp_path / "out", label=None)
    source = Source.of(hold(out), Columns())
    (batch,) = source.batches()
    assert (batch.features == images.reshape(ROWS, 4)[STAY]).all()
    assert [batch.vocabulary[code] for code in batch.labels] == [str(row % 2) for row in STAY]


def image(path: Path, value: int) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4), value, dtype=np.uint8)).save(path)


def test_class_folders_lose_the_flagged_images_alone(tmp_path: Path, hold: Hold) -> None:
    root = tmp_path / "d"
    for row in range(8):
        image(root / ("cat" if row < 4 else "dog") / f"{row}.png", row)
    out = cleaned(hold, root, tmp_path / "out", (1, 6), label=None)
    kept = sorted(str(file.relative_to(out)) for file in out.rglob("*.png"))
    assert kept == ["cat/0.png", "cat/2.png", "cat/3.png", "dog/4.png", "dog/5.png", "dog/7.png"]
    assert all((out / name).read_bytes() == (root / name).read_bytes() for name in kept)


def test_an_image_goes_with_the_last_row_of_the_manifest_that_names_it(tmp_path: Path, hold: Hold) -> None:
    root = tmp_path / "d"
    for row in range(4):
        image(root / "img" / f"{row}.png", row)
    rows = [("img/0.png", "a"), ("img/1.png", "b"), ("img/2.png", "a"), ("img/2.png", "b"), ("img/3.png", "a")]
    text = "".join(json.dumps({"file_name": name, "label": label}) + "\n" for name, label in rows)
    (root / "metadata.jsonl").write_text(text)
    out = cleaned(hold, root, tmp_path / "out", (1, 2), image="file_name")
    assert sorted(file.name for file in out.rglob("*.png")) == ["0.png", "2.png", "3.png"]
    assert len((out / "metadata.jsonl").read_text().splitlines()) == 3


def test_files_without_flagged_rows_are_copied_byte_for_byte(tmp_path: Path, hold: Hold) -> None:
    root = tmp_path / "d"
    (root / "sub").mkdir(parents=True)
    pq.write_table(table(), root / "a.parquet")
    pc.write_csv(table().select(["a", "b", "label"]), root / "sub" / "b.csv")
    (root / "_SUCCESS").write_bytes(b"")
    (root / "README.md").write_text("# data")
    out = cleaned(hold, root, tmp_path / "out", (1, 2), features=("a",))
    for name in ("sub/b.csv", "_SUCCESS", "README.md"):
        assert (out / name).read_bytes() == (root / name).read_bytes()
    assert pq.read_metadata(out / "a.parquet").num_rows == ROWS - 2


def test_a_file_that_loses_all_its_rows_is_left_out(tmp_path: Path, hold: Hold) -> None:
    root = tmp_path / "d"
    root.mkdir()
    for name in ("a", "b"):
        (root / f"{name}.csv").write_text("x,label\n1,u\n2,v\n")
    assert [file.name for file in cleaned(hold, root, tmp_path / "out", (0, 1)).iterdir()] == ["b.csv"]


def test_a_snapshot_without_rows_is_refused(tmp_path: Path, hold: Hold) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,label\n1,u\n2,v\n")
    with pytest.raises(UsageError, match="no row would be left"):
        cleaned(hold, path, tmp_path / "out", (0, 1))


def test_a_file_that_would_read_differently_is_refused(tmp_path: Path, hold: Hold) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,z,label\n" + "oops,1,u\n" + "2,1,u\n3,1,v\n" * 10)
    with pytest.raises(SubjectError, match="reads differently"):
        cleaned(hold, path, tmp_path / "out", (0,))


def test_lines_that_are_not_rows_of_the_scan_are_refused(tmp_path: Path, hold: Hold) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"x,label\r1,u\r2,v\r3,u\r4,v\r")  # pyarrow ends a line at a lone carriage return
    with pytest.raises(SubjectError, match="the scan saw 4 rows"):
        cleaned(hold, path, tmp_path / "out", (1,))


def test_blank_lines_of_json_are_no_rows(tmp_path: Path) -> None:
    held = tmp_path / "a.jsonl"
    held.write_text('{"a": 1}\n  \n{"a": 2}\n')
    assert keep_jsonl(held, tmp_path / "b.jsonl", np.array([1], dtype=np.int64)) == 2
    assert (tmp_path / "b.jsonl").read_text() == '{"a": 1}\n  \n'
