"""What ``opa check --strict`` adds to OPA's compiler and the library cannot be asked for: unused names.

Rego v1 already refuses the rest of strict mode (twin imports, names that hide ``input`` and ``data``, deprecated
builtins), so the compiler finds that by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from interlock.policy.authoring.lint_finding import LintFinding
from interlock.policy.authoring.syntax import Node, Parsed, Rule, nodes


def strict_findings(file: Parsed) -> Iterator[LintFinding]:
    """Imports, arguments and variables of one file that nothing uses, in OPA's words."""
    yield from _imports(file)
    for rule in file.rules:
        yield from _arguments(file, rule)
        yield from _assigned(file, rule)


def _imports(file: Parsed) -> Iterator[LintFinding]:
    used = {name for rule in file.rules for name in _names(rule.node)}
    for line, one in enumerate(file.tree.get("imports", ())):
        path = [part["value"] for part in one["path"]["value"]]
        name = one.get("alias") or path[-1]
        if path[0] in {"future", "rego"} or name in used:
            continue
        row = _import_row(file, line)
        shown = ".".join(str(part) for part in path)
        alias = f" as {name}" if one.get("alias") else ""
        yield LintFinding(
            path=file.module.path, row=row, column=1, rule_id="strict", message=f"import {shown}{alias} unused",
            fix="take the line away",
        )  # fmt: skip


def _import_row(file: Parsed, nth: int) -> int:
    rows = [row for row, line in enumerate(file.module.source.splitlines(), 1) if line.lstrip().startswith("import ")]
    return rows[nth] if nth < len(rows) else 1


def _arguments(file: Parsed, rule: Rule) -> Iterator[LintFinding]:
    head = rule.node["head"]
    arguments = [name for argument in head.get("args", ()) for name in _names(argument)]
    used = {name for branch in _branches(rule.node) for name in _names(branch)}
    for name in dict.fromkeys(arguments):
        if name not in used and not name.startswith("$"):
            row, column = rule.place(name)
            yield LintFinding(
                path=file.module.path, row=row, column=column, rule_id="strict",
                message=f"unused argument {name}. (hint: use _ (wildcard variable) instead)", fix="_",
            )  # fmt: skip


def _branches(node: Node) -> Iterator[list[Any]]:
    """What a rule and each of its else branches are made of, but for their names and arguments."""
    branch: Any = node
    while branch:
        head = {key: value for key, value in branch["head"].items() if key not in {"args", "name", "ref"}}
        yield [branch.get("body"), head]
        branch = branch.get("else")


def _assigned(file: Parsed, rule: Rule) -> Iterator[LintFinding]:
    """In each body, the variables that are assigned and then not seen again in it or in what it gives."""
    for body, given in _bodies(rule.node):
        assigned = [name for expr in body for name in _targets(expr)]
        for name in dict.fromkeys(assigned):
            if sum(_count(name, expr) for expr in body) + _count(name, given) <= 1:
                row, column = rule.place(name, ":=")
                yield LintFinding(
                    path=file.module.path, row=row, column=column, rule_id="strict",
                    message=f"assigned var {name} unused", fix="take the line away, or use what it found out",
                )  # fmt: skip


def _bodies(node: Any) -> Iterator[tuple[list[Node], list[Any]]]:
    """Every body with the terms that its variables may be given out by: a head, or what a comprehension collects."""
    for inner in nodes(node):
        body = inner.get("body")
        if isinstance(body, list):
            yield body, [inner.get(part) for part in ("head", "term", "key", "value") if part in inner]


def _targets(expr: Node) -> Iterator[str]:
    terms = expr.get("terms")
    if isinstance(terms, list) and terms[0].get("value") == [{"type": "var", "value": "assign"}]:
        yield from (name for name in _names(terms[1]) if not name.startswith("$"))


def _count(name: str, node: Any) -> int:
    """How often a variable is seen, but not in a scope inside that has a variable of its own of that name."""
    if isinstance(node, list):
        return sum(_count(name, item) for item in node)
    if not isinstance(node, dict):
        return 0
    if node.get("type") == "var":
        return int(node.get("value") == name)
    body = node.get("body")
    if isinstance(body, list) and any(name in _targets(expr) for expr in body):
        return 0
    return sum(_count(name, value) for value in node.values())


def _names(node: Any) -> Iterator[str]:
    """Every variable name in a tree, with that at the head of each reference."""
    for inner in nodes(node):
        if inner.get("type") == "var":
            yield str(inner["value"])
