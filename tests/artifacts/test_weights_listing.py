"""Where tensors are: every reader against the library that wrote the file."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import ml_dtypes
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.artifacts.corpus import Entry, raw_zip, safetensors, torch_entries
from tests.artifacts.corpus_gguf import Writer
from tests.artifacts.harmless import array, every_dtype, saved, views
from tests.artifacts.weighing import SAVERS, Save, checkpoint, listing, measures, npz, said, seen, trained

from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.weights.dtypes import DTYPES, stored, values
from interlock.artifacts.weights.tensor import Listing

PEERS: Mapping[str, Any] = {
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "F8_E4M3FNUZ": ml_dtypes.float8_e4m3fnuz,
    "F8_E5M2FNUZ": ml_dtypes.float8_e5m2fnuz,
    "F8_E8M0": ml_dtypes.float8_e8m0fnu,
    "F16": np.float16,
}


@pytest.mark.parametrize("name", PEERS)
def test_every_small_float_is_worth_what_ml_dtypes_says(name: str) -> None:
    dtype = DTYPES[name]
    raw = np.arange(1 << 8 * dtype.size, dtype=f"u{dtype.size}").tobytes()
    expected = np.frombuffer(raw, PEERS[name]).astype(np.float32)
    found = values(stored(raw, dtype), dtype)
    assert np.array_equal(found, expected, equal_nan=True)
    assert dtype.largest == np.max(expected[np.isfinite(expected)]), "the largest finite number"


def contents(found: Listing) -> dict[str, tuple[tuple[int, ...], bytes]]:
    budget = Budget(Limits())
    return {one.name: (one.shape, b"".join(one.pieces(budget))) for one in found.tensors}


def raw_bytes(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()) if tensor.numel() else b""


@pytest.mark.parametrize("save", SAVERS.values(), ids=SAVERS.keys())
def test_every_tensor_is_found_under_its_name(save: Save, tmp_path: Path) -> None:
    weights = trained()
    found = listing(tmp_path, save(weights), contents)
    assert found == {name: (tuple(tensor.shape), raw_bytes(tensor)) for name, tensor in weights.items()}


def test_tensors_of_every_type_are_found_in_a_torch_archive(tmp_path: Path) -> None:
    weights = every_dtype()
    found = listing(tmp_path, saved(weights), contents)
    assert {name: raw for name, (_, raw) in found.items()} == {
        name: raw_bytes(tensor) for name, tensor in weights.items()
    }


def test_tensors_of_an_optimizer_are_named_by_the_keys_on_the_way(tmp_path: Path) -> None:
    found = listing(tmp_path, saved(checkpoint()), contents)
    assert {"model.0.weight", "optimizer.state.0.exp_avg", "optimizer.state.3.exp_avg_sq"} <= found.keys()
    assert found["optimizer.state.0.step"] == ((), struct.pack("<f", 20.0))


def test_tied_weights_stand_under_each_of_their_names(tmp_path: Path) -> None:
    tied = torch.ones(3)
    found = listing(tmp_path, saved({"encoder": {"w": tied}, "decoder": {"w": tied}}), contents)
    assert found == dict.fromkeys(("encoder.w", "decoder.w"), ((3,), raw_bytes(tied)))


def test_views_span_their_part_of_the_storage(tmp_path: Path) -> None:
    spans = listing(tmp_path, saved(views()), lambda found: {one.name: one for one in found.tensors})
    assert spans["row"].place[1] == spans["base"].place[1] + 6 * 4
    assert spans["row"].length == 24
    assert spans["transposed"].strides == (1, 6)
    assert spans["transposed"].place == spans["base"].place
    assert spans["column"].length == (3 * 6 + 1) * 4, "a view with gaps spans more than its elements"
    assert (spans["empty"].length, spans["expanded"].length) == (0, 4)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "compressed"])
def test_arrays_of_an_npz_are_found(save: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {
        "plain": rng.normal(size=(50, 20)),
        "fortran": np.asfortranarray(rng.normal(size=(7, 5)).astype("<f4")),
        "big": rng.normal(size=9).astype(">f2"),
        "whole": np.arange(30, dtype=np.int16),
    }

    def decoded(found: Listing) -> dict[str, NDArray[Any]]:
        budget = Budget(Limits())
        return {
            one.name: stored(b"".join(one.pieces(budget)), one.dtype, big=one.big).reshape(
                one.shape, order="F" if one.strides else "C"
            )
            for one in found.tensors
        }

    found = listing(tmp_path, npz(save, **arrays, text=np.array(["a", "b"])), decoded)
    assert found.keys() == arrays.keys(), "texts are no numbers"
    assert all(np.array_equal(found[name], value) for name, value in arrays.items())


def test_plain_numbers_of_a_gguf_are_found_and_quantised_ones_are_told(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "written.gguf", "llama")
    rng = np.random.default_rng(0)
    plain: dict[str, NDArray[Any]] = {
        "a": rng.normal(size=(4, 8)).astype(np.float32),
        "b": rng.normal(size=64).astype(np.float16),
    }
    for name, value in plain.items():
        writer.add_tensor(name, value)
    blocks = gguf.quants.quantize(rng.normal(size=(4, 32)).astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("quantised", blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    content = (tmp_path / "written.gguf").read_bytes()
    assert listing(tmp_path, content, contents) == {
        name: (value.shape, value.tobytes()) for name, value in plain.items()
    }
    observed = seen(tmp_path, content)
    assert [finding.message for finding in said(observed, "unread-weights")] == [
        "not looked into: quantised (ggml type 8)"
    ]
    assert (measures(observed)["tensors"], measures(observed)["unread_tensors"]) == (2, 1)


def test_numbers_of_a_big_endian_gguf_are_read_in_its_order(tmp_path: Path) -> None:
    writer = Writer(order=">")
    content = writer.file([], [writer.tensor(b"a", [8])], struct.pack(">8f", *range(7), float("nan")))
    observed = seen(tmp_path, content)
    assert [finding.message for finding in said(observed, "not-finite")] == ["a: 1 NaN of 8 elements"]


def with_field(kind: bytes, content: bytes, *, local: bool) -> bytes:
    """A torch archive whose first member has an extra field; made from one that has none."""
    plain = bytearray(raw_zip(torch_entries()))
    field = kind + struct.pack("<H", len(content)) + content
    end = len(plain) - 22
    directory = struct.unpack_from("<L", plain, end + 16)[0]
    if local:
        name = struct.unpack_from("<H", plain, 26)[0]
        struct.pack_into("<H", plain, 28, len(field))
        at = directory
        while plain[at : at + 4] == b"PK\x01\x02":  # every other member moves
            names, header = struct.unpack_from("<H", plain, at + 28)[0], struct.unpack_from("<L", plain, at + 42)[0]
            struct.pack_into("<L", plain, at + 42, header + (len(field) if header else 0))
            at += 46 + names
        struct.pack_into("<L", plain, end + 16, directory + len(field))
        plain[30 + name : 30 + name] = field
    else:
        name = struct.unpack_from("<H", plain, directory + 28)[0]
        struct.pack_into("<H", plain, directory + 30, len(field))
        size = struct.unpack_from("<L", plain, end + 12)[0]
        struct.pack_into("<L", plain, end + 12, size + len(field))
        plain[directory + 46 + name : directory + 46 + name] = field
    return bytes(plain)


def cut_out() -> bytes:
    storage = torch.arange(1.0, 65.0)
    return saved({"part": storage[8:16]})


def header_with_comment() -> bytes:
    literal = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), } # cmd.exe"
    literal += b" " * (117 - len(literal)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(literal)) + literal + bytes(8)


@pytest.mark.parametrize(
    ("content", "places", "size"),
    [
        pytest.param(with_field(b"FB", b"ZZZ!ZZZ", local=True), ["its local header"], 7, id="torch-padding-with-bytes"),
        pytest.param(with_field(b"XX", b"hidden", local=True), ["its local header"], 6, id="unknown-local-field"),
        pytest.param(with_field(b"XX", b"hidden", local=False), ["its entry"], 6, id="unknown-directory-field"),
        pytest.param(cut_out(), ["the part of a storage"] * 2, 56 * 4, id="storage-larger-than-its-tensor"),
        pytest.param(header_with_comment(), ["the padding of numpy's header"], 9, id="comment-in-numpy-header"),
    ],
)
def test_bytes_that_no_tensor_owns_are_a_warning(content: bytes, places: list[str], size: int, tmp_path: Path) -> None:
    observed = seen(tmp_path, content)
    found = said(observed, "hidden-bytes")
    assert [place in finding.message for finding, place in zip(found, places, strict=True)] == [True] * len(places)
    assert measures(observed)["hidden_bytes"] == size
    first = found[0].location
    if "!" not in first.path or "ZZZ!" in content.decode("latin-1"):
        assert first.offset is not None


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(saved(checkpoint()), id="torch"),
        pytest.param(saved(views()), id="views-that-cover-their-storage"),
        pytest.param(npz(np.savez, a=np.ones(3), b=np.zeros((2, 2))), id="npz"),
        pytest.param(npz(np.savez_compressed, a=np.ones(300)), id="compressed-npz"),
        pytest.param(array(np.ones(3)), id="npy"),
        pytest.param(with_field(b"FB", b"ZZZZZZZ", local=True), id="torch-padding"),
        pytest.param(saved({"part": torch.zeros(64)[:4]}), id="nothing-in-the-rest-of-a-storage"),
    ],
)
def test_what_torch_and_numpy_write_there_is_no_warning(content: bytes, tmp_path: Path) -> None:
    observed = seen(tmp_path, content)
    assert said(observed, "hidden-bytes") == []
    assert measures(observed)["hidden_bytes"] == 0


def test_files_of_other_formats_are_told_and_counted(tmp_path: Path) -> None:
    import pickle

    observed = seen(tmp_path, pickle.dumps({"w": np.ones(3)}), profile="numpy")
    assert [finding.message for finding in said(observed, "unread-weights")] == [
        "the numbers in a file of format pickle are not looked into"
    ]
    assert measures(observed)["unread_files"] == 1


def test_a_file_that_the_scan_refuses_is_not_looked_into(tmp_path: Path) -> None:
    observed = seen(tmp_path, safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)))
    assert (measures(observed)["tensors"], measures(observed)["unread_files"]) == (0, 1)
    [told] = said(observed, "unread-weights")
    assert "format safetensors that is not read here, see its findings" in told.message


def test_weights_that_cannot_be_read_to_the_end_are_a_gap(tmp_path: Path) -> None:
    from tests.artifacts.looking import opened

    from interlock.artifacts import ArtifactGate

    gate = ArtifactGate(limits=Limits(total_bytes=1 << 16))
    content = SAVERS["safetensors"]({"w": torch.zeros(1 << 16)})
    observed = gate.look(opened(tmp_path, {"": content}))
    assert "its weights were not looked at to the end: more than 65,536 bytes" in observed.coverage.failed[0].reason


def test_a_storage_that_torch_would_not_have_compressed_is_a_gap(tmp_path: Path) -> None:
    entries = [
        Entry(name=entry.name, data=entry.data, method=zipfile.ZIP_DEFLATED if "data/" in entry.name else 0)
        for entry in torch_entries()
    ]
    observed = seen(tmp_path, raw_zip(entries))
    [gap] = observed.coverage.failed
    assert "is compressed, which torch reads and never writes; save the model again with torch.save" in gap.reason
