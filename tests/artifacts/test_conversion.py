"""Conversion to safetensors: bit-equal for whatever torch and numpy save, refused with a reason for all else."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from tests.artifacts.looking import allowed, look
from tests.artifacts.saved_tensors import DTYPES, FORMATS, forged, odd_views, of_every_dtype, rebuilt, saved

from interlock.artifacts.conversion.inside import REPORT, convert, prove

PT = {"format": "pt"}


def converted(folder: Path, data: bytes, format_: str = "torch-zip", **options: object) -> tuple[bytes, dict[str, Any]]:
    """What the program in the sandbox makes of bytes, called in this process, without the scan before it."""
    source, out = folder / "source", folder / "out"
    source.write_bytes(data)
    convert(source, out, _options(format_, options))
    return out.read_bytes(), json.loads(out.with_name(REPORT).read_text())


def _options(format_: str, given: Mapping[str, object]) -> dict[str, Any]:
    profile = "numpy" if format_ in {"numpy", "pickle"} else "torch-checkpoint"
    base = {"format": format_, "profile": profile, "key": None, "keep_duplicates": False, "seconds": 60.0}
    return base | dict(given)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal to the last bit, also where a NaN is compared."""
    plain = [
        tensor.detach().clone().as_strided((tensor.numel(),), (1,))
        for tensor in map(torch.Tensor.contiguous, (one, other))
    ]
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return not one.numel() or torch.equal(plain[0].view(torch.uint8), plain[1].view(torch.uint8))


@pytest.mark.parametrize("format_", FORMATS)
def test_every_dtype_and_view_becomes_what_safetensors_itself_would_write(tmp_path: Path, format_: str) -> None:
    tensors = of_every_dtype() | odd_views()
    result, said = converted(tmp_path, saved(tensors, format_), format_)
    assert result == save({name: one.detach().clone().contiguous() for name, one in tensors.items()}, metadata=PT)
    assert said == {"aliases": {}, "left_out": [], "left_out_count": 0}
    assert allowed(look(tmp_path / "seen", {"": result}))


def views() -> st.SearchStrategy[torch.Tensor]:
    """Views with any offset, shape and strides of a storage with any bits."""

    @st.composite
    def drawn(draw: st.DrawFn) -> torch.Tensor:
        dtype = getattr(torch, draw(st.sampled_from([name for name in DTYPES if name != "bool"])))
        shape = draw(st.lists(st.integers(0, 4), max_size=4))
        strides = draw(st.lists(st.integers(0, 6), min_size=len(shape), max_size=len(shape)))
        offset = draw(st.integers(0, 3))
        needed = offset + sum(max(size - 1, 0) * step for size, step in zip(shape, strides, strict=True)) + 1
        raw = bytearray(draw(st.binary(min_size=needed * dtype.itemsize, max_size=needed * dtype.itemsize)))
        return torch.frombuffer(raw, dtype=torch.uint8).view(dtype).as_strided(shape, strides, offset)

    return drawn()


NAMES = st.text(st.characters(codec="utf-8"), max_size=6).filter(lambda name: name != "__metadata__")


@settings(max_examples=60, deadline=None)
@given(tensors=st.dictionaries(NAMES, views(), min_size=1, max_size=4), format_=st.sampled_from(FORMATS))
def test_law_whatever_is_saved_comes_back_bit_by_bit(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor], format_: str
) -> None:
    folder = tmp_path_factory.mktemp("law")
    loaded = load(converted(folder, saved(tensors, format_), format_)[0])
    assert loaded.keys() == tensors.keys()
    assert all(same(loaded[name], tensors[name]) for name in tensors)


@settings(max_examples=40, deadline=None)
@given(tensors=st.dictionaries(NAMES, views(), min_size=1, max_size=3))
def test_law_the_second_reading_finds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    loaded = load(converted(folder, saved(tensors))[0])
    prove(folder / "source", folder / "proof", _options("torch-zip", {"by": "storages"}))
    found = json.loads((folder / "proof").read_text())["source"]
    assert {name: shape for name, (_, shape, _) in found.items()} == {
        name: list(one.shape) for name, one in loaded.items()
    }


