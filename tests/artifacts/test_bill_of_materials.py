"""Bills of materials: valid by the strict schema of CycloneDX, equal for equal models, with what the card says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.artifacts.bill_of_materials import SPDX, Ingredients, bill_of_materials, pinned
from interlock.artifacts.declared import model_facts
from interlock.gate import InterlockError, OpenSubject, Subject, SubjectError, UsageError

CARD = """---
license: apache-2.0
base_model: google-bert/bert-base-uncased
datasets: [imdb]
pipeline_tag: text-classification
model-index:
- name: reviews
  results:
  - task: {type: text-classification}
    dataset: {name: IMDb, type: imdb, split: test}
    metrics:
    - {type: accuracy, value: 0.93}
    - {type: f1, value: 0.92}
---
# Reviews
"""
DATASET = Subject(name="reviews.parquet", uri="file:///lake/reviews.parquet", digest="ab" * 32)
VERSIONS = {"1.6": SchemaVersion.V1_6, "1.7": SchemaVersion.V1_7}


def valid(document: Any) -> None:
    found = JsonStrictValidator(VERSIONS[document["specVersion"]]).validate_str(json.dumps(document))
    assert found is None, found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(CARD)
    (tmp_path / "config.json").write_text('{"architectures": ["BertForSequenceClassification"], "model_type": "bert"}')
    return tmp_path


def files(model: Path) -> dict[str, str]:
    return {path.name: f"{place:02x}" * 32 for place, path in enumerate(sorted(model.iterdir()))}


@pytest.mark.parametrize("spec", VERSIONS)
def test_a_bill_of_materials_is_valid_and_says_what_the_card_says(spec: str, model: Path) -> None:
    made_of = Ingredients(datasets=[DATASET], libraries={"torch": "2.13.0"})
    document: Any = bill_of_materials(model, "reviews", files(model), made_of, spec=spec)
    valid(document)
    component = document["metadata"]["component"]
    assert component["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert component["pedigree"]["ancestors"][0]["name"] == "google-bert/bert-base-uncased"
    parameters = component["modelCard"]["modelParameters"]
    assert parameters["task"] == "text-classification"
    assert parameters["architectureFamily"] == "bert"
    assert parameters["modelArchitecture"] == "BertForSequenceClassification"
    assert parameters["datasets"] == [{"ref": f"dataset-{'ab' * 32}"}, {"type": "dataset", "name": "imdb"}]
    metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics == [
        {"type": "accuracy", "value": "0.93", "slice": "IMDb"},
        {"type": "f1", "value": "0.92", "slice": "IMDb"},
    ]
    kinds = [(one["type"], one["name"]) for one in document["components"]]
    assert kinds == [
        ("data", "reviews.parquet"), ("library", "torch"), ("file", "README.md"), ("file", "config.json"),
    ]  # fmt: skip


@pytest.mark.parametrize("spec", VERSIONS)
def test_a_model_that_says_nothing_has_a_valid_one_too(spec: str, tmp_path: Path) -> None:
    document: Any = bill_of_materials(tmp_path / "m", "m.safetensors", {"": "cd" * 32}, Ingredients(), spec=spec)
    valid(document)
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert "modelCard" not in document["metadata"]["component"]


def test_equal_models_have_equal_documents_and_others_another_number(model: Path) -> None:
    one = bill_of_materials(model, "m", files(model), Ingredients())
    assert one == bill_of_materials(model, "m", dict(reversed(files(model).items())), Ingredients())
    other = bill_of_materials(model, "m", files(model) | {"config.json": "ff" * 32}, Ingredients())
    assert one["serialNumber"] != other["serialNumber"]


def test_it_leaves_itself_out_and_the_gate_sees_it(model: Path) -> None:
    before = files(model)
    document = bill_of_materials(model, "m", before, Ingredients())
    (model / "bom.json").write_text(json.dumps(document))
    later = before | {"bom.json": "ee" * 32, "model.sig": "dd" * 32}
    assert bill_of_materials(model, "m", later, Ingredients()) == document
    names = tuple(sorted(files(model)))
    opened = OpenSubject(subject=Subject(name="m", uri=model.as_uri(), digest="00" * 32), path=model, files=names)
    assert model_facts(opened)["bom"] == {"format": "CycloneDX", "version": "1.7"}


@pytest.mark.parametrize(
    ("card", "licences"),
    [
        ("license: mit", [{"id": "MIT"}]),
        ("license: [mit, cc-by-4.0]", [{"id": "MIT"}, {"id": "CC-BY-4.0"}]),
        ("license: llama3", [{"name": "llama3"}]),
        ("license: other\nlicense_name: house-rules", [{"name": "house-rules"}]),
    ],
)
def test_licences_have_their_spdx_identifier_where_there_is_one(card: str, licences: object, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n")
    document: Any = bill_of_materials(tmp_path, "m", files(tmp_path), Ingredients())
    valid(document)
    assert [one["license"] for one in document["metadata"]["component"]["licenses"]] == licences


def test_every_identifier_of_a_licence_is_one_of_spdx(tmp_path: Path) -> None:
    ids = "".join(f"- {one}\n" for one in SPDX)
    (tmp_path / "README.md").write_text(f"---\nlicense:\n{ids}---\n")
    valid(bill_of_materials(tmp_path, "m", files(tmp_path), Ingredients()))


@pytest.mark.parametrize(
    "card",
    ["model-index: 7", "model-index: [7]", "model-index: [{results: x}]", "license: {a: [1]}", "pipeline_tag: [a, b]"],
)
def test_a_broken_card_is_an_error_and_no_empty_document(card: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n")
    with pytest.raises(SubjectError, match="card cannot be read"):
        bill_of_materials(tmp_path, "m", files(tmp_path), Ingredients())


def test_metrics_that_are_no_number_are_left_out(tmp_path: Path) -> None:
    metrics = "[{type: a, value: true}, {type: b}, {value: 1}, {type: c, value: [1]}, {type: d, value: 2}]"
    (tmp_path / "README.md").write_text(f"---\nmodel-index: [{{results: [{{metrics: {metrics}}}]}}]\n---\n")
    document: Any = bill_of_materials(tmp_path, "m", files(tmp_path), Ingredients())
    analysis = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    assert analysis == {"performanceMetrics": [{"type": "d", "value": "2"}]}


def test_only_pinned_libraries_count(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lines = [
        "# c",
        "torch==2.13.0 \\",
        "  --hash=sha256:ab",
        "Num_Py == 2.4 ; python_version > '3'",
        "x>=1",
        "ray[data]==2",
    ]
    lock.write_text("\n".join(lines))
    assert pinned(lock) == {"torch": "2.13.0", "num-py": "2.4", "ray": "2"}
    with pytest.raises(UsageError, match="cannot be read"):
        pinned(tmp_path / "none")


def test_another_version_of_the_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"1\.6, 1\.7"):
        bill_of_materials(tmp_path, "m", {}, Ingredients(), spec="1.4")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    card=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    ),
    key=st.sampled_from(["license", "base_model", "datasets", "pipeline_tag", "model-index", "license_name"]),
)
def test_whatever_a_card_says_the_document_is_valid_or_there_is_none(tmp_path: Path, card: object, key: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{json.dumps({key: card})}\n---\n")
    try:
        document = bill_of_materials(tmp_path, "m", {"README.md": "00" * 32}, Ingredients())
    except InterlockError:
        return
    valid(document)
