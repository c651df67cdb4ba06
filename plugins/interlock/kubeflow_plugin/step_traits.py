"""What a step of a compiled pipeline uses, as `interlock.pipeline.protection` asks, and what stands in its text.

Accelerators may stand in the executor and in the platform's settings; what cannot be read counts as one, because nobody
can say that it is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from interlock.gate.values import Json
from interlock.kubeflow_plugin.flattening import Leaf
from interlock.kubeflow_plugin.ir import Executor
from interlock.pipeline import UNREADABLE, Setting, Traits

_MODELS = re.compile(r"(^|\.)\w*Model$")
_ELSEWHERE = frozenset({"resolver", "customJob"})
_QUEUE = "kueue.x-k8s.io/queue-name"
_MODULE = re.compile(r"(?:^|\s)-m\s+([A-Za-z_][\w.]*)")
_PACKAGES = re.compile(
    r"\b(?:pip[\d.]*|uv|conda|mamba|micromamba|poetry|apt-get|apt|apk|dnf|yum|npm)\b[\"',\s]{1,4}"
    r"(?:pip[\"',\s]{1,4})?(?:-\S+\s+)*(?:install|add|sync)\b([^\n&;|]{0,300})"
)
_PIPED = re.compile(r"\b(?:curl|wget)\b[^\n;&]{0,300}\|\s*(?:sudo\s+)?(?:ba|da|z)?sh\b")
_FLAG = re.compile(r"--?([A-Za-z][A-Za-z0-9_.-]{0,100})(?:=(.*))?", re.DOTALL)
_RUN = "that the run names"
_QUOTED = re.compile(r"[\"']([^\"'\s]{1,120})[\"']")


def is_model(kind: str) -> bool:
    """Whether an artifact's type is a model's: ``system.Model``, ``google.VertexModel``..."""
    return bool(_MODELS.search(kind))


def traits_of(leaf: Leaf, executor: Executor, pipeline: str) -> Traits:
    """Read one step.

    Args:
        leaf: Untrusted, as all of this.
        executor: What it runs.
        pipeline: The pipeline's name.
    """
    makes = [key for key, port in leaf.component.outputs.items() if is_model(port.type)]
    uses = [key for key, port in leaf.component.inputs.items() if is_model(port.type) and key in leaf.artifacts]
    runs = executor.kind == "container"
    hands_on = runs and bool(uses) and not leaf.component.outputs and not leaf.component.results
    secrets = secrets_of(executor)
    return Traits(
        pipelines=(pipeline,),
        steps=tuple(dict.fromkeys((leaf.id, leaf.id.rpartition("/")[2]))),
        operators=tuple(_programs(leaf, executor)),
        queues=tuple(_labels(executor, _QUEUE)),
        connections=tuple(dict.fromkeys([*secrets, *(name.replace("-", "_") for name in secrets)])),
        images=(executor.image,) if executor.image else (),
        gpus=tuple(dict.fromkeys(_gpus(executor))),
        inlets=tuple(f"model://{leaf.artifacts[key]}" for key in uses) if hands_on else (),
        outlets=tuple(f"model://{leaf.id}/{key}" for key in makes) if runs else (),
    )


def secrets_of(executor: Executor) -> list[str]:
    """Names of the cluster's secrets that a step is given, as variables or as files."""
    listed = _entries(executor, "secretAsEnv", "secretAsVolume")
    return list(dict.fromkeys(name for entry in listed for name in _names(entry, "secretName", "secretNameParameter")))


def mounts_of(executor: Executor) -> list[str]:
    """What else of the cluster a step is given: ``kind name at path``, as far as the file says."""
    kinds = {
        "pvcMount": ("claim", "pvcNameParameter", "constant"),
        "configMapAsVolume": ("config map", "configMapName", "configMapNameParameter"),
        "configMapAsEnv": ("config map", "configMapName", "configMapNameParameter"),
        "genericEphemeralVolume": ("volume", "volumeName"),
        "emptyDirMounts": ("empty folder", "volumeName"),
    }
    found = []
    for key, (kind, *names) in kinds.items():
        for entry in _entries(executor, key):
            at = f" at {entry['mountPath']}" if isinstance(entry.get("mountPath"), str) else ""
            found += [f"{kind} {name}{at}" for name in _names(entry, *names)]
    return list(dict.fromkeys(found))


