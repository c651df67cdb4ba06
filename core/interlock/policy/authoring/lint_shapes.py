"""The shapes of Rego that allow when a field is missing, null or of another type, found on OPA's syntax tree.

OPA evaluates the arguments of an expression before its ``not``. Where one is undefined the whole expression is, so a
denial that reads the input itself denies nothing when the field is missing. A comparison has an order for all types
(null < false < 0 < "0"), so what is compared must have its type checked. `docs/policy.md` has the table; each line of
it was tried on OPA and is a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from interlock.policy.authoring.lint_finding import LintFinding, LintLevel
from interlock.policy.authoring.lint_names import MEMBER, Names, parts_of
from interlock.policy.authoring.syntax import Node, Parsed, Rule, dotted, nodes

DENIALS = frozenset({"deny", "violation"})
"""Heads whose rules say no."""

_ASSIGN = frozenset({"assign", "eq"})
_ORDERED = frozenset({"lt", "lte", "gt", "gte"})
_TYPED = frozenset({"is_number", "is_string", "is_boolean", "is_array", "is_object", "is_set"})
_SIGNS = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "equal": "==", "neq": "!=", "internal.member_2": "in"}


def shape_findings(file: Parsed) -> Iterator[LintFinding]:
    """Every fail-open shape of one file of rules."""
    names = Names(
        rules=frozenset(rule.name.split(".")[0].split("[")[0] for rule in file.rules), imports=dict(file.imports)
    )
    guards = frozenset(
        _bare_name(expr)
        for rule in file.rules
        if rule.name.split("[")[0] in DENIALS
        for expr in rule.node.get("body", [])
        if expr.get("negated") is True and _bare_name(expr)
    )
    for rule in file.rules:
        look = _Look(file=file, rule=rule, names=names.in_rule(rule.node))
        yield from look.defaults()
        yield from look.negations()
        yield from look.withs()
        name = rule.name.split("[")[0]
        if name != "warn":
            yield from look.untyped()
        body = rule.node.get("body", [])
        if any(not expr.get("negated") and _bare_name(expr) in guards for expr in body):
            continue  # it reads what another denial of this file demands: one of the two fires
        if name in DENIALS:
            yield from look.denial()
        if name in DENIALS | {"warn"}:
            yield from look.messages()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One rule under the lens."""

    file: Parsed
    rule: Rule
    names: Names

    def defaults(self) -> Iterator[LintFinding]:
        """`default allow := true` allows whatever no rule speaks of."""
        head = self.rule.node["head"]
        if (
            self.rule.node.get("default")
            and self.rule.name == "allow"
            and head.get("value", {}).get("value") is not False
        ):
            yield self._finding(
                "fail-open-default", "`allow` is not false by default", "default allow := false", "default"
            )

    def negations(self) -> Iterator[LintFinding]:
        """`not` in front of something whose arguments may be undefined."""
        for nth, node in enumerate(node for node in nodes(self.rule.node) if node.get("negated") is True):
            terms = node["terms"]
            if isinstance(terms, list):
                risky, shown = [term for term in terms[1:] if self.names.undefined(term)], _call(terms)
            elif terms.get("type") == "ref":
                risky, shown = (
                    [part for part in terms["value"][1:] if self.names.undefined(part)],
                    dotted(terms["value"]),
                )
            else:
                risky, shown = [], ""
            if risky:
                yield self._finding(
                    "fail-open-negation",
                    f"`not {shown}` is undefined, not true, when {_what(risky)} is missing, so the rule does not fire",
                    f"{_NAME} if {shown}    # is_number, is_string, ... first\n\n{self.rule.name} ... if not {_NAME}",
                    "not",
                    nth=nth,
                )

    def untyped(self) -> Iterator[LintFinding]:
        """An order between values whose type nobody asked for: null is less than every number."""
        for body in (node["body"] for node in nodes(self.rule.node) if isinstance(node.get("body"), list)):
            checked = {
                dotted(expr["terms"][1]["value"])
                if expr["terms"][1]["type"] == "ref"
                else str(expr["terms"][1]["value"])
                for expr in body
                if isinstance(expr.get("terms"), list) and _operator(expr) in _TYPED and not expr.get("negated")
            }
            for expr in body:
                if _operator(expr) not in _ORDERED:
                    continue
                for field in [self.names.read(term) for term in expr["terms"][1:]]:
                    if field and field not in checked:
                        yield self._finding(
                            "fail-open-untyped",
                            f"{field} is compared without its type: null and false are less than every number, "
                            "and a text is more",
                            f"is_number({field})\n{_call(expr['terms'])}",
                            *_words(field),
                        )

    def denial(self) -> Iterator[LintFinding]:
        """A denial that reads the input itself, or that needs something to be true."""
        body = self.rule.node.get("body", [])
        for expr in body:
            operator = _operator(expr)
            terms = expr.get("terms")
            if expr.get("negated") or (isinstance(terms, dict) and terms.get("type") == "not"):
                continue
            if isinstance(terms, dict) and "symbols" in terms:
                yield from self._iteration(terms)
            elif operator not in _ASSIGN:
                for field in dict.fromkeys(self.names.reads(parts_of(expr))):
                    yield self._finding(
                        "fail-open-read",
                        f"the denial needs {field} to be there: nothing is denied when it is missing",
                        _positive(self.rule, field, terms),
                        *_words(field),
                    )
        conditions = [expr for expr in body if _operator(expr) not in _ASSIGN]
        if conditions and all(self._bare(expr) for expr in conditions):
            yield self._finding(
                "fail-open-positive",
                "the denial needs something to be true and negates nothing: what cannot be told is not denied",
                f"{_NAME} if {{ ... }}    # what must hold, with types\n\n{self.rule.name} ... if not {_NAME}",
            )

    def _bare(self, expr: Node) -> bool:
        """Whether a condition is nothing but a rule, or a function of the policy, that must hold."""
        terms = expr.get("terms")
        if expr.get("negated"):
            return False
        if isinstance(terms, list):
            return not self.names.is_builtin(_operator(expr))
        return isinstance(terms, dict) and terms.get("type") in {"var", "ref"}

    def _iteration(self, terms: Node) -> Iterator[LintFinding]:
        for call in terms["symbols"]:
            if call.get("type") == "call" and dotted(call["value"][0]["value"]) in MEMBER:
                for field in dict.fromkeys(self.names.reads(call["value"][-1])):
                    yield self._finding(
                        "fail-open-iteration",
                        f"nothing is denied when {field} is missing or empty, because there is nothing to go through",
                        f"# deny that it is missing in a rule of its own:\n{self.rule.name} ... if not listed\n\n"
                        f"listed if is_array({field})",
                        *_words(field),
                        level=LintLevel.WARNING,
                    )

    def messages(self) -> Iterator[LintFinding]:
        """A message that is undefined takes the denial with it."""
        head = self.rule.node["head"]
        shown = {node["value"] for node in nodes(head) if node.get("type") == "var"}
        made = [head.get("key"), head.get("value")]
        made += [
            expr["terms"][2]
            for expr in self.rule.node.get("body", [])
            if _operator(expr) in _ASSIGN and (expr["terms"][1].get("value") in shown or self.rule.name in DENIALS)
        ]
        needed = {
            field
            for expr in self.rule.node.get("body", [])
            if not expr.get("negated") and _operator(expr) not in _ASSIGN
            for field in self.names.reads(parts_of(expr))
        }
        for field in dict.fromkeys(field for term in made for field in self.names.reads(term)):
            if field in needed:
                continue
            name, *path = field.split(".")
            keys = ", ".join(f'"{key}"' for key in path)
            yield self._finding(
                "fail-open-message",
                f"the message is undefined when {field} is missing, and the {self.rule.name} vanishes with it",
                f'object.get({name}, [{keys}], "(none)")',
                *_words(field),
            )

    def withs(self) -> Iterator[LintFinding]:
        """`with` outside of tests: the rule would judge another document than the one that was handed in."""
        for nth, _ in enumerate(node for node in nodes(self.rule.node) if node.get("with")):
            yield self._finding("with-in-rule", "`with` replaces what is judged; it is for tests", "", "with", nth=nth)

    def _finding(
        self,
        rule_id: str,
        message: str,
        fix: str = "",
        *words: str,
        nth: int = 0,
        level: LintLevel = LintLevel.ERROR,
    ) -> LintFinding:
        row, column = self.rule.place(*words, nth=nth) if words else self.rule.place("")
        return LintFinding(
            path=self.file.module.path, row=row, column=column, rule_id=rule_id, message=message, fix=fix, level=level
        )


