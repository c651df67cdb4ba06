"""A small clean set beside the dataset: it adds suspicion, takes none back, and must be of the same form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset, targeted
from tests.poisoning.conftest import Hold, columns
from tests.poisoning.scanning import batches, profile_of, tree

from interlock.gate import SubjectError
from interlock.poisoning import Columns, PoisoningGate, Scores
from interlock.poisoning.accepted.clean import CleanNeighbours, CleanRows


def parted(data: Dataset) -> tuple[CleanRows, Dataset]:
    """Two thirds are known to be right, the rest is looked at."""
    known = np.arange(len(data.labels)) % 3 > 0
    rows = CleanRows(features=data.images[known], labels=tuple(map(str, data.labels[known].tolist())))
    return rows, data.taken(np.flatnonzero(~known))


def judged(clean: CleanRows, data: Dataset, cuts: tuple[int, ...] = ()) -> Scores:
    parts = batches(data, cuts)
    detector = CleanNeighbours(profile=profile_of(parts), clean=clean)
    assert detector.unfit() == ""
    found: Scores = detector.finalize(tree(detector, parts))
    return found


def test_flips_of_one_class_into_another_are_named_and_clean_rows_are_not(clean: Dataset) -> None:
    rows, looked_at = parted(clean)
    assert judged(rows, looked_at).flagged == ()
    flips = targeted(looked_at, rate=0.05, source=3, target=8, seed=1)
    found = judged(rows, flips)
    (pair,) = found.suspicions
    assert pair.title == "8 among 3"
    assert len(set(pair.rows) & set(flips.poisoned.tolist())) >= 0.9 * len(flips.poisoned)
    assert len(set(pair.rows) - set(flips.poisoned.tolist())) <= 1


def test_the_same_is_found_however_the_rows_are_split(clean: Dataset) -> None:
    rows, looked_at = parted(clean)
    flips = targeted(looked_at, rate=0.05, source=3, target=8, seed=1)
    one, two = judged(rows, flips), judged(rows, flips, (1, 100, 333))
    assert (one.decades, one.suspicions) == (two.decades, two.suspicions)
    assert (one.scores == two.scores).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(lambda f, y: (f[:, :63], y), "63 features, and the dataset 64", id="other-width"),
        pytest.param(lambda f, y: (f[y != 3], y[y != 3]), "only the dataset has the class '3'", id="a-class-less"),
        pytest.param(lambda f, y: (f, np.where(y == 3, 33, y)), "the class '3", id="another-class"),
    ],
)
def test_a_clean_set_of_another_form_is_an_error(clean: Dataset, change: object, said: str) -> None:
    features, labels = change(clean.images, clean.labels)  # type: ignore[operator]
    rows = CleanRows(features=features, labels=tuple(map(str, labels.tolist())))
    with pytest.raises(SubjectError, match=said):
        CleanNeighbours(profile=profile_of(batches(clean)), clean=rows).unfit()


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        pytest.param(np.repeat([0, 1], [5, 50]), "fewer than 10 rows labelled '0'", id="five-of-a-class"),
        pytest.param(np.array([None] * 20), "no row with a label", id="no-labels"),
    ],
)
def test_too_few_clean_rows_are_an_error(labels: object, said: str, tmp_path: Path, hold: Hold) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    values = pa.array(labels.tolist(), pa.int64())  # type: ignore[attr-defined]
    pq.write_table(pa.table({"a": np.arange(len(values), dtype=float), "label": values}), tmp_path / "clean.parquet")
    with pytest.raises(SubjectError, match=said):
        CleanRows.of(hold(tmp_path / "clean.parquet"), Columns(label="label"))


def test_the_clean_set_is_read_as_the_dataset_is(clean: Dataset, tmp_path: Path, hold: Hold) -> None:
    import pyarrow as pa  # no stubs are published
    import pyarrow.parquet as pq  # no stubs are published

    pq.write_table(pa.table(columns(clean)), tmp_path / "clean.parquet")
    rows = CleanRows.of(hold(tmp_path / "clean.parquet"), Columns(label="label", image_shape=(8, 8)))
    assert (rows.features == clean.images).all()
    assert rows.labels == tuple(map(str, clean.labels.tolist()))
    gate = PoisoningGate("label", image_shape=(8, 8), clean="clean.parquet")
    assert gate.configuration()["clean"] == {"uri": "clean.parquet"}