def variables_of(executor: Executor) -> Iterator[str]:
    """Names of all variables that are set on a step, whatever they come from."""
    yield from (name for name, _ in executor.env)
    for entry in _entries(executor, "secretAsEnv", "configMapAsEnv"):
        for pairs in ("keyToEnv",):
            for pair in entry.get(pairs) or ():
                yield str(pair.get("envVar", "")) if isinstance(pair, Mapping) else ""
    for entry in _entries(executor, "fieldPathAsEnv"):
        yield str(entry.get("name", ""))


def settings_of(leaf: Leaf, executor: Executor) -> tuple[Setting, ...]:
    """Variables, parameters and arguments that stand in the file, by name and shape."""
    return tuple(dict.fromkeys(_settings(leaf, executor)))


def installs_of(executor: Executor) -> tuple[str, ...]:
    """What a step installs or fetches to run as it starts, as far as its command shows."""
    text = "\n".join([*executor.command, *executor.args])
    found = []
    for said in _PACKAGES.finditer(text):
        names = [name for name in _QUOTED.findall(said[1]) if not name.startswith("-")]
        found += names or [" ".join(said[0].split())[:120]]
    found += [" ".join(said[0].split())[:120] for said in _PIPED.finditer(text)]
    return tuple(dict.fromkeys(found))


def _settings(leaf: Leaf, executor: Executor) -> Iterator[Setting]:
    for name, value in executor.env:
        yield Setting.of(name, "env", value)
    known = {name for name, _ in executor.env}
    for name in variables_of(executor):
        if name not in known:  # from a secret, a config map or the pod itself
            yield Setting(name=name, kind="env", shape="reference")
    for name, given in leaf.parameters.items():
        if given.value is not None:
            yield Setting.of(name, "parameter", _text(given.value))
    words = [*executor.command, *executor.args]
    flag = ""
    for number, word in enumerate(words):
        said = _FLAG.fullmatch(word)
        if said is not None and said[2] is not None:
            yield Setting.of(said[1], "argument", said[2])
        elif said is None:
            yield Setting.of(flag or f"[{number}]", "argument", word)
        flag = said[1] if said is not None and said[2] is None else ""


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _programs(leaf: Leaf, executor: Executor) -> Iterator[str]:
    """What it runs: the function of a lightweight component, Python modules, and the component's own name."""
    words = [*executor.command, *executor.args]
    yield "kfp." + leaf.task.component.removeprefix("comp-")
    for word, after in pairwise(words):
        if word == "--function_to_execute":
            yield f"kfp.{after}"
        elif word == "-m":
            yield after
    for word in words:
        yield from _MODULE.findall(word)


def _gpus(executor: Executor) -> Iterator[str]:
    yield from executor.accelerators
    if executor.kind in _ELSEWHERE:
        yield UNREADABLE
    platform = executor.platform
    if any(name.endswith("Json") for entry in _placing(platform) for name in entry):
        yield UNREADABLE  # a run parameter says where the pod goes
    labels = platform.get("nodeSelector", {}).get("labels", {})
    yield from map(str, labels)
    for toleration in _entries(executor, "tolerations"):
        yield str(toleration.get("key", ""))
    for affinity in _entries(executor, "nodeAffinity"):
        for expression in affinity.get("matchExpressions") or ():
            yield str(expression.get("key", "")) if isinstance(expression, Mapping) else UNREADABLE


def _placing(platform: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield platform.get("nodeSelector", {})
    for key in ("tolerations", "nodeAffinity"):
        yield from platform.get(key, ())


def _labels(executor: Executor, name: str) -> Iterator[str]:
    value = executor.platform.get("podMetadata", {}).get("labels", {}).get(name)
    if isinstance(value, str):
        yield value


def _entries(executor: Executor, *keys: str) -> Iterator[Mapping[str, Any]]:
    for key in keys:
        yield from executor.platform.get(key, ())


def _names(entry: Mapping[str, Any], *keys: str) -> list[str]:
    """Every name that stands there: a text, a constant in an object, or one that the run gives; KFP takes one."""
    found = []
    for key in keys:
        value = entry.get(key)
        if isinstance(value, Mapping):
            runtime = value.get("runtimeValue")
            value = (runtime.get("constant") if isinstance(runtime, Mapping) else None) or _RUN
        if isinstance(value, str) and value:
            found.append(value)
    return list(dict.fromkeys(found)) or [_RUN]
