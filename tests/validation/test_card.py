"""Dataset cards: what is read of them, and that a broken one is never taken for an absent one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.validation.conftest import Hold

from interlock.gate import Json, SubjectError
from interlock.gate.cards import MAX_BYTES, MAX_ENTRIES, MAX_FRONT_MATTER
from interlock.validation import ValidationGate
from interlock.validation.card import DatasetCard, read_card

SUITE: dict[str, Json] = {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "a"}}]}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "part-0.csv").write_text("a,b\n1,2\n")
    return folder


def card_of(dataset: Path, hold: Hold) -> DatasetCard:
    card = read_card(hold(dataset))
    assert card is not None
    return card


def test_a_hugging_face_card_is_read(dataset: Path, hold: Hold) -> None:
    (dataset / "README.md").write_text(
        "---\nlicense: cc-by-4.0\nsource_datasets:\n- original\n- squad\npii: none\ntags: [x]\n---\n# Train\n"
    )
    assert card_of(dataset, hold) == DatasetCard(
        path="README.md", sources=("original", "squad"), licences=("CC-BY-4.0",), pii="none"
    )


def test_a_croissant_card_is_read_before_a_readme(dataset: Path, hold: Hold) -> None:
    (dataset / "README.md").write_text("---\nlicense: mit\n---\n")
    (dataset / "croissant.json").write_text(
        json.dumps(
            {
                "@type": "sc:Dataset",
                "license": ["https://creativecommons.org/licenses/by-sa/4.0/", "https://spdx.org/licenses/MIT.html"],
                "isBasedOn": [{"@id": "https://lake.example/raw"}, "https://other.example/"],
                "interlock:pii": "pseudonymised",
            }
        )
    )
    assert card_of(dataset, hold) == DatasetCard(
        path="croissant.json",
        sources=("https://lake.example/raw", "https://other.example/"),
        licences=("CC-BY-SA-4.0", "MIT"),
        pii="pseudonymised",
    )


@pytest.mark.parametrize(
    ("said", "spdx"),
    [
        ("apache-2.0", "Apache-2.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://creativecommons.org/licenses/by/4.0/deed.en", "CC-BY-4.0"),
        ("http://spdx.org/licenses/ODbL-1.0", "ODbL-1.0"),
        ("our own terms", "our own terms"),
        ("https://evil.example/spdx.org/licenses/MIT", "https://evil.example/spdx.org/licenses/MIT"),
    ],
)
def test_licences_are_spelled_as_spdx_spells_them(dataset: Path, hold: Hold, said: str, spdx: str) -> None:
    (dataset / "croissant.json").write_text(json.dumps({"license": said}))
    assert card_of(dataset, hold).licences == (spdx,)


def test_what_a_card_does_not_say_is_absent_and_not_empty(dataset: Path, hold: Hold) -> None:
    (dataset / "croissant.json").write_text('{"license": []}')
    assert card_of(dataset, hold).document() == {"card": "croissant.json", "licences": []}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        pytest.param("croissant.json", "{", "no JSON", id="broken JSON"),
        pytest.param("croissant.json", "[]", "no JSON object", id="a list"),
        pytest.param("croissant.json", "[" * 100_000, "no JSON", id="bottomless JSON"),
        pytest.param("croissant.json", '{"license": 7}', "license holds something else", id="a number"),
        pytest.param("croissant.json", '{"license": [""]}', "license holds something else", id="an empty text"),
        pytest.param("croissant.json", json.dumps({"license": ["a"] * (MAX_ENTRIES + 1)}), "entries", id="too many"),
        pytest.param("croissant.json", " " * (MAX_BYTES + 1), "bytes", id="too large"),
        pytest.param("README.md", "---\na: [\n---\n", "no YAML", id="broken YAML"),
        pytest.param("README.md", "---\n- a\n---\n", "no mapping", id="YAML list"),
        pytest.param("README.md", "---\n!!python/object/apply:os.system [id]\n---\n", "no YAML", id="a call"),
        pytest.param("README.md", f"---\na: {'x' * MAX_FRONT_MATTER}\n---\n", "characters", id="long front matter"),
        pytest.param("README.md", "---\npii: [none]\n---\n", "pii holds something else", id="pii is a list"),
    ],
)
def test_a_broken_card_is_an_error(dataset: Path, hold: Hold, name: str, content: str, says: str) -> None:
    (dataset / name).write_text(content)
    with pytest.raises(SubjectError, match=says):
        read_card(hold(dataset))


@pytest.mark.parametrize("text", ["# Train\n", "", "----\nlicense: mit\n---\n"])
def test_a_readme_without_front_matter_is_no_card(dataset: Path, hold: Hold, text: str) -> None:
    (dataset / "README.md").write_text(text)
    assert read_card(hold(dataset)) is None


def test_a_card_in_a_subfolder_does_not_speak_for_the_dataset(dataset: Path, hold: Hold) -> None:
    (dataset / "more").mkdir()
    (dataset / "more" / "croissant.json").write_text('{"license": "mit"}')
    assert read_card(hold(dataset)) is None


def test_the_gate_reports_the_card_as_a_fact_and_reads_the_data_beside_it(dataset: Path, hold: Hold) -> None:
    (dataset / "README.md").write_text("---\nlicense: mit\n---\n")
    seen = ValidationGate(SUITE).look(hold(dataset))
    facts: dict[str, Any] = {name: json.loads(text) for name, text in seen.facts}
    assert facts == {"dataset": {"card": "README.md", "licences": ["MIT"]}}
    assert seen.coverage.looked_at == ("part-0.csv", "README.md")
    assert seen.coverage.skipped == ()
