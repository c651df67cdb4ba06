"""Views of torch's storages: which numbers they show, what lies between them, and how many of them there may be."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.artifacts.harmless import saved
from tests.artifacts.weighing import few_files, listing, measures, npz, said, seen, warnings

from interlock.artifacts.layout import row_major
from interlock.artifacts.limits import Budget, LimitPassedError, Limits
from interlock.artifacts.weights.statistics import measured
from interlock.artifacts.weights.tensor import Listing
from interlock.artifacts.weights.views import in_order, runs, shows

NAN = float("nan")


def beside(numbers: list[float], others: list[float]) -> torch.Tensor:
    """A view of the numbers in a storage where the others stand between them."""
    return torch.tensor(numbers + others).reshape(2, -1).T.contiguous()[:, 0]


def columns_among_nan() -> torch.Tensor:
    whole = torch.full((300, 300), NAN)
    whole[:, 3:8] = 1.0
    return whole[:, 3:8]


axes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), max_size=4)


@given(axes)
def test_runs_show_what_numpy_shows(axes: list[tuple[int, int]]) -> None:
    shape, strides = (tuple(axis[which] for axis in axes) for which in (0, 1))
    span = np.arange(0 if 0 in shape else 1 + sum((size - 1) * step for size, step in axes))
    view = np.lib.stride_tricks.as_strided(span, shape, [8 * step for step in strides])
    listed = in_order(axes, 0, math.prod(shape))
    assert np.array_equal(listed, view.reshape(-1))
    try:
        found = span[shows(runs(shape, strides), span)]
    except LimitPassedError:
        assert len(set(listed)) < len(listed) or len(axes) > 1
    else:
        assert set(found.tolist()) == set(view.reshape(-1).tolist())


@given(st.lists(st.integers(1, 5), max_size=4), st.data())
def test_every_view_that_torch_slices_and_permutes_is_read(shape: list[int], data: st.DataObject) -> None:
    whole = np.arange(math.prod(shape)).reshape(shape)
    assert tuple(step // 8 for step in whole.strides) == row_major(shape)
    cut = whole[tuple(slice(data.draw(st.integers(0, size - 1)), None, data.draw(st.integers(1, 3))) for size in shape)]
    view = cut.transpose(data.draw(st.permutations(range(cut.ndim))))
    steps = tuple(step // 8 for step in view.strides)
    elements = np.arange(whole.size - int(cut.min()))
    shown = elements[shows(runs(view.shape, steps), elements)] + int(cut.min())
    assert sorted(shown) == sorted(view.reshape(-1))


@pytest.mark.parametrize(
    ("tensor", "elements", "nan"),
    [
        pytest.param(beside([1.0, 2.0], [NAN, NAN]), 2, 0, id="nan-between-the-elements"),
        pytest.param(beside([1.0, NAN], [3.0, 4.0]), 2, 1, id="nan-among-the-elements"),
        pytest.param(torch.tensor([[1.0], [NAN]]).expand(2, 9), 2, 1, id="expanded"),
        pytest.param(torch.tensor([1.0, NAN, 3.0, 4.0]).unfold(0, 3, 1), 4, 1, id="windows-over-each-other"),
        pytest.param(
            torch.full((300, 300), NAN).index_fill_(1, torch.arange(3, 8), 1.0)[:, 3:8], 1500, 0, id="columns"
        ),
    ],
)
def test_only_what_a_view_shows_is_measured(tensor: torch.Tensor, elements: int, nan: int, tmp_path: Path) -> None:
    observed = seen(tmp_path, saved({"w": tensor}))
    messages = [f"w: {nan} NaN of {elements:,} elements"] * bool(nan)
    assert [finding.message for finding in said(observed, "not-finite")] == messages
    assert measures(observed)["nan_tensors"] == bool(nan)
    assert f"1 tensors, {elements:,} elements" in said(observed, "weights")[0].message


@pytest.mark.parametrize(
    ("value", "hidden"),
    [
        pytest.param({"w": beside([1.0, 2.0], [3.0, 0.0])}, 8, id="between-the-elements"),
        pytest.param({"w": beside([1.0, 2.0], [0.0, 0.0])}, 0, id="zeros-between-the-elements"),
        pytest.param({"even": (base := torch.arange(1.0, 9.0))[::2], "odd": base[1::2]}, 0, id="two-that-cover-it"),
        pytest.param({"w": torch.ones(2), "s": torch.ones(5).untyped_storage()}, 20, id="a-storage-without-tensors"),
    ],
)
def test_bytes_that_no_view_shows_are_counted(value: dict[str, Any], hidden: int, tmp_path: Path) -> None:
    observed = seen(tmp_path, saved(value))
    assert measures(observed)["hidden_bytes"] == hidden
    assert len(warnings(observed)) == bool(hidden)


def many_views() -> bytes:
    whole = torch.zeros(1 << 18)
    return saved([whole[:-number] for number in range(1, 200)])


def many_long_names() -> bytes:
    nested: dict[Any, Any] = dict.fromkeys(range(10_000), torch.ones(1))
    for _ in range(28):
        nested = {"k" * 255: nested}
    return saved(nested)


def interleaved() -> bytes:
    return saved({"w": torch.as_strided(torch.ones(40), (3, 4), (5, 3))})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(
            many_views, "show the same bytes again and again, 208,587,024 where", id="many-views-of-one-storage"
        ),
        pytest.param(many_long_names, "the names of its tensors have more than", id="long-names-of-one-tensor"),
        pytest.param(interleaved, "the strides (5, 3) are not read", id="interleaved"),
    ],
)
def test_what_would_cost_too_much_is_a_gap(make: Callable[[], bytes], reason: str, tmp_path: Path) -> None:
    observed = seen(tmp_path, make())
    [gap] = observed.coverage.failed
    assert reason in gap.reason


def test_compressed_arrays_are_held_one_at_a_time(tmp_path: Path) -> None:
    names = [f"a{number}" for number in range(20)]
    content = npz(np.savez_compressed, **dict.fromkeys(names, np.zeros(1 << 18)))

    def measure(found: Listing) -> int:
        return sum(measured(tensor, Budget(Limits())).count for tensor in found.tensors)

    tracemalloc.start()
    try:
        with few_files():
            count = listing(tmp_path, content, measure, "numpy")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == len(names) << 18
    assert peak < 12 << 20, "of 40 MiB, 2 MiB at a time"
