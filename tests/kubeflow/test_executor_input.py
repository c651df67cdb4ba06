"""KFP's executor input: paths as kfp says them, and a command that reads the held copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp.dsl import executor

from interlock.gate import GuardError, UsageError
from interlock.kubeflow.executor_input import Artifact, ExecutorInput, check_command, local_path_of, moved_command

HELD = Path("/store/held/abc/content/data")


def runtime(uri: str, title: str = "system.Dataset", **metadata: object) -> dict[str, Any]:
    return {"name": "n", "type": {"schemaTitle": title}, "uri": uri, "metadata": metadata}


def executor_input(data: dict[str, Any], **parameters: object) -> str:
    receipt = runtime("/root/receipt")
    artifacts = {"data": {"artifacts": [data]}, "interlock_receipt_1": {"artifacts": [receipt]}}
    outputs = {"outputFile": "/root/executor_output.json"}
    return json.dumps({"inputs": {"artifacts": artifacts, "parameterValues": parameters}, "outputs": outputs})


def moved(uri: str, *command: str) -> tuple[str, ...]:
    given = ExecutorInput.parse(executor_input(runtime(uri)))
    subject = given.artifact("data")
    check_command(command, given, subject)
    return moved_command(command, given, subject, HELD)


@pytest.mark.parametrize("title", ["system.Dataset", "system.Model", "system.InterlockReceipt", ""])
@pytest.mark.parametrize("metadata", [{}, {"_kfp_workspace": True}, {"_kfp_workspace": "true"}])
@pytest.mark.parametrize(
    "uri", ["/root/run/data", "gs://bucket/data", "s3://bucket/a/data", "minio://mlpipeline/v2/data", "oci://reg/a/b:1"]
)
def test_an_artifact_lies_where_kfp_says(uri: str, metadata: dict[str, object], title: str) -> None:
    artifact = runtime(uri, title, **metadata)
    assert local_path_of(artifact) == executor.create_artifact_instance(artifact).path


@pytest.mark.parametrize("title", ["system.Dataset", "system.Model"])
@pytest.mark.parametrize("uri", ["/root/run/data", "s3://bucket/data", "oci://reg/a/b:1"])
def test_the_step_finds_the_held_copy_by_path_and_uri_whatever_the_artifact_says_of_itself(
    uri: str, title: str
) -> None:
    artifact = runtime(uri, title, _kfp_workspace=True, rows=3) | {"custom_path": "/elsewhere"}
    given = ExecutorInput.parse(executor_input(artifact))
    (rewritten,) = json.loads(given.moved("data", HELD))["inputs"]["artifacts"]["data"]["artifacts"]
    seen = executor.create_artifact_instance(rewritten)
    assert (seen.path, seen.uri, seen.metadata) == (str(HELD), str(HELD), {"rows": 3})
    assert "custom_path" not in rewritten


def test_what_is_only_the_guards_is_not_handed_on() -> None:
    given = ExecutorInput.parse(executor_input(runtime("/d"), interlock_run="r", epochs=3))
    inputs = json.loads(given.moved("data", HELD))["inputs"]
    assert set(inputs["artifacts"]) == {"data"}
    assert inputs["parameterValues"] == {"epochs": 3}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        pytest.param("/minio/b/run/data", str(HELD), id="the path"),
        pytest.param("minio://b/run/data", str(HELD), id="the URI"),
        pytest.param("--data=/minio/b/run/data", f"--data={HELD}", id="behind an option"),
        pytest.param("cat /minio/b/run/data/part | wc", f"cat {HELD}/part | wc", id="a part of it, in a shell"),
        pytest.param("file:///minio/b/run/data", f"file://{HELD}", id="as a file URL"),
    ],
)
def test_a_command_that_names_its_subject_names_the_held_copy(word: str, expected: str) -> None:
    assert moved("minio://b/run/data", "train", word) == ("train", expected)


@pytest.mark.parametrize("word", ["/minio/b/run/data2", "/minio/b/run/data.bak", "/x/minio/b/run/data-1"])
def test_the_name_of_something_else_stays(word: str) -> None:
    assert moved("minio://b/run/data", word, "/minio/b/run/data") == (word, str(HELD))


@settings(max_examples=50)
@given(words=st.lists(st.text('/minio:bdat-.= 2{}"', max_size=40), max_size=4))
def test_nothing_of_the_subject_is_left_in_the_command_and_nothing_else_is_touched(words: list[str]) -> None:
    uri, path = "minio://b/data", "/minio/b/data"
    given_input = ExecutorInput.parse(executor_input(runtime(uri)))
    subject = given_input.artifact("data")
    found = moved_command([*words, path], given_input, subject, HELD)
    assert found[-1] == str(HELD)
    with pytest.raises(GuardError, match="nowhere"):
        check_command(found, given_input, subject)
    untouched = [word for word in words if uri not in word and path not in word]
    assert [after for before, after in zip(words, found, strict=False) if before in untouched] == untouched


def test_an_executor_input_inside_a_word_is_replaced() -> None:
    given = ExecutorInput.parse(executor_input(runtime("/d")))
    subject = given.artifact("data")
    (word,) = moved_command([f"--executor_input={given.text}"], given, subject, HELD)
    assert word == f"--executor_input={given.moved('data', HELD)}"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["train"], id="nothing"),
        pytest.param(["train", "/minio/b/run/other"], id="another path"),
        pytest.param(["train", executor_input(runtime("s3://b/other"))], id="another executor input"),
        pytest.param(["/minio/b/run/data", executor_input(runtime("s3://b/other"))], id="another beside the path"),
    ],
)
def test_a_command_that_would_read_something_else_is_refused(command: list[str]) -> None:
    with pytest.raises(GuardError):
        moved("minio://b/run/data", *command)


@pytest.mark.parametrize("artifact", [{}, {"uri": ""}, {"uri": 3}])
def test_an_artifact_without_a_place_is_refused(artifact: dict[str, Any]) -> None:
    with pytest.raises(GuardError, match="nowhere"):
        ExecutorInput.parse(executor_input(artifact)).artifact("data")


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"inputs": [], "outputs": {}}', '{"inputs": {}, "inputs": {}, "outputs": {}}', "{{$}}"]
)
def test_what_is_no_executor_input_is_a_misuse(text: str) -> None:
    with pytest.raises(UsageError, match="no executor input"):
        ExecutorInput.parse(text)


def test_an_input_that_is_not_wired_is_refused() -> None:
    with pytest.raises(GuardError, match="0 artifacts"):
        ExecutorInput.parse('{"inputs": {}, "outputs": {}}').artifact("data")


def test_an_artifact_has_its_place() -> None:
    given = ExecutorInput.parse(executor_input(runtime("gs://b/data")))
    assert given.artifact("data") == Artifact(name="data", uri="gs://b/data", path="/gcs/b/data")
