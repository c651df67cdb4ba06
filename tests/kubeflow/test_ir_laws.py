"""Laws of the check: names decide nothing, and no gate can be taken away unnoticed, wherever it stands."""

import json
from contextlib import suppress
from functools import cache
from typing import Any

import yaml  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from kfp import dsl
from tests.kubeflow.sample_pipelines import checks, clean, collect, compiled, fit, tell

from interlock.kubeflow import gated
from interlock.kubeflow_plugin.documents import UnreadableError
from interlock.kubeflow_plugin.ir_check import IrCheck, check_ir
from interlock.pipeline.rules import Rules, load_rules

_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)


def in_groups() -> None:
    data = collect().outputs["data"]
    gated(fit(data=data), requires=checks(data))
    with dsl.ExitHandler(tell(text="bye")):
        clean()


@cache
def document() -> str:
    return json.dumps(yaml.safe_load(compiled(in_groups)))


@cache
def rules() -> Rules:
    return load_rules("kubeflow")


def judged(changed: Any) -> IrCheck:
    return check_ir(json.dumps(changed), rules())


def dags(changed: Any) -> list[dict[str, Any]]:
    return [one["dag"] for one in (changed["root"], *changed["components"].values()) if "dag" in one]


def renamed(changed: Any, names: dict[str, str]) -> Any:
    """Every task under another name, wherever it is referred to."""
    for dag in dags(changed):
        dag["tasks"] = {names.get(name, name): task for name, task in dag["tasks"].items()}
        for task in dag["tasks"].values():
            task["dependentTasks"] = [names.get(name, name) for name in task.get("dependentTasks", [])]
            for kind in task.get("inputs", {}).values():
                for source in kind.values():
                    for taken in source.values():
                        if isinstance(taken, dict) and "producerTask" in taken:
                            taken["producerTask"] = names.get(taken["producerTask"], taken["producerTask"])
        for output in dag.get("outputs", {}).get("artifacts", {}).values():
            for selector in output["artifactSelectors"]:
                selector["producerSubtask"] = names.get(selector["producerSubtask"], selector["producerSubtask"])
    return changed


def tasks() -> list[str]:
    return sorted({name for dag in dags(json.loads(document())) for name in dag["tasks"]})


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_renaming_tasks_and_components_changes_no_verdict(data: st.DataObject) -> None:
    new = data.draw(st.lists(_NAMES, min_size=len(tasks()), max_size=len(tasks()), unique=True))
    changed = renamed(json.loads(document()), dict(zip(tasks(), new, strict=True)))
    spoil = data.draw(st.booleans())
    if spoil:
        changed = without(changed, data.draw(st.sampled_from(sorted(gates(changed)))))
    assert judged(changed).is_gated is not spoil


def gates(changed: Any) -> set[tuple[int, str]]:
    """Tasks whose receipt a protected step gets, with the number of their DAG."""
    found = set()
    for number, dag in enumerate(dags(changed)):
        for task in dag["tasks"].values():
            for name, source in task.get("inputs", {}).get("artifacts", {}).items():
                if name.startswith("interlock_receipt_"):
                    found.add((number, source["taskOutputArtifact"]["producerTask"]))
    return {(number, name) for number, name in found if "secure-train" not in name}


def without(changed: Any, gate: tuple[int, str]) -> Any:
    """The pipeline without one gate; whoever took its receipt or waited for it does so no longer."""
    number, gone = gate
    dag = dags(changed)[number]
    for task in dag["tasks"].values():
        task["dependentTasks"] = [name for name in task.get("dependentTasks", []) if name != gone]
        artifacts = task.get("inputs", {}).get("artifacts", {})
        dropped = [
            name for name, one in artifacts.items() if one.get("taskOutputArtifact", {}).get("producerTask") == gone
        ]
        ports = changed["components"][task["componentRef"]["name"]].get("inputDefinitions", {}).get("artifacts", {})
        for name in dropped:
            del artifacts[name]
            ports.pop(name, None)
    del dag["tasks"][gone]
    return changed


def test_whichever_gate_is_taken_away_is_missed() -> None:
    assert judged(json.loads(document())).is_gated
    known = gates(json.loads(document()))
    assert len(known) >= 5
    for gate in known:
        checked = judged(without(json.loads(document()), gate))
        assert not checked.is_gated, gate
        assert checked.refusal


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["componentRef", "dependentTasks", "inputs", "cachingOptions"]), st.data())
def test_a_field_that_is_lost_never_turns_a_refusal_into_a_pass(field: str, data: st.DataObject) -> None:
    changed = without(json.loads(document()), data.draw(st.sampled_from(sorted(gates(json.loads(document()))))))
    dag = data.draw(st.sampled_from(dags(changed)))
    dag["tasks"][data.draw(st.sampled_from(sorted(dag["tasks"])))].pop(field, None)
    with suppress(UnreadableError):
        assert not judged(changed).is_gated
