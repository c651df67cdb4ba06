"""Named rules of policy data that select pipelines: by id, by tag, by priority."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.pipeline.patterns import one_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which pipelines a rule is for.

    Args:
        priority: Of several rules that select a pipeline the highest counts.
        pipelines: Of its id; None when any will do.
        tags: Of one of its tags; None when any will do, and none.
    """

    priority: int
    pipelines: re.Pattern[str] | None
    tags: re.Pattern[str] | None

    @classmethod
    def of(cls, rule: Mapping[str, Json], where: str) -> Self:
        """Read ``pipelines``, ``tags`` and ``priority`` of a rule.

        Raises:
            PolicyError: Both of the former are missing, or one of the three is of another type.
        """
        if not {"pipelines", "tags"} & set(rule):
            raise PolicyError(
                "a rule selects no pipelines", where=where, next_step='write pipelines: ["legacy_*"], or tags'
            )
        priority = rule.get("priority", 0)
        if not isinstance(priority, int) or isinstance(priority, bool):
            raise PolicyError(
                "a rule's priority is no whole number", where=where, next_step="leave it out, or write 10"
            )
        found = {key: one_of(rule[key], f"{where}.{key}") for key in ("pipelines", "tags") if key in rule}
        return cls(priority=priority, pipelines=found.get("pipelines"), tags=found.get("tags"))

    def selects(self, pipeline: str, tags: tuple[str, ...]) -> bool:
        """Whether both criteria hold for a pipeline; its id and tags are its author's."""
        if self.pipelines is not None and not self.pipelines.match(pipeline):
            return False
        return self.tags is None or any(self.tags.match(tag) for tag in tags)


def rules_at(data: Mapping[str, Json], document: str, orchestrator: str) -> tuple[Mapping[str, Json], str]:
    """The named rules at ``interlock.<document>.<orchestrator>`` of a bundle's data, and that path for messages.

    Raises:
        PolicyError: Something else is there; nothing at all is no rules.
    """
    where = f"data.interlock.{document}.{orchestrator}"
    said = data.get("interlock")
    told = said.get(document, {}) if isinstance(said, Mapping) else None
    rules = told.get(orchestrator, {}) if isinstance(told, Mapping) else None
    if not isinstance(rules, Mapping):
        raise PolicyError("no object of named rules", where=where, next_step="write {name: {...}}, or leave it out")
    return rules, where
