"""Hugging Face folders: what only the whole folder tells, and configuration under any name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import CALL
from tests.artifacts.harmless import saved
from tests.artifacts.harmless_hf import sharded
from tests.artifacts.looking import allowed, errors, look, record_of

from interlock.artifacts.formats.config_file import leaves_folder
from interlock.artifacts.record import CODE_REFERENCE, OUTSIDE_PATH, SEVERAL_WEIGHTS, WEIGHT_INDEX
from interlock.gate import Level, Observation


def warnings(seen: Observation) -> dict[str, str]:
    return {finding.rule_id: finding.message for finding in seen.findings if finding.level is Level.WARNING}


def test_index_that_agrees_with_its_shards_passes(tmp_path: Path) -> None:
    assert allowed(look(tmp_path, sharded()))


def test_index_is_found_under_any_name_and_in_any_folder(tmp_path: Path) -> None:
    files = {f"deep/{name}": content for name, content in sharded().items()}
    assert allowed(look(tmp_path, files))
    del files["deep/model-00002-of-00002.safetensors"]
    (tmp_path / "deep/model-00002-of-00002.safetensors").unlink()
    assert errors(look(tmp_path, files)) == {WEIGHT_INDEX}


def test_shard_that_holds_more_than_the_index_says_is_a_warning(tmp_path: Path) -> None:
    files = sharded()
    index = json.loads(files["model.safetensors.index.json"])
    del index["weight_map"]["b"]
    seen = look(tmp_path, files | {"model.safetensors.index.json": json.dumps(index).encode()})
    assert allowed(seen)
    assert "1 tensors that weight_map does not name" in warnings(seen)[WEIGHT_INDEX]


def test_pickle_beside_safetensors_is_a_warning_that_names_both(tmp_path: Path) -> None:
    files = sharded() | {"pytorch_model.bin": saved({})}
    (finding,) = [one for one in look(tmp_path, files).findings if one.rule_id == SEVERAL_WEIGHTS]
    assert finding.location.path == "pytorch_model.bin"
    assert "model-00001-of-00002.safetensors" in finding.message


def test_pickle_in_another_folder_is_no_fallback(tmp_path: Path) -> None:
    assert SEVERAL_WEIGHTS not in warnings(look(tmp_path, sharded() | {"other/optimizer.pt": saved({})}))


def test_hostile_pickle_beside_safetensors_is_denied(tmp_path: Path) -> None:
    seen = look(tmp_path, sharded() | {"notes.txt": CALL})
    assert "artifact-scan.unsafe-global" in errors(seen)
    assert SEVERAL_WEIGHTS in warnings(seen)


def test_index_alone_is_not_compared_with_a_folder(tmp_path: Path) -> None:
    assert allowed(look(tmp_path, {"": sharded()["model.safetensors.index.json"]}))


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "~/x",
        "~",
        "..",
        "../x",
        "a/../../x",
        "a/..",
        "C:\\x",
        "c:/x",
        "\\\\host\\x",
        "file:///x",
        "https://x",
        "s3://x",
    ],
)
def test_path_that_leaves_its_folder_is_seen(path: str) -> None:
    assert leaves_folder(path)


@pytest.mark.parametrize("path", ["x", "a/b.json", "meta-llama/Llama-3", "..x", "a..b/c", "x:y", "", "model-1..2"])
def test_path_inside_of_its_folder_is_not(path: str) -> None:
    assert not leaves_folder(path)


def test_file_that_a_configuration_only_mentions_is_a_warning(tmp_path: Path) -> None:
    content = b'{"special_tokens_map_file": "/root/.cache/x", "_name_or_path": "/home/me/x"}'
    seen = look(tmp_path, {"tokenizer_config.json": content})
    assert allowed(seen)
    assert OUTSIDE_PATH in warnings(seen)


def test_words_of_a_vocabulary_are_no_configuration() -> None:
    vocabulary = {"_target_": 1, "__class__": 2, "auto_map": 3, "py/object": 4, "chat_template": 5, "vocab_file": 6}
    assert record_of(json.dumps({"model": {"vocab": vocabulary}}).encode()).clean


def test_text_about_configuration_is_no_configuration() -> None:
    assert record_of(b"# Card\n\nSet `trust_remote_code: true` and `_target_: x`? No.\n").clean


def test_yaml_with_an_alias_bomb_is_read_in_a_moment() -> None:
    lines = ["_target_: os.system", "a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert CODE_REFERENCE in {finding.rule_id for finding in record_of("\n".join(lines).encode()).findings}


_KEYS = st.sampled_from(["auto_map", "chat_template", "weight_map", "_target_", "type", "path", "_class_name", "a", ""])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["../x", "{{ a", "{% if"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(_VALUES, st.sampled_from(["_target_", "py/reduce"]))
def test_code_in_any_configuration_is_never_allowed(value: object, key: str) -> None:
    assert not record_of(json.dumps([value, {key: "os.system", "more": value}]).encode()).clean


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="_target: \n-![]{}&*#'\"|>%ax?,", max_size=60))
def test_any_yaml_is_read_without_a_crash(text: str) -> None:
    record_of(f"_target_: os.system\n{text}".encode())


@settings(max_examples=60, deadline=None)
@given(documents=st.lists(_VALUES, min_size=1, max_size=3))
def test_any_folder_of_configurations_is_looked_at_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, documents: list[object]
) -> None:
    files = {f"{number}.json": json.dumps(document).encode() for number, document in enumerate(documents)}
    look(tmp_path_factory.mktemp("folder"), files)
