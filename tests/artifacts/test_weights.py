"""What the gate says of tensors: numbers that are none, absurd ones, copies; and nothing of honest weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.artifacts.harmless import saved
from tests.artifacts.weighing import (
    SAVERS,
    Save,
    Weights,
    checkpoint,
    measures,
    npz,
    said,
    seen,
    trained,
    warnings,
)

from interlock.artifacts import ArtifactGate
from interlock.artifacts.limits import Budget, LimitPassedError, Limits
from interlock.artifacts.weights.dtypes import DTYPES
from interlock.artifacts.weights.holders import Opened
from interlock.artifacts.weights.statistics import measured
from interlock.artifacts.weights.tensor import Tensor
from interlock.gate import Level, UsageError

NAN, INF = float("nan"), float("inf")


def changed(change: Callable[[Weights], None]) -> Weights:
    weights = trained()
    change(weights)
    return weights


def flip(bit: int, *, dtype: torch.dtype, whole: torch.dtype) -> Weights:
    """One element of a trained tensor with one bit turned, as rowhammer does it."""
    weights = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in trained().items()}
    weights["3.weight"].view(whole)[5, 6] ^= 1 << bit
    return weights


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
@pytest.mark.parametrize(
    ("value", "message", "measure"),
    [
        pytest.param(NAN, "3.weight: 1 NaN of 131,072 elements", "nan_tensors", id="nan"),
        pytest.param(INF, "3.weight: 1 infinite of 131,072 elements", "infinite_tensors", id="infinity"),
        pytest.param(-INF, "3.weight: 1 infinite of 131,072 elements", "infinite_tensors", id="minus-infinity"),
    ],
)
def test_one_number_that_is_none_is_found(save: Save, value: float, message: str, measure: str, tmp_path: Path) -> None:
    weights = trained()
    weights["3.weight"][7, 9] = value
    observed = seen(tmp_path, save(weights))
    [finding] = said(observed, "not-finite")
    assert (finding.level, finding.message) == (Level.WARNING, message)
    assert finding.location.offset is not None
    evidence = json.loads(finding.evidence)
    assert (evidence["tensor"], evidence["shape"], evidence["dtype"]) == ("3.weight", [256, 512], "F32")
    found = measures(observed)
    assert {name: found[name] for name in ("nan_tensors", "infinite_tensors")} == {
        "nan_tensors": 0,
        "infinite_tensors": 0,
    } | {measure: 1}


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(flip(30, dtype=torch.float32, whole=torch.int32), id="float32-highest-bit-of-the-exponent"),
        pytest.param(flip(14, dtype=torch.bfloat16, whole=torch.int16), id="bfloat16-highest-bit-of-the-exponent"),
        pytest.param(flip(14, dtype=torch.float16, whole=torch.int16), id="float16-highest-bit-of-the-exponent"),
        pytest.param(flip(62, dtype=torch.float64, whole=torch.int64), id="float64-highest-bit-of-the-exponent"),
        pytest.param({"w": torch.full((4, 4), 1e30)}, id="all-of-a-tensor"),
        pytest.param({"w": torch.tensor([-3e38, 0.5])}, id="a-mask-with-something-beside-it"),
    ],
)
def test_an_absurd_number_is_found(weights: Weights, tmp_path: Path) -> None:
    observed = seen(tmp_path, SAVERS["safetensors"](weights))
    [finding] = said(observed, "absurd-weights")
    assert finding.level is Level.WARNING
    assert "elements up to" in finding.message
    assert measures(observed)["absurd_tensors"] == 1


def honest() -> dict[str, bytes]:
    from sklearn.datasets import load_diabetes  # type: ignore[import-untyped]  # no stubs
    from sklearn.ensemble import RandomForestRegressor  # type: ignore[import-untyped]  # no stubs
    from sklearn.linear_model import Ridge  # type: ignore[import-untyped]  # no stubs

    save = SAVERS["safetensors"]
    rows, targets = load_diabetes(return_X_y=True)
    forest = RandomForestRegressor(5, random_state=0).fit(rows, targets)
    mask = torch.full((64, 64), -INF).triu(1)
    return {
        "trained": save(trained()),
        "trained-as-torch": saved(trained()),
        "checkpoint": saved(checkpoint()),
        "half": save({name: tensor.half() for name, tensor in trained().items()}),
        "bfloat16": save({name: tensor.bfloat16() for name, tensor in trained().items()}),
        "half-upcast": save({name: tensor.half().float() for name, tensor in trained().items()}),
        "pruned": save({name: tensor * (tensor.abs() > 0.05) for name, tensor in trained().items()}),
        "untrained": save(torch.nn.TransformerEncoderLayer(64, 4, 2048).state_dict()),
        "uniform": save({"w": torch.rand(512, 512), "ones": torch.ones(64), "zeros": torch.zeros(64)}),
        "masks": save({"infinite": mask, "lowest": torch.full((8, 8), torch.finfo(torch.float32).min).triu(1)}),
        "half-masks": save({"m": torch.full((8, 8), torch.finfo(torch.float16).min, dtype=torch.float16).triu(1)}),
        "running-variances": save({"bn.running_var": torch.tensor([65_025.0, 1.2, 8e5, 3e-9]), "w": torch.randn(99)}),
        "dequantised": save({"w": torch.randint(-127, 128, (512, 512)) * torch.tensor(0.0123)}),
        "quantised-by-row": save({"w": torch.randint(-7, 8, (1024, 512)) * torch.rand(1024, 1)}),
        "eight-bits-by-row": save({"w": torch.randint(-127, 128, (1024, 512)) * torch.rand(1024, 1)}),
        "sklearn": npz(np.savez, coef=Ridge().fit(rows, targets).coef_, rows=np.asarray(rows), y=np.asarray(targets),
                       thresholds=np.concatenate([tree.tree_.threshold for tree in forest.estimators_])),
        "times": npz(np.savez, seconds=np.arange(1.7e9, 1.7e9 + 4096), x=np.random.default_rng(0).normal(size=4096)),
    }  # fmt: skip


HONEST = honest()


@pytest.mark.parametrize("name", HONEST)
def test_honest_weights_pass_without_a_word(name: str, tmp_path: Path) -> None:
    observed = seen(tmp_path, HONEST[name])
    assert warnings(observed) == []
    assert said(observed, "low-bits") == []
    assert {rule: measures(observed)[rule] for rule in ("nan_tensors", "infinite_tensors", "absurd_tensors")} == {
        "nan_tensors": 0,
        "infinite_tensors": 0,
        "absurd_tensors": 0,
    }
    assert measures(observed)["tensors"] > 0
    assert observed.coverage.failed == ()


def test_copies_and_constants_are_notes_and_tied_weights_are_not(tmp_path: Path) -> None:
    big = torch.randn(64, 64)
    weights = {"a": big, "tied": big, "copy": big.clone(), "other": torch.randn(64, 64), "zeros": torch.zeros(5000)}
    observed = seen(tmp_path, saved(weights))
    assert [finding.message for finding in said(observed, "duplicate-weights")] == [
        "the same bytes under several names: a, copy"
    ]
    assert [finding.message for finding in said(observed, "constant-weights")] == ["all elements are the same in zeros"]
    assert {finding.level for finding in observed.findings} == {Level.NOTE}
    assert measures(observed)["tensors"] == 4
    assert (measures(observed)["duplicate_tensors"], measures(observed)["constant_tensors"]) == (1, 1)


def test_each_file_is_summed_up(tmp_path: Path) -> None:
    content = SAVERS["safetensors"]({"a": torch.ones(3), "b": -2 * torch.ones(2).half()})
    [finding] = said(seen(tmp_path, content), "weights")
    assert finding.message == "2 tensors, 5 elements (F32, F16), the largest 2"
    assert json.loads(finding.evidence)["types"] == {"F32": 3, "F16": 2}


@given(
    arrays(np.float32, st.integers(1, 700), elements=st.floats(width=32)),
    st.integers(0, 700),
)
def test_what_is_counted_is_what_numpy_counts(numbers: np.ndarray, pad: int) -> None:
    data = bytes(pad) + numbers.tobytes()
    tensor = Tensor(
        name="w",
        dtype=DTYPES["F32"],
        shape=numbers.shape,
        path="m",
        offset=pad,
        length=numbers.nbytes,
        holder=Opened(data),
    )
    found = measured(tensor, Budget(Limits()))
    finite = numbers[np.isfinite(numbers)].astype(np.float64)
    assert found.nan == np.count_nonzero(np.isnan(numbers))
    assert found.infinite == np.count_nonzero(np.isinf(numbers))
    assert found.squares == pytest.approx(float((finite**2).sum()))
    assert found.total == pytest.approx(float(finite.sum()), abs=1e-9 * float(np.abs(finite).sum()))
    assert found.same == (len(set(numbers.view(np.uint32).tolist())) == 1)
    if finite.size:
        assert (found.low, found.high) == (finite.min(), finite.max())


def test_pieces_come_to_what_the_whole_does(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=600_000).astype(np.float32)  # three pieces
    numbers[[5, 300_000, 599_999]] = NAN, INF, 1e30
    observed = seen(tmp_path, SAVERS["safetensors"]({"w": torch.from_numpy(numbers)}))
    evidence = json.loads(said(observed, "not-finite")[0].evidence)
    assert (evidence["nan"], evidence["infinite"], evidence["high"]) == (1, 1, pytest.approx(1e30))
    assert measures(observed)["absurd_tensors"] == 1


def test_a_configuration_says_whether_the_weights_were_looked_at() -> None:
    assert ArtifactGate().configuration()["weights"] is True
    assert "numpy" in [tool.name for tool in ArtifactGate().tools]
    assert ArtifactGate(weights=False).configuration()["weights"] is False


def test_weights_that_are_not_read_cannot_be_compared() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        ArtifactGate(weights=False, accepted="model")


def test_a_large_model_has_the_time_that_its_weights_take() -> None:
    clock = [0.0]
    budget = Budget(Limits(seconds=10, weight_rate=1 << 20), clock=lambda: clock[0])
    budget.allow_weights(20 << 20)
    clock[0] = 30
    budget.check_time()
    clock[0] = 30.1
    with pytest.raises(LimitPassedError, match="the time limit of 30 seconds is over"):
        budget.check_time()
