"""What the poisoning tests share: rows as batches, a file held still without a store, and torch on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest
import torch
from benchmarks.poisoning.attacks import Dataset, digits

from interlock.gate import OpenSubject, Subject

Hold = Callable[[Path], OpenSubject]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tests run beside others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def clean() -> Dataset:
    return digits()


@pytest.fixture(scope="session")
def few() -> Dataset:
    """Twelve small images of whole grey levels."""
    pixels = np.random.default_rng(1).integers(0, 256, size=(12, 64)).astype(np.float32)
    return Dataset(images=pixels, labels=np.arange(12) % 3, shape=(8, 8), poisoned=np.zeros(0, dtype=np.int64))


@pytest.fixture
def hold() -> Hold:
    """An opened subject over a path that the test itself keeps still."""

    def opened(path: Path) -> OpenSubject:
        files: tuple[str, ...] = ("",)
        if path.is_dir():
            files = tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
        subject = Subject(name=path.name, uri=path.as_uri(), digest="ab" * 32)
        return OpenSubject(subject=subject, path=path, files=files)

    return opened


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write columns, or a dataset's pixels and labels, as Parquet."""

    def written(data: Dataset | Mapping[str, Any], name: str = "train.parquet", row_group: int = 500) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns(data) if isinstance(data, Dataset) else dict(data)), path, row_group)
        return path

    return written


def columns(data: Dataset) -> dict[str, Any]:
    pixels = {f"p{place}": data.images[:, place] for place in range(data.images.shape[1])}
    return pixels | {"label": data.labels}


def rates(flagged: tuple[int, ...], data: Dataset) -> tuple[float, int]:
    """True positive rate, and how many clean rows were flagged."""
    hit = np.isin(np.array(flagged, dtype=np.int64), data.poisoned)
    return float(hit.sum()) / max(1, len(data.poisoned)), int((~hit).sum())
