"""Reads a compiled pipeline (IR, schemaVersion 2.1.0) strictly: what is not known is refused, never passed over.

The messages are those of KFP's `pipeline_spec.proto` in its JSON form. The reader knows every field of the messages
that decide what runs, when, and on what; a field that it does not know, or one spelled with an underscore (which
protobuf reads as well), could change any of that, so the file is then unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.kubeflow_plugin.documents import Document, UnreadableError
from interlock.kubeflow_plugin.fields import NEXT_STEP, Fields
from interlock.kubeflow_plugin.ir import CompiledPipeline, Component, Executor, Port, Source, Task

SCHEMA_VERSIONS = ("2.1.0",)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
_LISTED = (
    "secretAsVolume", "secretAsEnv", "pvcMount", "imagePullSecret", "configMapAsVolume", "configMapAsEnv",
    "fieldPathAsEnv", "tolerations", "genericEphemeralVolume", "nodeAffinity", "podAffinity", "emptyDirMounts",
)  # fmt: skip
_NESTED = ("nodeSelector", "podMetadata", "enabledSharedMemory", "securityContext")
_SIMPLE = ("imagePullPolicy", "activeDeadlineSeconds")
"""Fields of `KubernetesExecutorConfig` (kfp-kubernetes 2.16): lists of messages, messages, and plain values."""


def read_ir(documents: Sequence[Document]) -> CompiledPipeline:
    """Read a compiled pipeline.

    Args:
        documents: Of one file: the pipeline, and perhaps its platforms' settings.

    Raises:
        UnreadableError: It is none, of another version, or says something that is not known here.
    """
    if not documents or len(documents) > 2:  # the pipeline, and its platforms
        raise UnreadableError(f"a compiled pipeline has one or two documents, not {len(documents)}")
    spec = Fields.of(documents[0].value, "the pipeline")
    spec.known(
        "components", "defaultPipelineRoot", "deploymentSpec", "pipelineInfo", "root", "schemaVersion", "sdkVersion"
    )
    version = spec.text("schemaVersion")
    if version not in SCHEMA_VERSIONS:
        raise UnreadableError(f"schemaVersion {version!r} is not known", next_step=NEXT_STEP)
    info = spec.object("pipelineInfo")
    info.known("name", "displayName", "description")
    platforms = _platforms(documents[1]) if len(documents) > 1 else {}
    deployment = spec.object("deploymentSpec")
    deployment.known("executors")
    executors = deployment.objects("executors")
    unused = sorted(set(platforms) - set(executors))
    if unused:
        raise UnreadableError("platform settings name an executor that is not there", where=unused[0])
    return CompiledPipeline(
        name=info.text("name"),
        root=_component(spec.object("root")),
        components={name: _component(component) for name, component in spec.objects("components").items()},
        executors={label: _executor(executor, platforms.get(label, {})) for label, executor in executors.items()},
        lines=documents[0].lines,
    )


def _platforms(document: Document) -> Mapping[str, Mapping[str, Any]]:
    spec = Fields.of(document.value, "the platforms' document")
    spec.known("platforms")
    platforms = spec.objects("platforms")
    if set(platforms) - {"kubernetes"}:
        raise UnreadableError("settings of a platform that is not known", where=sorted(set(platforms))[0])
    if "kubernetes" not in platforms:
        return {}
    platforms["kubernetes"].known("deploymentSpec", "pipelineConfig", "platform")
    deployment = platforms["kubernetes"].object("deploymentSpec")
    deployment.known("executors")
    return {label: _platform(settings) for label, settings in deployment.objects("executors").items()}


def _platform(settings: Fields) -> Mapping[str, Any]:
    """Settings of one executor, with the shapes that other modules count on."""
    settings.known(*_LISTED, *_NESTED, *_SIMPLE)
    for name in _LISTED:
        settings.list_of_objects(name)
    for name in _NESTED:
        settings.object(name)
    for name in ("nodeSelector", "podMetadata"):
        settings.object(name).object("labels")
    return {name: value for name, value in settings.values.items() if value is not None}


def _component(spec: Fields) -> Component:
    spec.known("inputDefinitions", "outputDefinitions", "dag", "executorLabel", "taskConfigPassthroughs")
    inputs, outputs = spec.object("inputDefinitions"), spec.object("outputDefinitions")
    inputs.known("artifacts", "parameters")
    outputs.known("artifacts", "parameters")
    label, is_dag = spec.text("executorLabel"), spec.has("dag")
    if bool(label) == is_dag:
        raise UnreadableError("a component is neither an executor nor a DAG, or both", where=spec.where)
    dag = spec.object("dag")
    dag.known("tasks", "outputs")
    tasks = {name: _task(name, task) for name, task in dag.objects("tasks").items()}
    if is_dag and not tasks:
        raise UnreadableError("a DAG has no task", where=spec.where)
    return Component(
        inputs={name: _artifact(port) for name, port in inputs.objects("artifacts").items()},
        parameters={name: _parameter(port) for name, port in inputs.objects("parameters").items()},
        outputs={name: _artifact(port) for name, port in outputs.objects("artifacts").items()},
        results={name: _parameter(port) for name, port in outputs.objects("parameters").items()},
        executor=label,
        tasks=tasks,
        selected=_selected(dag.object("outputs")),
    )


def _artifact(port: Fields) -> Port:
    port.known(
        "artifactType", "isArtifactList", "isOptional", "description", "properties", "customProperties", "metadata"
    )
    kind = port.object("artifactType")
    kind.known("schemaTitle", "schemaUri", "instanceSchema", "schemaVersion")
    named = kind.text("schemaTitle") or kind.text("schemaUri") or kind.text("instanceSchema")
    return Port(type=named, is_list=port.flag("isArtifactList"), optional=port.flag("isOptional"))


def _parameter(port: Fields) -> Port:
    port.known("type", "parameterType", "defaultValue", "isOptional", "description", "literals")
    kind = port.text("parameterType") or port.text("type")
    return Port(type=kind, optional=port.flag("isOptional"), default=port.values.get("defaultValue"))


def _selected(outputs: Fields) -> dict[str, tuple[tuple[str, str], ...]]:
    outputs.known("artifacts", "parameters")
    found = {}
    for name, output in outputs.objects("artifacts").items():
        output.known("artifactSelectors")
        pairs = []
        for selector in output.list_of_objects("artifactSelectors"):
            selector.known("producerSubtask", "outputArtifactKey")
            pairs.append((selector.text("producerSubtask"), selector.text("outputArtifactKey")))
        found[name] = tuple(pairs)
    return found


def _task(name: str, spec: Fields) -> Task:
    spec.known(
        "artifactIterator", "cachingOptions", "componentRef", "dependentTasks", "inputs", "iteratorPolicy",
        "parameterIterator", "retryPolicy", "taskInfo", "triggerPolicy",
    )  # fmt: skip
    if not _NAME.fullmatch(name):
        raise UnreadableError("a task's name has characters that KFP's compiler does not write", where=spec.where)
    caching, policy, inputs = spec.object("cachingOptions"), spec.object("triggerPolicy"), spec.object("inputs")
    caching.known("enableCache", "cacheKey")
    policy.known("condition", "strategy")
    inputs.known("artifacts", "parameters")
    reference = spec.object("componentRef")
    reference.known("name")
    strategy = policy.text("strategy")
    return Task(
        component=reference.text("name"),
        after=spec.texts("dependentTasks"),
        artifacts={key: _artifact_source(source) for key, source in inputs.objects("artifacts").items()},
        parameters={key: _parameter_source(source) for key, source in inputs.objects("parameters").items()},
        cached=caching.flag("enableCache"),
        condition=policy.text("condition"),
        strategy="" if strategy in {"ALL_UPSTREAM_TASKS_SUCCEEDED", "TRIGGER_STRATEGY_UNSPECIFIED"} else strategy,
        iterates=_iterates(spec),
    )


def _iterates(spec: Fields) -> dict[str, Source]:
    found = {}
    for name in ("artifactIterator", "parameterIterator"):
        if not spec.has(name):
            continue
        iterator = spec.object(name)
        iterator.known("items", "itemInput")
        items = iterator.object("items")
        items.known("inputArtifact", "inputParameter", "raw")
        given = items.text("inputArtifact") or items.text("inputParameter")
        source = Source(kind="input", key=given) if given else Source(kind="constant", constant=items.text("raw"))
        found[iterator.text("itemInput")] = source
    return found


def _artifact_source(spec: Fields) -> Source:
    spec.known("taskOutputArtifact", "componentInputArtifact")
    if spec.has("taskOutputArtifact") == spec.has("componentInputArtifact"):
        raise UnreadableError("an artifact input comes from no place, or from two", where=spec.where)
    if spec.has("componentInputArtifact"):
        return Source(kind="input", key=spec.text("componentInputArtifact"))
    return _output(spec.object("taskOutputArtifact"), "outputArtifactKey")


def _parameter_source(spec: Fields) -> Source:
    places = ("taskOutputParameter", "runtimeValue", "componentInputParameter", "taskFinalStatus")
    spec.known(*places, "parameterExpressionSelector")
    if sum(map(spec.has, places)) != 1:
        raise UnreadableError("a parameter comes from no place, or from two", where=spec.where)
    if spec.has("taskOutputParameter"):
        return _output(spec.object("taskOutputParameter"), "outputParameterKey")
    if spec.has("componentInputParameter"):
        return Source(kind="input", key=spec.text("componentInputParameter"))
    if spec.has("taskFinalStatus"):
        status = spec.object("taskFinalStatus")
        status.known("producerTask")
        return Source(kind="status", producer=status.text("producerTask"))
    value = _value(spec.object("runtimeValue"))
    selects = spec.text("parameterExpressionSelector")
    return Source(kind="elsewhere", key=selects) if selects else value


def _output(spec: Fields, key: str) -> Source:
    spec.known("producerTask", key)
    return Source(kind="output", producer=spec.text("producerTask"), key=spec.text(key))


def _value(spec: Fields) -> Source:
    spec.known("constant", "constantValue", "runtimeParameter")
    if len(spec.values) != 1:
        raise UnreadableError("a value is none, or two", where=spec.where)
    if spec.has("runtimeParameter"):
        return Source(kind="input", key=spec.text("runtimeParameter"))
    if spec.has("constant"):
        return Source(kind="constant", constant=spec.values["constant"])
    old = spec.object("constantValue")
    old.known("intValue", "doubleValue", "stringValue")
    return Source(kind="constant", constant=next(iter(old.values.values()), None))


def _executor(spec: Fields, platform: Mapping[str, Any]) -> Executor:
    kinds = ("container", "importer", "resolver", "customJob")
    spec.known(*kinds)
    found = [kind for kind in kinds if spec.has(kind)]
    if len(found) != 1:
        raise UnreadableError("an executor is of no kind, or of two", where=spec.where)
    if found[0] == "container":
        return _container(spec.object("container"), platform)
    if found[0] == "importer":
        importer = spec.object("importer")
        importer.known(
            "artifactUri", "typeSchema", "properties", "customProperties", "reimport", "metadata", "downloadToWorkspace"
        )
        return Executor(kind="importer", uri=_value(importer.object("artifactUri")), platform=platform)
    return Executor(kind=found[0], platform=platform)


def _container(spec: Fields, platform: Mapping[str, Any]) -> Executor:
    spec.known("image", "command", "args", "lifecycle", "resources", "env")
    variables = []
    for variable in spec.list_of_objects("env"):
        variable.known("name", "value")
        variables.append((variable.text("name"), variable.text("value")))
    resources = spec.object("resources")
    resources.known(
        "cpuLimit", "memoryLimit", "cpuRequest", "memoryRequest", "resourceCpuLimit", "resourceMemoryLimit",
        "resourceCpuRequest", "resourceMemoryRequest", "accelerator",
    )  # fmt: skip
    accelerators: tuple[str, ...] = ()
    if resources.has("accelerator"):
        accelerator = resources.object("accelerator")
        accelerator.known("type", "count", "resourceType", "resourceCount")
        counts = [str(accelerator.values.get(name, "0")) for name in ("count", "resourceCount")]
        if any(count.strip() not in {"", "0"} for count in counts):
            named = (accelerator.text("resourceType"), accelerator.text("type"))
            accelerators = tuple(dict.fromkeys(filter(None, named))) or ("gpu",)
    return Executor(
        kind="container",
        image=spec.text("image"),
        command=spec.texts("command"),
        args=spec.texts("args"),
        env=tuple(variables),
        accelerators=accelerators,
        lifecycle=spec.has("lifecycle"),
        platform=platform,
    )
