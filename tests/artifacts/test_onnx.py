"""ONNX: what onnx reads is never taken for something else, damage is never allowed, large tensors are not read."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts import corpus_onnx
from tests.artifacts.corpus_onnx import attribute, graph, model, node, tensor
from tests.artifacts.harmless_onnx import harmless_onnx
from tests.artifacts.looking import allowed, errors, look, opened, record_of
from tests.artifacts.wire import field, varint

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.formats.graph_file import graph_formats
from interlock.artifacts.formats.text_file import read_text
from interlock.artifacts.limits import Budget

GOOD = model(graph(node("If", "", attribute(6, graph(node("Relu")))), initializer=(tensor((9, bytes(8))),)))
EVIL = model(graph(node("If", "", attribute(6, graph(node("Run", "my.ops"))))))


def domains(data: bytes) -> set[str] | None:
    """Domains of the nodes of a model, as onnx reads it; None where it reads none."""
    try:
        left = [onnx.load_model_from_string(data).graph]
        found = set()
        while left:
            for part in left.pop().node:
                found.add(part.domain)
                left += [inner for item in part.attribute for inner in (item.g, *item.graphs)]
    except Exception:  # noqa: BLE001
        return None
    return found


def test_hostile_models_are_ones_that_onnx_reads() -> None:
    cases = {case.name: case.files[""] for case in corpus_onnx.operators() if "" in case.files and case.rule}
    unread = {name for name, data in cases.items() if domains(data) is None}
    # onnx refuses to decode this domain, and nests no deeper than 100 messages.
    assert unread <= {"onnx-domain-no-utf-8", "onnx-deep-subgraphs"}
    assert domains(corpus_onnx.text_model()) == {"my.domain" + "." * 27}
    assert read_text(corpus_onnx.text_model()) is not None


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.sampled_from([GOOD, EVIL]), st.integers(0, 200), st.binary(max_size=3), st.integers(0, 3))
def test_mutant_with_a_foreign_domain_is_never_allowed(whole: bytes, at: int, put: bytes, drop: int) -> None:
    at %= len(whole)
    mutant = whole[:at] + put + whole[at + drop :]
    if record_of(mutant).clean:
        assert (domains(mutant) or set()) <= {"", "ai.onnx", "ai.onnx.ml"}


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_read_without_a_crash(data: bytes) -> None:
    record_of(b"\x08\x0a" + data)
    record_of(field(7, data) + field(8, b""))
    record_of(model(graph(data)))


def test_no_cut_of_a_model_is_allowed() -> None:
    assert record_of(GOOD).clean
    assert [size for size in range(3, len(GOOD)) if record_of(GOOD[:size]).clean] == []


def test_nothing_that_onnx_reads_with_a_node_is_missed_for_a_trick_of_encoding() -> None:
    wide = varint(7 << 3 | 2, width=5) + varint(len(graph()), width=5) + graph()
    grouped = field(1, 10) + varint(50 << 3 | 3) + field(3, b"x") + varint(50 << 3 | 4) + field(7, graph())
    for data in (wide, grouped, field(7, b"") + field(7, graph())):
        assert domains(data) == {""}
        assert graph_formats(data, Budget(Limits())) == ["onnx"]
        assert not record_of(data).clean


@pytest.mark.parametrize("text", ["graph: a plot\n", ": ::: ::\n", "\n\n\n", "# Title\n\n: term\n", "domain: x\n"])
def test_plain_text_is_not_taken_for_a_model(text: str) -> None:
    assert record_of(text.encode()).clean


def test_external_file_behind_a_link_is_not_allowed(tmp_path: Path) -> None:
    subject = opened(tmp_path, {"m.onnx": corpus_onnx.outside("w.bin"), "w.bin": b"\xff\xfe" * 4})
    assert allowed(ArtifactGate().look(subject))
    (tmp_path / "secret").write_bytes(b"\xff\xfe" * 4)
    (tmp_path / "w.bin").unlink()
    (tmp_path / "w.bin").symlink_to(tmp_path / "secret")
    assert "artifact-scan.external-data" in errors(ArtifactGate().look(subject))


def test_external_file_alone_stays_unknown(tmp_path: Path) -> None:
    assert not allowed(look(tmp_path, {"w.bin": b"\xff\xfe" * 4}))


def test_file_of_another_format_is_not_explained_away_by_a_claim(tmp_path: Path) -> None:
    files = {"m.onnx": corpus_onnx.outside("w.bin"), "w.bin": b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(40)}
    assert not allowed(look(tmp_path, files))


def test_tensor_of_many_gigabytes_is_not_read(tmp_path: Path) -> None:
    size = 6 << 30
    weights = tensor(dims=(size // 4,)) + varint(9 << 3 | 2) + varint(size)
    inner = varint(5 << 3 | 2) + varint(len(weights) + size) + weights
    body = graph() + inner
    start = field(1, 10) + field(8, field(1, "") + field(2, 17)) + varint(7 << 3 | 2) + varint(len(body) + size) + body
    with (tmp_path / "model").open("wb") as file:
        file.write(start)
        file.seek(size - 1, os.SEEK_CUR)
        file.write(b"\0")
    subject = opened(tmp_path / "other", {"": b"x"})
    seen = ArtifactGate(limits=Limits(total_bytes=1 << 20)).look(
        type(subject)(subject=subject.subject, path=tmp_path / "model", files=("",))
    )
    assert allowed(seen)


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        pytest.param(Limits(fields=20), model(graph(*[node("Relu")] * 50)), "protobuf fields", id="fields"),
        pytest.param(Limits(text_bytes=10), model(graph(node("R" * 50))), "a text of", id="text"),
        pytest.param(Limits(fields=9_999), b'{"a":"' + b"x" * 99_999, "protobuf fields", id="text as an endless group"),
    ],
)
def test_limit_is_a_gap_with_its_reason(limits: Limits, data: bytes, reason: str) -> None:
    assert reason in record_of(data, limits=limits).failed[0].reason


def test_every_model_in_the_test_data_of_onnx_is_clean() -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    models = sorted(folder.rglob("*.onnx"))
    assert len(models) > 100
    assert [file.parent.name for file in models if not record_of(file.read_bytes()).clean] == []


def test_harmless_models_are_recognised_and_never_as_two_things() -> None:
    for name, case in harmless_onnx().items():
        for file, content in case.files.items():
            if file in ("", "model.onnx"):
                assert graph_formats(content, Budget(Limits())) == ["onnx"], name
