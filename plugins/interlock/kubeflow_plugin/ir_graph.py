"""A compiled Kubeflow pipeline as the neutral graph of `interlock.pipeline`.

A protected step is recognised generously: by what policy's data says of what it uses, and always when it is one of
Interlock's own or begins with the guard. A gate is recognised strictly: it must run exactly what is shipped, in an
image that policy takes, without the cache, with its strictness written into the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from interlock.kubeflow_plugin.documents import Document
from interlock.kubeflow_plugin.flattening import Flat, Given, Group, Leaf, flatten
from interlock.kubeflow_plugin.gate_tampering import overrides_of, steers_python
from interlock.kubeflow_plugin.guard_command import Guarding, guarding_of, receipts_in
from interlock.kubeflow_plugin.ir import CompiledPipeline, Executor
from interlock.kubeflow_plugin.ir_reading import read_ir
from interlock.kubeflow_plugin.own_components import OPTIONS, OWN, RECEIPT, VERIFY, OwnComponent, own_name
from interlock.kubeflow_plugin.step_traits import (
    installs_of,
    is_model,
    mounts_of,
    secrets_of,
    settings_of,
    traits_of,
    variables_of,
)
from interlock.pipeline import Graph, Protection, Step

Required = Callable[[str], tuple[str, ...]]
"""The gate kinds that policy requires for ``training`` or ``deployment``; raises for any other word."""

_NO_DATA = ("system.Metrics", "system.ClassificationMetrics", "system.SlicedClassificationMetrics", "system.HTML",
            "system.Markdown", "system.InterlockReceipt")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class IrGraph:
    """A pipeline, read.

    Args:
        name: As it says; untrusted.
        graph: Its steps.
        lines: Step id to the line of its task, one-based.
    """

    name: str
    graph: Graph
    lines: Mapping[str, int]


def graph_of_ir(
    documents: tuple[Document, ...], protection: Protection, required: Required, *, gate_images: Callable[[str], bool]
) -> IrGraph:
    """Translate the documents of one file.

    Args:
        documents: Untrusted; see `interlock.kubeflow_plugin.documents.read_documents`.
        protection: Which steps policy protects.
        required: The gate kinds that policy requires.
        gate_images: Whether policy takes an image for a gate.

    Raises:
        UnreadableError: It is no pipeline that can be judged.
    """
    pipeline = read_ir(documents)
    flat = flatten(pipeline)
    steps = _Steps(pipeline, flat, protection, required, gate_images)
    graph = steps.graph()
    lines = {node.id: _line(pipeline, node.place) for node in flat.nodes}
    return IrGraph(name=pipeline.name, graph=graph, lines=lines)


def _line(pipeline: CompiledPipeline, place: tuple[str, ...]) -> int:
    return pipeline.lines.get(place, 0)


@dataclass(frozen=True, slots=True)
class _Known:
    """A leaf with what it runs and what it is."""

    leaf: Leaf
    executor: Executor
    name: str
    genuine: bool
    own: OwnComponent


class _Steps:
    def __init__(
        self,
        pipeline: CompiledPipeline,
        flat: Flat,
        protection: Protection,
        required: Required,
        gate_images: Callable[[str], bool],
    ) -> None:
        self._pipeline, self._flat, self._protection, self._required = pipeline, flat, protection, required
        self._gate_images = gate_images
        self._made_by = {maker: name for name, maker in flat.makers.items()}
        self._known = {node.id: self._know(node) for node in flat.nodes if isinstance(node, Leaf)}

    def graph(self) -> Graph:
        steps: list[Step] = []
        edges = list(self._flat.edges)
        for node in self._flat.nodes:
            made = [self._group(node)] if isinstance(node, Group) else self._steps_of(self._known[node.id])
            steps += made
            for before, after in pairwise(made):  # what waits for the first waits for the last
                edges = [(after.id if edge[0] == before.id else edge[0], edge[1]) for edge in edges]
                edges.append((before.id, after.id))
        return Graph(steps=(*steps, *self._joins(steps)), edges=tuple(dict.fromkeys(edges)))

    def _know(self, leaf: Leaf) -> _Known:
        executor = self._pipeline.executors[leaf.component.executor]
        name, genuine = own_name(leaf.task.component, leaf.component, executor)
        return _Known(leaf, executor, name, genuine, OWN.get(name, OwnComponent()))

    def _group(self, group: Group) -> Step:
        return Step(id=group.id, rule=group.rule or "all_success", needs_all_upstreams=not group.rule)

    def _steps_of(self, known: _Known) -> list[Step]:
        """One step, or for `verify` one for each kind of receipt that it finds."""
        step = self._step(known)
        kinds = self._kinds(known)
        if not kinds:
            return [step]
        first = replace(step, gate=kinds[0])
        return [first, *(replace(step, id=f"{step.id} ({kind})", gate=kind, settings=()) for kind in kinds[1:])]

    def _kinds(self, known: _Known) -> tuple[str, ...]:
        if known.name != VERIFY:
            return (known.own.gate,) if known.own.gate else ()
        options = known.leaf.parameters.get(OPTIONS, Given(constant=False)).value
        asked = options.get("requires") if isinstance(options, Mapping) else None
        return tuple(dict.fromkeys(str(kind) for kind in asked)) if isinstance(asked, list) else ()

    def _step(self, known: _Known) -> Step:
        leaf, executor, own = known.leaf, known.executor, known.own
        guarding = Guarding() if known.name else guarding_of(leaf, executor)
        protects, because = self._protection_of(known, guarding)
        makes_evidence = bool(own.gate) or known.name == VERIFY
        names = self._inputs(known, protects)
        return Step(
            id=leaf.id,
            genuine=known.genuine if known.name else True,
            overrides=tuple(overrides_of(leaf, executor, self._gate_images)) if makes_evidence else (),
            subject=self._subject(known),
            protects=protects,
            because=because,
            requires=self._requires(guarding, protects),
            inputs=names,
            outputs=self._outputs(known),
            rule=leaf.task.strategy or "all_success",
            needs_all_upstreams=not leaf.task.strategy,
            image=executor.image,
            cached=leaf.task.cached,
            settings=settings_of(leaf, executor),
            unguarded=self._unguarded(known, guarding, protects),
            foreign_receipts=tuple(self._foreign(known, guarding, protects)),
            installs=installs_of(executor),
            secrets=tuple(secrets_of(executor)),
            mounts=tuple(mounts_of(executor)),
        )

    def _protection_of(self, known: _Known, guarding: Guarding) -> tuple[str, str]:
        if known.name:
            return known.own.protects, ""
        match = self._protection.judge(traits_of(known.leaf, known.executor, self._pipeline.name))
        if guarding.step:
            return guarding.step, "it begins with Interlock's guard"
        return match.protects, match.because

    def _requires(self, guarding: Guarding, protects: str) -> tuple[str, ...]:
        if not protects:
            return ()
        return tuple(dict.fromkeys((*self._required(protects), *(kind for _, kind in guarding.requires))))

    def _subject(self, known: _Known) -> str:
        own = known.own
        if not own.subject:
            return ""
        if own.gate == "training":
            return self._made(known, own.subject)
        return known.leaf.artifacts.get(own.subject, "")

    def _inputs(self, known: _Known, protects: str) -> tuple[str, ...]:
        """What a protected step uses; an ordinary step says nothing that a gate could hold it by."""
        leaf = known.leaf
        if known.name:
            return tuple(leaf.artifacts[name] for name in known.own.inputs if name in leaf.artifacts)
        if not protects:
            return ()
        taken = set(receipts_in(leaf))
        used = [key for key in leaf.artifacts if key not in taken and leaf.component.inputs[key].type not in _NO_DATA]
        models = [key for key in used if is_model(leaf.component.inputs[key].type)]
        others = [key for key in used if key not in models]
        chosen = (models or others) if protects == "deployment" else (others or models)
        return tuple(dict.fromkeys(leaf.artifacts[key] for key in chosen))

    def _outputs(self, known: _Known) -> tuple[str, ...]:
        kept = known.own.outputs if known.name else tuple(known.leaf.component.outputs)
        return tuple(self._made(known, key) for key in kept if key in known.leaf.component.outputs)

    def _made(self, known: _Known, key: str) -> str:
        return self._made_by.get((known.leaf.id, key), "")

    def _unguarded(self, known: _Known, guarding: Guarding, protects: str) -> str:
        if not protects:
            return ""
        if known.name and not known.genuine:
            return f"it is called {known.name} and does not run what is shipped under that name"
        if not guarding.problem and any(map(steers_python, variables_of(known.executor))):
            return "a variable says where the guard's code or settings come from"
        return guarding.problem

    def _foreign(self, known: _Known, guarding: Guarding, protects: str) -> Iterator[str]:
        """Receipts that are not made by a genuine gate, or by one of another kind than the guard is told."""
        kinds = dict(guarding.requires)
        for name in receipts_in(known.leaf) if protects else ():
            artifact = known.leaf.artifacts.get(name)
            if artifact is None:
                continue
            maker, key = self._flat.makers.get(artifact, ("", ""))
            gate = self._known.get(maker)
            if gate is None or key != RECEIPT or not gate.genuine or not (gate.own.gate or gate.name == VERIFY):
                yield f"{name} ({artifact})"
            elif kinds.get(name, self._kinds(gate)[0]) not in self._kinds(gate):
                yield f"{name} ({artifact}, not of {kinds[name]})"

    def _joins(self, steps: list[Step]) -> Iterator[Step]:
        """One of several artifacts, or a list: made from what went into each of them, where all of them say it."""
        went_in = {name: step.inputs for step in steps for name in step.outputs}
        for number, (joined, sources) in enumerate(self._flat.joins.items(), start=1):
            inner = [went_in.get(name, ()) for name in sources]
            items = sources if joined.rpartition(".")[2].startswith("items[") else ()
            names = items or (tuple(dict.fromkeys(name for one in inner for name in one)) if all(inner) else ())
            if names:
                yield Step(id=f"artifact {number}", inputs=names, outputs=(joined,))
