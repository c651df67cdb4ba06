"""What happens to a pipeline whose protected steps are not gated: the mode, from data in the policy bundle.

``enforce`` refuses it, ``insert`` puts the missing gates in front, ``warn`` lets it pass and says so where its author
looks, ``audit`` lets it pass and says so to operators only. Rules lie in ``data.interlock.enforcement.<orchestrator>``
by name, as those of `interlock.pipeline.protection` do; a pipeline that no rule selects is enforced. The mode decides
about the pipeline's structure, and whether a step that is not Interlock's own gets a guard: not in the last two modes,
in which Interlock only watches. Its own steps ask for receipts in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.pipeline.selection import Selector, rules_at

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
    selector: Selector


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
        rules, where = rules_at(data, "enforcement", orchestrator)
        read = [_rule(name, rule, f"{where}.{name}") for name, rule in rules.items()]
        strictest = list(Mode)
        return cls(
            tuple(sorted(read, key=lambda rule: (-rule.selector.priority, strictest.index(rule.mode), rule.name)))
        )

    def mode(self, pipeline: str, tags: tuple[str, ...]) -> Mode:
        """The mode of one pipeline.

        Args:
            pipeline: Its id; untrusted, as is everything that its author writes.
            tags: Its tags. Whoever writes a pipeline writes its tags: select by tag only what may choose for itself.
        """
        return next((rule.mode for rule in self.rules if rule.selector.selects(pipeline, tags)), Mode.ENFORCE)


def _rule(name: str, rule: Json, where: str) -> _Rule:
    if not isinstance(rule, Mapping) or not set(rule) <= _KNOWN:
        raise PolicyError(
            "a rule of enforcement has another shape",
            where=where,
            next_step='write {mode: "warn", pipelines: ["legacy_*"]}',
        )
    try:
        mode = Mode(rule.get("mode"))
    except ValueError as error:
        known = ", ".join(mode.value for mode in Mode)
        raise PolicyError(f"mode {rule.get('mode')!r} is unknown", where=where, next_step=f"use {known}") from error
    return _Rule(name=name, mode=mode, selector=Selector.of(rule, where))
