"""The nested DAGs of a compiled pipeline as one: every task, what it waits for, and where its inputs come from.

A group (a nested pipeline, a condition, a loop, an exit handler) is a node of its own, on which its tasks wait; what
follows the group waits on a second node, its end. The end of a group that may be skipped or run over nothing says
nothing of the tasks inside: the DAG around it succeeds all the same.

An artifact has one name wherever it is passed: the task that made it and the output's key, or, of an importer, the URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.gate.values import Json
from interlock.kubeflow_plugin.documents import UnreadableError
from interlock.kubeflow_plugin.ir import CompiledPipeline, Component, Source, Task
from interlock.pipeline import named

MOST_STEPS = 10_000
"""Tasks of one pipeline after its groups are opened; a few components that nest can ask for any number."""
_DEEPEST = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A parameter as a task gets it.

    Args:
        constant: It stands in the file, whole; nothing of a run changes it.
        value: What stands in the file: the constant, or the default of a run parameter.
        said_by: Who gives it, for messages.
    """

    constant: bool
    value: Json = None
    said_by: str = "the pipeline's text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A task that runs an executor.

    Args:
        id: Names of the groups around it and its own, with slashes.
        task: As the file says.
        component: What it is made from.
        artifacts: Name of the artifact of each input that is wired.
        parameters: By input.
        place: Path of keys in the file, for its line.
    """

    id: str
    task: Task
    component: Component
    artifacts: Mapping[str, str]
    parameters: Mapping[str, Given]
    place: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Where a group begins or ends.

    Args:
        id: Of the node.
        rule: The strategy of its trigger policy, or why its end says nothing; empty for the ordinary one.
        place: Path of keys in the file.
        ends: It is the end.
    """

    id: str
    rule: str
    place: tuple[str, ...]
    ends: bool = False


@dataclass(slots=True)
class Flat:
    """The whole.

    Args:
        nodes: In the file's order.
        edges: (upstream id, downstream id).
        makers: Artifact to the task that makes it and the key of its output.
        joins: An artifact that is one of several, or a list, or an item of a list, to what it may be.
    """

    nodes: list[Leaf | Group] = field(default_factory=list)
    edges: list[tuple[str, str]] = field(default_factory=list)
    makers: dict[str, tuple[str, str]] = field(default_factory=dict)
    joins: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """A DAG as it is opened at one place."""

    component: Component
    name: str
    prefix: str
    place: tuple[str, ...]
    entry: str
    artifacts: Mapping[str, str]
    parameters: Mapping[str, Given]
    around: tuple[str, ...]


def flatten(pipeline: CompiledPipeline) -> Flat:
    """Open every group.

    Raises:
        UnreadableError: A task names what is not there, uses the output of one that it does not wait for, groups nest
            in themselves or too deep, or there are too many tasks.
    """
    root = pipeline.root
    if root.executor:
        raise UnreadableError("the pipeline is no DAG", where="root")
    scope = _Scope(
        component=root,
        name="root",
        prefix="",
        place=("root",),
        entry="",
        artifacts={name: f'pipeline.inputs["{name}"]' for name in root.inputs},
        parameters={
            name: Given(constant=False, value=port.default, said_by=f"run parameter {name!r}")
            for name, port in root.parameters.items()
        },
        around=(),
    )
    opener = _Opener(pipeline)
    opener.open(scope)
    return opener.flat


