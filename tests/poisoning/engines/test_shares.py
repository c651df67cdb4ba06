"""A dataset in shares: every row once, under its own number, and the same scan from any tree of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.poisoning.conftest import columns
from tests.poisoning.engines.trees import COLUMNS, TreeEngine, check_same, held, poisoned, quick, scanned

from interlock.gate import SubjectError
from interlock.poisoning import Columns, Scan
from interlock.poisoning.batches import Batch, Source
from interlock.poisoning.engines import LocalEngine, shares_of
from interlock.poisoning.engines.shares import folded

DATA = poisoned()
SPLITS = given(count=st.integers(1, 12), order=st.integers(0, 2**16))


def settings_of(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet in row groups, CSV and npz side by side."""
    import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
    import pyarrow.csv as pc  # type: ignore[import-untyped]  # no stubs are published
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    root = tmp_path_factory.mktemp("dataset")
    table = pa.table(columns(DATA))
    pq.write_table(table.slice(0, 900), root / "a.parquet", 100)
    pc.write_csv(table.slice(900, 500), root / "b.csv")
    arrays = {name: table.column(name).slice(1400).to_numpy() for name in table.column_names}
    np.savez(root / "c.npz", **arrays)
    return root


@pytest.fixture(scope="module")
def source(folder: Path) -> Source:
    return Source.of(held(folder), COLUMNS)


@pytest.fixture(scope="module")
def whole(source: Source) -> Scan:
    return scanned(source)


@settings_of(15)
@given(count=st.integers(1, 40), readers=st.integers(1, 8))
def test_shares_hold_every_row_once_under_its_own_number(source: Source, count: int, readers: int) -> None:
    lengths = (900, 500, 397)
    shares = shares_of(source, count, readers=readers, lengths=lengths)
    batches = [batch for share in shares for batch in share.batches()]
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(1797))
    features = np.concatenate([batch.features for batch in batches])
    assert (features[np.argsort(rows)] == DATA.images).all()
    assert len(shares) <= max(count, 1) + len(source.files)


def test_a_parquet_file_is_cut_by_row_group(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(DATA, row_group=500)
    shares = shares_of(Source.of(held(path), COLUMNS), 10, lengths=(1797,))
    assert [[batch.start for batch in share.batches()] for share in shares] == [[0], [500], [1000], [1500]]
    assert list(tmp_path.iterdir()) == [path]


def test_many_small_files_share_a_task(tmp_path: Path) -> None:
    for place in range(50):
        (tmp_path / f"{place:02}.csv").write_text("a,label\n1,x\n2,y\n")
    source = Source.of(held(tmp_path), Columns(label="label"))
    shares = shares_of(source, 4, lengths=[2] * 50)
    assert len(shares) == 4
    assert [batch.start for share in shares for batch in share.batches()] == list(range(0, 100, 2))


@settings_of(2)
@SPLITS
def test_any_tree_of_shares_gives_the_scan_of_one_process(source: Source, whole: Scan, count: int, order: int) -> None:
    assert whole.flagged
    check_same(scanned(source, TreeEngine(count, order)), whole)


@settings_of(8)
@SPLITS
def test_a_detector_of_two_passes_gives_the_same_in_any_tree(source: Source, count: int, order: int) -> None:
    check_same(scanned(source, TreeEngine(count, order), quick), scanned(source, chosen=quick))


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_files_of_two_schemas_fail_with_the_same_words_however_they_are_split(tmp_path: Path, count: int) -> None:
    for name, header in (("a", "x,label"), ("b", "x,label"), ("c", "x,y,label"), ("d", "x,y,label")):
        (tmp_path / f"{name}.csv").write_text(f"{header}\n" + f"{'1,' * header.count(',')}u\n" * 20)
    source = Source.of(held(tmp_path), Columns(label="label"))
    with pytest.raises(SubjectError, match=r"2 features here, but 1 in the files before \(c.csv\)"):
        scanned(source, TreeEngine(count) if count > 1 else None, quick)


def test_a_truncated_file_fails_in_its_own_share(tmp_path: Path, folder: Path) -> None:
    for name in ("a.parquet", "b.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "c.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-200])
    source = Source.of(held(tmp_path), COLUMNS)
    with pytest.raises(SubjectError, match=r"cannot be read.*c.parquet"):
        scanned(source, TreeEngine(8), quick)


def test_rows_that_no_share_holds_are_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,label\n")
    with pytest.raises(SubjectError, match="no rows"):
        scanned(Source.of(held(tmp_path), Columns(label="label")), TreeEngine(3), quick)


def test_looks_that_look_side_by_side_see_what_they_see_one_after_the_other(source: Source, whole: Scan) -> None:
    check_same(scanned(source, LocalEngine(threads=3)), whole)


@dataclass(frozen=True)
class Order:
    """A look that keeps the rows in the order in which it was shown them, and stumbles over one."""

    stumbles: int = -1

    def partial(self, batch: Batch) -> list[int]:
        if batch.start == self.stumbles:
            raise ArithmeticError("stumbled")
        return [batch.start]

    def merge(self, one: list[int], other: list[int]) -> list[int]:
        return one + other


def read(count: int, breaks: int = -1) -> Iterator[Batch]:
    for start in range(count):
        if start == breaks:
            raise SubjectError("the file ends here")
        yield Batch(
            start=start, file=0, features=np.zeros((1, 1), np.float32), labels=np.zeros(1, int), vocabulary=("a",)
        )


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_each_look_is_shown_the_batches_in_their_order(threads: int) -> None:
    assert folded([Order()] * 4, read(50), threads=threads) == (list(range(50)),) * 4
    assert folded([Order()] * 4, read(0), threads=threads) == (None,) * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_whoever_stumbles_first_is_heard(threads: int) -> None:
    with pytest.raises(ArithmeticError, match="stumbled"):
        folded([Order(), Order(stumbles=7)], read(50), threads=threads)
    with pytest.raises(SubjectError, match="the file ends here"):
        folded([Order(), Order()], read(50, breaks=8), threads=threads)
    with pytest.raises(ArithmeticError, match="stumbled"):
        folded([Order(), Order(stumbles=7)], read(50, breaks=8), threads=threads)