MODEL = saved({"m": {"a": torch.ones(2, 3), "b": torch.ones(3, 2).t()}, "n": 1})
CHANGES = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_law_a_changed_file_is_converted_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(MODEL)
    for at, byte in changes:
        data[at] = byte
    result, said = converted(tmp_path_factory.mktemp("law"), bytes(data))
    assert bool(result) is ("refused" not in said)


def checkpoint() -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "shape": torch.Size([2])}


def test_a_checkpoint_is_named_by_its_keys_and_says_what_is_left_out(tmp_path: Path) -> None:
    value = checkpoint()
    result, said = converted(tmp_path, saved(value))
    loaded = load(result)
    assert same(loaded["model.weight"], value["model"]["weight"])
    assert same(loaded["optimizer.state.0.exp_avg"], value["optimizer"]["state"][0]["exp_avg"])
    assert ["epoch", "int"] in said["left_out"]
    assert said["left_out_count"] == len(said["left_out"])


def test_one_key_of_a_checkpoint_is_converted_alone(tmp_path: Path) -> None:
    result, said = converted(tmp_path, saved(checkpoint()), key="model")
    assert load(result).keys() == {"weight", "bias"}
    others = ("optimizer", "epoch", "shape")
    assert (said["left_out"], said["left_out_count"]) == ([[one, "under another key"] for one in others], 3)
    assert "use one of: model, optimizer" in converted(tmp_path, saved(checkpoint()), key="modle")[1]["refused"]