class _Opener:
    def __init__(self, pipeline: CompiledPipeline) -> None:
        self._pipeline = pipeline
        self.flat = Flat()

    def open(self, scope: _Scope) -> list[str]:
        """Add the nodes of a DAG; returns the ids of those that nothing of it waits for."""
        tasks = scope.component.tasks
        waited_for = {upper for task in tasks.values() for upper in task.after}
        ends = {name: self._end_of(scope, name) for name in tasks}
        last = []
        for name, task in tasks.items():
            component = self._component(scope, name)
            unknown = [upper for upper in task.after if upper not in tasks]
            if unknown:
                raise UnreadableError(f"a task waits for {unknown[0]!r}, which is not there", where=scope.prefix + name)
            uppers = [ends[upper] for upper in task.after] or ([scope.entry] if scope.entry else [])
            self.flat.edges += [(upper, scope.prefix + name) for upper in uppers]
            if component.executor:
                self._add_leaf(scope, name, component)
            else:
                self._add_group(scope, name, component)
            if name not in waited_for:
                last.append(ends[name])
        return last

    def _end_of(self, scope: _Scope, name: str) -> str:
        return scope.prefix + name + ("" if self._component(scope, name).executor else " (end)")

    def _component(self, scope: _Scope, name: str) -> Component:
        wanted = scope.component.tasks[name].component
        found = self._pipeline.components.get(wanted)
        if found is None:
            raise UnreadableError(f"a task is made from {wanted!r}, which is not there", where=scope.prefix + name)
        if found.executor and found.executor not in self._pipeline.executors:
            raise UnreadableError(f"a component runs {found.executor!r}, which is not there", where=wanted)
        return found

    def _add(self, node: Leaf | Group) -> None:
        self.flat.nodes.append(node)
        if len(self.flat.nodes) > MOST_STEPS:
            raise UnreadableError(f"the pipeline has more than {MOST_STEPS:,} tasks")

    def _add_leaf(self, scope: _Scope, name: str, component: Component) -> None:
        here = scope.prefix + name
        self._add(
            Leaf(
                id=here,
                task=scope.component.tasks[name],
                component=component,
                artifacts=self._artifacts(scope, name, component),
                parameters=self._parameters(scope, name, component),
                place=(*scope.place, "dag", "tasks", name),
            )
        )
        for key in component.outputs:
            self.flat.makers[self._output(scope, name, key)] = (here, key)

    def _add_group(self, scope: _Scope, name: str, component: Component) -> None:
        task, here = scope.component.tasks[name], scope.prefix + name
        if task.component in scope.around or len(scope.around) >= _DEEPEST:
            raise UnreadableError("groups nest in themselves, or too deep", where=here)
        place = (*scope.place, "dag", "tasks", name)
        self._add(Group(id=here, rule=task.strategy, place=place))
        inner = _Scope(
            component=component,
            name=task.component,
            prefix=f"{here}/",
            place=("components", task.component),
            entry=here,
            artifacts=self._artifacts(scope, name, component),
            parameters=self._parameters(scope, name, component),
            around=(*scope.around, task.component),
        )
        last = self.open(inner)
        may_not_run = (
            "its condition may be false" if task.condition else "its list may be empty" if task.iterates else ""
        )
        self._add(Group(id=f"{here} (end)", rule=may_not_run, place=place, ends=True))
        self.flat.edges += [(upper, f"{here} (end)") for upper in last]
        for key, places in component.selected.items():
            if task.iterates or len(places) != 1:
                joined = tuple(self._output(inner, producer, inner_key) for producer, inner_key in places)
                self.flat.joins[_written(here, key)] = joined

    def _artifacts(self, scope: _Scope, name: str, component: Component) -> dict[str, str]:
        task, here = scope.component.tasks[name], scope.prefix + name
        found = {}
        for key, source in task.artifacts.items():
            if key not in component.inputs:
                raise UnreadableError(
                    f"a task gets the artifact {key!r}, which its component does not take", where=here
                )
            passed_on = source.kind == "input" and source.key not in scope.artifacts
            if passed_on and source.key in scope.component.inputs and component.inputs[key].optional:
                continue  # an optional input that is handed down and was not given
            found[key] = self._artifact(scope, task, source, here)
        for key, source in task.iterates.items():
            if key in component.inputs:
                found[key] = f'{here}.items["{key}"]'
                self.flat.joins[found[key]] = (self._artifact(scope, task, source, here),)
        for key, port in component.inputs.items():
            if key not in found and not port.optional:
                raise UnreadableError(f"a task does not get the artifact {key!r}", where=here)
        return found

    def _artifact(self, scope: _Scope, task: Task, source: Source, here: str) -> str:
        if source.kind == "input":
            if source.key not in scope.artifacts:
                raise UnreadableError(f"a task uses the input {source.key!r}, which nobody gives", where=here)
            return scope.artifacts[source.key]
        if source.producer not in task.after:
            raise UnreadableError(f"a task uses what {source.producer!r} makes and does not wait for it", where=here)
        return self._output(scope, source.producer, source.key)

    def _output(self, scope: _Scope, name: str, key: str) -> str:
        """The one name of an output of a task of this DAG."""
        here = scope.prefix + name
        if name not in scope.component.tasks:
            raise UnreadableError(f"an output of {name!r} is used, which is not there", where=scope.place[-1])
        component, task = self._component(scope, name), scope.component.tasks[name]
        if key not in component.outputs:
            raise UnreadableError(f"the output {key!r} is used, which is not there", where=here)
        if component.executor:
            executor = self._pipeline.executors[component.executor]
            uri = self._uri(scope, task, executor.uri) if executor.kind == "importer" else ""
            return uri or _written(here, key)
        places = component.selected.get(key, ())
        if task.iterates or len(places) != 1:
            return _written(here, key)
        (producer, inner_key) = places[0]
        inner = _Scope(
            component=component,
            name=task.component,
            prefix=f"{here}/",
            place=("components", task.component),
            entry=here,
            artifacts={},
            parameters=self._parameters(scope, name, component),
            around=(*scope.around, task.component),
        )
        if len(inner.around) > _DEEPEST:
            raise UnreadableError("groups nest in themselves, or too deep", where=here)
        return self._output(inner, producer, inner_key)

    def _uri(self, scope: _Scope, task: Task, uri: Source | None) -> str:
        """What an importer imports, where the file says it; empty where it does not."""
        if uri is None:
            return ""
        source = task.parameters.get(uri.key) if uri.kind == "input" else uri
        given = self._parameter(scope, source) if source is not None else Given(constant=False)
        return named(given.value) if given.constant and isinstance(given.value, str) else ""

    def _parameters(self, scope: _Scope, name: str, component: Component) -> dict[str, Given]:
        task = scope.component.tasks[name]
        found = {
            key: Given(constant=True, value=port.default)
            for key, port in component.parameters.items()
            if port.default is not None
        }
        found |= {key: self._parameter(scope, source) for key, source in task.parameters.items()}
        return found | {key: Given(constant=False, said_by="the loop around it") for key in task.iterates}

    def _parameter(self, scope: _Scope, source: Source) -> Given:
        if source.kind == "constant":
            return Given(
                constant=not holds_placeholder(source.constant), value=source.constant, said_by="a placeholder"
            )
        if source.kind == "input":
            return scope.parameters.get(source.key, Given(constant=False, said_by="nobody"))
        said_by = f"task {source.producer!r}" if source.producer else "an expression"
        return Given(constant=False, said_by=said_by)


def holds_placeholder(value: Json) -> bool:
    """Whether KFP fills something into a constant when the task starts."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str) and ("{{$" in here or "{{channel:" in here):
            return True
        if isinstance(here, Mapping):
            waiting += [*here, *here.values()]
        elif isinstance(here, list):
            waiting += here
    return False


def _written(task: str, key: str) -> str:
    return f'{task}.outputs["{key}"]'
