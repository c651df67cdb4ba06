"""From which gate a step is reached with the fewest things in the way, for all gates and steps of a graph at once.

Every gate sends marks (`interlock.pipeline.marks`), at a price: the number of things that are wrong with the gate. To
enter a node that does not pass a failure on costs 1, every other node nothing. Prices are served in order (Dial 1969),
within a price nodes in topological order, and each mark enters each node once, at its lowest price; so many gates cost
little more than one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence, Set
from heapq import heappop, heappush
from typing import NamedTuple

from interlock.pipeline.graph import Graph
from interlock.pipeline.marks import upstreams_first


class Start(NamedTuple):
    """What a gate sends.

    Args:
        price: The number of things that are wrong with it.
        marks: Bits.
    """

    price: int
    marks: int


class _Entry(NamedTuple):
    """Marks that entered a node together for the first time: at which price, and from where."""

    price: int
    marks: int
    origin: str


class _Due(NamedTuple):
    """Marks that will enter a node when its price is served, or that start there when `origin` is empty."""

    node: str
    marks: int
    origin: str


class Nearest:
    """The lowest prices and their paths.

    Args:
        graph: The pipeline.
        passing: Ids of the steps that pass a failure on.
        starts: The gates by id.
    """

    def __init__(self, graph: Graph, passing: Set[str], starts: Mapping[str, Start]) -> None:
        self._passing = passing
        self._starts = starts
        self._downstream: dict[str, list[str]] = {step.id: [] for step in graph.steps}
        for upper, lower in graph.edges:
            self._downstream[upper].append(lower)
        order, rest = upstreams_first(self._downstream)
        self._order = [*order, *rest]
        self._rank = {node: number for number, node in enumerate(self._order)}
        self._entries: dict[str, list[_Entry]] = {step.id: [] for step in graph.steps}
        self._entered = dict.fromkeys(self._downstream, 0)
        self._left = dict.fromkeys(self._downstream, 0)
        highest = max((start.price for start in starts.values()), default=-1)
        self._due: list[list[_Due]] = [[] for _ in range(highest + 1)]
        self._served = 0
        for gate, start in starts.items():
            self._due[start.price].append(_Due(gate, start.marks, ""))

    def price(self, node: str, marks: int, *, limit: int = sys.maxsize) -> int | None:
        """The lowest price at which one of `marks` enters `node` over one edge or more, if it is at most `limit`."""
        while True:
            entry = self._entry(node, marks)
            if entry is not None:
                return entry.price if entry.price <= limit else None
            if self._served > limit or self._served == len(self._due):
                return None
            self._serve_next()

    def path(self, node: str, marks: int) -> tuple[str, ...]:
        """The ids from the gate to `node` on which that price is paid; empty when `price` has found none."""
        entry = self._entry(node, marks)
        if entry is None:
            return ()
        mark = entry.marks & marks
        mark &= -mark  # one of those that came together
        path = [node]
        while entry is not None:
            path.append(entry.origin)
            start = self._starts.get(entry.origin)
            entry = self._entry(entry.origin, mark)
            if start is not None and start.marks & mark and (entry is None or start.price <= entry.price):
                break
        return tuple(reversed(path))

    def _entry(self, node: str, marks: int) -> _Entry | None:
        for entry in self._entries[node]:
            if entry.marks & marks:
                return entry
        return None

    def _serve_next(self) -> None:
        """Let everything that is due at the next price enter and travel on."""
        price, later = self._served, []
        entered, entries, passing = self._entered, self._entries, self._passing
        wave = _Wave(self._order, self._rank, self._left)
        for node, marks, origin in self._due[price]:
            new = marks & ~entered[node] if origin else marks
            if new and origin:
                entered[node] |= new
                entries[node].append(_Entry(price, new, origin))
            wave.leave(node, new)
        for here, marks in wave:
            for lower in self._downstream[here]:
                new = marks & ~entered[lower]
                if new and lower in passing:
                    entered[lower] |= new
                    entries[lower].append(_Entry(price, new, here))
                    wave.leave(lower, new)
                elif new:
                    later.append(_Due(lower, new, here))
        self._served += 1
        if later and self._served == len(self._due):
            self._due.append([])
        if later:
            self._due[self._served] += later


class _Wave:
    """Marks that leave nodes at one price, upstreams first."""

    def __init__(self, order: Sequence[str], rank: Mapping[str, int], left: dict[str, int]) -> None:
        self._order = order
        self._rank = rank
        self._left = left
        self._fresh: dict[str, int] = {}
        self._waiting: list[int] = []

    def leave(self, node: str, marks: int) -> None:
        new = marks & ~self._left[node]
        if not new:
            return
        self._left[node] |= new
        if node in self._fresh:
            self._fresh[node] |= new
        else:
            self._fresh[node] = new
            heappush(self._waiting, self._rank[node])

    def __iter__(self) -> Iterator[tuple[str, int]]:
        while self._waiting:
            here = self._order[heappop(self._waiting)]
            yield here, self._fresh.pop(here)
