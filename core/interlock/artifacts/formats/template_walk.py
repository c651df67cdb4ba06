"""Judges a chat template by its syntax tree: what is not known to be harmless is refused.

The judgement holds for a plain `jinja2.Environment`, as the loaders of CVE-2024-34359 (llama-cpp-python) and
CVE-2026-5760 (SGLang) had it, not only for a sandbox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import nodes

from interlock.artifacts.formats import template_words as words
from interlock.artifacts.formats.template_flow import Flow, every_node
from interlock.artifacts.record import shown

LONGEST_RANGE: Final = 10_000
MOST_ROUNDS: Final = 100_000
"""Rounds of loops inside of each other, where the template itself says how many."""
LARGEST_FACTOR: Final = 1_000

_PLAIN: Final = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.CallBlock, nodes.FilterBlock, nodes.With,
    nodes.AssignBlock, nodes.ExprStmt, nodes.NSRef, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair, nodes.Keyword,
    nodes.CondExpr, nodes.Slice, nodes.Compare, nodes.Operand, nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.And,
    nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Continue, nodes.Break, nodes.Scope,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Something in a template that is not known to be harmless.

    Args:
        line: Where, counted from 1.
        what: It in words, safe to print.
        escapes: It reaches for Python behind the template; otherwise it is just not known.
    """

    line: int
    what: str
    escapes: bool = False


def objections(tree: nodes.Template) -> list[Objection]:
    """What speaks against a parsed template.

    Raises:
        LimitPassedError: Its variables depend on each other over too many steps to tell.
        RecursionError: It nests too deep.
    """
    flow = Flow(tree)
    walk = _Walk(flow)
    found = [objection for node in flow.nodes for objection in walk.judge(node)]
    if _rounds(tree) > MOST_ROUNDS:
        found.append(Objection(line=1, what=f"it loops more than {MOST_ROUNDS:,} times by itself"))
    return sorted(found, key=lambda objection: (not objection.escapes, objection.line))


