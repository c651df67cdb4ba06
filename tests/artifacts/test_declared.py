"""What a model folder says of itself, and that a broken word is never taken for silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock.artifacts import ArtifactGate
from interlock.artifacts.declared import model_facts
from interlock.gate import Json, OpenSubject, Subject, SubjectError


def held(folder: Path, **files: str) -> OpenSubject:
    for name, content in files.items():
        (folder / name).write_text(content)
    subject = Subject(name="model", uri=folder.as_uri(), digest="0" * 64)
    return OpenSubject(subject=subject, path=folder, files=tuple(sorted(path.name for path in folder.iterdir())))


@pytest.mark.parametrize(
    ("files", "facts"),
    [
        pytest.param({"weights.bin": "x"}, {}, id="silence"),
        pytest.param({"README.md": "# Model"}, {"base_models": []}, id="a card that names none"),
        pytest.param(
            {"README.md": "---\nbase_model: [org/a, org/b]\n---\n"}, {"base_models": ["org/a", "org/b"]}, id="card"
        ),
        pytest.param(
            {
                "README.md": "---\nbase_model: org/a\n---\n",
                "adapter_config.json": '{"base_model_name_or_path": "org/z"}',
            },
            {"base_models": ["org/a", "org/z"]},
            id="an adapter says more than its card",
        ),
        pytest.param(
            {"bom.json": '{"bomFormat": "CycloneDX", "specVersion": "1.6"}'},
            {"bom": {"format": "CycloneDX", "version": "1.6"}},
            id="bill of materials",
        ),
    ],
)
def test_facts_are_what_the_files_say(tmp_path: Path, files: dict[str, str], facts: dict[str, Json]) -> None:
    assert model_facts(held(tmp_path, **files)) == facts


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"adapter_config.json": "{"}, id="adapter is no JSON"),
        pytest.param({"adapter_config.json": '{"base_model_name_or_path": 7}'}, id="base model is a number"),
        pytest.param({"bom.json": '{"bomFormat": "SPDX", "specVersion": "1.6"}'}, id="bom of another format"),
        pytest.param({"model.cdx.json": '{"bomFormat": "CycloneDX"}'}, id="bom without a version"),
        pytest.param({"README.md": "---\nbase_model: {a: [}\n---\n"}, id="card is no YAML"),
        pytest.param({"README.md": '---\nbase_model: "\\ud800"\n---\n'}, id="half of a character in YAML"),
        pytest.param({"adapter_config.json": '{"base_model_name_or_path": "\\udc00"}'}, id="the same in JSON"),
    ],
)
def test_a_broken_word_is_an_error(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(SubjectError, match="the card cannot be read"):
        model_facts(held(tmp_path, **files))


def test_the_gate_tells_policy_what_the_folder_says(tmp_path: Path) -> None:
    seen = ArtifactGate().look(held(tmp_path, **{"notes.txt": "weights", "README.md": "# Model"}))
    assert {name: json.loads(text) for name, text in seen.facts} == {"model": {"base_models": []}}


def test_a_broken_card_leaves_what_was_found_in_the_files(tmp_path: Path) -> None:
    opened = held(tmp_path, **{"README.md": "---\na: [\n---\n", "weights.pkl": "cos\nsystem\n(S'id'\ntR."})
    seen = ArtifactGate().look(opened)
    assert "artifact-scan.unsafe-global" in {finding.rule_id for finding in seen.findings}
    assert [gap.path for gap in seen.coverage.failed] == ["README.md"]
