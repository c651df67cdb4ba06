"""The whole conversion, in the sandbox: nothing is written unless scan, writer and proof agree about the held bytes."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.artifacts.saved_tensors import forged, odd_views, of_every_dtype, rebuilt, saved

from interlock.artifacts.conversion import Converted, Converter, ProvenTensor
from interlock.artifacts.conversion.answers import Written, read_proven, read_written
from interlock.artifacts.conversion.places import Places
from interlock.artifacts.conversion.proof import StopError
from interlock.evidence import Store
from interlock.gate import Subject, UsageError, Verdict
from interlock.training.sandbox import Availability, Ended, Folders, Isolation, Job, Overseer, best_sandbox


class Watched:
    """The best sandbox here, and somebody who does something behind its back after a run."""

    def __init__(self, after: str, deed: Callable[[Job], object]) -> None:
        self._real = best_sandbox()
        self._after = after
        self._deed = deed

    @property
    def isolation(self) -> Isolation:
        return self._real.isolation

    @property
    def level(self) -> str:
        return self._real.level

    @property
    def harness(self) -> Path:
        return self._real.harness

    def probe(self) -> Availability:
        return self._real.probe()

    def inside(self, outside: Folders) -> Folders:
        return self._real.inside(outside)

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        ended = self._real.run(job, on_line=on_line, overseer=overseer)
        if self._after in job.argv:
            self._deed(job)
        return ended


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def run(folder: Path, data: bytes, how: Converter) -> tuple[Converted, Path]:
    source, target = folder / "model.pt", folder / "model.safetensors"
    source.write_bytes(data)
    return how.convert(str(source), target), target


@pytest.mark.slow
def test_torch_proves_what_was_written_without_it(tmp_path: Path, store: Store) -> None:
    tied = torch.ones(3)
    tensors = of_every_dtype() | odd_views() | {"one": tied, "other": tied}
    done, target = run(tmp_path, saved({"model": tensors, "step": 1}), Converter(opener=store))
    assert (done.verdict, done.reasons, done.proven_by) == (Verdict.ALLOW, (), "torch")
    assert load_file(target).keys() | {"model.other"} == {f"model.{name}" for name in tensors}
    assert done.aliases == {"model.other": "model.one"}
    assert done.result is not None
    assert done.result.digest == hashlib.sha256(target.read_bytes()).hexdigest()
    assert {"torch", "safetensors"} <= {tool.name for tool in done.tools}


@pytest.mark.slow
def test_torch_proves_older_files_and_checkpoints_with_values_of_numpy(tmp_path: Path, store: Store) -> None:
    how = Converter(opener=store, profile="torch-checkpoint", by_torch=True)
    for format_ in ("torch-zip", "torch-legacy"):
        value = odd_views() | {"loss": np.float64(0.5), "best": np.arange(3)}
        done, _ = run(tmp_path, saved(value, format_), how)
        assert (done.verdict, done.reasons) == (Verdict.ALLOW, ())
        assert [path for path, _ in done.left_out] == ["loss", "best"]


def test_arrays_are_proven_by_numpy(tmp_path: Path, store: Store) -> None:
    source, target = tmp_path / "model.npz", tmp_path / "model.safetensors"
    np.savez_compressed(source, w=np.asfortranarray(np.ones((3, 4))), words=np.array(["a"]))
    done = Converter(opener=store, profile="numpy").convert(str(source), target)
    assert (done.verdict, done.proven_by) == (Verdict.ALLOW, "numpy")
    source.write_bytes(pickle.dumps({"w": np.ones(3)}))
    done = Converter(opener=store, profile="numpy").convert(str(source), target)
    assert (done.verdict, done.proven_by) == (Verdict.ALLOW, "storages")


def _result(job: Job) -> Path:
    return job.folders.out / "result"


def _flip(place: Path, at: int) -> None:
    content = bytearray(place.read_bytes())
    content[at] ^= 1
    place.write_bytes(content)


def _rename(job: Job) -> None:
    place = _result(job)
    place.write_bytes(place.read_bytes().replace(b'"w"', b'"v"'))


def _reshape(job: Job) -> None:
    place = _result(job)
    place.write_bytes(place.read_bytes().replace(b"[2,2]", b"[4,1]"))


def _alias(job: Job) -> None:
    place = job.folders.out / "report"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"aliases": {"v": "w"}}))


def _link_report(job: Job) -> None:
    (job.folders.out / "report").unlink()
    (job.folders.out / "report").symlink_to("/etc/passwd")


def _flip_the_shown_result(job: Job) -> None:
    _flip(job.visible[-1], -1)


LIES: dict[str, tuple[str, Callable[[Job], object], Verdict, str]] = {
    "one-bit": ("convert", lambda job: _flip(_result(job), -1), Verdict.DENY, "'w' has other bytes"),
    "one-name": ("convert", _rename, Verdict.DENY, "'v' is only in one of the two"),
    "one-shape": ("convert", _reshape, Verdict.DENY, "'w' is F32 [4, 1], not F32 [2, 2]"),
    "one-tied-name": ("convert", _alias, Verdict.DENY, "'v' is only in one of the two"),
    "one-note-for-loaders": (
        "convert",
        lambda job: _result(job).write_bytes(_result(job).read_bytes().replace(b'"format":"pt"', b'"w.tied":"w" ')),
        Verdict.DENY,
        "the metadata of the result",
    ),
    "no-safetensors": (
        "convert",
        lambda job: _result(job).write_bytes(b"\x80\x04N."),
        Verdict.UNDECIDED,
        "no safe",
    ),
    "report-that-is-a-link": ("convert", _link_report, Verdict.UNDECIDED, "is no file"),
    "proof-that-refuses": (
        "prove",
        lambda job: _result(job).write_text('{"refused": "no"}'),
        Verdict.UNDECIDED,
        "the proof could not be made: no",
    ),
    "result-changed-after-the-proof": ("prove", _flip_the_shown_result, Verdict.DENY, "changed after it was proven"),
}


IN_EVERY_RUN = {"one-bit", "one-name", "report-that-is-a-link", "result-changed-after-the-proof"}
CASES = [
    pytest.param(lie, id=name, marks=() if name in IN_EVERY_RUN else pytest.mark.slow) for name, lie in LIES.items()
]


@pytest.mark.parametrize("lie", CASES)
def test_a_result_that_is_not_the_source_is_not_written(
    tmp_path: Path, store: Store, lie: tuple[str, Callable[[Job], object], Verdict, str]
) -> None:
    after, deed, verdict, why = lie
    how = Converter(opener=store, by_torch=False, sandbox=Watched(after, deed))
    done, target = run(tmp_path, saved({"w": torch.ones(2, 2)}), how)
    assert done.verdict is verdict
    assert why in " ".join(done.reasons)
    assert not target.exists()
    assert not list(tmp_path.glob(".model*"))


REPORT = {"aliases": {}, "left_out": [], "left_out_count": 0}
TENSOR = ["F32", [1], "0" * 64]
ONE = ProvenTensor(name="w", dtype="F32", shape=(1,), sha256="0" * 64)
ANSWERS: dict[str, tuple[Callable[[Path], object], object]] = {
    "list": (read_written, []),
    "no-aliases": (read_written, {"left_out": [], "left_out_count": 0}),
    "aliases-that-are-a-list": (read_written, REPORT | {"aliases": ["v"]}),
    "alias-of-a-number": (read_written, REPORT | {"aliases": {"v": 1}}),
    "alias-that-is-no-unicode": (read_written, REPORT | {"aliases": {"v\ud800": "w"}}),
    "left-out-of-three": (read_written, REPORT | {"left_out": [["a", "b", "c"]], "left_out_count": 1}),
    "count-that-is-true": (read_written, REPORT | {"left_out_count": True}),
    "count-below-those-named": (read_written, REPORT | {"left_out": [["a", "int"]]}),
    "refusal-that-is-no-text": (read_written, {"refused": {}}),
    "source-that-is-missing": (partial(read_proven, result=False), {}),
    "source-that-is-a-list": (partial(read_proven, result=False), {"source": [TENSOR]}),
    "tensor-that-is-a-number": (partial(read_proven, result=False), {"source": {"w": 1}}),
    "tensor-without-digest": (partial(read_proven, result=False), {"source": {"w": TENSOR[:2]}}),
    "shape-of-text": (partial(read_proven, result=False), {"source": {"w": ["F32", ["1"], "0" * 64]}}),
    "result-that-torch-did-not-read": (partial(read_proven, result=True), {"source": {"w": TENSOR}}),
}


@pytest.mark.parametrize(("read", "said"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_of_another_shape_leaves_it_open(
    tmp_path: Path, read: Callable[[Path], object], said: object
) -> None:
    (tmp_path / "answer").write_text(json.dumps(said))
    with pytest.raises(StopError, match="not of the shape") as stopped:
        read(tmp_path / "answer")
    assert stopped.value.verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("aliases", [{"v": "u"}, {"w": "w"}], ids=["of-no-tensor", "of-a-name-that-is-taken"])
def test_a_tied_name_that_does_not_fit_the_result_leaves_it_open(aliases: dict[str, str]) -> None:
    with pytest.raises(StopError, match="do not fit the result") as stopped:
        Written(aliases=aliases, left_out=(), left_out_count=0).expected({"w": ONE})
    assert stopped.value.verdict is Verdict.UNDECIDED


HELD = Path(__file__)
DIGEST = hashlib.sha256(HELD.read_bytes()).hexdigest()
DONE = Converted(verdict=Verdict.ALLOW, source=Subject(name="held", uri=HELD.as_uri(), digest=DIGEST))


def _url(source: Path) -> str:
    return source.as_uri()


def _through_a_link(source: Path) -> str:
    (source.parent / "folder").symlink_to(source.parent)
    return str(source.parent / "folder" / source.name)


def _second_name(source: Path) -> str:
    (source.parent / "second").hardlink_to(source)
    return str(source.parent / "second")


@pytest.mark.parametrize("name", [str, _url, _through_a_link, _second_name])
@pytest.mark.parametrize("as_proof", [False, True], ids=["result", "proof"])
def test_the_source_is_not_written_over_under_whatever_name(
    tmp_path: Path, store: Store, name: Callable[[Path], str], *, as_proof: bool
) -> None:
    source = tmp_path / "model.pt"
    source.write_bytes(before := saved({"w": torch.ones(1), "epoch": 1}))
    target, proof = (tmp_path / "result", source) if as_proof else (source, None)
    with pytest.raises(UsageError, match="not three files"):
        Converter(opener=store).convert(name(source), target, proof=proof)
    assert source.read_bytes() == before
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize("missing", ["result", "proof"])
def test_a_folder_that_is_missing_is_told_before_the_source_is_opened(
    tmp_path: Path, store: Store, missing: str
) -> None:
    places = {"result": tmp_path / "result", "proof": tmp_path / "proof"} | {missing: tmp_path / "none" / "file"}
    with pytest.raises(UsageError, match="no folder that can be written"):
        Converter(opener=store).convert(str(tmp_path / "no-source"), places["result"], proof=places["proof"])


def test_a_proof_that_cannot_be_written_leaves_the_old_result(tmp_path: Path) -> None:
    folder = tmp_path / "proofs"
    folder.mkdir()
    (tmp_path / "result").write_text("old")
    places = Places.of(tmp_path / "result", folder / "proof")
    folder.rmdir()
    with pytest.raises(UsageError, match="cannot be written"):
        places.put(HELD, DONE, DIGEST)
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"result": "old"}


@pytest.mark.parametrize("name", ["result", "proof"])
def test_a_link_beside_the_result_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / f".{name}.{os.getpid()}").symlink_to(tmp_path / "precious")
    Places.of(tmp_path / "result", tmp_path / "proof").put(HELD, DONE, DIGEST)
    assert (tmp_path / "precious").read_text() == "old"
    assert (tmp_path / "result").read_bytes() == HELD.read_bytes()
    assert json.loads((tmp_path / "proof").read_text()) == DONE.statement()


def test_a_link_that_is_laid_at_the_result_later_is_replaced_itself(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    places = Places.of(tmp_path / "result", None)
    (tmp_path / "result").symlink_to(tmp_path / "precious")
    places.put(HELD, DONE, DIGEST)
    assert (tmp_path / "precious").read_text() == "old"
    assert not (tmp_path / "result").is_symlink()


def test_one_array_is_proven_by_numpy_as_it_is_named_in_the_result(tmp_path: Path, store: Store) -> None:
    np.savez(tmp_path / "model.npz", a=np.ones(2), b=np.zeros(3), c=np.ones(2))
    how = Converter(opener=store, profile="numpy", key="a", keep_duplicates=True)
    done = how.convert(str(tmp_path / "model.npz"), tmp_path / "model.safetensors", proof=tmp_path / "proof.json")
    assert (done.verdict, done.reasons) == (Verdict.ALLOW, ())
    predicate = json.loads((tmp_path / "proof.json").read_text())["predicate"]
    assert [one["name"] for one in predicate["tensors"]] == ["tensor"]
    assert {name: predicate[name] for name in ("key", "keep_duplicates", "left_out", "left_out_count")} == {
        "key": "a",
        "keep_duplicates": True,
        "left_out": [{"path": name, "kind": "under another key"} for name in ("b", "c")],
        "left_out_count": 2,
    }


def test_the_held_bytes_are_converted_whatever_happens_to_the_file(tmp_path: Path, store: Store) -> None:
    other = saved({"w": torch.zeros(2, 2)})
    how = Converter(
        opener=store,
        by_torch=False,
        sandbox=Watched("convert", lambda _: (tmp_path / "model.pt").write_bytes(other)),
    )
    done, target = run(tmp_path, saved({"w": torch.ones(2, 2)}), how)
    assert done.verdict is Verdict.ALLOW
    assert load_file(target)["w"].sum() == 4
    assert done.source.digest != hashlib.sha256(other).hexdigest()


class Call:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


HOSTILE = {
    "pickle-that-calls": saved({"w": torch.ones(1), "x": Call()}),
    "view-past-its-storage": forged({"w": rebuilt(0, (5,), (1,))}),
    "whole-module": saved(torch.nn.Linear(1, 1)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_the_scan_speaks_against_never_reaches_the_writer(tmp_path: Path, store: Store, data: bytes) -> None:
    def fail(_: Job) -> None:
        pytest.fail("it was read")

    done, target = run(tmp_path, data, Converter(opener=store, sandbox=Watched("convert", fail)))
    assert done.verdict is Verdict.DENY
    assert any("artifact-scan.unsafe" in reason for reason in done.reasons)
    assert not target.exists()


def test_what_is_no_model_file_is_left_open(tmp_path: Path, store: Store) -> None:
    done, _ = run(tmp_path, b'{"a": 1}', Converter(opener=store))
    assert (done.verdict, done.reasons) == (
        Verdict.UNDECIDED,
        ("a file of the format json is not converted: torch-zip, torch-legacy, numpy, pickle",),
    )


def test_folders_and_profiles_of_whole_libraries_are_not_converted(tmp_path: Path, store: Store) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.pt").write_bytes(saved({"w": torch.ones(1)}))
    with pytest.raises(UsageError, match="name one of its files"):
        Converter(opener=store).convert(str(tmp_path / "model"), tmp_path / "out")
    with pytest.raises(UsageError, match="torch-checkpoint"):
        Converter(opener=store, profile="sklearn")
