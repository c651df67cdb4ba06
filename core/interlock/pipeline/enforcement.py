"""What happens to a pipeline whose protected steps are not gated: the mode, from data in the policy bundle.

``enforce`` refuses it, ``insert`` puts the missing gates in front, ``warn`` lets it pass and says so where its author
looks, ``audit`` lets it pass and says so to operators only. Rules lie in ``data.interlock.enforcement.<orchestrator>``
by name, as those of `interlock.pipeline.protection` do; a pipeline that no rule selects is enforced. The mode decides
about the pipeline's structure alone: the guard inside a step asks for receipts in every mode.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.pipeline.patterns import one_of

_KNOWN = frozenset({"mode", "pipelines", "tags", "priority", "title"})


class Mode(Enum):
    """How strictly the chain rule is applied to one pipeline."""

    ENFORCE = "enforce"
    INSERT = "insert"
    WARN = "warn"
    AUDIT = "audit"

    @property
    def lets_pass(self) -> bool:
        """An ungated pipeline runs."""
        return self in {Mode.WARN, Mode.AUDIT}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    mode: Mode
    priority: int
    pipelines: re.Pattern[str] | None
    tags: re.Pattern[str] | None

    def selects(self, pipeline: str, tags: tuple[str, ...]) -> bool:
        if self.pipelines is not None and not self.pipelines.match(pipeline):
            return False
        return self.tags is None or any(self.tags.match(tag) for tag in tags)


@dataclass(frozen=True, slots=True)
class Enforcement:
    """The modes of one policy bundle for one orchestrator, the one that counts first."""

    rules: tuple[_Rule, ...] = field(repr=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Json], orchestrator: str) -> Enforcement:
        """Read ``interlock.enforcement.<orchestrator>`` of a bundle's data.

        A rule is an object with ``mode`` and one or both of ``pipelines`` and ``tags``, lists of shell-style patterns.
        Of several that select a pipeline the highest ``priority`` counts, then the stricter mode. Without rules
        everything is enforced.

        Args:
            data: Of the bundle.
            orchestrator: ``airflow`` or ``kubeflow``.

        Raises:
            PolicyError: A rule is not of this shape.
        """
        said = data.get("interlock")
        told = said.get("enforcement", {}) if isinstance(said, Mapping) else {}
        rules = told.get(orchestrator, {}) if isinstance(told, Mapping) else None
        where = f"data.interlock.enforcement.{orchestrator}"
        if not isinstance(rules, Mapping):
            raise PolicyError("the modes of enforcement are no object", where=where, next_step="write named rules")
        read = [_rule(name, rule, f"{where}.{name}") for name, rule in rules.items()]
        strictest = list(Mode)
        return cls(tuple(sorted(read, key=lambda rule: (-rule.priority, strictest.index(rule.mode), rule.name))))

    def mode(self, pipeline: str, tags: tuple[str, ...]) -> Mode:
        """The mode of one pipeline.

        Args:
            pipeline: Its id; untrusted, as is everything that its author writes.
            tags: Its tags. Whoever writes a pipeline writes its tags: select by tag only what may choose for itself.
        """
        return next((rule.mode for rule in self.rules if rule.selects(pipeline, tags)), Mode.ENFORCE)


def _rule(name: str, rule: Json, where: str) -> _Rule:
    if not isinstance(rule, Mapping) or not set(rule) <= _KNOWN or not {"pipelines", "tags"} & set(rule):
        raise PolicyError(
            "a rule of enforcement has another shape",
            where=where,
            next_step='write {mode: "warn", pipelines: ["legacy_*"]}',
        )
    priority = rule.get("priority", 0)
    try:
        mode = Mode(rule.get("mode"))
    except ValueError as error:
        known = ", ".join(mode.value for mode in Mode)
        raise PolicyError(f"mode {rule.get('mode')!r} is unknown", where=where, next_step=f"use {known}") from error
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise PolicyError("a rule's priority is no whole number", where=where, next_step="leave it out, or write 10")
    return _Rule(
        name=name,
        mode=mode,
        priority=priority,
        pipelines=one_of(rule["pipelines"], f"{where}.pipelines") if "pipelines" in rule else None,
        tags=one_of(rule["tags"], f"{where}.tags") if "tags" in rule else None,
    )
