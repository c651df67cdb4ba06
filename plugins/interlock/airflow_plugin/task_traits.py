"""What an Airflow task uses, as `interlock.pipeline.protection` asks: its class, queue, pool, connections, GPUs...

Resources may stand in five places and as Kubernetes objects or plain documents; they are walked with a limit, and what
cannot be read counts as a GPU, because nobody can say that it is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from interlock.airflow_plugin.task_values import texts_of, uris_of, value_of
from interlock.pipeline import UNREADABLE, Traits

_RESOURCES = ("executor_config", "container_resources", "full_pod_spec", "pod_template_dict")
_ELSEWHERE = ("pod_template_file",)
"""Arguments that name a file of resources, which the policy of a DAG does not open."""
_LIMIT = 2_000
"""Values of one task's resources that are looked at; what has more is unreadable."""
_ORDINARY = frozenset({"cpu", "memory", "ephemeral-storage", "storage"})


def traits_of(task: Any, *, operators: tuple[str, ...], tags: tuple[str, ...]) -> Traits:
    """Read one task.

    Args:
        task: Live or serialized, plain or mapped; untrusted.
        operators: ``module.Class`` of its class and, where they can be seen, of its bases.
        tags: Of its DAG.
    """
    found = _Found()
    found.look(task)
    return Traits(
        pipelines=(str(task.dag_id),),
        steps=(str(task.task_id),),
        tags=tags,
        operators=operators,
        queues=texts_of(task, "queue"),
        pools=texts_of(task, "pool"),
        connections=tuple(_connections(task)),
        images=tuple(dict.fromkeys((*texts_of(task, "image"), *found.images))),
        gpus=tuple(dict.fromkeys(found.gpus)),
        inlets=uris_of(task, "inlets"),
        outlets=uris_of(task, "outlets"),
    )


def _connections(task: Any) -> Iterator[str]:
    """Values of all arguments named ``conn_id`` or ``..._conn_id``."""
    partial = getattr(task, "partial_kwargs", None)
    names = vars(task) if partial is None else partial
    if "conn_id" in " ".join(names):  # most tasks have none, and looking at each of their names takes longer
        for name in names:
            if name.endswith("conn_id"):
                yield from texts_of(task, name)


class _Found:
    """GPUs and images in the resources of one task."""

    def __init__(self) -> None:
        self.gpus: list[str] = []
        self.images: list[str] = []
        self._left = _LIMIT

    def look(self, task: Any) -> None:
        mapped = getattr(task, "partial_kwargs", None) is not None
        of: Callable[..., object] = value_of if mapped else getattr  # the former is the latter for a plain task
        for name in _RESOURCES:
            value = of(task, name, None)
            if value:
                self._walk(value)
        if any(of(task, name, None) for name in _ELSEWHERE):
            self.gpus.append(UNREADABLE)
        if of(task, "device_requests", None):  # of the Docker operator
            self.gpus.append("gpu")
        if "nvidia" in str(of(task, "runtime_class_name", None) or ""):
            self.gpus.append("nvidia.com/gpu")
        if _asked(of(task, "resources", None)):  # `resources={"gpus": 1}` of every operator
            self.gpus.append("gpu")

    def _walk(self, value: object) -> None:
        waiting: list[object] = [value]
        while waiting:
            self._left -= 1
            if self._left < 0:
                self.gpus.append(UNREADABLE)
                return
            here = waiting.pop()
            if isinstance(here, Mapping):
                waiting += self._entries(here)
            elif isinstance(here, list | tuple):
                waiting += here
            elif here is not None and not isinstance(here, str | int | float | bool):
                waiting.append(self._document(here))

    def _entries(self, document: Mapping[Any, Any]) -> Iterator[object]:
        for key, value in document.items():
            if key in {"limits", "requests"} and isinstance(value, Mapping):
                self.gpus += [str(name) for name, amount in value.items() if _is_some(str(name), amount)]
            elif key in {"claims", "resource_claims", "resourceClaims"} and value:
                self.gpus.append("deviceclass.resource.kubernetes.io/claim")
            elif key in {"runtime_class_name", "runtimeClassName"} and "nvidia" in str(value):
                self.gpus.append("nvidia.com/gpu")
            elif key == "pod_template_file" and value:
                self.gpus.append(UNREADABLE)
            elif key == "image" and isinstance(value, str):
                self.images.append(value)
            else:
                yield value

    def _document(self, thing: object) -> object:
        """A Kubernetes object as its document; anything else cannot be read."""
        if type(thing).__module__.startswith(("kubernetes.", "kubernetes_asyncio.")):
            return thing.to_dict()  # type: ignore[attr-defined]  # every model of the client has it
        self.gpus.append(UNREADABLE)
        return None


def _asked(resources: object) -> object:
    """GPUs of Airflow's own resources: an object on a task, the author's document on a mapped one."""
    if isinstance(resources, Mapping):
        return resources.get("gpus")
    return getattr(getattr(resources, "gpus", None), "qty", 0)


def _is_some(name: str, amount: object) -> bool:
    return name not in _ORDINARY and not name.startswith("hugepages-") and str(amount).strip() not in {"", "0", "None"}
