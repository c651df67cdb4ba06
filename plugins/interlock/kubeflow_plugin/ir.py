"""A compiled pipeline (IR) as values: its DAGs, components and executors.

`interlock.kubeflow_plugin.ir_reading` reads them. The words are those of KFP's `pipeline_spec.proto`; all is untrusted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from interlock.gate.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a component.

    Args:
        type: ``system.Dataset`` and the like for an artifact, ``STRING`` and the like for a parameter.
        is_list: A list of artifacts.
        optional: It may be left out.
        default: Of a parameter; None when it has none.
    """

    type: str
    is_list: bool = False
    optional: bool = False
    default: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a task takes an input from.

    Args:
        producer: The task of the same DAG whose output it is; empty when it is none.
        key: Of that task's output, or of the enclosing component's input.
        constant: The value that stands in the IR, when `kind` is ``constant``.
        kind: ``output``, ``input``, ``constant``, ``status`` (of a task that has ended), or ``elsewhere``.
    """

    kind: str
    producer: str = ""
    key: str = ""
    constant: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a DAG.

    Args:
        component: Name of its component.
        after: The tasks that it waits for.
        artifacts: Its artifact inputs.
        parameters: Its parameter inputs.
        cached: KFP may take its outputs from an earlier run.
        condition: An expression; the task is skipped when it is false. Empty without one.
        strategy: Of its trigger policy; empty for the ordinary one.
        iterates: What it is repeated over: input name to source; empty when it runs once.
    """

    component: str
    after: tuple[str, ...] = ()
    artifacts: Mapping[str, Source] = field(default_factory=dict)
    parameters: Mapping[str, Source] = field(default_factory=dict)
    cached: bool = False
    condition: str = ""
    strategy: str = ""
    iterates: Mapping[str, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What a task is made from: an executor, or a DAG of its own.

    Args:
        inputs: Artifacts that go in.
        parameters: Parameters that go in.
        outputs: Artifacts that come out.
        results: Parameters that come out.
        executor: Its label; empty for a DAG.
        tasks: Of its DAG, by name.
        selected: Artifact outputs of its DAG: name to (task, key) of each place that it may come from.
    """

    inputs: Mapping[str, Port]
    parameters: Mapping[str, Port]
    outputs: Mapping[str, Port]
    results: Mapping[str, Port]
    executor: str = ""
    tasks: Mapping[str, Task] = field(default_factory=dict)
    selected: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """What a component runs.

    Args:
        kind: ``container``, ``importer``, ``resolver`` or ``customJob``.
        image: Of a container.
        command: Of a container.
        args: Of a container.
        env: Of a container.
        accelerators: Names of accelerators that it asks for.
        lifecycle: The container has a command that runs before the cache is asked.
        uri: What an importer imports: a source, a constant one or a parameter.
        platform: Its settings in the second document, as they stand there.
    """

    kind: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    accelerators: tuple[str, ...] = ()
    lifecycle: bool = False
    uri: Source | None = None
    platform: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPipeline:
    """A whole pipeline.

    Args:
        name: As it says; untrusted, as all of it.
        root: Its own component.
        components: The others, by name.
        executors: By label.
        lines: Path of keys in the file to the line, one-based.
    """

    name: str
    root: Component
    components: Mapping[str, Component]
    executors: Mapping[str, Executor]
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
