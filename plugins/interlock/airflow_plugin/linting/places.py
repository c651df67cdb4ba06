"""At which line of a file a DAG or a task is made, read from its text; a hint for people, so a guess is allowed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_REPEATED = re.compile(r"__\d+$")
"""What Airflow puts after the id of a `@task` function that is called again."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where names stand: DAG ids with the lines of their body, task ids with theirs."""

    dags: dict[str, tuple[int, int]] = field(default_factory=dict)
    tasks: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path) -> Places:
        """Read `file` (untrusted); one that is no Python text has no places."""
        found = cls()
        try:
            tree = ast.parse(file.read_bytes())
            for node in ast.walk(tree):
                found._note(node)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return cls()
        return found

    def dag(self, dag_id: str) -> int:
        """The line of a DAG, or 0."""
        return self.dags.get(dag_id, (0, 0))[0]

    def task(self, dag_id: str, task_id: str) -> int:
        """The line of a task, that of its DAG where it is not known, or 0."""
        name = task_id.rpartition(".")[2]  # without the task groups
        lines = self.tasks.get(name) or self.tasks.get(_REPEATED.sub("", name)) or []
        first, last = self.dags.get(dag_id, (0, 0))
        inside = [line for line in lines if first <= line <= last]
        return min(inside or lines, default=first)

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.With):
            for item in node.items:
                self._note_dag(item.context_expr, node.lineno, node.end_lineno or node.lineno)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            self._note_function(node)
        elif isinstance(node, ast.Call):
            self._note_dag(node, node.lineno, node.end_lineno or node.lineno)
            for name in _texts(node, "task_id"):
                self.tasks.setdefault(name, []).append(node.lineno)

    def _note_dag(self, call: ast.expr, first: int, last: int) -> None:
        if not isinstance(call, ast.Call) or _name(call.func).lower() != "dag":
            return
        positional = (argument.value for argument in call.args[:1] if isinstance(argument, ast.Constant))
        for name in (*_texts(call, "dag_id"), *(value for value in positional if isinstance(value, str))):
            known = self.dags.get(name, (first, last))
            self.dags[name] = (min(first, known[0]), max(last, known[1]))

    def _note_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            call = decorator if isinstance(decorator, ast.Call) else None
            written = _written(call.func if call else decorator)
            if written.split(".")[-1] == "dag":
                said = list(_texts(call, "dag_id")) if call else []
                for name in said or [node.name]:
                    self.dags[name] = (node.lineno, node.end_lineno or node.lineno)
            elif "task" in written.split("."):
                for name in (list(_texts(call, "task_id")) if call else []) or [node.name]:
                    self.tasks.setdefault(name, []).append(node.lineno)


def _texts(call: ast.Call, argument: str) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == argument and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            yield keyword.value.value


def _name(node: ast.expr) -> str:
    return _written(node).rpartition(".")[2]


def _written(node: ast.expr) -> str:
    """``airflow.sdk.DAG`` of an expression that is a dotted name, else nothing."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return ".".join(reversed([*parts, node.id]))
    return ""
