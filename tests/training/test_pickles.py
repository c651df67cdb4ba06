"""What training code pickled leaves as proven safetensors, or the whole output stays."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from pathlib import Path

import pytest

from interlock.evidence import Store
from interlock.training.pickles import PickleSafeguard
from interlock.training.sandbox import Ended

torch = pytest.importorskip("torch")

WELL = Ended(exit_status=0, seconds=1.0, limit=None, log_tail="", log_bytes=0)


class Opens:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("/tmp/opened", "w"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "metrics.json").write_text("{}")
    return folder


@pytest.fixture
def safeguard(tmp_path: Path) -> PickleSafeguard:
    return PickleSafeguard(Store(tmp_path / "store"))


def test_what_torch_saved_leaves_as_safetensors_bit_for_bit(out: Path, safeguard: PickleSafeguard) -> None:
    from safetensors.torch import load_file

    model = torch.nn.Linear(3, 2)
    torch.save({"model": model.state_dict(), "epoch": 4}, out / "weights.jpg")  # content counts, not the name
    part = safeguard.after(WELL, out)
    assert part.problem == ""
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "weights.safetensors"]
    back = load_file(out / "weights.safetensors")
    assert all(torch.equal(back[f"model.{name}"], tensor) for name, tensor in model.state_dict().items())
    assert {measure.name: measure.value for measure in part.measures} == {"pickles_converted": 1}
    assert "values that are no tensors were left out" in part.findings[0].message
    assert json.loads(json.dumps(part.configuration))["converted"][0]["to"] == "weights.safetensors"


def _torch_bytes(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.pt", _torch_bytes({"w": torch.zeros(2), "x": Opens()}), id="torch.save that runs"),
        pytest.param("model.bin", pickle.dumps({"w": [1]}), id="plain pickle"),
        pytest.param("model.pkl", pickle.dumps(Opens()), id="pickle that runs"),
        pytest.param("notes.txt", pickle.dumps(Opens(), protocol=0), id="pickle of protocol 0 called a text"),
        pytest.param("model.gz", gzip.compress(pickle.dumps(Opens())), id="packed pickle"),
    ],
)
def test_a_pickle_that_is_not_proven_keeps_the_output_in(
    out: Path, safeguard: PickleSafeguard, name: str, content: bytes
) -> None:
    (out / name).write_bytes(content)
    part = safeguard.after(WELL, out)
    assert repr(name) in part.problem
    assert not Path("/tmp/opened").exists()


def test_output_without_a_pickle_is_left_as_it_is(out: Path, safeguard: PickleSafeguard) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, out / "model.safetensors")
    part = safeguard.after(WELL, out)
    assert (part.problem, part.measures[0].value) == ("", 0)
    assert sorted(path.name for path in out.iterdir()) == ["metrics.json", "model.safetensors"]