_NAME = "sound"


def _operator(expr: Node) -> str:
    terms = expr.get("terms")
    return dotted(terms[0]["value"]) if isinstance(terms, list) else ""


def _bare_name(expr: Node) -> str:
    """The rule that an expression is nothing but, or that it negates; empty when it is something else."""
    terms = expr.get("terms")
    if not isinstance(terms, dict) or terms.get("type") not in {"var", "ref"}:
        return ""
    return str(terms["value"]) if terms["type"] == "var" else dotted(terms["value"])


def _call(terms: list[Node]) -> str:
    """A call or comparison as it is written, its arguments shortened."""
    name, arguments = dotted(terms[0]["value"]), [_shown(term) for term in terms[1:]]
    if name in _SIGNS and len(arguments) == 2:
        return f"{arguments[0]} {_SIGNS[name]} {arguments[1]}"
    return f"{name}({', '.join(arguments)})"


def _shown(term: Node) -> str:
    kind, value = term.get("type"), term.get("value")
    if kind == "ref" and isinstance(value, list):
        return dotted(value)
    if kind == "call" and isinstance(value, list):
        return _call(value)
    if kind == "string":
        return f'"{value}"'
    if kind == "boolean":
        return str(value).lower()
    return str(value) if kind in {"var", "number"} else "…"


def _what(terms: list[Node]) -> str:
    return " or ".join(_shown(term) for term in terms)


def _positive(rule: Rule, field: str, terms: Any) -> str:
    condition = _call(terms) if isinstance(terms, list) else field
    return (
        f"{_NAME} if {{\n\tis_number({field})    # or the type that it must have\n"
        f"\t# and the opposite of: {condition}\n}}\n\n{rule.name} ... if not {_NAME}"
    )


def _words(field: str) -> tuple[str, ...]:
    """The tokens of a reference's first steps, to find it in the text."""
    words: list[str] = []
    for step in field.split("[", maxsplit=1)[0].split("."):
        words += [".", step] if words else [step]
    return tuple(words)
