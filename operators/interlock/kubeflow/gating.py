"""`gated(task, requires=[...])`: the guard and its receipts, put onto a task of any component as it is.

The task keeps its component, image, resources and settings. What is added are the receipts as required inputs, the
inputs by which a step knows its run, and the guard at the start of the container's command. Edges alone hold nothing
when the pipeline runs; the guard does, in the step's own pod (`interlock.kubeflow.guard`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from interlock.gate import GATE_KINDS, UsageError
from interlock.kubeflow.guard import COMMAND, STEPS, Guarded
from interlock.kubeflow.identity import PLACEHOLDERS, PREFIX
from interlock.kubeflow.wiring import RECEIPT_INPUT, kinds_of, receipt_channels

if TYPE_CHECKING:
    from kfp.dsl.pipeline_channel import PipelineArtifactChannel
    from kfp.dsl.pipeline_task import PipelineTask

    Requires = Sequence[PipelineTask] | Mapping[str, PipelineArtifactChannel]

EXECUTOR_INPUT = "{{$}}"


def gated(
    task: PipelineTask, requires: Requires, *, subject: str | None = None, protects: str = "training"
) -> PipelineTask:
    """Put a task behind the guard.

    The task's image needs Interlock and Python, and its pod the deployment's settings; without them it does not start.
    Its result is never taken from KFP's cache, because a cached step asks no guard.

    Args:
        task: A task of a pipeline, from a component with a command of its own: any `dsl.component`, and a
            `dsl.container_component` that names its command.
        requires: The gates on exactly what the task uses. Inside of a pipeline that is used as a component, where the
            gates are outside: the receipts that come in, by their kind of gate (``{"data-validation": receipt}``).
        subject: The input with what the task uses; by default its only artifact. A task that uses several is gated
            once for each of them.
        protects: ``training`` or ``deployment``: whose rules apply.

    Returns:
        The same task.

    Raises:
        UsageError: The task cannot be guarded, it is not clear what it uses, or an entry of `requires` brings no
            receipt; says what to do instead.
    """
    _check_task(task)
    if protects not in STEPS:
        raise UsageError(f"a step protects {protects!r}", where=task.name, next_step=f"use one of {', '.join(STEPS)}")
    used = _subject_of(task, subject)
    evidence = _evidence(requires, task)
    taken = sum(name.startswith(RECEIPT_INPUT) for name in task.component_spec.inputs or {})
    receipts = {f"{RECEIPT_INPUT}{number}": channel for number, (_, channel) in enumerate(evidence, start=taken + 1)}
    _add_inputs(task, receipts)
    container: Any = task.container_spec
    guarded = Guarded(
        step=protects,
        subject=used,
        receipts=tuple(receipts),
        requires=tuple(kind for kind, _ in evidence),
        executor_input=EXECUTOR_INPUT,
        command=tuple(container.command),
    )
    container.command = guarded.words()
    return task.set_caching_options(enable_caching=False)


def _check_task(task: Any) -> None:
    from kfp.dsl.pipeline_task import PipelineTask

    if not isinstance(task, PipelineTask):
        raise UsageError(
            f"gated() takes a task, and this is a {type(task).__name__}",
            next_step="call the component inside of the pipeline, and give what it returns",
        )
    for unfit, why, instead in _reasons(task):
        if unfit:
            raise UsageError(f"{task.name} cannot be gated: {why}", where=task.component_spec.name, next_step=instead)


def _reasons(task: PipelineTask) -> Iterator[tuple[bool, str, str]]:
    """Whether a task cannot be guarded from outside, why, and what to do instead."""
    from kfp.dsl.pipeline_task import TaskState

    container: Any = task.container_spec
    command = tuple(container.command) if container is not None else ()
    ours = any(name.startswith(PREFIX) for name in task.component_spec.inputs or {})
    ignoring = task._ignore_upstream_failure_tag  # noqa: SLF001 (kfp says it nowhere else)
    yield task.state is TaskState.FINAL, "it has run already, outside of a pipeline", "call it inside of a pipeline"
    yield task.importer_spec is not None, "an importer runs no command", "gate the step that uses what is imported"
    yield (
        task.pipeline_spec is not None,
        "it is a pipeline of its own",
        "gate its protected steps inside of it, and hand the receipts in",
    )
    yield (
        ours and command[: len(COMMAND)] != COMMAND,
        f"it is Interlock's own, or has inputs that begin with {PREFIX}",
        "use `requires` of secure_train or deploy_gate; rename other components' inputs",
    )
    yield (
        not command,
        "its container names no command, so the image's own would run",
        "name the command of the container",
    )
    yield (
        ignoring or getattr(task, "is_exit_handler", False),
        "it runs although a gate before it failed",
        "leave ignore_upstream_failure and the exit handler away",
    )


def _subject_of(task: PipelineTask, subject: str | None) -> str:
    """The input that the guard holds."""
    from kfp.dsl.structures import spec_type_is_parameter

    inputs = task.component_spec.inputs or {}
    own = {name: one for name, one in inputs.items() if not name.startswith(PREFIX)}
    artifacts = [name for name, one in own.items() if not spec_type_is_parameter(str(one.type))]
    shown = ", ".join(artifacts) or "none"
    if subject is None and len(artifacts) != 1:
        raise UsageError(
            f"it is not clear what {task.name} uses: it has {len(artifacts)} artifact inputs ({shown})",
            where=task.component_spec.name,
            next_step='name it: gated(..., subject="...")' if artifacts else "give it its data or model as an artifact",
        )
    used = artifacts[0] if subject is None else subject
    if used not in artifacts or used not in task.inputs:
        raise UsageError(
            f"{task.name} is given no artifact {used!r}", where=task.component_spec.name, next_step=f"it has {shown}"
        )
    if used in _held(task):
        raise UsageError(
            f"{used!r} of {task.name} is gated already",
            where=task.component_spec.name,
            next_step="name all its gates in one call",
        )
    if inputs[used].is_artifact_list:
        raise UsageError(
            f"{used!r} of {task.name} is a list of artifacts, and a guard holds one",
            where=task.component_spec.name,
            next_step="let the task take one artifact, which may be a folder",
        )
    return used


def _held(task: PipelineTask) -> set[str]:
    """The inputs that guards of earlier calls hold."""
    container: Any = task.container_spec
    command = tuple(container.command)
    guard = Guarded.parse(command[len(COMMAND) :]) if command[: len(COMMAND)] == COMMAND else None
    held = set()
    while guard is not None:
        held.add(guard.subject)
        guard = guard.behind
    return held


def _evidence(requires: Requires, task: PipelineTask) -> list[tuple[str, PipelineArtifactChannel]]:
    """The kind of each receipt, and where it comes from."""
    if isinstance(requires, Mapping):
        found = [(kind, _incoming(kind, channel, task)) for kind, channel in requires.items()]
    else:
        for entry in requires:
            _check_gate(entry, task)
        channels = receipt_channels(requires)
        found = [(kinds_of(entry)[0], channel) for entry, channel in zip(requires, channels.values(), strict=True)]
    kinds = [kind for kind, _ in found]
    twice = [kind for kind in dict.fromkeys(kinds) if kinds.count(kind) > 1]
    if twice or not found:
        raise UsageError(
            f"there are two receipts of {twice[0]}" if twice else "a step that requires nothing has no guard",
            where=task.name,
            next_step="name one gate of each kind, on exactly what the task uses",
        )
    return found


def _check_gate(entry: Any, task: PipelineTask) -> None:
    from kfp.dsl.pipeline_task import PipelineTask

    if not isinstance(entry, PipelineTask):
        raise UsageError(
            f"`requires` takes tasks of Interlock's gates, and this is a {type(entry).__name__}",
            where=task.name,
            next_step="requires=[validate_data(subject=...), ...]; receipts that come in go by their kind: "
            '{"data-validation": receipt}',
        )
    if not kinds_of(entry):
        raise UsageError(
            f"{entry.name} makes no receipt that opens a guard",
            where=task.name,
            next_step=f"require gates of interlock.kubeflow; to order tasks only: {task.name}.after({entry.name})",
        )


def _incoming(kind: str, channel: Any, task: PipelineTask) -> PipelineArtifactChannel:
    from kfp.dsl.pipeline_channel import PipelineArtifactChannel
    from kfp.dsl.pipeline_task import PipelineTask

    from interlock.kubeflow.artifacts import Receipt

    if kind not in GATE_KINDS:
        raise UsageError(
            f"unknown kind of gate {kind!r}", where=task.name, next_step=f"use one of {', '.join(GATE_KINDS)}"
        )
    title = str(getattr(channel, "channel_type", "")).split("@")[0]
    if not isinstance(channel, PipelineArtifactChannel) or title != Receipt.schema_title or channel.is_artifact_list:
        raise UsageError(
            f"what is handed in as receipt of {kind} is none",
            where=task.name,
            next_step="type the pipeline's input as Input[Receipt], and pass output `receipt` of a gate into it",
        )
    producer = channel.task
    if isinstance(producer, PipelineTask) and producer.pipeline_spec is None and kinds_of(producer) != (kind,):
        raise UsageError(
            f"{producer.name} makes no receipt of {kind}",
            where=task.name,
            next_step=f"take the receipt from the {kind} gate; what is imported or written by hand is no evidence",
        )
    return channel


def _add_inputs(task: PipelineTask, receipts: Mapping[str, PipelineArtifactChannel]) -> None:
    """Declare and bind them; the component that other tasks share stays as it is."""
    from kfp.dsl.structures import InputSpec
    from kfp.dsl.types.type_utils import create_bundled_artifact_type

    from interlock.kubeflow.artifacts import Receipt

    kind = create_bundled_artifact_type(Receipt.schema_title, Receipt.schema_version)
    spec = copy(task.component_spec)
    spec.inputs = {
        **(spec.inputs or {}),
        **{name: InputSpec(type=kind) for name in receipts},
        **{name: InputSpec(type="String") for name in PLACEHOLDERS},
    }
    task.component_spec = spec
    bound = {**receipts, **PLACEHOLDERS}
    kept: Any = task._task_spec  # noqa: SLF001 (a copy of the same, which kfp keeps beside it)
    task.inputs.update(bound)
    kept.inputs.update(bound)
    task.register_pipeline_channels(list(receipts.values()))
