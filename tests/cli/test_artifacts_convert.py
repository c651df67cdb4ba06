"""`interlock artifacts convert` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from tests.cli.conftest import Interlock


def test_a_state_dict_becomes_safetensors_with_its_proof(interlock: Interlock, tmp_path: Path) -> None:
    source, target, proof = tmp_path / "m.pt", tmp_path / "m.safetensors", tmp_path / "proof.json"
    weight = torch.rand(2, 3)
    torch.save({"state_dict": {"w": weight, "tied": weight, "b": torch.zeros(2)}, "epoch": 1}, source)
    said = interlock("artifacts", "convert", source, target, "--key", "state_dict", "--without-torch", "--proof", proof)
    assert said.status == 0
    assert said.out.splitlines() == [
        "F32\t2\t8",
        "w is the same tensor as tied: written once",
        "left out: 1 values: epoch (under another key)",
        f"ALLOW  {target}: 2 tensors, each bit-equal; a second reading of the source's storages, without torch",
    ]
    assert torch.equal(load_file(target)["tied"], weight)
    statement = json.loads(proof.read_text())
    assert statement["predicateType"] == "urn:interlock:conversion:v1"
    assert [one["name"] for one in statement["predicate"]["tensors"]] == ["b", "tied"]
    assert interlock("gate", "artifact-scan", target).status == 0


def test_what_is_refused_says_why_and_leaves_the_old_file(interlock: Interlock, tmp_path: Path) -> None:
    source, target = tmp_path / "m.pt", tmp_path / "m.safetensors"
    target.write_text("old")
    torch.save(torch.nn.Linear(1, 1), source)
    said = interlock("artifacts", "convert", source, target)
    assert said.status == 1
    assert said.out.startswith("DENY  the scan of the source speaks against it")
    torch.save({"w": torch.zeros(1, dtype=torch.complex128)}, source)
    said = interlock("artifacts", "convert", source, target)
    assert said.status == 3
    assert "UNDECIDED  it was not converted: the tensor 'w' has the dtype complex128" in said.out
    assert target.read_text() == "old"
    assert interlock("artifacts", "convert", tmp_path / "none.pt", target).status == 2


def test_neither_the_source_nor_the_result_is_written_over(interlock: Interlock, tmp_path: Path) -> None:
    source, target = tmp_path / "m.pt", tmp_path / "m.safetensors"
    torch.save({"w": torch.zeros(1)}, source)
    before = source.read_bytes()
    for words in ((source, source), (source, target, "--proof", source), (source, target, "--proof", target)):
        said = interlock("artifacts", "convert", *words)
        assert said.status == 2
        assert "not three files" in said.err
    assert interlock("artifacts", "convert", source.as_uri(), source).status == 2
    assert source.read_bytes() == before
    assert not target.exists()
