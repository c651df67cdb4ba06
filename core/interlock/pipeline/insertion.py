"""How a missing gate is set when mode ``insert`` puts it in front of a step: from data in the policy bundle.

A gate needs things that only people know, such as which suite and which label column. Rules lie in
``data.interlock.insertion.<orchestrator>`` by name; each is for one kind of gate and selects pipelines as the rules of
`interlock.pipeline.enforcement` do. A kind for which no rule selects a pipeline is not inserted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from interlock.gate.errors import PolicyError
from interlock.gate.values import GATE_KINDS, Json
from interlock.pipeline.selection import Selector, rules_at

_KNOWN = frozenset({"gate", "options", "pipelines", "tags", "priority", "title"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    gate: str
    options: Mapping[str, Json]
    selector: Selector


@dataclass(frozen=True, slots=True)
class Insertion:
    """The rules of one policy bundle for one orchestrator, the one that counts first."""

    rules: tuple[_Rule, ...] = field(repr=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Json], orchestrator: str) -> Insertion:
        """Read ``interlock.insertion.<orchestrator>`` of a bundle's data.

        Args:
            data: Of the bundle.
            orchestrator: ``airflow`` or ``kubeflow``.

        Raises:
            PolicyError: A rule is not of this shape.
        """
        rules, where = rules_at(data, "insertion", orchestrator)
        read = [_rule(name, rule, f"{where}.{name}") for name, rule in rules.items()]
        return cls(tuple(sorted(read, key=lambda rule: (-rule.selector.priority, rule.name))))

    def options(self, gate: str, pipeline: str, tags: tuple[str, ...]) -> Mapping[str, Json] | None:
        """Arguments of the gate besides its subject; None when no rule says how to set it in this pipeline."""
        found = (rule for rule in self.rules if rule.gate == gate and rule.selector.selects(pipeline, tags))
        return next((rule.options for rule in found), None)


def _rule(name: str, rule: Json, where: str) -> _Rule:
    options = rule.get("options", {}) if isinstance(rule, Mapping) else None
    if not isinstance(rule, Mapping) or not set(rule) <= _KNOWN or not isinstance(options, Mapping):
        raise PolicyError(
            "a rule of insertion has another shape",
            where=where,
            next_step='write {gate: "data-poisoning", pipelines: ["*"], options: {label: "label"}}',
        )
    gate = rule.get("gate")
    if not isinstance(gate, str) or gate not in GATE_KINDS:
        raise PolicyError(f"{gate!r} is no kind of gate", where=where, next_step=f"use one of {', '.join(GATE_KINDS)}")
    return _Rule(name=name, gate=gate, options=options, selector=Selector.of(rule, where))
