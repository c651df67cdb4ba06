"""Which steps are protected: found by what they use, from data in the policy bundle.

A training hides as easily in a shell command as in an operator called training, so a step is recognised by what
nobody can train or deploy without: GPUs, the queue and pool of the GPU machines, connections, images, the models that
it makes or uses. The rules are `data.interlock.protected`, an object of named rules that an organisation adds to by a
layer of its own. An adapter says of each step what it uses (`Traits`); nothing here knows an orchestrator.

A step that Interlock's own operators or `protect()` declare is always protected; data cannot take that away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.pipeline.patterns import one_of

WHERE = "data.interlock.protected"
UNREADABLE = "unreadable"
"""What an adapter names as a GPU where a step's resources cannot be read: the unknown counts as GPU use."""

_REMEMBERED = 10_000
"""Different steps whose judgement one set of rules remembers."""
_KINDS = ("training", "deployment", "none")
_KNOWN = ("protects", "priority", "title")


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a step uses, as its pipeline says; all of it untrusted text.

    Args:
        pipelines: The pipeline's id.
        steps: The step's id.
        tags: The pipeline's tags, and the step's own where the orchestrator has them.
        operators: ``module.Class`` of the step's class, and of its bases where they can be seen.
        queues: The queue that it waits in.
        pools: The pool that it takes a slot of.
        connections: Ids of the connections that it names.
        images: Container images that it runs.
        gpus: Resources by name of which it asks for more than nothing, or `UNREADABLE`.
        inlets: URIs of the assets that it uses.
        outlets: URIs of the assets that it makes.
    """

    pipelines: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    inlets: tuple[str, ...] = ()
    outlets: tuple[str, ...] = ()


CRITERIA = tuple(field.name for field in fields(Traits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a step counts as.

    Args:
        protects: ``training``, ``deployment``, or empty for an ordinary step.
        because: The rule's name and what of the step it matched; empty for an ordinary step.
    """

    protects: str = ""
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    name: str
    protects: str
    priority: int
    criteria: tuple[tuple[str, re.Pattern[str]], ...]

    def matched(self, traits: Traits) -> str:
        """What of the step each criterion matched, or empty when one of them matched nothing."""
        seen = []
        for name, pattern in self.criteria:
            for value in getattr(traits, name):
                if pattern.match(value):
                    seen.append(f"{name.removesuffix('s')} {value!r}")
                    break
            else:
                return ""
        return ", ".join(seen)


@dataclass(frozen=True, slots=True)
class Protection:
    """The rules of one policy bundle, the one that counts first."""

    rules: tuple[_Rule, ...] = field(repr=False)
    _asked: tuple[str, ...] = field(default=CRITERIA, repr=False)
    _judged: dict[tuple[tuple[str, ...], ...], Match] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_data(cls, data: Mapping[str, Json]) -> Protection:
        """Read ``interlock.protected`` of a bundle's data.

        A rule is an object: ``protects`` (``training``, ``deployment``, or ``none`` for an exception), one or more
        criteria (names of `Traits`' fields), each a list of shell-style patterns of which one must match, and
        ``priority`` (0 when not given; the highest that matches counts, then ``deployment``, ``training``, ``none``).

        Raises:
            PolicyError: It is not there, or a rule is not of this shape; then nobody can say what is protected.
        """
        said = data.get("interlock")
        rules = said.get("protected") if isinstance(said, Mapping) else None
        if not isinstance(rules, Mapping) or not rules:
            raise PolicyError(
                "the policy bundle does not say which steps are protected",
                where=WHERE,
                next_step="write an object of named rules; see docs/enforcement.md",
            )
        read = [_rule(name, rule) for name, rule in rules.items()]
        order = ("deployment", "training", "none")
        ranked = sorted(read, key=lambda rule: (-rule.priority, order.index(rule.protects), rule.name))
        return cls(tuple(ranked), tuple({name: None for rule in read for name, _ in rule.criteria}))

    def judge(self, traits: Traits) -> Match:
        """What a step with these traits counts as; remembered, because most steps of a pipeline use the same."""
        key = tuple([getattr(traits, name) for name in self._asked])
        found = self._judged.get(key)
        if found is None:
            found = self._judge(traits)
            if len(self._judged) < _REMEMBERED:
                self._judged[key] = found
        return found

    def _judge(self, traits: Traits) -> Match:
        for rule in self.rules:
            seen = rule.matched(traits)
            if seen:
                kind = "" if rule.protects == "none" else rule.protects
                return Match(protects=kind, because=f"rule {rule.name}: {seen}" if kind else "")
        return Match()


def _rule(name: str, rule: Json) -> _Rule:
    where = f"{WHERE}.{name}"
    if not isinstance(rule, Mapping):
        raise PolicyError("a rule is no object", where=where, next_step="write {protects: ..., queues: [...]}")
    unknown = sorted(set(rule) - {*_KNOWN, *CRITERIA})
    if unknown:
        raise PolicyError(
            f"a rule asks for {unknown[0]!r}, which no step has",
            where=where,
            next_step=f"use one of {', '.join(CRITERIA)}",
        )
    protects, priority = rule.get("protects"), rule.get("priority", 0)
    if protects not in _KINDS:
        raise PolicyError(f"a rule protects {protects!r}", where=where, next_step=f"use one of {', '.join(_KINDS)}")
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise PolicyError("a rule's priority is no whole number", where=where, next_step="leave it out, or write 10")
    criteria = tuple((key, one_of(rule[key], f"{where}.{key}")) for key in CRITERIA if key in rule)
    if not criteria:
        raise PolicyError(
            "a rule has no criterion and would match every step", where=where, next_step='write e.g. queues: ["gpu*"]'
        )
    return _Rule(name=name, protects=str(protects), priority=priority, criteria=criteria)
