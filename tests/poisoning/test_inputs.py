"""What the scan reads: every format gives the same rows, and what cannot be read is said, never skipped in silence."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, square
from numpy.typing import NDArray
from PIL import Image
from pyarrow import ipc
from tests.poisoning.conftest import Hold, columns

from interlock.gate import Observation, SubjectError, UnsafeSubjectError, UsageError
from interlock.poisoning import BatchStream, Block, Columns, PoisoningGate, Source, Survey
from interlock.poisoning.reading import images as pictures
from interlock.poisoning.reading import jsonl

Write = Callable[..., Path]
ROWS = 300
NOISE = np.random.default_rng(0).normal(size=(ROWS, 3))
TABLE: dict[str, Any] = {"a": NOISE[:, 0], "b": NOISE[:, 1], "c": NOISE[:, 2], "label": np.arange(ROWS) % 3}


def read(path: Path, hold: Hold, **named: Any) -> tuple[NDArray[np.float32], list[str | None], Source]:
    """Features and label texts of all rows."""
    source = Source.of(hold(path), Columns(**named))
    batches = list(source.batches())
    texts = [batch.vocabulary[code] if code >= 0 else None for batch in batches for code in batch.labels]
    return np.concatenate([batch.features for batch in batches]), texts, source


def measures(seen: Observation) -> dict[str, float]:
    return {measure.name: measure.value for measure in seen.measures}


def png(pixels: NDArray[np.uint8]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def grey(value: int, side: int = 8) -> bytes:
    return png(np.full((side, side), value, dtype=np.uint8))


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture(scope="module")
def few() -> Dataset:
    """Twelve small images of whole grey levels."""
    pixels = np.random.default_rng(1).integers(0, 256, size=(12, 64)).astype(np.float32)
    return Dataset(images=pixels, labels=np.arange(12) % 3, shape=(8, 8), poisoned=np.zeros(0, dtype=np.int64))


# One dataset in every format


def as_arrow(data: Dataset, folder: Path) -> Path:
    table = pa.table(columns(data))
    with ipc.new_file(folder / "train.arrow", table.schema) as file:
        file.write_table(table, 5)
    return folder / "train.arrow"


def as_stream(data: Dataset, folder: Path) -> Path:
    table = pa.table(columns(data))
    with ipc.new_stream(folder / "train.arrows", table.schema) as file:
        file.write_table(table, 5)
    return folder / "train.arrows"


def as_jsonl(data: Dataset, folder: Path) -> Path:
    rows = pa.table(columns(data)).to_pylist()
    return put(folder / "train.jsonl", "\n".join(json.dumps(row) for row in rows).encode())


def as_csv(data: Dataset, folder: Path) -> Path:
    import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published

    pc.write_csv(pa.table(columns(data)), folder / "train.csv")
    return folder / "train.csv"


def as_npz(data: Dataset, folder: Path) -> Path:
    np.savez_compressed(folder / "train.npz", images=data.images.reshape(-1, 8, 8).astype(np.uint8), label=data.labels)
    return folder / "train.npz"


def idx(values: NDArray[np.uint8]) -> bytes:
    return bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def as_idx(data: Dataset, folder: Path, *, pack: Callable[[bytes], bytes] = bytes, ending: str = "") -> Path:
    pixels, labels = data.images.reshape(-1, 8, 8).astype(np.uint8), data.labels.astype(np.uint8)
    put(folder / f"mnist/train-images-idx3-ubyte{ending}", pack(idx(pixels)))
    put(folder / f"mnist/train-labels-idx1-ubyte{ending}", pack(idx(labels)))
    return folder / "mnist"


def as_packed_idx(data: Dataset, folder: Path) -> Path:
    return as_idx(data, folder, pack=gzip.compress, ending=".gz")


def as_embedding(data: Dataset, folder: Path) -> Path:
    vectors = pa.array(data.images.tolist(), pa.list_(pa.float32(), 64))
    pq.write_table(pa.table({"vector": vectors, "label": data.labels}), folder / "train.parquet", 5)
    return folder / "train.parquet"


def as_lists(data: Dataset, folder: Path) -> Path:
    lines = [json.dumps({"vector": v.tolist(), "label": int(y)}) for v, y in zip(data.images, data.labels, strict=True)]
    return put(folder / "train.jsonl", "\n".join(lines).encode())


def encoded(data: Dataset) -> list[bytes]:
    return [png(image.reshape(8, 8).astype(np.uint8)) for image in data.images]


def as_image_bytes(data: Dataset, folder: Path) -> Path:
    pq.write_table(pa.table({"picture": encoded(data), "label": data.labels}), folder / "train.parquet")
    return folder / "train.parquet"


def as_manifest(data: Dataset, folder: Path) -> Path:
    lines = ["picture,label"]
    for row, (content, label) in enumerate(zip(encoded(data), data.labels, strict=True)):
        put(folder / f"set/pictures/{row}.png", content)
        lines.append(f"pictures/{row}.png,{label}")
    put(folder / "set/train.csv", "\n".join(lines).encode())
    return folder / "set"


def as_hugging_face(data: Dataset, folder: Path) -> Path:
    """As `Dataset.save_to_disk` of the package `datasets` 3 writes it, in two shards."""
    record = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {"picture": {"_type": "Image"}, "label": {"names": ["0", "1", "2"], "_type": "ClassLabel"}}
    made = folder / "saved/train"
    made.mkdir(parents=True)
    for shard, rows in enumerate(np.split(np.arange(len(data.labels)), [7])):
        values = [{"bytes": content, "path": None} for content in encoded(data.taken(rows))]
        table = pa.table({"picture": pa.array(values, record), "label": data.labels[rows]})
        with ipc.new_stream(made / f"data-{shard:05d}-of-00002.arrow", table.schema) as file:
            file.write_table(table)
    names = [{"filename": f"data-{shard:05d}-of-00002.arrow"} for shard in range(2)]
    put(made / "dataset_info.json", json.dumps({"features": features}).encode())
    put(made / "state.json", json.dumps({"_data_files": names, "_split": "train"}).encode())
    put(folder / "saved/dataset_dict.json", b'{"splits": ["train"]}')
    return folder / "saved"


NUMBERS: dict[str, Any] = {"label": "label"}
PICTURE: dict[str, Any] = {"label": "label", "image": "picture"}
VECTOR: dict[str, Any] = {"label": "label", "embedding": "vector"}


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


# Images of mixed sizes and colours


def test_mixed_sizes_are_drawn_to_the_most_frequent_one_and_named(tmp_path: Path, hold: Hold) -> None:
    for row in range(40):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", grey(row, 16 if row < 3 else 8))
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    found = {finding.rule_id.partition(".")[2]: finding.message for finding in seen.findings}
    assert measures(seen)["features"] == 64
    assert measures(seen)["resized_images"] == 3
    assert "3 of 40 images have another size or colour than 8x8" in found["resized-images"]


def test_one_coloured_image_makes_the_set_coloured(tmp_path: Path, hold: Hold) -> None:
    for row in range(6):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", grey(row))
    put(tmp_path / "set/a/red.png", png(np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8)))
    features, _, source = read(tmp_path / "set", hold)
    assert source.columns.image_shape == (8, 8, 3)
    assert features[3].reshape(8, 8, 3)[0, 0].tolist() == [255, 0, 0]
    assert sum(batch.resized for batch in source.batches()) == 0


def test_large_images_are_drawn_within_64_pixels_a_side_and_keep_their_proportions(tmp_path: Path, hold: Hold) -> None:
    for row in range(4):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", png(np.full((100, 200), 10 * row, dtype=np.uint8)))
    features, _, source = read(tmp_path / "set", hold)
    assert source.columns.image_shape == (32, 64)
    assert sorted(features[:, 0].tolist()) == [0, 10, 20, 30]


def test_a_given_shape_is_kept(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    features, _, _ = read(as_manifest(few, tmp_path), hold, image_shape=(4, 4, 3), **PICTURE)
    assert features.shape == (12, 48)


ENCODINGS = [
    ("PNG", "RGBA"),
    ("PNG", "I;16"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("BMP", "L"),
    ("GIF", "P"),
    ("WEBP", "RGB"),
    ("TIFF", "L"),
]


@pytest.mark.parametrize(("kind", "mode"), ENCODINGS)
def test_every_listed_decoder_reads(kind: str, mode: str, tmp_path: Path, hold: Hold) -> None:
    image = Image.fromarray(np.full((8, 8), 128 << 8, dtype=np.uint16)) if mode == "I;16" else None
    content = io.BytesIO()
    (image or Image.new("L", (8, 8), 128).convert(mode)).save(content, kind)
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.{'tif' if kind == 'TIFF' else kind.lower()}", content.getvalue())
    features, _, _ = read(tmp_path / "set", hold)
    assert abs(float(features.mean()) - 128) < 3


# Images that cannot be read


def header_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = b"IDAT" + zlib.compress(b"")
    return head + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def postscript() -> bytes:
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "EPS")
    return content.getvalue()


def floating() -> bytes:
    content = io.BytesIO()
    Image.new("F", (8, 8)).save(content, "TIFF")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "none of PNG", id="empty"),
        pytest.param(b"no picture", "none of PNG", id="text"),
        pytest.param(grey(7)[:-30], "cannot be decoded", id="ends-in-the-middle"),
        pytest.param(header_of(40_000, 8), "8x40000 pixels", id="40000-pixels-wide"),
        pytest.param(header_of(40_000, 40_000), "pixel", id="40000-pixels-square"),
        pytest.param(header_of(16_000, 16_000), "pixel", id="decompression-bomb"),
        pytest.param(postscript(), "none of PNG", id="decoder-that-is-not-listed"),
        pytest.param(floating(), "32 bits", id="floating-point-pixels"),
    ],
)
def test_an_image_that_cannot_be_read_is_a_finding_and_never_looked_at(
    content: bytes, reason: str, tmp_path: Path, hold: Hold
) -> None:
    for row in range(40):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row:02d}.png", grey(row))
    put(tmp_path / "set/a/39.png", content)
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    (finding,) = (one for one in seen.findings if one.rule_id == "data-poisoning.unreadable-images")
    assert reason in finding.message
    assert finding.location.path == "a/39.png"
    assert json.loads(finding.evidence)["rows"] == 1
    assert [gap.path for gap in seen.coverage.failed if "images were not looked at" in gap.reason] == ["a/39.png"]
    assert measures(seen)["unreadable_images"] == 1
    assert measures(seen)["unlabelled_rows"] == measures(seen)["incomplete_rows"] == 0


def test_an_image_of_too_many_bytes_is_not_opened(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_IMAGE_BYTES", 50)
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.png", grey(1))
    source = Source.of(hold(tmp_path / "set"), Columns())
    assert ["more than 50" in one.reason for batch in source.batches() for one in batch.unread] == [True, True]


def test_a_set_of_images_that_nobody_can_read_is_not_looked_at(tmp_path: Path, hold: Hold) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.png", b"no picture")
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    assert seen.coverage.nothing_looked_at
    assert "no image of a row with a label can be read" in seen.coverage.failed[-1].reason


def test_the_hosts_lenience_is_off_while_images_are_read_and_as_before_after(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    put(tmp_path / "set/a/1.png", grey(7)[:-30])
    put(tmp_path / "set/b/1.png", header_of(16_000, 16_000))
    source = Source.of(hold(tmp_path / "set"), Columns())
    assert sum(len(batch.unread) for batch in source.batches()) == 2
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_the_first_unread_rows_are_the_same_however_the_rows_were_split(tmp_path: Path, hold: Hold) -> None:
    for row in range(60):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row:02d}.png", grey(row) if row % 2 else b"")
    (one,) = (list(Source.of(hold(tmp_path / "set"), Columns()).batches())[:1],)
    survey = Survey(seed=0, one_scale=True)
    states = [survey.partial(batch) for batch in Source.of(hold(tmp_path / "set"), Columns()).batches()]
    forwards, backwards = (survey.merge(*pair) for pair in (states, states[::-1]))
    assert one[0].unread[:20] == forwards.first_unread == backwards.first_unread
    assert forwards.unread == backwards.unread == 30


# Manifests


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


# Hugging Face folders


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


# Files that lie


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


# Columns


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"label": "klass"}, "no label column 'klass'"),
        ({"label": None}, "no column is named as the label"),
        ({"embedding": "vectors"}, "no embedding column 'vectors'"),
        ({"embedding": "a"}, "not lists of numbers"),
        ({"embedding": "ragged"}, "several lengths: 1 and 2"),
        ({"embedding": "words"}, "not lists of numbers"),
        ({"image": "nowhere"}, "no image column 'nowhere'"),
        ({"image": "a"}, "neither paths nor bytes"),
        ({"text": ["a"]}, "not text"),
        ({"source": "nowhere"}, "no source column"),
        ({"image_shape": (200, 200)}, "no 200x200 image, which has 40000 values"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_column_that_cannot_be_what_it_is_named_as_is_said(
    named: dict[str, Any], said: str, write: Write, hold: Hold
) -> None:
    ragged = [[1.0] if row % 2 else [1.0, 2.0] for row in range(ROWS)]
    path = write(TABLE | {"ragged": ragged, "words": [["x"]] * ROWS})
    with pytest.raises(SubjectError, match=said):
        PoisoningGate(**({"label": "label"} | named)).look(hold(path))


@pytest.mark.parametrize("option", ["source", "embedding", "text", "features", "id"])
@pytest.mark.parametrize("write_as", [as_idx, as_packed_idx])
def test_columns_of_files_without_columns_are_refused(
    option: str, write_as: Any, few: Dataset, tmp_path: Path, hold: Hold
) -> None:
    value: Any = ["who"] if option in ("text", "features") else "who"
    with pytest.raises(SubjectError, match="no column 'who'"):
        PoisoningGate(**{option: value}).look(hold(write_as(few, tmp_path)))


def test_what_the_features_are_is_said_once() -> None:
    with pytest.raises(UsageError, match="image and embedding each say"):
        PoisoningGate("label", image="picture", embedding="vector")
    with pytest.raises(UsageError, match="no image"):
        PoisoningGate("label", embedding="vector", image_shape=(8, 8))


def test_a_missing_embedding_is_an_incomplete_row(tmp_path: Path, hold: Hold) -> None:
    vectors = [None if row == 3 else [float(row), 1.0] for row in range(40)]
    pq.write_table(pa.table({"vector": vectors, "label": np.arange(40) % 2}), tmp_path / "train.parquet")
    features, _, _ = read(tmp_path / "train.parquet", hold, **VECTOR)
    assert np.isnan(features[3]).all()
    assert np.isfinite(np.delete(features, 3, axis=0)).all()


def test_texts_need_no_label(tmp_path: Path, hold: Hold) -> None:
    path = put(tmp_path / "train.jsonl", b"\n".join(b'{"prompt": "say %d", "answer": "no"}' % n for n in range(50)))
    seen = PoisoningGate(text=["prompt", "answer"]).look(hold(path))
    assert measures(seen)["rows"] == 50
    assert not any(finding.rule_id == "data-poisoning.unlabelled-rows" for finding in seen.findings)


# Datasets that no detector, or not every one, can look at


def two_million_classes(folder: Path) -> Path:
    rows = 2_000_000
    table = pa.table({"a": np.zeros(rows, dtype=np.float32), "label": np.arange(rows)})
    pq.write_table(table, folder / "train.parquet", compression="none")
    return folder / "train.parquet"


@pytest.mark.slow
def test_two_million_classes_are_no_class_label(tmp_path: Path, hold: Hold) -> None:
    seen = PoisoningGate("label").look(hold(two_million_classes(tmp_path)))
    assert seen.coverage.nothing_looked_at
    assert "more than 1000 different labels" in seen.coverage.failed[0].reason


@pytest.mark.parametrize(
    ("change", "named", "reason"),
    [
        pytest.param({name: column[:3] for name, column in TABLE.items()}, {}, "fewer than", id="3-rows"),
        pytest.param({"label": np.zeros(ROWS, dtype=int)}, {}, "one label", id="one-class"),
        pytest.param({"label": [None] * ROWS}, {}, "no row carries a label", id="no-labels"),
        pytest.param({"label": np.arange(ROWS) % 2 + np.nan}, {}, "no row carries a label", id="labels-of-nan"),
        pytest.param({n: np.ones(ROWS) for n in "abc"}, {}, "constant", id="constant-features"),
        pytest.param({n: np.full(ROWS, np.nan) for n in "abc"}, {}, "constant", id="nan"),
        pytest.param({n: np.full(ROWS, np.inf) for n in "abc"}, {}, "constant", id="infinity"),
    ],
)
def test_what_cannot_be_looked_at_is_said_with_its_reason(
    change: dict[str, Any], named: dict[str, Any], reason: str, write: Write, hold: Hold
) -> None:
    whole = change if len(change) == len(TABLE) else TABLE | change
    seen = PoisoningGate("label", **named).look(hold(write(whole)))
    assert reason in " ".join(gap.reason for gap in seen.coverage.failed)
    assert any(finding.rule_id == "data-poisoning.detector-skipped" for finding in seen.findings)


def test_a_source_column_with_one_value_is_no_crash(write: Write, hold: Hold) -> None:
    seen = PoisoningGate("label", source="who").look(hold(write(TABLE | {"who": ["me"] * ROWS})))
    assert measures(seen)["rows"] == ROWS


def test_a_row_of_40000_pixels_is_looked_at_in_bounded_memory(tmp_path: Path, hold: Hold) -> None:
    wide = np.random.default_rng(0).integers(0, 256, size=(24, 200, 200)).astype(np.uint8)
    np.savez(tmp_path / "train.npz", images=wide, label=np.arange(24) % 2)
    seen = PoisoningGate("label", image="images").look(hold(tmp_path / "train.npz"))
    assert measures(seen)["features"] == 40_000


def test_a_row_that_is_too_wide_is_unsafe(tmp_path: Path, hold: Hold) -> None:
    np.savez_compressed(tmp_path / "train.npz", images=np.zeros((2, 600, 600), dtype=np.uint8), label=np.arange(2))
    with pytest.raises(UnsafeSubjectError, match="360000 features are more than"):
        PoisoningGate("label").look(hold(tmp_path / "train.npz"))


def test_images_in_no_class_folder_are_refused(tmp_path: Path, hold: Hold) -> None:
    put(tmp_path / "set/1.png", grey(1))
    with pytest.raises(SubjectError, match="lie in no class folder"):
        PoisoningGate().look(hold(tmp_path / "set"))


# A subject by URL, and rows from Python


def test_a_url_is_held_as_files_before_it_is_read(few: Dataset, tmp_path: Path) -> None:
    import fsspec  # type: ignore[import-untyped]  # no stubs are published

    from interlock.evidence import Store

    memory = fsspec.filesystem("memory")
    for name, content in (("a/1.png", grey(1)), ("b/2.png", grey(2))):
        memory.pipe(f"/lake/{name}", content)
    with Store(tmp_path / "store").open("memory://lake") as opened:
        source = Source.of(opened, Columns())
        assert [label for batch in source.batches() for label in batch.vocabulary] == ["a", "b"]
    memory.rm("/lake", recursive=True)


def loader(data: Dataset) -> Iterator[tuple[NDArray[np.float32], Sequence[int]]]:
    for rows in np.array_split(np.arange(len(data.labels)), 7):
        yield data.images[rows].reshape(-1, *data.shape), data.labels[rows].tolist()


def test_any_iterable_of_batches_is_scanned_as_files_are(clean: Dataset, write: Write, hold: Hold) -> None:
    data = badnets(clean, square(3, 16), rate=0.05, target=0, top=5, left=5, seed=0)
    stream = BatchStream(lambda: loader(data), name="loader", image_shape=(8, 8))
    seen = PoisoningGate().examine(stream)
    assert measures(seen) == measures(PoisoningGate("label", image_shape=(8, 8)).look(hold(write(data))))
    assert seen.findings[0].location.path == "loader"


def test_an_iterable_that_gives_other_rows_the_second_time_is_refused(few: Dataset) -> None:
    numbers = iter((0, 1))

    def shuffled() -> Iterator[Any]:
        order = np.random.default_rng(next(numbers)).permutation(12)
        yield few.images[order], few.labels[order]

    stream = BatchStream(shuffled)
    assert len(list(stream.batches())) == 1
    with pytest.raises(UsageError, match="other rows"):
        list(stream.batches())


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(np.zeros((2, 3)), id="no-labels"),
        pytest.param((np.zeros((2, 3)), [1]), id="too-few-labels"),
        pytest.param((np.array([["a"]]), [1]), id="text"),
        pytest.param(Block(features=np.zeros(3, dtype=np.float32), labels=[1, 2, 3]), id="flat"),
    ],
)
def test_a_batch_of_another_form_is_a_usage_error(batch: Any) -> None:
    with pytest.raises(UsageError, match="a batch cannot be used"):
        list(BatchStream(lambda: [batch]).batches())
