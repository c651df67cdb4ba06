"""Where the values of a template's variables come from, whatever the order in which it runs.

Jinja looks an attribute up when a key is missing (``x[key]``), so a key that the template put together itself could
name any Python internal. This module tells apart, conservatively and without regard to scope: numbers, values that
came in from outside as they are, and everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jinja2 import nodes

from interlock.artifacts.formats import template_words as words
from interlock.artifacts.limits import LimitPassedError

_MOST_ROUNDS: Final = 40
_KEYS_OF: Final = frozenset({"items", "keys", "dictsort", "list", "sort"})
_TEXT: Final = nodes.Concat([])
"""Stands for text that the template put together."""
_NUMBER: Final = nodes.Const(0)

_NEVER_TEXT: Final = (nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.UnaryExpr, nodes.Compare, nodes.Test)
_TAKE_APART: Final = (
    nodes.Getattr, nodes.Getitem, nodes.CondExpr, nodes.And, nodes.Or, nodes.List, nodes.Tuple, nodes.Dict,
)  # fmt: skip

Held = frozenset[str]


def every_node(tree: nodes.Node) -> Iterator[nodes.Node]:
    """`tree` and everything in it, without recursion."""
    left = [tree]
    while left:
        node = left.pop()
        yield node
        left += node.iter_child_nodes()


class Flow:
    """What each variable of a template may hold: variables by name, attributes of namespaces as ``.name``.

    Args:
        tree: The parsed template.

    Raises:
        LimitPassedError: Its variables depend on each other over too many steps to tell.
    """

    def __init__(self, tree: nodes.Template) -> None:
        self.nodes = tuple(every_node(tree))
        self.macros = {node.name: node for node in self.nodes if isinstance(node, nodes.Macro)}
        self.sources: dict[str, list[nodes.Node]] = {}
        for node in self.nodes:
            self._collect(node)
        self._numbers = self._settle(self._number)
        self._outside = self._settle(self._comes_from_outside)
        self._direct = self._settle(self._is_direct)

    def is_number(self, expression: nodes.Node) -> bool:
        """Whether it cannot be a text."""
        return self._number(expression, self._numbers)

    def is_outside(self, expression: nodes.Node) -> bool:
        """Whether nothing in it was put together by the template."""
        return self._comes_from_outside(expression, self._outside)

    def is_direct(self, expression: nodes.Node) -> bool:
        """Whether no key that is not written out led to it."""
        return self._is_direct(expression, self._direct)

    def goes_over_keys_of(self, key: nodes.Node, mapping: nodes.Node) -> bool:
        """Whether `key` only ever runs over the keys of `mapping`."""
        if not isinstance(key, nodes.Name) or not self.sources.get(key.name):
            return False
        return all(_without_key_views(source) == mapping for source in self.sources[key.name])

    def _settle(self, holds: Callable[[nodes.Node, Held], bool]) -> Held:
        """The largest set of variables of whose every source `holds` is true, given that set."""
        held = frozenset(self.sources)
        for _ in range(_MOST_ROUNDS):
            kept = frozenset(name for name in held if all(holds(source, held) for source in self.sources[name]))
            if kept == held:
                return kept
            held = kept
        raise LimitPassedError("a template whose variables depend on each other over too many steps")

    def _collect(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Assign):
            self._bind(node.target, node.node)
        elif isinstance(node, nodes.For):
            over = node.iter
            counts = isinstance(over, nodes.Call) and isinstance(over.node, nodes.Name) and over.node.name == "range"
            self._bind(node.target, _NUMBER if counts else over)
        elif isinstance(node, nodes.AssignBlock):
            self._bind(node.target, _TEXT)
        elif isinstance(node, nodes.With):
            for target, value in zip(node.targets, node.values, strict=True):
                self._bind(target, value)
        elif isinstance(node, nodes.Macro | nodes.CallBlock):
            self._parameters(node)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
            self._arguments(node.node.name, node)

    def _bind(self, target: nodes.Node, value: nodes.Node) -> None:
        if isinstance(target, nodes.Tuple):
            parts: Sequence[nodes.Node] = [value] * len(target.items)
            if isinstance(value, nodes.Tuple | nodes.List) and len(value.items) == len(target.items):
                parts = value.items
            for item, part in zip(target.items, parts, strict=True):
                self._bind(item, part)
        elif isinstance(target, nodes.Name):
            self.sources.setdefault(target.name, []).append(value)
        elif isinstance(target, nodes.NSRef):
            self.sources.setdefault(f".{target.attr}", []).append(value)

    def _parameters(self, node: nodes.Macro | nodes.CallBlock) -> None:
        for parameter in node.args:
            # What a call block is given comes from the macro's `caller(...)`, whose arguments are anybody's guess.
            self.sources.setdefault(parameter.name, []).extend([_TEXT] if isinstance(node, nodes.CallBlock) else [])
        for parameter, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
            self._bind(parameter, default)

    def _arguments(self, name: str, call: nodes.Call) -> None:
        if name == "namespace":
            for keyword in call.kwargs:
                self.sources.setdefault(f".{keyword.key}", []).append(keyword.value)
        macro = self.macros.get(name)
        if macro is None:
            return
        for parameter, value in zip(macro.args, call.args, strict=False):
            self._bind(parameter, value)
        for keyword in call.kwargs:
            self.sources.setdefault(keyword.key, []).append(keyword.value)

    def _number(self, node: nodes.Node, held: Held) -> bool:
        if isinstance(node, nodes.Const):
            return not isinstance(node.value, str)
        if isinstance(node, nodes.Add):
            return self._number(node.left, held) or self._number(node.right, held)
        if isinstance(node, nodes.Mod):
            return self._number(node.left, held)
        if isinstance(node, nodes.Mul | nodes.And | nodes.Or | nodes.CondExpr):
            parts = [node.expr1, node.expr2] if isinstance(node, nodes.CondExpr) else [node.left, node.right]
            return all(part is None or self._number(part, held) for part in parts)
        return isinstance(node, _NEVER_TEXT) or self._counts(node, held)

    def _counts(self, node: nodes.Node, held: Held) -> bool:
        if isinstance(node, nodes.Getattr):
            if isinstance(node.node, nodes.Name) and node.node.name == "loop":
                return node.attr in words.LOOP_COUNTS
            return f".{node.attr}" in held
        if isinstance(node, nodes.Name):
            return node.name in held and bool(self.sources[node.name])
        return isinstance(node, nodes.Filter) and node.name in words.COUNTS

    def _comes_from_outside(self, node: nodes.Node, held: Held) -> bool:
        if self._number(node, self._numbers) or isinstance(node, nodes.Slice):
            return True
        if isinstance(node, nodes.Const):
            return not node.value.startswith("_")
        if isinstance(node, nodes.Name):
            known = node.name in self.macros or node.name in words.MADE_BY_JINJA
            return not known and (node.name not in self.sources or node.name in held)
        if isinstance(node, nodes.Getattr) and f".{node.attr}" in self.sources and f".{node.attr}" not in held:
            return False
        if isinstance(node, nodes.Call):
            keeps = isinstance(node.node, nodes.Getattr) and node.node.attr in words.KEEPS_TOO
        else:
            keeps = isinstance(node, _TAKE_APART) or (isinstance(node, nodes.Filter) and _keeps(node))
        return keeps and all(self._comes_from_outside(part, held) for part in _parts(node))

    def _is_direct(self, node: nodes.Node, held: Held) -> bool:
        for part in every_node(node):
            if isinstance(part, nodes.Getitem) and not self._written_out(part):
                return False
            if isinstance(part, nodes.Name) and part.name in self.sources and part.name not in held:
                return False
            if isinstance(part, nodes.Getattr):
                name = f".{part.attr}"
                if name in self.sources and name not in held:
                    return False
        return True

    def _written_out(self, node: nodes.Getitem) -> bool:
        key = node.arg
        return (
            isinstance(key, nodes.Const | nodes.Slice) or self.is_number(key) or self.goes_over_keys_of(key, node.node)
        )


def _parts(node: nodes.Node) -> Iterator[nodes.Node]:
    """The expressions that `node` is made of; of a mapping, keys and values."""
    for child in node.iter_child_nodes():
        if isinstance(child, nodes.Pair):
            yield from (child.key, child.value)
        elif isinstance(child, nodes.Keyword):
            yield child.value
        elif isinstance(child, nodes.Expr):
            yield child


def _keeps(node: nodes.Filter) -> bool:
    """Whether a filter puts no text together; of ``map``, the filter that it applies."""
    applied = node.args[0] if node.name == "map" and node.args else nodes.Const(node.name)
    return node.name in words.KEEPS and isinstance(applied, nodes.Const) and applied.value in words.KEEPS


def _without_key_views(node: nodes.Node) -> nodes.Node:
    while True:
        if isinstance(node, nodes.Filter) and node.name in _KEYS_OF and node.node is not None:
            node = node.node
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in _KEYS_OF:
            node = node.node.node
        else:
            return node
