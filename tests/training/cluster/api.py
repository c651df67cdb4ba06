"""A cluster's API as far as a release needs it, in this process: no Kubernetes, and no claim to be one.

What is real: the published schemas of Kubeflow Trainer 2.3.0 (validation, defaults, the rules that make fields
immutable), optimistic concurrency by resource version, merge patches (RFC 7386), and the two rules of Trainer's own
webhooks that a release meets: the time of a patch is set by the server, and patches change only while the TrainJob is
suspended before or after. What is not: the API server, the controllers, and everything that runs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from tests.training.cluster.objects import schema

from interlock.gate import UnavailableError
from interlock.training.cluster import StaleError, TakenError

Held = dict[str, Any]
SERVED = ("TrainJob", "TrainingRuntime")


class RejectedError(UnavailableError):
    """What the API server answers with 422: the object is none."""


class Cluster:
    """Implements `interlock.training.cluster.TrainJobs`.

    Args:
        between: Called with this cluster before each patch, for those who change things in between.
        after: The same, right after a patch.
    """

    def __init__(
        self,
        between: Callable[[Cluster], None] | None = None,
        after: Callable[[Cluster], None] | None = None,
    ) -> None:
        self.objects: dict[tuple[str, str, str], Held] = {}
        self.ran = False
        self.calls: list[str] = []
        self._between, self._after = between, after
        self._version = 100

    def create(self, document: Mapping[str, Any]) -> Held:
        held = copy.deepcopy(dict(document))
        self.calls.append(f"create {held['kind']}")
        if self._key(held) in self.objects:
            raise TakenError("it exists already")
        held["metadata"] |= {"uid": f"uid-{self._version}", "creationTimestamp": "2026-11-27T12:00:00Z"}
        return self._store(held, None)

    def read(self, kind: str, namespace: str, name: str) -> Held:
        self.calls.append(f"read {kind}")
        if (kind, namespace, name) not in self.objects:
            raise UnavailableError("it is not there")
        return copy.deepcopy(self.objects[kind, namespace, name])

    def patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> Held:
        if self._between is not None:
            self._between(self)
        self.calls.append("patch TrainJob")
        old = self.read("TrainJob", namespace, name)
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != old["metadata"]["resourceVersion"]:
            raise StaleError("the object has been modified")
        held = self._store(merged(old, patch), old)
        if self._after is not None:
            self._after(self)
        return held

    def delete(self, namespace: str, name: str) -> None:
        self.calls.append("delete TrainJob")
        self.objects.pop(("TrainJob", namespace, name), None)

    def change(self, kind: str, change: Callable[[Held], None]) -> None:
        """What somebody else does to the one object of a kind, through the same server."""
        (old,) = (held for held in self.objects.values() if held["kind"] == kind)
        held = copy.deepcopy(old)
        change(held)
        self._store(held, old)

    def _key(self, document: Held) -> tuple[str, str, str]:
        return document["kind"], document["metadata"]["namespace"], document["metadata"]["name"]

    def _store(self, held: Held, old: Held | None) -> Held:
        self._version += 1
        validator = schema(held["kind"])
        published: Any = validator.schema
        defaulted(held, published)
        for patch in held["spec"].get("runtimePatches", []) if held["kind"] == "TrainJob" else ():
            patch.setdefault("time", f"2026-11-27T12:00:{self._version - 100:02}Z")
        held["metadata"]["resourceVersion"] = str(self._version)
        for error in validator.iter_errors(held):
            raise RejectedError(f"{error.json_path}: {error.message}")
        if old is not None:
            self._immutable(old["spec"], held["spec"], published["properties"]["spec"], "spec")
            self._patches(old["spec"], held["spec"])
        self.objects[self._key(held)] = copy.deepcopy(held)
        self.ran |= held["kind"] == "TrainJob" and held["spec"]["suspend"] is False
        return held

    def _immutable(self, old: Any, new: Any, schema: Any, where: str) -> None:
        rules = [rule["rule"] for rule in schema.get("x-kubernetes-validations", ())]
        if "self == oldSelf" in rules and old != new:
            raise RejectedError(f"{where}: field is immutable")
        for name, inner in schema.get("properties", {}).items():
            if isinstance(old, dict) and isinstance(new, dict) and name in old and name in new:
                self._immutable(old[name], new[name], inner, f"{where}.{name}")

    def _patches(self, old: Held, new: Held) -> None:
        bare = [[{k: v for k, v in p.items() if k != "time"} for p in s.get("runtimePatches", [])] for s in (old, new)]
        if bare[0] != bare[1] and not (old.get("suspend") or new.get("suspend")):
            raise RejectedError("RuntimePatches can only be modified when the TrainJob is suspended before or after")


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(old) if isinstance(old, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def defaulted(value: Any, schema: Any) -> None:
    """Put in what the schema has a default for, as a structural schema does."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name not in value and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                defaulted(value[name], inner)
    elif isinstance(value, list):
        for item in value:
            defaulted(item, schema.get("items", {}))