class _Walk:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._seen: set[int] = set()
        self._looks: dict[type[nodes.Node], Callable[[Any], Iterator[Objection]]] = {
            nodes.Const: self._constant,
            nodes.Name: self._name,
            nodes.Getattr: self._attribute,
            nodes.Getitem: self._item,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
            nodes.For: self._loop,
            nodes.Assign: self._growth,
            nodes.Mul: self._product,
            nodes.Mod: self._modulo,
            nodes.Add: self._folded,
            nodes.Concat: self._folded,
            nodes.Macro: self._macro,
        }

    def judge(self, node: nodes.Node) -> Iterator[Objection]:
        """What speaks against one node; parents come before their children."""
        for kind, look in self._looks.items():
            if isinstance(node, kind):
                yield from look(node)
                return
        if not isinstance(node, _PLAIN):
            yield _unknown(node, f"the tag or operator {type(node).__name__}")

    def _test(self, node: nodes.Test) -> Iterator[Objection]:
        if node.name in {"defined", "undefined"}:
            self._seen.add(id(node.node))  # asks whether a loader has a function
        if node.name not in words.TESTS:
            yield _unknown(node, f"the test {shown(node.name, 60)!r} is not known")
        yield from _no_spread(node)

    def _loop(self, node: nodes.For) -> Iterator[Objection]:
        if node.recursive:
            yield _unknown(node, "a loop that calls itself")

    def _macro(self, node: nodes.Macro) -> Iterator[Objection]:
        if node.name in self.flow.sources or node.name in words.FUNCTIONS:
            yield _unknown(node, f"the macro {shown(node.name, 60)!r} is also something else")

    def _modulo(self, node: nodes.Mod) -> Iterator[Objection]:
        if isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
            yield _unknown(node, "a text that is formatted with %")

    def _constant(self, node: nodes.Const) -> Iterator[Objection]:
        if isinstance(node.value, str) and words.DUNDER.search(node.value):
            yield _escape(node, f"the text {shown(node.value, 60)!r}, part of the name of a Python internal")

    def _name(self, node: nodes.Name) -> Iterator[Objection]:
        if node.name.startswith("__"):
            yield _escape(node, f"the name {shown(node.name, 60)!r}")
        if node.name in words.UNSAFE_NAMES:
            yield _unknown(node, f"the name {node.name!r}, which leads out of the template")
        elif node.name in words.FUNCTIONS and node.name != "caller" and id(node) not in self._seen:
            yield _unknown(node, f"the function {node.name!r} as a value, or as a name for something else")

    def _attribute(self, node: nodes.Getattr) -> Iterator[Objection]:
        yield from self._named_attribute(node, node.attr)

    def _named_attribute(self, node: nodes.Getattr | nodes.Getitem, name: str) -> Iterator[Objection]:
        if words.UNSAFE_ATTRIBUTE.match(name):
            yield _escape(node, f"the attribute {shown(name, 60)!r}")
        base = node.node
        if name in {"format", "format_map"} and not self.flow.is_outside(base):
            yield _unknown(node, f"{name} of a text, which reads attributes")
        if isinstance(base, nodes.Name) and base.name == "loop" and name not in words.LOOP:
            yield _unknown(node, f"the attribute {shown(name, 60)!r} of a loop")

    def _item(self, node: nodes.Getitem) -> Iterator[Objection]:
        key = node.arg
        if isinstance(key, nodes.Const) and isinstance(key.value, str):
            yield from self._named_attribute(node, key.value)
        elif not isinstance(key, nodes.Slice) and not self.flow.is_number(key):
            if not self.flow.is_outside(key):
                yield _unknown(node, "a key that the template puts together")
            elif not self.flow.is_outside(node.node):
                yield _unknown(node, "a computed key into something that did not come from outside")
            elif not self.flow.goes_over_keys_of(key, node.node) and not self.flow.is_direct(node.node):
                yield _unknown(node, "a walk from key to key, led by what comes from outside")

    def _call(self, node: nodes.Call) -> Iterator[Objection]:
        yield from _no_spread(node)
        called = node.node
        if isinstance(called, nodes.Name):
            self._seen.add(id(called))
            if not self._may_call(called.name):
                yield _unknown(node, f"it calls {shown(called.name, 60)!r}, which is not known")
            elif called.name == "range":
                yield from _long_range(node)
            return
        method = called.attr if isinstance(called, nodes.Getattr) else None
        if isinstance(called, nodes.Getitem) and isinstance(called.arg, nodes.Const):
            method = str(called.arg.value)
        if method is None:
            yield _unknown(node, f"it calls what comes out of {_article(called)}")
        elif method not in words.METHODS and not _of_loop(called, method):
            yield _unknown(node, f"it calls the method {shown(method, 60)!r}, which is not known")
        elif method in words.CHANGES and not all(self.flow.is_outside(argument) for argument in node.args):
            yield _unknown(node, f"it keeps what it put together by {method!r}")

    def _may_call(self, name: str) -> bool:
        sources = self.flow.sources.get(name)
        if sources is None:
            return name in self.flow.macros or name in words.FUNCTIONS
        return all(
            isinstance(source, nodes.Call) and isinstance(source.node, nodes.Name) and source.node.name == "joiner"
            for source in sources
        ) and bool(sources)

    def _filter(self, node: nodes.Filter) -> Iterator[Objection]:
        yield from _no_spread(node)
        yield from _large_size(node)
        if node.name in {"attr", "format"}:
            yield _escape(node, f"the filter {node.name!r}, which reads attributes or puts text together")
        elif node.name not in words.FILTERS:
            yield _unknown(node, f"the filter {shown(node.name, 60)!r} is not known")
        elif node.name in words.TAKES_ATTRIBUTE:
            yield from self._named_by_argument(node)

    def _named_by_argument(self, node: nodes.Filter) -> Iterator[Objection]:
        given = [*node.args, *(keyword.value for keyword in node.kwargs if keyword.key not in {"d", "default"})]
        free = _first_free_argument(node)
        for position, argument in enumerate(given):
            if position >= free and position < len(node.args):
                continue
            if not isinstance(argument, nodes.Const):
                if not self.flow.is_number(argument):
                    yield _unknown(node, f"the filter {node.name!r} with a computed name")
                continue
            value = argument.value
            if not isinstance(value, str):
                continue
            if any(words.UNSAFE_ATTRIBUTE.match(part) for part in value.split(".")):
                yield _escape(node, f"the filter {node.name!r} with the attribute {shown(value, 60)!r}")
            known = words.FILTERS if node.name == "map" else words.TESTS
            if position == free - 1 and position < len(node.args) and value not in known and node.name != "join":
                yield _unknown(node, f"the filter {node.name!r} with {shown(value, 60)!r}, which is not known")

    def _folded(self, node: nodes.Add | nodes.Concat) -> Iterator[Objection]:
        if id(node) in self._seen:
            return
        parts = list(every_node(node))
        self._seen.update(id(part) for part in parts)
        pieces = [part.value for part in parts if isinstance(part, nodes.Const) and isinstance(part.value, str)]
        whole = "".join(reversed(pieces))
        if words.DUNDER.search(whole) and not any(words.DUNDER.search(piece) for piece in pieces):
            yield _escape(node, f"the text {shown(whole, 60)!r}, put together from pieces")

    def _growth(self, node: nodes.Assign) -> Iterator[Objection]:
        name = getattr(node.target, "attr", None) or getattr(node.target, "name", None)
        itself = [part for part in _terms(node.node) if name in (getattr(part, "attr", 0), getattr(part, "name", 0))]
        if len(itself) > 1 and not self.flow.is_number(node.node):
            yield _unknown(node, f"{shown(str(name), 60)!r} doubles itself")

    def _product(self, node: nodes.Mul) -> Iterator[Objection]:
        if self.flow.is_number(node):
            return
        factors = [side.value for side in (node.left, node.right) if isinstance(side, nodes.Const)]
        small = [factor for factor in factors if isinstance(factor, int) and _whole(factor) <= LARGEST_FACTOR]
        nested = any(isinstance(part, nodes.Mul) for side in (node.left, node.right) for part in every_node(side))
        if nested or not small:
            yield _unknown(node, "a text that is multiplied without a small bound")


