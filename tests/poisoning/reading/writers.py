"""One small dataset in every format, and the few bytes that the tests of the readers are made of."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
from benchmarks.poisoning.attacks import Dataset
from numpy.typing import NDArray
from PIL import Image
from pyarrow import ipc
from tests.poisoning.conftest import Hold, columns

from interlock.gate import Observation
from interlock.poisoning import Columns, Source


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
