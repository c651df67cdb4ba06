"""The chain rule is what an enumeration of all paths says, on small random graphs with and without circles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise, product
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.pipeline import Graph, Step, Why, check, describe

TRACED, DIRECT, UNBOUND = "data-poisoning", "artifact-scan", "inference-probe"
KINDS = (TRACED, DIRECT, UNBOUND)
NAMES = ("a", "b", "c", "")
SOUND = {"genuine": True, "overrides": (), "needs_all_upstreams": True, "setup": False, "teardown": False}
FAULTS: list[dict[str, Any]] = [
    {"needs_all_upstreams": False},
    {"genuine": False},
    {"overrides": ("execute",)},
    {"setup": True},
    {"teardown": True},
    {"genuine": False, "overrides": ("execute",), "setup": True},
]
SEVERAL = [(), *((name,) for name in NAMES), *combinations(NAMES, 2)]
MANY = settings(max_examples=400, deadline=None)

steps = st.builds(
    lambda gate, subject, fault, requires, names: Step(
        id="", gate=gate, subject=subject, requires=requires, inputs=names[0], outputs=names[1], **SOUND | fault
    ),
    st.sampled_from(["", "", TRACED, TRACED, DIRECT, UNBOUND]),
    st.sampled_from(NAMES),
    st.sampled_from([{}] * 5 + FAULTS),
    st.sampled_from([(), (), *((kind,) for kind in KINDS), KINDS]),
    st.sampled_from(list(product(SEVERAL, SEVERAL))),
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    drawn = draw(st.lists(steps, min_size=1, max_size=6))
    size, acyclic = len(drawn), draw(st.booleans())
    pairs = [(a, b) for a in range(size) for b in range(size) if not acyclic or a < b]
    chosen = draw(st.integers(0, 2 ** len(pairs) - 1))
    return Graph(
        steps=tuple(
            replace(step, id=f"s{number}", protects="training" if step.requires else "")
            for number, step in enumerate(drawn)
        ),
        edges=tuple((f"s{a}", f"s{b}") for number, (a, b) in enumerate(pairs) if chosen >> number & 1),
    )


def all_paths(graph: Graph, start: str, end: str) -> Iterator[tuple[str, ...]]:
    """Every path of at least one edge without a repeated node (start and end may be the same)."""
    below: dict[str, list[str]] = {step.id: [] for step in graph.steps}
    for upper, lower in graph.edges:
        below[upper].append(lower)

    def grow(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for lower in below[path[-1]]:
            if lower == end:
                yield (*path, lower)
            elif lower not in path:
                yield from grow((*path, lower))

    yield from grow((start,))


def may_be_looked_at(graph: Graph, name: str, kind: str) -> set[str]:
    """What a gate may look at on behalf of one input, by going over all steps until nothing is added."""
    found = {name}
    while kind == TRACED:
        before = set(found)
        for other in graph.steps:
            if before & set(other.outputs):
                found |= {into for into in other.inputs if into}
        if found == before:
            break
    return found


def uses(graph: Graph, step: Step, kind: str) -> list[set[str]]:
    """For each thing that must be looked at, what a gate may look at for it; nothing fits a step that says nothing."""
    if kind == UNBOUND:
        return [set(NAMES)]
    return [may_be_looked_at(graph, name, kind) for name in step.inputs if name] or [set()]


def obstacles_on(graph: Graph, path: tuple[str, ...], names: set[str]) -> int:
    """How many things are in the way on one path, its gate's subject included."""
    steps = {step.id: step for step in graph.steps}
    gate = steps[path[0]]
    fits = gate.gate == UNBOUND or (bool(gate.subject) and gate.subject in names)
    wrong = [not gate.genuine, bool(gate.overrides), gate.setup or gate.teardown, not fits]
    after = [steps[name] for name in path[1:]]
    return sum(wrong) + sum(not node.needs_all_upstreams or node.setup or node.teardown for node in after)


def prices(graph: Graph, step: Step, kind: str, names: set[str]) -> list[int]:
    """What is in the way on every path from a gate of `kind` to `step`."""
    gates = [other.id for other in graph.steps if other.gate == kind]
    return [obstacles_on(graph, path, names) for start in gates for path in all_paths(graph, start, step.id)]


def lacking(graph: Graph, step: Step, kind: str) -> list[set[str]]:
    """Those that no gate holds the step by."""
    return [names for names in uses(graph, step, kind) if 0 not in prices(graph, step, kind, names)]


@MANY
@given(graphs())
def test_the_rule_agrees_with_an_enumeration_of_all_paths(graph: Graph) -> None:
    expected = [
        (step.id, kind) for step in graph.steps if step.protects for kind in step.requires if lacking(graph, step, kind)
    ]
    assert [(violation.step_id, violation.missing) for violation in check(graph)] == expected


@MANY
@given(graphs())
def test_the_reported_path_is_in_the_graph_and_has_the_fewest_obstacles(graph: Graph) -> None:
    steps = {step.id: step for step in graph.steps}
    for violation in check(graph):
        step, kind = steps[violation.step_id], violation.missing
        names = lacking(graph, step, kind)[0]
        possible = prices(graph, step, kind, names)
        assert bool(violation.path) == bool(possible)
        if violation.path:
            assert set(pairwise(violation.path)) <= set(graph.edges)
            assert (steps[violation.path[0]].gate, violation.path[-1]) == (kind, violation.step_id)
            assert len(violation.obstacles) == min(possible) > 0
            assert obstacles_on(graph, violation.path, names) == min(possible)
            assert {found.step_id for found in violation.obstacles} <= set(violation.path)
            assert not violation.elsewhere


@given(graphs())
def test_a_gate_elsewhere_would_hold_the_step_if_it_were_connected(graph: Graph) -> None:
    steps = {step.id: step for step in graph.steps}
    for violation in check(graph):
        step, kind = steps[violation.step_id], violation.missing
        if violation.elsewhere and step.passes_failure_on and len(uses(graph, step, kind)) == 1:
            more = Graph(steps=graph.steps, edges=(*graph.edges, (violation.elsewhere, step.id)))
            assert (step.id, kind) not in {(v.step_id, v.missing) for v in check(more)}


@given(graphs())
def test_what_is_said_names_the_step_the_gate_and_everything_in_the_way(graph: Graph) -> None:
    for violation in check(graph):
        said = describe(violation)
        assert repr(violation.step_id) in said
        assert violation.missing in said
        assert all(repr(found.step_id) in said and found.why.value in said for found in violation.obstacles)
        unsaid = violation.missing != UNBOUND and not any(
            name for step in graph.steps if step.id == violation.step_id for name in step.inputs
        )
        assert (Why.UNSAID in {found.why for found in violation.obstacles}) == (unsaid and bool(violation.path))


@given(graphs(), st.data())
def test_a_further_edge_never_takes_a_gate_away(graph: Graph, data: st.DataObject) -> None:
    """The rule asks for one sound path, so edges only add paths."""
    names = [step.id for step in graph.steps]
    edge = (data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names)))
    more = Graph(steps=graph.steps, edges=(*graph.edges, edge))
    before = {(violation.step_id, violation.missing) for violation in check(graph)}
    assert {(violation.step_id, violation.missing) for violation in check(more)} <= before


@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_edges_and_steps_changes_no_verdict(graph: Graph, random: Random) -> None:
    edges, steps = list(graph.edges), list(graph.steps)
    random.shuffle(edges)
    random.shuffle(steps)
    shuffled = Graph(steps=tuple(steps), edges=tuple(edges))
    assert {(v.step_id, v.missing) for v in check(shuffled)} == {(v.step_id, v.missing) for v in check(graph)}