def _escape(node: nodes.Node, what: str) -> Objection:
    return Objection(line=node.lineno, what=what, escapes=True)


def _unknown(node: nodes.Node, what: str) -> Objection:
    return Objection(line=node.lineno, what=what)


def _article(node: nodes.Node) -> str:
    return {"Getitem": "a computed key", "Call": "a call", "Filter": "a filter"}.get(
        type(node).__name__, "an expression"
    )


def _first_free_argument(node: nodes.Filter) -> int:
    """From which positional argument on a filter takes values, not names."""
    return {"map": 1, "select": 1, "reject": 1, "selectattr": 2, "rejectattr": 2}.get(node.name, len(node.args))


def _of_loop(called: nodes.Expr, method: str) -> bool:
    loop = isinstance(called, nodes.Getattr) and isinstance(called.node, nodes.Name) and called.node.name == "loop"
    return loop and method in {"cycle", "changed"}


def _no_spread(node: nodes.Call | nodes.Filter | nodes.Test) -> Iterator[Objection]:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        yield _unknown(node, "arguments that are spread with * or **")


def _terms(node: nodes.Node) -> Iterator[nodes.Node]:
    """What a sum of texts is made of."""
    left: list[nodes.Node] = [node]
    while left:
        part = left.pop()
        if isinstance(part, nodes.Add | nodes.Mul):
            left += (part.left, part.right)
        elif isinstance(part, nodes.Concat):
            left += part.nodes
        elif isinstance(part, nodes.CondExpr):
            left += [choice for choice in (part.expr1, part.expr2) if choice is not None]
        else:
            yield part


def _large_size(node: nodes.Filter) -> Iterator[Objection]:
    sizes = [*node.args, *(keyword.value for keyword in node.kwargs)]
    if any(isinstance(size, nodes.Const) and _whole(size.value) > LONGEST_RANGE for size in sizes):
        yield _unknown(node, f"the filter {node.name!r} with a size of more than {LONGEST_RANGE:,}")


def _whole(value: object) -> int:
    return abs(value) if isinstance(value, int) else 0


def _long_range(node: nodes.Call) -> Iterator[Objection]:
    sizes = [part.value for argument in node.args for part in every_node(argument) if isinstance(part, nodes.Const)]
    if any(_whole(size) > LONGEST_RANGE for size in sizes):
        yield _unknown(node, f"a range of more than {LONGEST_RANGE:,}")


def _rounds(tree: nodes.Template) -> int:
    """How often the innermost body runs, as far as the template's own ranges say."""
    most = 1
    left: list[tuple[nodes.Node, int]] = [(tree, 1)]
    while left:
        node, rounds = left.pop()
        if isinstance(node, nodes.For):
            sizes = [
                abs(part.value)
                for part in every_node(node.iter)
                if isinstance(part, nodes.Const) and isinstance(part.value, int)
            ]
            called = isinstance(node.iter, nodes.Call) and isinstance(node.iter.node, nodes.Name)
            rounds *= max([1, *sizes]) if called else 1
            most = max(most, rounds)
        left += [(child, rounds) for child in node.iter_child_nodes()]
    return most
