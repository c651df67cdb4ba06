"""State comes back exactly as it went in, or is refused when it goes in."""

from __future__ import annotations

import enum
import math
import struct
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.gate import SubjectError, UsageError
from interlock.gate.documents import canonical_json, unambiguous_json
from interlock.training.checkpoints.state import Decoder, encode
from interlock.training.checkpoints.tensorfile import TensorFile, pieces_of


def round_trip(value: object) -> Any:
    written = encode(value, item="state")
    tree = unambiguous_json(canonical_json(written.tree))
    data = bytearray(b"".join(pieces_of(written, item="state")))
    return Decoder(TensorFile(data, item="state"), item="state").value(tree)


def same(one: Any, other: Any) -> bool:
    """Equal in value, type, order and every bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    return bool(one == other)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.booleans() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=60)
@given(PLAIN)
def test_plain_state_survives_with_every_type_and_bit(value: object) -> None:
    assert same(round_trip(value), value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(-0.0, id="negative zero"),
        pytest.param(5e-324, id="smallest float"),
        pytest.param(math.inf, id="infinity"),
        pytest.param(struct.unpack(">d", bytes.fromhex("fff8000000000001"))[0], id="a NaN with a payload"),
        pytest.param(2**53, id="more than a float holds"),
        pytest.param(-(2**200), id="more than any reader of JSON holds"),
        pytest.param(complex(1, -0.0), id="complex"),
        pytest.param(Counter({3: 1, 1: 2}), id="milestones of MultiStepLR"),
        pytest.param(OrderedDict([("b", 1), ("a", (2, [3]))]), id="ordered"),
        pytest.param({1: "one", "1": "text", None: 2.0}, id="keys of several types"),
        pytest.param({"tuple": [1], "tensor": "x"}, id="words of the format as keys"),
    ],
)
def test_a_value_of_an_edge_survives(value: object) -> None:
    assert same(round_trip(value), value)


DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint64,
    torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0, 3), (3, 5)], ids=str)
def test_a_tensor_survives_bit_for_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape) * 3).to(dtype)
    back = round_trip({"t": tensor})["t"]
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    assert bytes(memoryview(_bits(back))) == bytes(memoryview(_bits(tensor)))


def _bits(tensor: torch.Tensor) -> Any:
    return tensor.reshape(-1).view(torch.uint8).numpy()


def test_not_a_number_keeps_its_bits() -> None:
    tensor = torch.tensor([0x7FC00001, -1, 0x7F800001], dtype=torch.int32).view(torch.float32)
    assert torch.equal(round_trip(tensor).view(torch.int32), tensor.view(torch.int32))


def test_tied_tensors_are_written_once_and_come_back_tied() -> None:
    weight = torch.rand(4, 4)
    written = encode({"one": weight, "other": weight}, item="state")
    assert (list(written.tensors), written.aliases) == (["one"], {"other": "one"})
    back = round_trip({"one": weight, "other": weight})
    assert back["one"] is back["other"]


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param(torch.rand(4, 6).t(), id="transposed"),
        pytest.param(torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last), id="channels last"),
        pytest.param(torch.rand(8, 8)[::2, 1:5], id="with gaps"),
        pytest.param(torch.rand(1, 4).expand(3, 4), id="expanded"),
        pytest.param(torch.rand(3, dtype=torch.complex64).conj(), id="conjugated"),
        pytest.param(torch.nn.Parameter(torch.rand(3)), id="parameter"),
    ],
)
def test_a_view_survives_as_what_it_shows(tensor: torch.Tensor) -> None:
    back = round_trip([tensor])[0]
    assert torch.equal(back, tensor)
    if tensor.is_contiguous(memory_format=torch.channels_last) and tensor.dim() == 4:
        assert back.stride() == tensor.stride()


def test_numpy_arrays_and_numbers_survive() -> None:
    value: dict[str, Any] = {
        "a": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "s": np.float32(0.1),
        "z": np.array(5, np.int64),
    }
    back = round_trip(value)
    assert all(type(back[name]) is type(value[name]) and back[name].dtype == value[name].dtype for name in value)
    assert all(np.array_equal(back[name], value[name]) and back[name].shape == value[name].shape for name in value)


def test_words_of_torch_survive() -> None:
    value = [torch.Size([2, 3]), torch.bfloat16, torch.device("cuda:1")]
    assert same(round_trip(value), value)


class Shade(enum.IntEnum):
    DARK = 1


def _endless() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"f": print}, id="function"),
        pytest.param({"f": object()}, id="object"),
        pytest.param({"f": {1, 2}}, id="set"),
        pytest.param({"f": Shade.DARK}, id="enum that looks like a number"),
        pytest.param({"f": defaultdict(list)}, id="dictionary with a factory"),
        pytest.param({"f": "\ud800"}, id="half a character"),
        pytest.param({"f": _endless()}, id="list in itself"),
        pytest.param({"f": torch.rand(2, 2).to_sparse()}, id="sparse tensor"),
        pytest.param({"f": torch.empty(2, device="meta")}, id="tensor without bytes"),
        pytest.param({"f": torch.rand(2, dtype=torch.complex128)}, id="dtype that safetensors lacks"),
        pytest.param({"f": np.array(["text"])}, id="array of text"),
        pytest.param({"f": np.arange(3, dtype=">i4")}, id="array of another byte order"),
    ],
)
def test_what_would_come_back_another_is_refused_with_its_place(value: object) -> None:
    with pytest.raises(UsageError, match=r"a checkpoint cannot hold .*state/f"):
        encode(value, item="state")


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({"pickle": "gASVAA=="}, id="unknown word"),
        pytest.param({"tuple": [1], "list": [2]}, id="two words"),
        pytest.param({"tensor": "missing"}, id="tensor that is not there"),
        pytest.param({"dtype": "load"}, id="dtype that is a function"),
        pytest.param({"float": "zz"}, id="number that is none"),
        pytest.param({"dict": [[1]]}, id="half a pair"),
        pytest.param({}, id="no word"),
    ],
)
def test_a_tree_that_was_not_written_by_encode_is_refused(tree: Any) -> None:
    with pytest.raises(SubjectError, match="cannot be read"):
        Decoder(TensorFile(bytearray(b"".join(pieces_of(encode(1, item="x"), item="x"))), item="x"), item="x").value(
            tree
        )


def test_the_library_reads_what_is_written_byte_for_byte_as_its_own() -> None:
    import safetensors.torch

    tensors = {"b": torch.rand(3, 3), "a": torch.arange(4), "h": torch.rand(2).to(torch.bfloat16), "e": torch.rand(0)}
    data = b"".join(pieces_of(encode(tensors, item="x"), item="x"))
    assert data == safetensors.torch.save(tensors, metadata={"format": "pt"})
