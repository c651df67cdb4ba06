"""What training code pickled leaves as proven safetensors, or the whole output stays; kept pickles are scanned."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from interlock.evidence import Store
from interlock.gate import Level
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
    assert part.facts == {"training": {"no_pickles": True}}


def _torch_bytes(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


def _objects(save: Callable[..., None]) -> bytes:
    stream = io.BytesIO()
    save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def _estimator() -> bytes:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # no stubs are published

    return pickle.dumps(LogisticRegression().fit([[0.0], [1.0]], [0, 1]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("model.pt", _torch_bytes({"w": torch.zeros(2), "x": Opens()}), id="torch.save that runs"),
        pytest.param("model.bin", pickle.dumps({"w": [1]}), id="plain pickle"),
        pytest.param("model.pkl", pickle.dumps(Opens()), id="pickle that runs"),
        pytest.param("notes.txt", pickle.dumps(Opens(), protocol=0), id="pickle of protocol 0 called a text"),
        pytest.param("model.gz", gzip.compress(pickle.dumps(Opens())), id="packed pickle"),
        pytest.param("rows.npy", _objects(np.save), id="array of objects"),
        pytest.param("rows.npz", _objects(np.savez), id="arrays of objects in a zip"),
    ],
)
def test_a_pickle_that_is_not_proven_keeps_the_output_in(
    out: Path, safeguard: PickleSafeguard, name: str, content: bytes
) -> None:
    (out / name).write_bytes(content)
    part = safeguard.after(WELL, out)
    assert repr(name) in part.problem
    assert "skops.io.dump" in part.problem
    assert part.facts == {}
    assert not Path("/tmp/opened").exists()


def test_what_cannot_be_looked_into_is_told_and_is_not_called_free_of_pickles(
    out: Path, safeguard: PickleSafeguard
) -> None:
    with zipfile.ZipFile(out / "more.zip", "w") as archive:
        archive.writestr("inner.rar", b"Rar!\x1a\x07\x01\x00" + bytes(64))
    part = safeguard.after(WELL, out)
    assert part.problem == ""
    assert part.facts == {"training": {"no_pickles": False}}
    assert {finding.rule_id for finding in part.findings} == {"training.unread-output"}


@pytest.mark.parametrize("keep", [pytest.param(False, id="by default"), pytest.param(True, id="also where kept")])
def test_output_without_a_pickle_is_left_as_it_is(out: Path, tmp_path: Path, *, keep: bool) -> None:
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, out / "model.safetensors")
    (out / "empty.txt").touch()
    (out / "curve.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    part = PickleSafeguard(Store(tmp_path / "store"), keep=keep).after(WELL, out)
    assert part.facts == {"training": {"no_pickles": True}}
    assert part.findings == ()
    assert (part.problem, part.measures[0].value) == ("", 0)
    assert sorted(path.name for path in out.iterdir()) == [
        "curve.png",
        "empty.txt",
        "metrics.json",
        "model.safetensors",
    ]


def test_a_long_table_that_begins_as_a_pickle_does_is_none(out: Path, safeguard: PickleSafeguard) -> None:
    """Its first two lines are what names a global in protocol 0."""
    (out / "rows.csv").write_bytes(b"city\n" + b"north\n" * (65 * 2**20 // 6))
    part = safeguard.after(WELL, out)
    assert (part.problem, part.facts) == ("", {"training": {"no_pickles": True}})


@pytest.mark.parametrize(
    ("name", "content", "profile"),
    [
        pytest.param("model.pt", _torch_bytes({"w": torch.zeros(2)}), "torch-state-dict", id="torch.save"),
        pytest.param("model.pkl", _estimator(), "sklearn", id="estimator"),
        pytest.param("rows.npy", _objects(np.save), "torch-checkpoint", id="array of objects"),
    ],
)
def test_a_kept_pickle_leaves_where_the_scan_has_nothing_against_it(
    out: Path, tmp_path: Path, name: str, content: bytes, profile: str
) -> None:
    (out / name).write_bytes(content)
    part = PickleSafeguard(Store(tmp_path / "store"), keep=True).after(WELL, out)
    assert part.problem == ""
    assert (out / name).read_bytes() == content
    assert part.facts == {"training": {"no_pickles": False}}
    assert [(finding.rule_id, finding.level) for finding in part.findings] == [("training.pickle-kept", Level.WARNING)]
    kept = json.loads(json.dumps(part.configuration))
    assert (kept["keep"], kept["kept"][0]["path"], kept["kept"][0]["profile"]) == (True, name, profile)


def test_a_step_that_keeps_pickles_says_so_before_it_runs(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert PickleSafeguard(store, keep=True).requested() == {"keep_pickles": True}
    assert PickleSafeguard(store).requested() == {}


def test_a_kept_pickle_that_the_scan_speaks_against_is_an_error(out: Path, tmp_path: Path) -> None:
    (out / "bad.pkl").write_bytes(pickle.dumps(Opens()))
    (out / "good.pt").write_bytes(_torch_bytes({"w": torch.zeros(2)}))
    part = PickleSafeguard(Store(tmp_path / "store"), keep=True).after(WELL, out)
    errors = {(finding.location.path, finding.rule_id) for finding in part.findings if finding.level is Level.ERROR}
    assert errors >= {("bad.pkl", "artifact-scan.unsafe-global")}
    assert {path for path, _ in errors} == {"bad.pkl"}
    assert {one["path"]: one["profile"] for one in part.configuration["kept"]} == {  # type: ignore[index, union-attr, call-overload]  # JSON
        "bad.pkl": None,
        "good.pt": "torch-state-dict",
    }
    assert not Path("/tmp/opened").exists()


def test_a_kept_checkpoint_in_pieces_is_scanned_as_one(out: Path, tmp_path: Path) -> None:
    from torch.distributed.checkpoint.filesystem import FileSystemWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it saves for one process
        save({"w": torch.ones(3)}, storage_writer=FileSystemWriter(out / "pieces"), no_dist=True)
    part = PickleSafeguard(Store(tmp_path / "store"), keep=True).after(WELL, out)
    assert [finding for finding in part.findings if finding.level is Level.ERROR] == []
    assert part.measures[0].value == len(list((out / "pieces").iterdir()))
