"""Which column is what, what no detector can look at, and rows that come from anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
from benchmarks.poisoning.attacks import Dataset, badnets, square
from numpy.typing import NDArray
from tests.poisoning.conftest import Hold
from tests.poisoning.reading.writers import (
    VECTOR,
    as_idx,
    as_packed_idx,
    grey,
    measures,
    put,
    read,
)

from interlock.gate import Level, SubjectError, UnsafeSubjectError, UsageError
from interlock.poisoning import BatchStream, Block, Columns, PoisoningGate, Source

Write = Callable[..., Path]
ROWS = 300
NOISE = np.random.default_rng(0).normal(size=(ROWS, 3))
TABLE: dict[str, Any] = {"a": NOISE[:, 0], "b": NOISE[:, 1], "c": NOISE[:, 2], "label": np.arange(ROWS) % 3}


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
    options: dict[str, Any] = {"label": "label"} | named
    with pytest.raises(SubjectError, match=said):
        PoisoningGate(**options).look(hold(path))


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


CONVERSATION = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}, {"role": "tool"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [("hi", "hi"), (None, ""), (["hi", "ho"], "hi\nho"), (CONVERSATION, "hi\nho"), ([], "")],
    ids=["text", "nothing", "list-of-texts", "conversation", "empty-conversation"],
)
def test_a_text_may_be_a_conversation(value: Any, text: str, tmp_path: Path, hold: Hold) -> None:
    rows = [{"said": value}, {"said": value if value is not None else "x"}]
    path = put(tmp_path / "train.jsonl", "\n".join(map(json.dumps, rows)).encode())
    (batch,) = Source.of(hold(path), Columns(texts=("said",))).batches()
    assert batch.texts["said"][0] == text


@pytest.mark.parametrize("value", [3, [3], {"content": "hi"}, [{"text": "hi"}]])
def test_a_text_that_is_none_is_refused(value: Any, tmp_path: Path, hold: Hold) -> None:
    path = put(tmp_path / "train.jsonl", json.dumps({"said": value}).encode())
    with pytest.raises(SubjectError, match="text column 'said' holds"):
        list(Source.of(hold(path), Columns(texts=("said",))).batches())


def test_texts_need_no_label(tmp_path: Path, hold: Hold) -> None:
    path = put(tmp_path / "train.jsonl", b"\n".join(b'{"prompt": "say %d", "answer": "no"}' % n for n in range(50)))
    seen = PoisoningGate(text=["prompt", "answer"]).look(hold(path))
    assert measures(seen)["rows"] == 50
    assert not any(finding.rule_id == "data-poisoning.unlabelled-rows" for finding in seen.findings)


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


def test_tables_are_read_without_pandas(write: Write, hold: Hold) -> None:
    path = write(TABLE | {"name": pa.array(["x"] * ROWS).dictionary_encode()})
    program = (
        "import sys; sys.modules['pandas'] = None\n"
        "from pathlib import Path; from interlock.gate import OpenSubject, Subject\n"
        "from interlock.poisoning import Columns, Source\n"
        "path = Path(sys.argv[1]); subject = Subject(name=path.name, uri=path.as_uri(), digest='ab' * 32)\n"
        "source = Source.of(OpenSubject(subject=subject, path=path, files=('',)), Columns(label='label'))\n"
        "print(sum(len(batch.labels) for batch in source.batches()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(ROWS)


@pytest.mark.parametrize("shape", [(8, 8), (4, 4, 3), None], ids=["grey", "colour", "table"])
@pytest.mark.parametrize("unlabelled", [0, 3], ids=["first", "last"])
def test_a_batch_without_a_label_among_others_is_no_obstacle(shape: tuple[int, ...] | None, unlabelled: int) -> None:
    rng = np.random.default_rng(0)
    width = 48 if shape == (4, 4, 3) else 64
    made = [
        Block(
            features=rng.integers(0, 255, (100, width)).astype(np.float32),
            labels=[None] * 100 if place == unlabelled else rng.integers(0, 3, 100).astype(str).tolist(),
        )
        for place in range(4)
    ]
    seen = PoisoningGate().examine(BatchStream(lambda: made, image_shape=shape))
    assert {one.name: one.value for one in seen.measures}["unlabelled_rows"] == 100
    assert not [one for one in seen.findings if one.level is Level.ERROR]
