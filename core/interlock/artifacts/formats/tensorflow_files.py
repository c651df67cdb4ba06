"""Follows the file names in a TensorFlow graph back to where they come from.

TensorFlow's saver puts operators that write and read files into every model. They are harmless as the saver writes
them: the name is fed by whoever saves or restores (``saver_def.filename_tensor_name``), and the graph only appends to
it. A vocabulary's name is fed by the loader (``asset_file_def``). Any other origin is the model's own choice of a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.formats.protobuf import BYTES, Kept, fields, text
from interlock.artifacts.formats.tensorflow_operators import READS_ASSETS, SAVES
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer

_CALLS: Final = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
# What may stand between a name's origin and its use, and which inputs of it carry the name on.
_PASSES: Final = {
    "Identity": slice(0, 1), "PlaceholderWithDefault": slice(0, 1), "StringJoin": slice(None), "Pack": slice(None),
    "Select": slice(1, 3), "SelectV2": slice(1, 3), "ShardedFilename": slice(0, 1), "ReadVariableOp": slice(0, 1),
}  # fmt: skip
_FRAGMENT: Final = re.compile(r"|model|\.part|_temp/part|_temp_[0-9a-f]{32}/part")
_STRING: Final = 7


@dataclass(slots=True)
class _Node:
    operator: str
    inputs: list[str]
    functions: list[str] = field(default_factory=list)
    constant: str | None = None


@dataclass(slots=True)
class _Scope:
    """The main graph (of no name) or one function."""

    name: str
    nodes: dict[str, _Node] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)


class FileNames:
    """The file names of one meta graph.

    Args:
        data: The file, unverified, its structure walked before.
        kept: Fields of the meta graph.
        path: For findings.
        record: Where findings go.
    """

    def __init__(self, data: Buffer, kept: Kept, path: str, record: Record) -> None:
        self.data = data
        self.path = path
        self.record = record
        self.budget = record.budget
        self.scopes = [scope for first, last in kept.get(2, ()) for scope in self._scopes(first, last)]
        self.saver = {_tensor(name) for span in kept.get(3, ()) for name in self._texts(span, 1)}
        self.assets = set(self._assets(kept))
        self._served = set(self._signature_inputs(kept))
        self._asked: set[tuple[str, str, str]] = set()
        self._left: list[tuple[_Scope, str, str]] = []

    def check(self) -> None:
        """Follow every name to its origins.

        Raises:
            LimitPassedError: The budget is spent.
        """
        for scope in self.scopes:
            for node in scope.nodes.values():
                for operand in SAVES.get(node.operator, ()):
                    self._ask(scope, node, operand, "saver")
                for operand in READS_ASSETS.get(node.operator, ()):
                    self._ask(scope, node, operand, "asset")
        if self.saver & self._served:
            self._refuse(_Scope(""), "whoever calls the model says which file its saver reads or writes")
        while self._left:
            self.budget.spend_fields(1)
            self._follow(*self._left.pop())

    def _ask(self, scope: _Scope, node: _Node, operand: int, role: str) -> None:
        wires = [wire for wire in node.inputs if not wire.startswith("^")]
        if operand >= len(wires):
            self._refuse(scope, f"an operator {shown(node.operator)} without the name of its file")
            return
        self._go(scope, _tensor(wires[operand]), role)

    def _go(self, scope: _Scope, name: str, role: str) -> None:
        if (scope.name, name, role) not in self._asked:
            self._asked.add((scope.name, name, role))
            self._left.append((scope, name, role))

    def _follow(self, scope: _Scope, name: str, role: str) -> None:
        node = scope.nodes.get(name)
        if node is None:
            self._follow_argument(scope, name, role)
        elif not scope.name and name in (self.saver if role == "saver" else self.assets):
            # The loader feeds it; what a saver's placeholder falls back to is followed like any other name.
            if node.operator not in ("Placeholder", "PlaceholderWithDefault", "Const") or (
                role == "saver" and node.operator == "Const"
            ):
                self._refuse(scope, f"the name of its file, {shown(name)!r}, is made by {shown(node.operator)}")
            elif node.operator == "PlaceholderWithDefault":
                self._ask(scope, node, 0, role)
        elif node.operator in _PASSES:
            for wire in [wire for wire in node.inputs if not wire.startswith("^")][_PASSES[node.operator]]:
                self._go(scope, _tensor(wire), role)
        elif node.operator == "VarHandleOp":
            self._follow_variable(scope, name, role)
        elif node.operator != "Const" or node.constant is None or not _FRAGMENT.fullmatch(node.constant):
            said = shown(repr(node.constant), 80) if node.operator == "Const" else shown(node.operator)
            self._refuse(scope, f"the model itself says which file to read or write: by {said}")

    def _follow_argument(self, scope: _Scope, name: str, role: str) -> None:
        if name not in scope.arguments:
            self._refuse(scope, f"the name of a file comes from {shown(name)!r}, which is not in the graph")
            return
        index = scope.arguments.index(name)
        for caller in self.scopes:
            for node in caller.nodes.values():
                if scope.name == node.operator or (scope.name in node.functions and node.operator in _CALLS):
                    self._ask(caller, node, index, role)
                elif scope.name in node.functions:
                    what = f"{shown(node.operator)} calls {shown(scope.name)}, which reads or writes a file"
                    self._refuse(caller, what)

    def _follow_variable(self, scope: _Scope, name: str, role: str) -> None:
        found = False
        for node in scope.nodes.values():
            if node.operator == "AssignVariableOp" and [_tensor(wire) for wire in node.inputs[:1]] == [name]:
                found = True
                self._ask(scope, node, 1, role)
        if not found:
            self._refuse(scope, f"the name of a file comes from the variable {shown(name)!r}")

    def _refuse(self, scope: _Scope, what: str) -> None:
        where = f"in the function {shown(scope.name)}: " if scope.name else ""
        self.record.error(rules.UNSAFE_OPERATOR, where + what, self.path)

    def _scopes(self, first: int, last: int) -> Iterator[_Scope]:
        main = _Scope("")
        for number, _, start, end in fields(self.data, first, last, self.budget):
            if number == 1:
                self._add_node(main, start, end)
            elif number == 2:
                for inner, _, begin, stop in fields(self.data, start, end, self.budget):
                    if inner == 1:
                        yield self._function(begin, stop)
        yield main

    def _function(self, first: int, last: int) -> _Scope:
        scope = _Scope("")
        for number, _, start, end in fields(self.data, first, last, self.budget):
            if number == 1:
                scope.name = next(iter(self._texts((start, end), 1)), "?") or "?"
                for inner, _, begin, stop in fields(self.data, start, end, self.budget):
                    if inner == 2:
                        scope.arguments += self._texts((begin, stop), 1)
            elif number == 3:
                self._add_node(scope, start, end)
        return scope

    def _add_node(self, scope: _Scope, first: int, last: int) -> None:
        span = (first, last)
        name = next(iter(self._texts(span, 1)), "")
        node = _Node(next(iter(self._texts(span, 2)), ""), self._texts(span, 3))
        for number, _, start, end in fields(self.data, first, last, self.budget):
            if number != 5:
                continue
            for inner, _, begin, stop in fields(self.data, start, end, self.budget):
                if inner == 2:
                    self._add_attribute(node, begin, stop)
        if name in scope.nodes:
            self._refuse(scope, f"two nodes are named {shown(name)!r}")
        scope.nodes[name] = node

    def _add_attribute(self, node: _Node, first: int, last: int) -> None:
        # AttrValue: list = 1 (whose func = 9), tensor = 8, func = 10 (whose name = 1).
        for number, wire, start, end in fields(self.data, first, last, self.budget):
            if wire != BYTES:
                continue
            if number == 10:
                node.functions += self._texts((start, end), 1)
            elif number == 1:
                for inner, kind, begin, stop in fields(self.data, start, end, self.budget):
                    if inner == 9 and kind == BYTES:
                        node.functions += self._texts((begin, stop), 1)
            elif number == 8 and node.operator == "Const":
                node.constant = self._constant(start, end)

    def _constant(self, first: int, last: int) -> str | None:
        """The one text that a TensorProto holds plainly (dtype = 1, string_val = 8); None if it holds anything else."""
        kind = 0
        texts: list[str] = []
        for number, _, start, end in fields(self.data, first, last, self.budget):
            if number == 1:
                kind = start
            elif number == 8:
                texts.append(text(self.data, (start, end), self.budget))
            elif number != 2:
                return None
        return texts[0] if kind == _STRING and len(texts) == 1 else None

    def _assets(self, kept: Kept) -> Iterator[str]:
        # MetaGraphDef.asset_file_def = 6, whose tensor_info = 1 has the name = 1.
        for span in kept.get(6, ()):
            for number, _, start, end in fields(self.data, *span, self.budget):
                if number == 1:
                    yield from (_tensor(name) for name in self._texts((start, end), 1))

    def _signature_inputs(self, kept: Kept) -> Iterator[str]:
        # MetaGraphDef.signature_def = 5, a map whose value = 2 is a SignatureDef with inputs = 1, a map of TensorInfo.
        paths: list[tuple[tuple[int, int], tuple[int, ...]]] = [(span, (2, 1, 2)) for span in kept.get(5, ())]
        while paths:
            span, path = paths.pop()
            if not path:
                yield from (_tensor(name) for name in self._texts(span, 1))
                continue
            for number, wire, start, end in fields(self.data, *span, self.budget):
                if number == path[0] and wire == BYTES:
                    paths.append(((start, end), path[1:]))

    def _texts(self, span: tuple[int, int], wanted: int) -> list[str]:
        return [
            text(self.data, (start, end), self.budget)
            for number, wire, start, end in fields(self.data, *span, self.budget)
            if number == wanted and wire == BYTES
        ]


def _tensor(wire: str) -> str:
    """The node, or the argument, that a tensor's name belongs to."""
    return wire.split(":", 1)[0]
