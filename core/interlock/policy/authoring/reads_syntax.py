"""The parts of a syntax tree that `interlock.policy.authoring.reads` looks at, and what can be told of them alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from interlock.policy.authoring.syntax import Node, dotted

ASSIGN = frozenset({"assign", "eq"})
"""Operators that bind a variable."""

_VERB = re.compile(r"%[svd]")


def is_step(step: object) -> bool:
    """Whether a value can be a step of a place."""
    return isinstance(step, str | int) and not isinstance(step, bool)


def printed(template: Any, values: Any) -> str | None:
    """What `sprintf` makes of texts and whole numbers; nothing where it is given something else."""
    if not isinstance(template, str) or not isinstance(values, list) or not all(map(is_step, values)):
        return None
    parts = _VERB.split(template)
    if "%" in "".join(parts) or len(parts) != len(values) + 1:
        return None
    return "".join(f"{part}{value}" for part, value in zip(parts, [*values, ""], strict=True))


def bound_in(body: Sequence[Node]) -> Iterator[str]:
    """The variables that the expressions of a body bind themselves; not those of bodies further inside."""
    for expr in body:
        terms = expr.get("terms")
        if isinstance(terms, list) and dotted(terms[0]["value"]) in ASSIGN:
            yield from variables_in(terms[1])
        elif isinstance(terms, dict):
            for symbol in terms.get("symbols", ()):
                called = symbol.get("value")
                declared = called[1:-1] if symbol.get("type") == "call" else [symbol]  # `some k, v in xs`, `some x`
                for term in declared:
                    yield from variables_in(term)


def variables_in(term: Node) -> Iterator[str]:
    """The variables of a term."""
    if term.get("type") == "var":
        yield str(term["value"])
    for _, part in parts_of(term.get("value")):
        yield from variables_in(part)


def parts_of(term: Any) -> Iterator[tuple[bool, Node]]:
    """The expressions and terms right inside of a collection, a comprehension or a statement."""
    if isinstance(term, list):
        for item in term:
            yield from parts_of(item)
    elif isinstance(term, dict) and ("terms" in term or "type" in term):
        yield "terms" in term, term
    elif isinstance(term, dict):
        for value in term.values():
            yield from parts_of(value)
