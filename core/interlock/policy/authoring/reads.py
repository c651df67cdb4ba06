"""Which fields of the input and of the data a rule read, followed through the rules and functions that it calls.

The syntax tree is followed with what is known of each variable: a constant (``facts.zero("rows")`` binds `name`) or a
place in a document (``profile := data.profiles[input.profile]``). A place that depends on something else, such as the
variable of a loop, ends there: the list is shown and not its element. Nothing is decided here; OPA has decided.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interlock.gate.values import Json
from interlock.policy.authoring.syntax import Node, Parsed, Rule, dotted

Path = tuple[str | int, ...]
"""From ``input`` or ``data`` on."""

MISSING = object()
"""What is at a place where nothing is."""

_ASSIGN = frozenset({"assign", "eq"})
_DEPTH = 40


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Json


_Known = _Constant | Path | None


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

    def reads(self, file: Parsed, rule: Rule) -> tuple[Path, ...]:
        """Every place that `rule` read, in order; a part of a document is left out where a part of it is listed."""
        walk = _Walk(reader=self)
        walk.rule(file, rule.node, {})
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

    def rule(self, file: Parsed, node: Node, known: dict[str, _Known]) -> _Known:
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

    def _expr(self, file: Parsed, expr: Node, known: dict[str, _Known]) -> None:
        terms = expr.get("terms")
        if isinstance(terms, list) and dotted(terms[0]["value"]) in _ASSIGN:
            value = self._term(file, terms[2], known)
            if terms[1].get("type") == "var":
                known[terms[1]["value"]] = value
            else:
                self._term(file, terms[1], known)
        elif isinstance(terms, list):
            self._call(file, terms, known)
        elif isinstance(terms, dict):
            self._term(file, terms, known)

    def _term(self, file: Parsed, term: Node, known: dict[str, _Known]) -> _Known:
        kind, value = term.get("type"), term.get("value")
        if kind in {"null", "boolean", "number", "string"}:
            return _Constant(value)
        if kind == "var":
            return known[value] if value in known else self._reference(file, [term], known)
        if kind == "ref" and isinstance(value, list):
            return self._reference(file, value, known)
        if kind == "call" and isinstance(value, list):
            return self._call(file, value, known)
        for expr, inner in _parts(list(term.values())):
            if expr:
                self._expr(file, inner, known)
            else:
                self._term(file, inner, known)
        return None

    def _reference(self, file: Parsed, parts: Sequence[Node], known: dict[str, _Known]) -> _Known:
        name = str(parts[0].get("value"))
        if parts[0].get("type") != "var":
            start = self._term(file, parts[0], known)  # `f(x).y` or `[1, 2][i]`
        else:
            start = known[name] if name in known else self._named(file, name)
        steps: list[str | int] = []
        whole = True
        for part in parts[1:]:
            step = self._term(file, part, known)
            place = self.reader.lookup(step) if isinstance(step, tuple) else step.value if step else None
            whole = whole and isinstance(place, str | int)
            if whole and isinstance(place, str | int):
                steps.append(place)
        if not isinstance(start, tuple):
            return None
        reached = self._follow((*start, *steps))
        return reached if whole else None

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
        return values[0] if len(values) == 1 and not rest else path

    def _call(self, file: Parsed, terms: Sequence[Node], known: dict[str, _Known]) -> _Known:
        given = [self._term(file, term, known) for term in terms[1:]]
        path = self._function(file, terms[0])
        rules, _ = self.reader.rules_at(path) if path else ((), ())
        if not rules:
            return self._builtin(dotted(terms[0]["value"]), terms, given)
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

    def _builtin(self, name: str, terms: Sequence[Node], given: Sequence[_Known]) -> _Known:
        """`object.get` reads a place too; of other builtins nothing is known but what they are given."""
        place = given[0] if given else None
        if name != "object.get" or not isinstance(place, tuple):
            return None
        key = terms[2]
        steps = [step.get("value") for step in key["value"]] if key.get("type") == "array" else [key.get("value")]
        if key.get("type") == "var" and isinstance(given[1], _Constant):
            steps = [given[1].value]
        if all(isinstance(step, str | int) for step in steps) and key.get("type") in {"array", "string", "var"}:
            self.found.append((*place, *[step for step in steps if isinstance(step, str | int)]))
        return None


def _parts(term: Any) -> Iterator[tuple[bool, Node]]:
    """The expressions and terms right inside of a collection, a comprehension or a statement."""
    if isinstance(term, list):
        for item in term:
            yield from _parts(item)
    elif isinstance(term, dict) and ("terms" in term or "type" in term):
        yield "terms" in term, term
    elif isinstance(term, dict):
        for value in term.values():
            yield from _parts(value)
