"""A pipeline as the chain rule sees it, whichever orchestrator it came from.

An adapter (the Airflow cluster policy, later the serialized DAG and Kubeflow's IR) fills these values in; nothing
here knows how a trigger rule is spelled or what an operator is.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.gate.errors import UsageError
from interlock.pipeline.settings import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node of a pipeline.

    Args:
        id: Unique in its graph.
        gate: The gate kind whose evidence this step makes (one of `interlock.gate.GATE_KINDS`), else empty.
        genuine: False when the step only looks like that gate, for example a subclass of it.
        overrides: Names of what was put over or around the gate's own work: ``execute``, ``pre_execute``,
            ``on_failure_callback``...
        subject: What the step, as a gate, looks at (for `training`: what it makes), as the pipeline's text names it,
            through `interlock.pipeline.named`; empty when the pipeline does not say.
        protects: ``training``, ``deployment`` or empty: what kind of protected step this is.
        because: Why it counts as protected, for messages.
        inputs: What the step uses, as the pipeline's text names it, through `interlock.pipeline.named`.
        outputs: What it makes, likewise.
        starts: Ids of other pipelines that it starts. Its gates do not count there: anybody can start those alone.
        requires: Gate kinds that must have passed before this step, from policy and from the step itself.
        rule: The orchestrator's own word for when the step runs, for messages.
        needs_all_upstreams: True when the step runs only if every direct upstream succeeded (not failed, not
            skipped).
        setup: The step is a setup.
        teardown: The step is a teardown.
        image: The container image that it runs, as the pipeline names it; empty when the pipeline names none.
        cached: The orchestrator may take the step's result from an earlier run.
        settings: Variables, parameters and arguments that stand in the pipeline's text.
        unguarded: Why nothing asks for evidence as this protected step starts; empty when the step itself or its
            orchestrator does.
        foreign_receipts: What is handed to it as a receipt and is not the receipt of a genuine gate of the pipeline.
        installs: What it installs or fetches to run as it starts, by the pipeline's text.
        secrets: Secrets of the cluster that it is given, as variables or files.
        mounts: Claims, volumes and config maps of the cluster that it is given.
    """

    id: str
    gate: str = ""
    genuine: bool = True
    overrides: tuple[str, ...] = ()
    subject: str = ""
    protects: str = ""
    because: str = ""
    requires: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    rule: str = "all_success"
    needs_all_upstreams: bool = True
    setup: bool = False
    teardown: bool = False
    image: str = ""
    cached: bool = False
    settings: tuple[Setting, ...] = ()
    unguarded: str = ""
    foreign_receipts: tuple[str, ...] = ()
    installs: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()

    @property
    def passes_failure_on(self) -> bool:
        """True when a failed or skipped upstream surely keeps this step from running."""
        return self.needs_all_upstreams and not self.setup and not self.teardown

    @property
    def stops(self) -> bool:
        """True when the step, as a gate, can be relied on to end unsuccessfully if its check did."""
        return bool(self.gate) and self.genuine and not self.overrides and not self.setup and not self.teardown


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Steps and the edges between them.

    Args:
        steps: In the pipeline's own order; messages follow it.
        edges: (upstream id, downstream id).

    Raises:
        UsageError: Two steps share an id, or an edge names a step that is not there.
    """

    steps: tuple[Step, ...]
    edges: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        known = {step.id for step in self.steps}
        if len(known) != len(self.steps):
            twice = next(step.id for step in self.steps if sum(other.id == step.id for other in self.steps) > 1)
            raise UsageError("two steps of a pipeline share an id", where=twice)
        for edge in self.edges:
            for end in edge:
                if end not in known:
                    raise UsageError(
                        "an edge names a step that is not in the pipeline", where=f"{edge[0]} -> {edge[1]}"
                    )
