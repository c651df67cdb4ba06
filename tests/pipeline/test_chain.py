"""The chain rule: examples with names, and the rule against an enumeration of all paths.

Which steps an orchestrator's own words make of it (mapped tasks, branches, triggers) is its adapter's to say; here is
what the rule then says of them.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from interlock.gate.errors import UsageError
from interlock.pipeline import Graph, Step, Why, check, describe

DATA = "data-poisoning"
MODEL = "artifact-scan"
PROBE = "inference-probe"
LOOSE = Step(id="loose", needs_all_upstreams=False, rule="all_done")


def gate(name: str = "gate", **other: object) -> Step:
    return Step(**{"id": name, "gate": DATA, "subject": "data", **other})  # type: ignore[arg-type]  # keyword arguments of one test


def train(**other: object) -> Step:
    usual = {"id": "train", "protects": "training", "requires": (DATA,), "inputs": ("data",), "outputs": ("model",)}
    return Step(**usual | other)  # type: ignore[arg-type]


def promote(**other: object) -> Step:
    usual = {"id": "up", "protects": "deployment", "requires": (DATA, MODEL), "inputs": ("model",)}
    return Step(**usual | other)  # type: ignore[arg-type]


def scan(**other: object) -> Step:
    return Step(**{"id": "scan", "gate": MODEL, "subject": "model"} | other)  # type: ignore[arg-type]


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
            chain(gate(), train(), scan(), promote()), id="deployment-on-data-gated-before-the-training-that-made-it"
        ),
        pytest.param(
            chain(
                gate(subject="raw"), Step(id="clean", inputs=("raw",), outputs=("data",)), train(), scan(), promote()
            ),
            id="data-gated-before-it-was-cleaned",
        ),
        pytest.param(
            chain(gate(), gate("second", subject="config"), train(inputs=("data", "config"))),
            id="a-gate-for-each-of-two-inputs",
        ),
        pytest.param(
            chain(
                gate(subject="a"),
                Step(id="x", inputs=("a", "c"), outputs=("b",)),
                Step(id="y", inputs=("b",), outputs=("c", "data")),
                train(),
            ),
            id="made-from-each-other-in-a-circle",
        ),
        pytest.param(
            chain(Step(id="probe", gate=PROBE), promote(requires=(PROBE,), inputs=())),
            id="a-kind-whose-subject-is-no-input",
        ),
        pytest.param(
            chain(gate(), Step(id="branch"), train()),
            id="branch-that-may-skip-the-training",
        ),
        pytest.param(
            Graph(
                steps=(gate(), Step(id="latest_only"), Step(id="short_circuit"), train()),
                edges=(("gate", "train"), ("latest_only", "train"), ("short_circuit", "train")),
            ),
            id="skipping-steps-beside-the-gate",
        ),
        pytest.param(
            Graph(
                steps=(gate(), train(id="g.a"), train(id="g.b"), Step(id="g.c")),
                edges=(("gate", "g.a"), ("gate", "g.b"), ("g.a", "g.c"), ("g.b", "g.c")),
            ),
            id="group-of-steps-behind-one-gate",
        ),
        pytest.param(
            chain(gate(), Step(id="trigger", starts=("elsewhere",))), id="nothing-protected-here-but-a-pipeline-started"
        ),
        pytest.param(chain(Step(id="train", protects="training")), id="policy-requires-nothing"),
        pytest.param(Graph(steps=(Step(id="a"), Step(id="b"))), id="nothing-protected"),
        pytest.param(Graph(steps=()), id="empty-pipeline"),
    ],
)
def test_a_gated_pipeline_has_no_violation(graph: Graph) -> None:
    assert check(graph) == ()


def join(name: str) -> Step:
    return Step(id=name, needs_all_upstreams=False, rule="none_failed_min_one_success")


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
    ("7-skipped-branch-joined", chain(gate(), Step(id="branch"), join("j"), train()), "j", Why.RUNS_ANYWAY),
    ("8-latest-only-with-none-failed", chain(gate(), train(needs_all_upstreams=False)), "train", Why.RUNS_ANYWAY),
    ("9-gate-on-other-data", chain(gate(subject="holdout"), train()), "gate", Why.OTHER_SUBJECT),
    ("9b-gate-that-names-nothing", chain(gate(subject=""), train()), "gate", Why.OTHER_SUBJECT),
    ("9c-step-that-names-nothing", chain(gate(), train(inputs=())), "train", Why.UNSAID),
    ("9d-step-that-names-an-empty-thing", chain(gate(subject=""), train(inputs=("",))), "train", Why.UNSAID),
    ("9e-subject-in-other-letters", chain(gate(subject="Data"), train()), "gate", Why.OTHER_SUBJECT),
    ("9f-gate-on-what-the-step-makes", chain(gate(subject="model"), train()), "gate", Why.OTHER_SUBJECT),
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


def test_a_gate_in_the_pipeline_that_starts_this_one_does_not_hold_it() -> None:
    """TriggerDagRun and asset events: anybody can start the other pipeline alone, so its own graph must have gates."""
    starting = chain(gate(), Step(id="trigger", starts=("retrain",)))
    started = Graph(steps=(train(),))
    assert check(starting) == ()
    assert [violation.missing for violation in check(started)] == [DATA]


def test_each_step_of_a_group_needs_a_path_of_its_own() -> None:
    graph = Graph(
        steps=(gate(), train(id="g.a"), train(id="g.b")),
        edges=(("gate", "g.a"),),
    )
    (violation,) = check(graph)
    assert (violation.step_id, violation.elsewhere) == ("g.b", "gate")


def test_a_mapped_step_that_one_failed_instance_does_not_stop_is_in_the_way() -> None:
    """A mapped gate is one node here; what counts instances loosely runs although one of them failed."""
    loose = Step(id="reduce", needs_all_upstreams=False, rule="one_success")
    (violation,) = check(chain(gate("gate[]"), loose, train()))
    assert "'reduce' runs although an upstream failed or was skipped (one_success)" in describe(violation)


def test_a_scan_of_the_data_is_no_scan_of_the_model() -> None:
    graph = chain(gate(), scan(subject="data"), train(), promote())
    (violation,) = check(graph)
    assert (violation.step_id, violation.missing) == ("up", MODEL)
    assert [(obstacle.why, obstacle.detail) for obstacle in violation.obstacles] == [(Why.OTHER_SUBJECT, "data")]


def test_of_two_inputs_each_needs_a_gate() -> None:
    (violation,) = check(chain(gate(), train(inputs=("data", "config"))))
    assert [(obstacle.why, obstacle.detail) for obstacle in violation.obstacles] == [(Why.OTHER_SUBJECT, "data")]


def test_an_unnamed_output_joins_nothing() -> None:
    graph = chain(gate(), Step(id="a", inputs=("data",), outputs=("",)), train(inputs=("", "other")))
    assert [violation.missing for violation in check(graph)] == [DATA]


def test_a_sound_gate_on_other_data_is_named_before_a_broken_one_on_this() -> None:
    """Both have one obstacle more than none; what is broken twice is not the shortest fix."""
    broken = gate("broken", genuine=False, overrides=("execute",))
    graph = Graph(steps=(broken, gate("other", subject="x"), train()), edges=(("broken", "train"), ("other", "train")))
    (violation,) = check(graph)
    assert violation.path == ("other", "train")


def test_a_gate_on_what_the_step_uses_is_named_before_one_that_is_as_near_on_something_else() -> None:
    steps = (gate("other", subject="x"), gate("broken", genuine=False), train())
    (violation,) = check(Graph(steps=steps, edges=(("other", "train"), ("broken", "train"))))
    assert violation.path == ("broken", "train")


def test_only_a_gate_on_what_the_step_uses_is_said_to_be_elsewhere() -> None:
    (violation,) = check(Graph(steps=(gate("other", subject="x"), gate("right"), train())))
    assert violation.elsewhere == "right"
    (violation,) = check(Graph(steps=(gate("other", subject="x"), train())))
    assert violation.elsewhere == ""


def test_why_a_step_is_protected_is_said() -> None:
    (violation,) = check(Graph(steps=(train(because="rule gpu-queues: queue 'gpu'"),)))
    assert "training step 'train' (protected: rule gpu-queues: queue 'gpu')" in describe(violation)


def test_a_long_way_of_obstacles_and_of_trainings_ends() -> None:
    loose = tuple(Step(id=f"s{number}", needs_all_upstreams=False) for number in range(3_000))
    (violation,) = check(chain(gate(), *loose, train()))
    assert len(violation.obstacles) == 3_000
    trainings = tuple(train(id=f"t{n}", inputs=(f"m{n}",), outputs=(f"m{n + 1}",)) for n in range(3_000))
    assert check(chain(gate(subject="m0"), *trainings)) == ()