class Tied(torch.nn.Module):
    """An output layer that is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(4, 3)
        self.head = torch.nn.Linear(3, 4, bias=False)
        self.head.weight = self.embedding.weight


def test_tied_weights_are_written_once_as_safetensors_does_it(tmp_path: Path) -> None:
    from safetensors.torch import load_model, save_model

    tied = Tied()
    result, said = converted(tmp_path, saved(tied.state_dict()))
    save_model(tied, str(tmp_path / "theirs"), metadata=PT)
    assert said["aliases"] == {"head.weight": "embedding.weight"}
    assert load(result).keys() == load((tmp_path / "theirs").read_bytes()).keys()
    (tmp_path / "ours").write_bytes(result)
    other = Tied()
    missing, unexpected = load_model(other, tmp_path / "ours")
    assert not missing
    assert not unexpected
    assert same(other.head.weight, tied.head.weight)


def test_tied_weights_can_be_written_twice(tmp_path: Path) -> None:
    tied = Tied()
    result, said = converted(tmp_path, saved(tied.state_dict()), keep_duplicates=True)
    assert said["aliases"] == {}
    Tied().load_state_dict(load(result))


def npz(*, packed: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(file, **arrays)
    return file.getvalue()


ARRAYS: dict[str, Any] = {
    "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "scalar": np.array(-0.0),
    "empty": np.zeros((0, 4), np.uint8),
    "complex": np.array([1 + 2j], np.complex64),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("packed", [False, True], ids=["stored", "deflated"])
def test_arrays_of_numpy_become_what_safetensors_would_write(tmp_path: Path, *, packed: bool) -> None:
    from safetensors.numpy import save as save_arrays

    result, said = converted(tmp_path, npz(packed=packed, words=np.array(["a"]), **ARRAYS), "numpy")
    assert result == save_arrays({name: np.ascontiguousarray(one).reshape(one.shape) for name, one in ARRAYS.items()})
    assert said["left_out"] == [["words", "numpy array of '<U1'"]]


@pytest.mark.parametrize("protocol", range(6))
def test_pickled_arrays_become_tensors(tmp_path: Path, protocol: int) -> None:
    from safetensors.numpy import load as load_arrays

    value = {"layers": [ARRAYS["plain"], ARRAYS["fortran"]], "objects": np.array([None]), "rate": np.float64(0.5)}
    loaded = load_arrays(converted(tmp_path, pickle.dumps(value, protocol=protocol), "pickle")[0])
    assert loaded.keys() == {"layers.0", "layers.1"}
    np.testing.assert_array_equal(loaded["layers.1"], ARRAYS["fortran"])


def _itself() -> list[object]:
    found: list[object] = []
    found.append(found)
    return found


def _laughs() -> list[object]:
    found: list[object] = [0] * 10
    for _ in range(12):
        found = [found] * 10
    return found


ONE = torch.ones(1)
REFUSED: dict[str, tuple[bytes, str]] = {
    "element-past-the-storage": (forged({"w": rebuilt(1, (4,), (1,))}), "reaches out of its storage"),
    "offset-past-the-storage": (forged({"w": rebuilt(5, (0,), (1,))}), "reaches out of its storage"),
    "stride-past-the-storage": (forged({"w": rebuilt(0, (2, 2), (4, 1))}), "reaches out of its storage"),
    "size-that-overflows": (forged({"w": rebuilt(0, (1 << 40, 1 << 40), (0, 0))}), "more elements than there can be"),
    "size-past-64-bits": (forged({"w": rebuilt(0, (1 << 70,), (0,))}), "no tensor has"),
    "negative-stride": (forged({"w": rebuilt(3, (4,), (-1,))}), "no tensor has"),
    "negative-size": (forged({"w": rebuilt(0, (-1,), (1,))}), "no tensor has"),
    "negative-offset": (forged({"w": rebuilt(-1, (1,), (1,))}), "no tensor has"),
    "more-strides-than-sizes": (forged({"w": rebuilt(0, (1,), (1, 1))}), "no tensor has"),
    "sizes-that-are-no-tuple": (forged({"w": rebuilt(0, 3, 1)}), "cannot be read: TypeError"),
    "missing-storage": (forged({"w": rebuilt(0, (1,), (1,), key="1")}), "missing or compressed"),
    "storage-of-another-size": (forged({"w": rebuilt(0, (1,), (1,))}, members={"data/0": bytes(12)}), "16 bytes that"),
    "one-element-expanded-to-a-million-million": (
        saved({"w": torch.zeros(1).expand(1_000_000, 1_000_000)}),
        "more than 8 times the source",
    ),
    "many-names-of-one-expanded-view": (
        saved({str(i): torch.zeros(i + 1).expand(1_000_000, i + 1) for i in range(30)}),
        "more than 8 times the source",
    ),
    "two-ways-to-one-name": (saved({"a.b": ONE, "a": {"b": ONE}}), "two tensors would be named 'a.b'"),
    "number-and-text": (saved({0: ONE, "0": ONE}), "two tensors would be named '0'"),
    "name-of-the-metadata": (saved({"__metadata__": ONE}), "which safetensors keeps for itself"),
    "surrogate-in-a-name": (forged({"a\ud800": rebuilt(0, (1,), (1,))}), "no Unicode text"),
    "key-that-is-no-name": (saved({(1, 2): ONE}), "has no name"),
    "tensor-as-a-key": (saved({"w": ONE, "x": {ONE: 1}}), "has no name"),
    "tensor-in-a-key": (saved({"w": ONE, "x": {(1, ONE): 1}}), "has no name"),
    "tensor-in-a-set": (saved({"w": ONE, "x": {ONE}}, protocol=4), "has no name"),
    "tensor-in-a-frozenset": (saved({"w": ONE, "x": frozenset([(ONE,)])}, protocol=4), "has no name"),
    "tensor-in-a-namespace": (saved({"args": argparse.Namespace(w=ONE)}), "has no name"),
    "list-in-itself": (saved({"w": ONE, "l": _itself()}), "nests deeper than 64"),
    "big-endian": (forged({"w": rebuilt(0, (1,), (1,))}, members={"byteorder": b"big"}), "big-endian"),
    "conjugate-view": (forged({"w": rebuilt(0, (1,), (1,), {"conj": True})}), "resolve_conj"),
    "complex128": (saved({"w": torch.zeros(2, dtype=torch.complex128)}), "'w' has the dtype complex128"),
    "float8-that-safetensors-cannot-load": (
        saved({"w": torch.zeros(2, dtype=torch.uint8).view(torch.float8_e8m0fnu)}),
        "has the dtype float8_e8m0fnu",
    ),
    "no-tensors": (saved({"epoch": 3}), "holds no tensors"),
    "class-of-somebody": (forged({"w": OrderedDict, "x": Path}), "names pathlib"),
}


@pytest.mark.parametrize(("data", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_converted_is_refused_with_a_reason_even_if_no_scan_was_before(
    tmp_path: Path, data: bytes, why: str
) -> None:
    result, said = converted(tmp_path, data)
    assert why in said["refused"]
    assert result == b""


NUMPY_REFUSED = {
    "big-endian": ({"a": np.zeros(2, ">f4")}, "is big-endian"),
    "complex128": ({"a": np.zeros(2, np.complex128)}, "has the dtype <c16"),
    "long-double": ({"a": np.zeros(2, np.longdouble)}, "has the dtype <f16"),
    "only-text": ({"a": np.array(["x"])}, "holds no tensors"),
    "name-of-the-metadata": ({"__metadata__": np.zeros(1)}, "keeps for itself"),
}


@pytest.mark.parametrize(("arrays", "why"), NUMPY_REFUSED.values(), ids=NUMPY_REFUSED)
def test_arrays_that_safetensors_does_not_hold_are_refused_by_name(
    tmp_path: Path, arrays: dict[str, Any], why: str
) -> None:
    assert why in converted(tmp_path, npz(**arrays), "numpy")[1]["refused"]


def test_two_members_that_numpy_gives_one_name_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, one in (("a.npy", np.zeros(1)), ("a", np.ones(1))):
            with archive.open(name, "w") as member:
                np.save(member, one)
    assert "two arrays are named 'a'" in converted(tmp_path, file.getvalue(), "numpy")[1]["refused"]


class Array:
    """Pickles as an array with any state."""

    def __init__(self, *state: object) -> None:
        self.state = state

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = np.zeros(1).__reduce__()
        return *reduced[:2], self.state


F4 = np.dtype("f4")
ARRAYS_REFUSED = {
    "more-bytes-than-elements": (Array(1, (2,), F4, False, bytes(12)), "comes with 12: numpy refuses it"),
    "bytes-as-text": (Array(1, (2,), F4, False, "\0" * 8), "a state that is not read"),
    "state-without-version": (Array((2,), F4, False, bytes(8)), "a state that is not read"),
    "array-in-an-array-of-objects": (np.array([np.ones(1), None], dtype=object), "has no name"),
}


@pytest.mark.parametrize(("array", "why"), ARRAYS_REFUSED.values(), ids=ARRAYS_REFUSED)
def test_pickled_arrays_are_refused_rather_than_dropped(tmp_path: Path, array: object, why: str) -> None:
    data = pickle.dumps({"w": np.ones(1), "x": array}, protocol=4)
    assert why in converted(tmp_path, data, "pickle")[1]["refused"]


@pytest.mark.slow
def test_lists_that_multiply_are_refused(tmp_path: Path) -> None:
    assert "the same ones again and again" in converted(tmp_path, saved({"w": ONE, "l": _laughs()}))[1]["refused"]


def test_what_torch_refuses_is_told_without_its_advice_to_load_it_unsafely(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(saved(torch.nn.Linear(1, 1)))
    prove(tmp_path / "source", tmp_path / "proof", _options("torch-zip", {"by": "torch", "result": ""}))
    assert json.loads((tmp_path / "proof").read_text())["refused"] == (
        "torch does not load the source: UnpicklingError: Unsupported global: GLOBAL torch.nn.modules.linear.Linear "
        "was not an allowed global by default"
    )


def test_legacy_files_of_another_byte_order_are_refused(tmp_path: Path) -> None:
    # The flag is NEWTRUE behind its key; NEWFALSE says that numbers are big-endian.
    data = saved({"w": ONE}, "torch-legacy").replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89")
    assert "big-endian" in converted(tmp_path, data, "torch-legacy")[1]["refused"]


@pytest.mark.parametrize("missing", [1, 30], ids=["a-byte", "a-storage"])
def test_legacy_files_that_are_cut_off_are_refused(tmp_path: Path, missing: int) -> None:
    data = saved({"v": torch.ones(4), "w": torch.ones(5)}, "torch-legacy")[:-missing]
    assert "cut off" in converted(tmp_path, data, "torch-legacy")[1]["refused"]
