"""Which fields of the input and of the data a rule read, followed through the rules and functions that it calls.

The syntax tree is followed with what is known of each variable: a constant (``facts.zero("rows")`` binds `name`), a
place in a document (``profile := data.profiles[input.profile]``), or, in the rule that fired, the value in OPA's trace
(``some resource in resources``). A place that depends on something else, such as the variable of a loop in a
helper, ends there: the list is shown and not its element. Nothing is decided here; OPA has decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from interlock.gate.values import Json
from interlock.policy.authoring.reads_syntax import ASSIGN, bound_in, is_step, parts_of, printed, variables_in
from interlock.policy.authoring.syntax import Node, Parsed, Rule, dotted

Path = tuple[str | int, ...]
"""From ``input`` or ``data`` on."""

MISSING = object()
"""What is at a place where nothing is."""

_COMPREHENSIONS = frozenset({"arraycomprehension", "objectcomprehension", "setcomprehension"})
_SCALARS = frozenset({"null", "boolean", "number", "string"})
_DEPTH = 40


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any


_Known = _Constant | Path | None
_Scope = dict[str, _Known]


def value_at(path: Path, documents: Mapping[str, Json]) -> Any:
    """What is at `path`, or `MISSING`."""
    found: Any = documents
    for step in path:
        if isinstance(found, Mapping) and step in found:
            found = found[str(step)]
        elif isinstance(found, list) and isinstance(step, int) and 0 <= step < len(found):
            found = found[step]
        else:
            return MISSING
    return found


def shown_path(path: Path) -> str:
    """A place as Rego writes it."""
    return dotted([{"type": "string" if isinstance(step, str) else "number", "value": step} for step in path])


class Reader:
    """Follows rules through a set of files.

    Args:
        files: Every file of rules.
        documents: ``input`` and ``data`` as they were, to follow ``data.profiles[input.profile]``.
    """

    def __init__(self, files: Sequence[Parsed], documents: Mapping[str, Json]) -> None:
        self._documents = documents
        self._rules: dict[Path, list[tuple[Parsed, Rule]]] = {}
        for file in files:
            for rule in file.rules:
                path = ("data", *file.package.split("."), rule.name.split("[")[0])
                self._rules.setdefault(path, []).append((file, rule))

    def reads(self, file: Parsed, rule: Rule, variables: Mapping[str, Json]) -> tuple[Path, ...]:
        """Every place that `rule` read, in order; a part of a document is left out where a part of it is listed.

        Args:
            file: Where the rule stands.
            rule: One that fired.
            variables: Its own, with the values that they had then.
        """
        walk = _Walk(reader=self)
        walk.rule(file, rule.node, {name: _Constant(value) for name, value in variables.items()})
        found = [path for path in dict.fromkeys(walk.found) if not self._holds_rules(path)]
        return tuple(path for path in found if not any(path == other[: len(path)] for other in found if other != path))

    def rules_at(self, path: Path) -> tuple[Sequence[tuple[Parsed, Rule]], Path]:
        """The rules whose document `path` goes into, and what of it goes further; none for data."""
        for length in range(len(path), 1, -1):
            if path[:length] in self._rules:
                return self._rules[path[:length]], path[length:]
        return (), path

    def made_by_rules(self, path: Path) -> bool:
        """Whether OPA has to be asked what is there, because rules make it."""
        return bool(self.rules_at(path)[0])

    def _holds_rules(self, path: Path) -> bool:
        return any(path == rule[: len(path)] for rule in self._rules)

    def lookup(self, path: Path) -> Any:
        """The value there."""
        return value_at(path, self._documents)


@dataclass(slots=True, kw_only=True)
class _Walk:
    reader: Reader
    found: list[Path] = field(default_factory=list)
    depth: int = 0

    def rule(self, file: Parsed, node: Node, known: _Scope) -> _Known:
        """Walk one rule with what its arguments are; returns what its value is, where that can be known."""
        if self.depth > _DEPTH:
            return None
        self.depth += 1
        for expr in node.get("body", ()):
            self._expr(file, expr, known)
        head = node["head"]
        given = head.get("value") or head.get("key")
        value = self._term(file, given, known) if isinstance(given, dict) else None
        other = node.get("else")
        if isinstance(other, dict):
            arguments = [part.get("value") for part in head.get("args", ())]
            self.rule(file, other, {name: known.get(name) for name in arguments if isinstance(name, str)})
        self.depth -= 1
        return None if other or "key" in head else value

    def _expr(self, file: Parsed, expr: Node, known: _Scope) -> None:
        terms = expr.get("terms")
        if isinstance(terms, list) and dotted(terms[0]["value"]) in ASSIGN:
            value = self._term(file, terms[2], known)
            if terms[1].get("type") == "var":
                known[terms[1]["value"]] = value if value is not None else known.get(terms[1]["value"])
            else:
                self._term(file, terms[1], known)
        elif isinstance(terms, list):
            self._call(file, terms, known)
        elif isinstance(terms, dict) and "domain" in terms:
            self._term(file, terms["domain"], known)
            own = {name for part in ("key", "value") for name in variables_in(terms.get(part) or {})}
            self._inside(file, terms["body"], {name: value for name, value in known.items() if name not in own})
        elif isinstance(terms, dict):
            self._term(file, terms, known)

    def _inside(self, file: Parsed, body: Sequence[Node], known: _Scope) -> _Scope:
        """Walk a body whose own variables hide those outside, also ones of the same name."""
        inner = {name: value for name, value in known.items() if name not in set(bound_in(body))}
        for expr in body:
            self._expr(file, expr, inner)
        return inner

    def _term(self, file: Parsed, term: Node, known: _Scope) -> _Known:
        kind, value = term.get("type"), term.get("value")
        if kind in _SCALARS:
            return _Constant(value)
        if kind == "var":
            return known[value] if value in known else self._reference(file, [term], known)
        if kind == "ref" and isinstance(value, list):
            return self._reference(file, value, known)
        if kind == "call" and isinstance(value, list):
            return self._call(file, value, known)
        return self._nested(file, term, known)

    def _nested(self, file: Parsed, term: Node, known: _Scope) -> _Known:
        """Walk what holds other terms; of an array its value is known where all its items are."""
        kind, value = term.get("type"), term.get("value")
        if kind == "array" and isinstance(value, list):
            items = [self._value(self._term(file, item, known)) for item in value]
            return None if MISSING in items else _Constant(items)
        if kind in _COMPREHENSIONS and isinstance(value, dict):
            inner = self._inside(file, value["body"], known)
            for name in ("key", "value", "term"):
                if isinstance(value.get(name), dict):
                    self._term(file, value[name], inner)
            return None
        for is_expression, part in parts_of(list(term.values())):
            if is_expression:
                self._expr(file, part, known)
            else:
                self._term(file, part, known)
        return None

    def _value(self, known: _Known) -> Any:
        """What something is, or `MISSING` where that is not known."""
        if isinstance(known, tuple):
            return self.reader.lookup(known)
        return MISSING if known is None else known.value

    def _reference(self, file: Parsed, parts: Sequence[Node], known: _Scope) -> _Known:
        name = str(parts[0].get("value"))
        if parts[0].get("type") != "var":
            start = self._term(file, parts[0], known)  # `f(x).y` or `[1, 2][i]`
        else:
            start = known[name] if name in known else self._named(file, name)
        given = [self._value(self._term(file, part, known)) for part in parts[1:]]
        return self._reach(start, given)

    def _reach(self, start: _Known, given: Sequence[Any]) -> _Known:
        """Go on from a place, as far as the steps are known; returns the place where all are."""
        steps = list(takewhile(is_step, given))
        if isinstance(start, _Constant) and len(steps) == len(given):
            found = value_at(tuple(steps), start.value)
            return None if found is MISSING else _Constant(found)
        if not isinstance(start, tuple):
            return None
        reached = self._follow((*start, *steps))
        return reached if len(steps) == len(given) else None

    def _named(self, file: Parsed, name: str) -> _Known:
        if name in {"input", "data"}:
            return (name,)
        if name in file.imports:
            return tuple(file.imports[name].split("."))
        path = ("data", *file.package.split("."), name)
        return path if self.reader.rules_at(path)[0] else None

    def _follow(self, path: Path) -> _Known:
        """Note a place in a document, and walk the rules that make it where rules do."""
        rules, rest = self.reader.rules_at(path)
        if not rules:
            if len(path) > 1:
                self.found.append(path)
            return path
        values = [self.rule(file, rule.node, {}) for file, rule in rules if not rule.node["head"].get("args")]
        if len(values) == 1 and isinstance(values[0], tuple):
            return self._follow((*values[0], *rest)) if rest else values[0]
        if rest:
            self.found.append(path)
        return values[0] if len(values) == 1 and not rest and values[0] is not None else path

    def _call(self, file: Parsed, terms: Sequence[Node], known: _Scope) -> _Known:
        given = [self._term(file, term, known) for term in terms[1:]]
        path = self._function(file, terms[0])
        rules, _ = self.reader.rules_at(path) if path else ((), ())
        if not rules:
            return self._builtin(file, dotted(terms[0]["value"]), terms[1:], given, known)
        values = []
        for owner, rule in rules:
            names = [argument.get("value") for argument in rule.node["head"].get("args", ())]
            bound = {str(name): value for name, value in zip(names, given, strict=False) if isinstance(name, str)}
            values.append(self.rule(owner, rule.node, bound))
        return values[0] if len(values) == 1 else None

    def _function(self, file: Parsed, called: Node) -> Path:
        names = [str(part.get("value")) for part in called["value"]]
        if names[0] in file.imports:
            return (*file.imports[names[0]].split("."), *names[1:])
        return tuple(names) if names[0] == "data" else ("data", *file.package.split("."), *names)

    def _builtin(
        self, file: Parsed, name: str, terms: Sequence[Node], given: Sequence[_Known], known: _Scope
    ) -> _Known:
        """`object.get` reads a place too, and `sprintf` makes names; of other builtins nothing is known."""
        if name == "sprintf" and len(given) == 2:
            text = printed(self._value(given[0]), self._value(given[1]))
            return None if text is None else _Constant(text)
        if name != "object.get" or len(given) != 3:
            return None
        if terms[1].get("type") == "array":
            return self._reach(given[0], [self._value(self._term(file, item, known)) for item in terms[1]["value"]])
        steps = self._value(given[1])
        return self._reach(given[0], steps if isinstance(steps, list) else [steps])
