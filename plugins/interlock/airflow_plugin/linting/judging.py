"""In the worker, where no author's code ran: what a file's own process said, judged by the chain rule.

Two graphs of each DAG are judged: the one of its live objects, and the one of its serialized form, which is what the
scheduler will see. What either of them violates is a finding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from interlock.airflow_plugin.linting.bag import serializer
from interlock.airflow_plugin.serialized_graph import graph_of_serialized
from interlock.airflow_plugin.wording import fixes
from interlock.gate.errors import InterlockError
from interlock.gate.values import Json, Level
from interlock.lint.answers import finding_answer, rule_of
from interlock.pipeline import Graph, Mode, Violation, check, describe, graph_from

if TYPE_CHECKING:
    from airflow.serialization.definitions.dag import SerializedDAG

    from interlock.airflow_plugin.rules import Rules

_POLICY = {
    "refused": ("airflow.cluster-policy", Level.ERROR, "a cluster policy refuses DAG {dag!r}: {said}"),
    "skipped": ("airflow.cluster-policy", Level.WARNING, "a cluster policy skips DAG {dag!r} without a trace: {said}"),
    "failed": ("lint.import-error", Level.ERROR, "DAG {dag!r} cannot be loaded: {said}"),
}


class Judged:
    """One DAG as it was said to be, read and judged.

    Args:
        said: Of the author's process; untrusted.
        rules: Policy's word.

    Raises:
        InterlockError: It is of another shape.
    """

    def __init__(self, said: Mapping[str, Any], rules: Rules) -> None:
        try:
            self.dag = str(said["dag"])
            self.mode = rules.enforcement.mode(self.dag, tuple(map(str, said["tags"])))
            self.line = int(said["line"])
            self.graph = graph_from(said["graph"]) if said["graph"] is not None else None
            self._lines = {str(step): int(line) for step, line in said["lines"].items()}
            self._policy = [str(part) for part in said["policy"]]
            self._inserted = [str(step) for step in said["inserted"]]
            self._problem = str(said["problem"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InterlockError(f"the file's process says something of another shape: {error!r}") from error
        self._serialized: SerializedDAG | None = None
        self._scheduled = self._read(said.get("serialized"), rules)

    @property
    def steps(self) -> tuple[str, ...]:
        """Ids of gates and protected steps: those that a worker is asked about again."""
        graphs = [graph for graph in (self.graph, self._scheduled) if graph is not None]
        return tuple(dict.fromkeys(step.id for graph in graphs for step in graph.steps if step.protects or step.gate))

    @property
    def protects(self) -> bool:
        """Whether any step is protected."""
        graphs = [graph for graph in (self.graph, self._scheduled) if graph is not None]
        return any(step.protects for graph in graphs for step in graph.steps)

    def violations(self) -> dict[tuple[str, str], Violation]:
        """What the chain rule finds in either graph, by step and gate kind."""
        found: dict[tuple[str, str], Violation] = {}
        for graph in (self.graph, self._scheduled):
            for violation in check(graph) if graph is not None else ():
                found.setdefault((violation.step_id, violation.missing), violation)
        return found

    def findings(self) -> Iterator[dict[str, Json]]:
        """Everything to say of this DAG."""
        if self._policy:
            rule, level, wording = _POLICY[self._policy[0]]
            text = wording.format(dag=self.dag, said=self._policy[1])
            yield finding_answer(rule, text, level=level, dag=self.dag, line=self.line)
        if self._problem:
            text = f"DAG {self.dag!r} cannot be serialized, so Airflow cannot load it: {_last(self._problem)}"
            yield finding_answer("lint.import-error", text, dag=self.dag, line=self.line)
        for step in self._inserted:
            text = f"mode insert puts gate {step!r} into DAG {self.dag!r}; write it into the file to set it yourself"
            yield finding_answer("lint.inserted-gate", text, level=Level.NOTE, dag=self.dag, line=self.line, step=step)
        for violation in self.violations().values():
            yield self.finding(violation)

    def finding(self, violation: Violation, where: str = "") -> dict[str, Json]:
        """One violation as a finding; `where` says how it was loaded."""
        soft = f" (mode {self.mode.value} lets it pass)" if self.mode.lets_pass else ""
        return finding_answer(
            rule_of(violation),
            f"{where}{describe(violation)}{soft}",
            level=Level.WARNING if self.mode.lets_pass else Level.ERROR,
            dag=self.dag,
            step=violation.step_id,
            gate=violation.missing,
            line=self._lines.get(violation.step_id, self.line),
            fixes=self._fixes(violation),
        )

    def _fixes(self, violation: Violation) -> tuple[str, ...]:
        if self._serialized is None:
            return ()
        dag: Any = self._serialized  # it has the tasks and their arguments, which is all that is asked for
        lines = tuple(dict.fromkeys(fixes(dag, violation)))
        if self.mode is Mode.INSERT:
            return (*lines, "or say in data.interlock.insertion.airflow how the gate is set")
        return lines

    def _read(self, document: Json, rules: Rules) -> Graph | None:
        if not isinstance(document, dict):
            return None
        try:
            scheduled: SerializedDAG = serializer().from_dict(json.loads(json.dumps(document)))
            graph = graph_of_serialized(scheduled, rules.protection, rules.required)
        except Exception as error:  # noqa: BLE001  # the scheduler could not read it, either, whatever it raises
            self._problem = self._problem or f"{type(error).__name__}: {error}"
            return None
        self._serialized = scheduled
        return graph if graph.steps else None


def _last(trace: str) -> str:
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"
