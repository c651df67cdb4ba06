"""What the names of a Rego file stand for, and which terms may be undefined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from interlock.policy.authoring.syntax import Node, dotted, nodes

MEMBER = frozenset({"internal.member_2", "internal.member_3"})
"""What OPA calls `x in y` and `some k, v in y`."""

_DEFINED = frozenset({"null", "boolean", "number", "string", "templatestring"})
_INNER = frozenset({"arraycomprehension", "setcomprehension", "objectcomprehension"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the names of a file stand for; every other name is a variable of its rule.

    Args:
        rules: Names of the file's own rules.
        imports: What each imported name stands for.
        made: Variables that hold what another rule or function made, not a piece of the input: that rule is asked for
            the types of its fields where it is written.
    """

    rules: frozenset[str]
    imports: dict[str, str]
    made: frozenset[str] = frozenset()

    def in_rule(self, rule: Node) -> Names:
        """The same with the variables of one rule."""
        names = self
        for node in nodes(rule):
            for targets, source in _bindings(node):
                bound = {str(one["value"]) for target in targets for one in nodes(target) if one.get("type") == "var"}
                if not any(names.reads(source)):
                    names = replace(names, made=names.made | bound)
                else:
                    names = replace(names, made=names.made - bound)
        return names

    def of_document(self, name: str) -> bool:
        """Whether the name is a rule, data or the input, which may be undefined, and no bound variable."""
        return name in self.rules or name in self.imports or name in {"input", "data"}

    def is_builtin(self, name: str) -> bool:
        """Whether a call of this name is to OPA, which errs rather than being undefined where errors are strict."""
        return not self.of_document(name.split(".", maxsplit=1)[0].split("[", maxsplit=1)[0])

    def read(self, node: Node) -> str:
        """The field of the input, or of a variable, that a reference reads; empty when it is none."""
        parts = node.get("value")
        if node.get("type") != "ref" or not isinstance(parts, list) or parts[0].get("type") != "var":
            return ""  # `f(x).y` reads what a function made
        name = str(parts[0].get("value"))
        from_input = name == "input" or self.imports.get(name, "").split(".")[0] == "input"
        field = (len(parts) > 1 and name not in self.made) or (from_input and name != "input")
        return dotted(parts) if field and (from_input or not self.of_document(name)) else ""

    def undefined(self, node: Any) -> bool:
        """Whether a term may be undefined before the `not` in front of it is looked at."""
        kind, value = node.get("type"), node.get("value")
        if kind in _DEFINED or kind in _INNER:
            return False
        if kind == "var":
            return str(value) in self.rules or str(value) in self.imports
        if kind == "ref":
            name = str(value[0]["value"])
            if name in self.made:
                return any(self.undefined(part) for part in value[1:])
            return len(value) > 1 or (self.of_document(name) and name != "input")
        if kind == "call":
            name = dotted(value[0]["value"])
            return not self.is_builtin(name) or any(self.undefined(argument) for argument in value[1:])
        items = [part for pair in value for part in pair] if kind == "object" else value
        return not isinstance(items, list) or any(self.undefined(item) for item in items)

    def reads(self, node: Any) -> Iterator[str]:
        """The fields that must be there for a term to be defined; what a comprehension reads is its own affair."""
        if isinstance(node, list):
            for item in node:
                yield from self.reads(item)
        elif isinstance(node, dict) and node.get("type") not in _INNER | {"templatestring"}:
            found = self.read(node)
            if found:
                yield found
            yield from self.reads(parts_of(node))


def parts_of(node: Node) -> list[Any]:
    """What a node is made of, without the name of what it calls."""
    called = node.get("type") == "call"
    parts: list[Any] = []
    for key, value in node.items():
        names_first = isinstance(value, list) and (key == "terms" or (called and key == "value"))
        parts.append(value[1:] if names_first else value)
    return parts


def _bindings(node: Node) -> Iterator[tuple[list[Any], Any]]:
    """The variables that a statement binds, and what to: `some`, `every` and `:=`."""
    terms = node.get("terms")
    if isinstance(terms, list) and dotted(terms[0]["value"]) == "assign":
        yield [terms[1]], terms[2]
    elif node.get("type") == "call" and dotted(node["value"][0]["value"]) in MEMBER:
        yield list(node["value"][1:-1]), node["value"][-1]
    elif "domain" in node:
        yield [part for part in (node.get("key"), node.get("value")) if part], node["domain"]
