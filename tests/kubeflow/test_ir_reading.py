"""Hostile and foreign files: each is refused as unreadable, and none is ever taken for a pipeline."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from tests.kubeflow.sample_pipelines import changed, clean, compiled

from interlock.gate import Verdict
from interlock.kubeflow_plugin.documents import LARGEST, UnreadableError, read_documents
from interlock.kubeflow_plugin.ir_check import check_ir

CLEAN = compiled(clean)
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
)

TEXTS: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "billion-laughs": (lambda: LAUGHS, "an anchor or alias, which KFP's compiler never writes"),
    "anchor": (lambda: CLEAN.replace("name: retrain", "name: &n retrain"), "an anchor or alias"),
    "100-MiB": (lambda: b"a: " + b"x" * (100 << 20), f"larger than {LARGEST:,} bytes"),
    "a-million-values": (lambda: "[" + "1," * 250_000 + "1]", "more than 200,000 values"),
    "deep-flow": (lambda: "[" * 50_000, "nests deeper than 64 levels"),
    "deep-block": (lambda: "".join(f"{' ' * n}a:\n" for n in range(1_000)), "nests deeper than 64 levels"),
    "python-tag": (lambda: "!!python/object/apply:os.system ['true']", "the tag"),
    "text-tag": (lambda: "root: !!str x", "the tag"),
    "binary-tag": (lambda: "root: !!binary aGk=", "the tag"),
    "merge-key": (lambda: "<<: {a: 1}\nb: 2", "readers take for different things"),
    "key-twice": (lambda: CLEAN + "\nroot: {}\n", "the key 'root' twice in one place"),
    "key-that-is-no-text": (lambda: "1: a", "a key that is no text"),
    "key-that-is-a-list": (lambda: "? [a]\n: b", "a key that is no text"),
    "yes": (lambda: "root: {dag: yes}", "the word 'yes', which readers take for different things"),
    "octal": (lambda: "a: 0123", "readers take for different things"),
    "sexagesimal": (lambda: "a: 1:30", "readers take for different things"),
    "date": (lambda: "a: 2026-01-01", "readers take for different things"),
    "many-documents": (lambda: "a: 1\n---\n" * 10, "more than 8 documents"),
    "three-documents": (lambda: CLEAN + "---\na: 1\n---\nb: 1\n", "one or two documents, not 3"),
    "no-document": (lambda: "", "one or two documents, not 0"),
    "no-utf-8": (lambda: b"a: \xff\xfe", "no UTF-8"),
    "control-characters": (lambda: "a: \x00", "no YAML"),
    "half-a-flow": (lambda: "{a: [", "no YAML"),
    "a-text": (lambda: "hello", "this is no object"),
    "another-yaml": (lambda: "apiVersion: v1\nkind: Pod\n", "the field 'apiVersion' is not known"),
    "a-workflow": (lambda: json.dumps({"pipeline_spec": {}}), "the field 'pipeline_spec' is not known"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_hostile_text_is_unreadable(case: str) -> None:
    make, said = TEXTS[case]
    with pytest.raises(UnreadableError, match=re.escape(said)):
        check_ir(make())


def dag(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["root"]["dag"]
    return found


def around_itself(document: dict[str, Any]) -> None:
    loop = {"dag": {"tasks": {"again": {"componentRef": {"name": "comp-loop"}}}}}
    document["components"]["comp-loop"] = loop
    dag(document)["tasks"]["again"] = {"componentRef": {"name": "comp-loop"}}


def without_end(document: dict[str, Any]) -> None:
    """Two of the next one in each: 2 ** 20 tasks."""
    for level in range(20):
        below = "comp-collect" if level == 19 else f"comp-nest-{level + 1}"
        tasks = {name: {"componentRef": {"name": below}} for name in ("a", "b")}
        document["components"][f"comp-nest-{level}"] = {"dag": {"tasks": tasks}}
    dag(document)["tasks"]["nest"] = {"componentRef": {"name": "comp-nest-0"}}


SPECS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another-version": (lambda one: one.update(schemaVersion="2.2.0"), "schemaVersion '2.2.0' is not known"),
    "no-version": (lambda one: one.pop("schemaVersion"), "schemaVersion '' is not known"),
    "unknown-field": (lambda one: one.update(hooks={}), "the field 'hooks' is not known"),
    "snake-case": (
        lambda one: dag(one)["tasks"]["validate-data"].update(caching_options={"enableCache": True}),
        "the field 'caching_options' is not known",
    ),
    "text-for-a-truth-value": (
        lambda one: dag(one)["tasks"]["validate-data"].update(cachingOptions={"enableCache": "false"}),
        "the field 'enableCache' is no truth value",
    ),
    "unknown-field-of-a-container": (
        lambda one: one["deploymentSpec"]["executors"]["exec-collect"]["container"].update(securityContext={}),
        "the field 'securityContext' is not known",
    ),
    "executor-and-dag": (
        lambda one: one["components"]["comp-collect"].update(dag={"tasks": {"a": {}}}),
        "neither an executor nor a DAG, or both",
    ),
    "empty-dag": (lambda one: one["root"].update(dag={"tasks": {}}), "a DAG has no task"),
    "no-such-component": (
        lambda one: dag(one)["tasks"]["collect"].update(componentRef={"name": "comp-x"}),
        "made from 'comp-x', which is not there",
    ),
    "no-such-executor": (lambda one: one["deploymentSpec"]["executors"].pop("exec-collect"), "which is not there"),
    "waits-for-nobody": (
        lambda one: dag(one)["tasks"]["secure-train"]["dependentTasks"].append("x"),
        "waits for 'x', which is not there",
    ),
    "uses-and-does-not-wait": (
        lambda one: dag(one)["tasks"]["secure-train"].update(dependentTasks=["collect"]),
        "and does not wait for it",
    ),
    "no-required-artifact": (
        lambda one: dag(one)["tasks"]["validate-data"]["inputs"].update(artifacts={}),
        "does not get the artifact 'subject'",
    ),
    "an-artifact-nobody-takes": (
        lambda one: dag(one)["tasks"]["collect"].update(
            inputs={
                "artifacts": {"x": {"taskOutputArtifact": {"producerTask": "collect", "outputArtifactKey": "data"}}}
            }
        ),
        "which its component does not take",
    ),
    "a-source-that-is-two": (
        lambda one: dag(one)["tasks"]["validate-data"]["inputs"]["artifacts"]["subject"].update(
            componentInputArtifact="x"
        ),
        "comes from no place, or from two",
    ),
    "name-of-a-task-with-a-slash": (
        lambda one: dag(one)["tasks"].update({"a/b": {"componentRef": {"name": "comp-collect"}}}),
        "characters that KFP's compiler does not write",
    ),
    "group-in-itself": (around_itself, "nest in themselves"),
    "tasks-without-end": (without_end, "more than 10,000 tasks"),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_pipeline_that_says_something_unknown_or_untrue_is_unreadable(case: str) -> None:
    change, said = SPECS[case]
    with pytest.raises(UnreadableError, match=re.escape(said)) as caught:
        check_ir(changed(CLEAN, change))

    assert caught.value.exit_status == Verdict.UNDECIDED.exit_status


PLATFORMS: dict[str, tuple[Any, str]] = {
    "another-platform": ({"platforms": {"nomad": {}}}, "a platform that is not known"),
    "another-executor": (
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-x": {}}}}}},
        "name an executor that is not there",
    ),
    "another-setting": (
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-collect": {"hostPath": []}}}}}},
        "the field 'hostPath' is not known",
    ),
    "mistyped": (
        {"platforms": {"kubernetes": {"deploymentSpec": {"executors": {"exec-collect": {"secretAsEnv": {}}}}}}},
        "the field 'secretAsEnv' is no list",
    ),
}


@pytest.mark.parametrize("case", PLATFORMS)
def test_settings_of_a_platform_that_are_not_known_are_unreadable(case: str) -> None:
    platforms, said = PLATFORMS[case]
    with pytest.raises(UnreadableError, match=re.escape(said)):
        check_ir(changed(CLEAN, lambda _: None, platforms))


def test_json_is_read_as_well() -> None:
    assert check_ir(json.dumps(yaml.safe_load(CLEAN), indent=1)).is_gated


def test_what_kfp_wrote_is_read_as_pyyaml_reads_it() -> None:
    (document,) = read_documents(CLEAN)
    assert document.value == yaml.safe_load(CLEAN)


_PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(alphabet=st.characters(codec="utf-8"), max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(_PLAIN)
def test_any_value_that_pyyaml_writes_is_read_back_or_refused_and_never_something_else(value: Any) -> None:
    try:
        (document,) = read_documents(yaml.safe_dump(value))
    except UnreadableError:
        return
    assert document.value == value
