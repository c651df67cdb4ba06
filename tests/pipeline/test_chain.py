"""The chain rule: examples with names, and the rule against an enumeration of all paths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate.errors import UsageError
from interlock.pipeline import Graph, Step, Why, check, describe

DATA = "data-poisoning"
MODEL = "artifact-scan"
LOOSE = Step(id="loose", needs_all_upstreams=False, rule="all_done")


def gate(name: str = "gate", **other: object) -> Step:
    return Step(**{"id": name, "gate": DATA, **other})  # type: ignore[arg-type]  # keyword arguments of one test


def train(**other: object) -> Step:
    return Step(**{"id": "train", "protects": "training", "requires": (DATA,), **other})  # type: ignore[arg-type]


def chain(*steps: Step) -> Graph:
    names = [step.id for step in steps]
    return Graph(steps=steps, edges=tuple(pairwise(names)))


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(chain(gate(), train()), id="gate-directly-in-front"),
        pytest.param(chain(gate(), Step(id="load"), train()), id="ordinary-step-between"),
        pytest.param(chain(Step(id="before", needs_all_upstreams=False), gate(), train()), id="loose-step-before-gate"),
        pytest.param(chain(gate(needs_all_upstreams=False), train()), id="gate-itself-may-run-always"),
        pytest.param(
            chain(gate(), Step(id="other", gate=MODEL, overrides=("execute",)), train()), id="other-gate-between"
        ),
        pytest.param(
            Graph(
                steps=(gate(), Step(id="loose", needs_all_upstreams=False), train()),
                edges=(("gate", "loose"), ("loose", "train"), ("gate", "train")),
            ),
            id="one-sound-path-beside-a-loose-one",
        ),
        pytest.param(
            chain(
                gate(),
                train(),
                Step(id="scan", gate=MODEL),
                Step(id="up", protects="deployment", requires=(DATA, MODEL)),
            ),
            id="deployment-met-along-the-chain",
        ),
        pytest.param(chain(Step(id="train", protects="training")), id="policy-requires-nothing"),
        pytest.param(Graph(steps=(Step(id="a"), Step(id="b"))), id="nothing-protected"),
        pytest.param(Graph(steps=()), id="empty-pipeline"),
    ],
)
def test_a_gated_pipeline_has_no_violation(graph: Graph) -> None:
    assert check(graph) == ()


TRICKS = [
    ("1-step-all-done", chain(gate(), train(needs_all_upstreams=False)), "train", Why.RUNS_ANYWAY),
    ("2-loose-step-between", chain(gate(), LOOSE, train()), "loose", Why.RUNS_ANYWAY),
    ("3-pre-execute-on-gate", chain(gate(overrides=("pre_execute",)), train()), "gate", Why.OVERRIDDEN),
    ("4-step-as-teardown", chain(gate(), train(teardown=True)), "train", Why.SETUP_OR_TEARDOWN),
    ("4b-step-as-setup", chain(gate(), train(setup=True)), "train", Why.SETUP_OR_TEARDOWN),
    ("4c-gate-as-teardown", chain(gate(teardown=True), train()), "gate", Why.SETUP_OR_TEARDOWN),
    ("4d-teardown-between", chain(gate(), Step(id="t", teardown=True), train()), "t", Why.SETUP_OR_TEARDOWN),
    ("5-callback-on-gate", chain(gate(overrides=("on_failure_callback",)), train()), "gate", Why.OVERRIDDEN),
    ("6-execute-replaced", chain(gate(overrides=("execute",)), train()), "gate", Why.OVERRIDDEN),
    ("6b-subclass-of-the-gate", chain(gate(genuine=False), train()), "gate", Why.NOT_THE_GATE),
]


@pytest.mark.parametrize(
    ("graph", "where", "why"),
    [pytest.param(*trick, id=name) for name, *trick in TRICKS],
)  # fmt: skip
def test_a_trick_is_named_with_its_place(graph: Graph, where: str, why: Why) -> None:
    (violation,) = check(graph)
    assert [(obstacle.step_id, obstacle.why) for obstacle in violation.obstacles] == [(where, why)]
    assert violation.path == tuple(step.id for step in graph.steps)
    assert "train" in describe(violation)
    assert where in describe(violation)


def test_a_missing_gate_is_told_from_one_that_is_merely_not_connected() -> None:
    (alone,) = check(Graph(steps=(train(),)))
    (apart,) = check(Graph(steps=(gate("elsewhere"), train())))
    assert (alone.path, alone.elsewhere) == ((), "")
    assert (apart.path, apart.elsewhere) == ((), "elsewhere")
    assert "there is none in front of it" in describe(alone)
    assert "'elsewhere' is one" in describe(apart)


def test_a_gate_after_the_step_does_not_hold_it() -> None:
    (violation,) = check(Graph(steps=(train(), gate()), edges=(("train", "gate"),)))
    assert violation.path == ()


def test_the_path_with_the_fewest_obstacles_is_reported() -> None:
    worse = (("worse", "loose"), ("loose", "train"))
    graph = Graph(
        steps=(
            gate("worse", genuine=False),
            gate("better", overrides=("post_execute",)),
            Step(id="loose", needs_all_upstreams=False),
            Step(id="a"),
            train(),
        ),
        edges=(*worse, ("better", "a"), ("a", "train")),
    )
    (violation,) = check(graph)
    assert violation.path == ("better", "a", "train")


def test_every_missing_kind_is_reported_once_and_in_order() -> None:
    step = Step(id="up", protects="deployment", requires=(MODEL, DATA, MODEL))
    assert [violation.missing for violation in check(Graph(steps=(step,)))] == [MODEL, DATA]


def test_a_graph_with_two_steps_of_one_name_is_refused() -> None:
    with pytest.raises(UsageError, match="share an id"):
        Graph(steps=(Step(id="a"), Step(id="a")))


def test_an_edge_to_nowhere_is_refused() -> None:
    with pytest.raises(UsageError, match="not in the pipeline"):
        Graph(steps=(Step(id="a"),), edges=(("a", "b"),))


def test_a_long_chain_needs_no_deep_recursion() -> None:
    middle = tuple(Step(id=f"s{number}") for number in range(20_000))
    assert check(chain(gate(), *middle, train())) == ()


# The law: the rule is what an enumeration of all paths says.


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> Graph:
    size = draw(st.integers(1, 6))
    steps = tuple(
        Step(
            id=f"s{number}",
            gate=draw(st.sampled_from(["", "", DATA, MODEL])),
            genuine=draw(st.sampled_from([True, True, True, False])),
            overrides=draw(st.sampled_from([(), (), (), ("execute",)])),
            protects=draw(st.sampled_from(["", "training"])),
            requires=draw(st.sampled_from([(DATA,), (DATA, MODEL), ()])),
            needs_all_upstreams=draw(st.sampled_from([True, True, False])),
            setup=draw(st.sampled_from([False, False, False, True])),
            teardown=draw(st.sampled_from([False, False, False, True])),
        )
        for number in range(size)
    )
    pairs = [(a, b) for a in range(size) for b in range(size) if (a < b if acyclic else True)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return Graph(steps=steps, edges=tuple((f"s{a}", f"s{b}") for a, b in chosen))


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


def gated_by_enumeration(graph: Graph, step: Step, kind: str) -> bool:
    steps = {other.id: other for other in graph.steps}
    for start in graph.steps:
        sound = start.gate == kind and start.genuine and not start.overrides and not start.setup and not start.teardown
        if not sound:
            continue
        for path in all_paths(graph, start.id, step.id):
            nodes = [steps[name] for name in path[1:]]
            if all(node.needs_all_upstreams and not node.setup and not node.teardown for node in nodes):
                return True
    return False


def missing_by_enumeration(graph: Graph) -> list[tuple[str, str]]:
    return [
        (step.id, kind)
        for step in graph.steps
        if step.protects
        for kind in step.requires
        if not gated_by_enumeration(graph, step, kind)
    ]


@given(st.booleans().flatmap(lambda acyclic: graphs(acyclic=acyclic)))
def test_the_rule_agrees_with_an_enumeration_of_all_paths(graph: Graph) -> None:
    assert [(violation.step_id, violation.missing) for violation in check(graph)] == missing_by_enumeration(graph)


@given(st.booleans().flatmap(lambda acyclic: graphs(acyclic=acyclic)))
def test_a_reported_path_is_in_the_graph_and_has_the_fewest_bad_nodes(graph: Graph) -> None:
    steps = {step.id: step for step in graph.steps}

    def price(path: tuple[str, ...]) -> int:
        return (not steps[path[0]].stops) + sum(not steps[name].passes_failure_on for name in path[1:])

    for violation in check(graph):
        starts = [step.id for step in graph.steps if step.gate == violation.missing]
        prices = [price(path) for start in starts for path in all_paths(graph, start, violation.step_id)]
        assert bool(violation.path) == bool(prices)
        if violation.path:
            assert set(pairwise(violation.path)) <= set(graph.edges)
            assert steps[violation.path[0]].gate == violation.missing
            assert price(violation.path) == min(prices) > 0
            assert {found.step_id for found in violation.obstacles} <= set(violation.path)


@given(graphs(acyclic=True), st.data())
def test_a_further_edge_never_takes_a_gate_away(graph: Graph, data: st.DataObject) -> None:
    """The rule asks for one sound path, so edges only add paths."""
    names = [step.id for step in graph.steps]
    edge = (data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names)))
    more = Graph(steps=graph.steps, edges=(*graph.edges, edge))
    before = {(violation.step_id, violation.missing) for violation in check(graph)}
    assert {(violation.step_id, violation.missing) for violation in check(more)} <= before


@given(graphs(acyclic=True), st.randoms(use_true_random=False))
def test_the_order_of_edges_changes_no_verdict(graph: Graph, random: object) -> None:
    edges = list(graph.edges)
    random.shuffle(edges)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    shuffled = Graph(steps=graph.steps, edges=tuple(edges))
    assert {(v.step_id, v.missing) for v in check(shuffled)} == {(v.step_id, v.missing) for v in check(graph)}
