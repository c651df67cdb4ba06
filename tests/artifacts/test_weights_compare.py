"""Beside the last accepted version: which tensors changed and how much, and what counts as accepted at all."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.torch import save as save_safetensors
from tests.artifacts.corpus_gguf import Writer
from tests.artifacts.harmless import saved
from tests.artifacts.looking import opened
from tests.artifacts.weighing import SAVERS, Weights, few_files, measures, npz, said, trained

from interlock.artifacts import ArtifactGate
from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.weights.compare import FROM_NOTHING, LARGEST, difference
from interlock.artifacts.weights.dtypes import DTYPES
from interlock.artifacts.weights.holders import Opened
from interlock.artifacts.weights.tensor import Tensor
from interlock.gate import Evaluated, EvidenceError, Level, Observation, OpenSubject, Subject, UsageError
from interlock.gate.protocols import Allowed, SignedBy

SAFE = SAVERS["safetensors"]
INF = float("inf")


class Receipts:
    """Holds one older version, which some receipt allows or none does."""

    def __init__(self, old: OpenSubject, *, allows: bool = True) -> None:
        self.old, self.allows = old, allows

    @contextmanager
    def open(self, uri: str) -> Iterator[OpenSubject]:
        assert uri == "models/1"
        yield self.old

    def allowed(self, *, gate: str, digest: str) -> tuple[Allowed, ...]:
        assert (gate, digest) == ("artifact-scan", self.old.subject.digest)
        if not self.allows:
            raise EvidenceError("no receipt allows these bytes", next_step="run the gate on it")
        return (Allowed(receipt_id="R1", issued=datetime(2026, 11, 1, tzinfo=UTC), facts={}),)

    def evaluated(self, name: str) -> tuple[Evaluated, ...]:
        raise NotImplementedError

    def materials(self, digest: str) -> tuple[Subject, ...]:
        raise NotImplementedError

    def holders(self, digest: str) -> frozenset[str]:
        raise NotImplementedError

    def signature(self, model: OpenSubject, place: str) -> SignedBy:
        raise NotImplementedError


def beside(
    folder: Path, old: Mapping[str, bytes], new: Mapping[str, bytes], *, allows: bool = True
) -> tuple[Observation, ArtifactGate]:
    for name in ("old", "new"):
        (folder / name).mkdir()
    gate = ArtifactGate(accepted="models/1")
    gate.refer(Receipts(opened(folder / "old", old), allows=allows))
    return gate.look(opened(folder / "new", new)), gate


def differing(folder: Path, old: Weights, new: Weights) -> Observation:
    return beside(folder, {"": SAFE(old)}, {"": again(new)})[0]


def again(weights: Weights) -> bytes:
    """In a file of other bytes, whatever the weights are."""
    return save_safetensors(weights, {"version": "2"})


COMPARED = ("changed_tensors", "added_tensors", "removed_tensors", "largest_change")


def test_changed_layers_are_named_with_how_much(tmp_path: Path) -> None:
    new = trained()
    new["3.weight"][:2] *= 3
    del new["4.bias"]
    new["head"] = torch.ones(2)
    new["0.bias"] = new["0.bias"].reshape(2, -1)
    observed = differing(tmp_path, trained(), new)
    messages = [finding.message for finding in said(observed, "changed-weights")]
    assert "10 tensors are the same, 2 changed, 1 reshaped, 1 added, 1 removed" in messages[0]
    old = trained()["3.weight"]
    relative = float((new["3.weight"] - old).double().norm() / old.double().norm())
    assert messages[1:] == [
        f"3.weight: 1,024 of 131,072 elements changed, by {relative:.3g} of its norm",
        "head: added",
        "4.bias: removed",
        "0.bias: reshaped",
    ]
    assert {finding.level for finding in said(observed, "changed-weights")} == {Level.NOTE}
    found = measures(observed)
    assert [found[name] for name in COMPARED] == [2, 1, 1, FROM_NOTHING], "of what was added"
    evidence = json.loads(said(observed, "changed-weights")[1].evidence)
    counted = {"tensor": "3.weight", "elements": 1024, "turned": 0}
    assert evidence == counted | {"relative": pytest.approx(relative, rel=1e-5)}


def test_tensors_may_move_between_files_and_formats(tmp_path: Path) -> None:
    weights = trained()
    half = len(weights) // 2
    parts = [dict(list(weights.items())[:half]), dict(list(weights.items())[half:])]
    new = {"a.safetensors": SAFE(parts[0]), "b.safetensors": SAFE(parts[1])}
    observed, gate = beside(tmp_path, {"m.pt": saved(weights)}, new)
    found = measures(observed)
    assert [found[name] for name in COMPARED] == [0, 0, 0, 0]
    told = gate.configuration()["accepted"]
    assert isinstance(told, dict)
    assert (told["uri"], told["receipt"], told["issued"]) == ("models/1", "R1", "2026-11-01T00:00:00.000000Z")
    assert observed.coverage.failed == ()


@pytest.mark.parametrize(
    ("old", "new", "elements", "relative"),
    [
        pytest.param([0.0, 0.0], [0.0, 2.0], 1, FROM_NOTHING, id="from-nothing"),
        pytest.param([0.0], [-0.0], 1, 0.0, id="negative-zero-is-another-pattern"),
        pytest.param([1.0, float("nan")], [1.0, float("nan")], 0, 0.0, id="nan-is-itself"),
        pytest.param([3.0, 4.0, INF], [3.0, 9.0, 1.0], 2, LARGEST, id="infinity-to-a-number"),
        pytest.param([1.0, 2.0], [1.0, float("nan")], 1, LARGEST, id="a-number-to-nan"),
        pytest.param([1.0, 2.0], [1.0, -INF], 1, LARGEST, id="a-number-to-minus-infinity"),
        pytest.param([1.0, INF], [1.0, -INF], 1, LARGEST, id="infinity-to-minus-infinity"),
        pytest.param([1e38, 1.0], [-1e38, 1.0], 1, 2.0, id="squares-past-float32"),
    ],
)
def test_a_change_is_measured(
    old: list[float], new: list[float], elements: int, relative: float, tmp_path: Path
) -> None:
    observed = differing(tmp_path, {"w": torch.tensor(old)}, {"w": torch.tensor(new)})
    found = measures(observed)
    assert found["changed_tensors"] == bool(elements)
    assert found["largest_change"] == pytest.approx(relative)
    if elements:
        assert f"w: {elements} of {len(old)} elements changed" in said(observed, "changed-weights")[1].message


def test_another_type_is_compared_by_value(tmp_path: Path) -> None:
    old = trained()
    new = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in old.items()}
    found = measures(differing(tmp_path, old, new))
    assert found["changed_tensors"] == 12
    assert 0 < found["largest_change"] < 1e-3, "what rounding to a half costs"


@pytest.mark.parametrize("allows", [True, False], ids=["allowed", "not-allowed"])
def test_only_bytes_that_a_receipt_allows_are_compared_with(allows: bool, tmp_path: Path) -> None:
    observed, _ = beside(tmp_path, {"": SAFE(trained())}, {"": again(trained())}, allows=allows)
    reasons = [gap.reason for gap in observed.coverage.failed]
    assert ("largest_change" in measures(observed)) == allows
    assert len(reasons) == (not allows)
    assert all("nothing shows that this model was accepted" in reason for reason in reasons)
    assert measures(observed)["tensors"] == 13, "what was found in the new one is kept"


def test_a_model_is_not_compared_with_itself(tmp_path: Path) -> None:
    observed, _ = beside(tmp_path, {"": SAFE(trained())}, {"": SAFE(trained())})
    assert "it is the model itself" in observed.coverage.failed[0].reason
    assert "largest_change" not in measures(observed)


def copy_of_the_old_beside(old: Weights, new: Weights) -> dict[str, bytes]:
    return {"model.safetensors": SAFE(new), "old.safetensors": SAFE(old)}


RENAMED = {f"x.{name}": tensor for name, tensor in trained().items()}
POISONED = {**trained(), "0.bias": torch.ones(512)}
COMPLEX = {**trained(), "4.bias": torch.zeros(256, dtype=torch.complex64)}


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(copy_of_the_old_beside(trained(), RENAMED | {"0.bias": trained()["0.bias"]}), id="most-renamed"),
        pytest.param(copy_of_the_old_beside(trained(), POISONED), id="a-copy-beside-it"),
        pytest.param({"": SAFE({**trained(), "0.bias": trained()["0.bias"].reshape(2, -1)})}, id="one-reshaped"),
        pytest.param({"": SAFE({**trained(), "head": torch.zeros(1)})}, id="one-added"),
        pytest.param({"": SAFE(dict(list(trained().items())[1:]))}, id="one-removed"),
        pytest.param({"": SAFE(COMPLEX)}, id="complex-numbers"),
    ],
)
def test_what_has_nothing_to_be_compared_with_is_a_large_change_or_a_gap(new: dict[str, bytes], tmp_path: Path) -> None:
    observed, _ = beside(tmp_path, {"": SAFE(trained())}, new)
    if observed.coverage.failed:
        assert "no tensor has a name that the other has" in observed.coverage.failed[0].reason
    else:
        assert measures(observed)["largest_change"] >= FROM_NOTHING


def test_models_without_a_name_in_common_are_a_gap(tmp_path: Path) -> None:
    observed = differing(tmp_path, trained(), RENAMED)
    assert "no tensor has a name that the other has" in observed.coverage.failed[0].reason
    assert "largest_change" not in measures(observed)


def test_names_in_several_files_are_told_apart_by_file(tmp_path: Path) -> None:
    parts = {"text": trained(), "vision": {**trained(), "0.bias": torch.ones(512)}}
    old = {f"{name}.safetensors": SAFE(part) for name, part in parts.items()}
    parts["text"]["4.bias"][3] *= 2
    new = {f"{name}.safetensors": again(part) for name, part in parts.items()}
    found = measures(beside(tmp_path, old, new)[0])
    assert [found[name] for name in COMPARED[:3]] == [1, 0, 0]
    assert 0 < found["largest_change"] < 1


def gguf(*tensors: tuple[bytes, int, bytes]) -> bytes:
    writer, body, entries = Writer(), b"", []
    for name, kind, content in tensors:
        entries.append(writer.tensor(name, [32], kind=kind, offset=len(body)))
        body += content + bytes(-len(content) % 32)
    return writer.file([], entries, body)


@pytest.mark.parametrize(
    ("old", "new", "largest", "said_of_it"),
    [
        pytest.param(
            gguf((b"q", 2, bytes(18))), gguf((b"q", 2, b"\1" + bytes(17))), FROM_NOTHING,
            "q: 1 of 18 bytes changed, of type ggml type 2", id="quantised",
        ),
        pytest.param(
            gguf((b"q", 2, bytes(18))), gguf((b"q", 8, bytes(34))), FROM_NOTHING, "q: reshaped", id="quantised-anew",
        ),
        pytest.param(
            gguf((b"\xff", 0, bytes(128)), (rb"\xff", 0, b"\0\0\x80\x3f" * 32)),
            gguf((b"\xff", 0, b"\0\0\x80\x3f" * 32), (rb"\xff", 0, bytes(128))),
            FROM_NOTHING, r"\xff: 32 of 32 elements changed, by 1 of its norm", id="names-that-look-alike",
        ),
    ],
)  # fmt: skip
def test_tensors_that_are_not_looked_into_are_compared_by_their_bytes(
    old: bytes, new: bytes, largest: float, said_of_it: str, tmp_path: Path
) -> None:
    observed, _ = beside(tmp_path, {"": old}, {"": new})
    assert observed.coverage.failed == ()
    assert measures(observed)["largest_change"] == largest
    assert said_of_it in [finding.message for finding in said(observed, "changed-weights")]


@pytest.mark.parametrize(
    "lay",
    [
        pytest.param(lambda whole: whole.T.contiguous().T, id="transposed"),
        pytest.param(lambda whole: torch.stack([whole, whole + 7], dim=-1)[..., 0], id="every-other"),
    ],
)
def test_another_layout_of_the_same_elements_is_the_same(
    lay: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    old = torch.randn(600, 700)  # two windows
    new = lay(old)
    assert not new.is_contiguous()
    same = measures(beside(tmp_path, {"": SAFE({"w": old})}, {"": saved({"w": new})})[0])
    assert [same[name] for name in COMPARED] == [0, 0, 0, 0]


def test_a_change_within_a_view_is_measured_row_by_row(tmp_path: Path) -> None:
    old = torch.randn(600, 700)
    new = old.T.contiguous().T
    new[599, 3] += 5
    found = measures(beside(tmp_path, {"": SAFE({"w": old})}, {"": saved({"w": new})})[0])
    assert found["largest_change"] == pytest.approx(5 / float(old.double().norm()))


def test_other_zips_of_the_accepted_version_have_no_tensors(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr("1.npy", npz(np.savez, a=np.ones(3)))
    folder = {"model.skops": out.getvalue(), "model.safetensors": SAFE(trained())}
    observed, _ = beside(tmp_path, folder, {"": again(trained())})
    assert measures(observed)["changed_tensors"] == 0


def test_a_model_of_more_files_than_may_be_open_is_compared(tmp_path: Path) -> None:
    shards = {f"{number}.safetensors": SAFE({f"w{number}": torch.ones(3)}) for number in range(40)}
    with few_files():
        observed, _ = beside(tmp_path, shards, shards | {"0.safetensors": again({"w0": torch.ones(3)})})
    assert observed.coverage.failed == ()
    assert measures(observed)["changed_tensors"] == 0


def test_an_accepted_version_without_tensors_is_a_gap(tmp_path: Path) -> None:
    observed, _ = beside(tmp_path, {"config.json": b"{}"}, {"": SAFE(trained())})
    assert [gap.reason for gap in observed.coverage.failed] == [
        "not compared: no tensors of the accepted version can be listed; save both as safetensors"
    ]


def test_a_broken_accepted_version_is_a_gap(tmp_path: Path) -> None:
    observed, _ = beside(tmp_path, {"": SAFE(trained())[:-1]}, {"": SAFE(trained())})
    assert "its tensors cannot be listed" in observed.coverage.failed[0].reason


def test_without_receipts_nothing_can_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="knows which were accepted"):
        ArtifactGate(accepted="models/1").look(opened(tmp_path, {"": SAFE(trained())}))


@pytest.mark.parametrize("uri", ["", 3])
def test_an_accepted_version_is_named_by_text(uri: object) -> None:
    with pytest.raises(UsageError, match="a path or a URL"):
        ArtifactGate(accepted=uri)  # type: ignore[arg-type]  # options come from JSON


numbers = arrays(np.float32, 40, elements=st.floats(-1e3, 1e3, width=32))


@given(numbers, numbers)
def test_what_is_told_is_what_numpy_computes(old: np.ndarray, new: np.ndarray) -> None:
    one, other = (
        Tensor(
            name="w",
            dtype=DTYPES["F32"],
            shape=(40,),
            path="m",
            offset=0,
            length=160,
            holder=Opened(value.tobytes()),
        )
        for value in (new, old)
    )
    found = difference([("", one)], [("", other)], Budget(Limits()))
    apart = float(np.linalg.norm(new.astype(np.float64) - old))
    norm = float(np.linalg.norm(old.astype(np.float64)))
    changed = int(np.count_nonzero(new.view(np.uint32) != old.view(np.uint32)))
    assert found.changed == bool(changed)
    if changed:
        [change] = found.changes
        assert change.elements == changed
        assert change.distance == pytest.approx(apart)
        assert change.relative == pytest.approx(apart / norm if norm else FROM_NOTHING if apart else 0.0)
