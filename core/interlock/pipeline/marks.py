"""Marks that travel along the edges of a graph: what can be reached from where, for many starts at once.

A mark is one bit of a number of any size, so that however many marks there are, each edge is looked at once where the
graph has no circles. In a circle marks go round until nothing changes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

Node = TypeVar("Node", bound=Hashable)


def travel(nodes: Iterable[Node], edges: Sequence[tuple[Node, Node]], sent: Mapping[Node, int]) -> dict[Node, int]:
    """Send marks along edges.

    Args:
        nodes: All of them.
        edges: (from, to); both are nodes.
        sent: The marks that a node sends, as bits.

    Returns:
        For each node the marks that reach it over one edge or more.
    """
    onward: dict[Node, list[Node]] = {node: [] for node in nodes}
    for upper, lower in edges:
        onward[upper].append(lower)
    arrived = dict.fromkeys(onward, 0)
    order, rest = upstreams_first(onward)
    for here in order:
        leaving = arrived[here] | sent.get(here, 0)
        if leaving:
            for lower in onward[here]:
                arrived[lower] |= leaving
    if rest:
        _go_round(rest, onward, sent, arrived)
    return arrived


def upstreams_first(onward: Mapping[Node, Sequence[Node]]) -> tuple[list[Node], list[Node]]:
    """Topological order (Kahn 1962), and what stands in or behind a circle, in the order that it was given."""
    waits_for = dict.fromkeys(onward, 0)
    for lowers in onward.values():
        for lower in lowers:
            waits_for[lower] += 1
    order = [node for node, count in waits_for.items() if not count]
    for here in order:  # grows while it is read
        for lower in onward[here]:
            waits_for[lower] -= 1
            if not waits_for[lower]:
                order.append(lower)
    return order, [node for node, count in waits_for.items() if count]


def _go_round(
    nodes: list[Node], onward: Mapping[Node, list[Node]], sent: Mapping[Node, int], arrived: dict[Node, int]
) -> None:
    """The rest: nodes of circles and what lies behind them."""
    waiting, queued = deque(nodes), set(nodes)
    while waiting:
        here = waiting.popleft()
        queued.discard(here)
        leaving = arrived[here] | sent.get(here, 0)
        for lower in onward[here]:
            if arrived[lower] | leaving != arrived[lower]:
                arrived[lower] |= leaving
                if lower not in queued:
                    queued.add(lower)
                    waiting.append(lower)
