"""What the chain rule calls gated, no order of execution gets past: 1,000 random DAGs, every order of each.

Every task of a DAG may succeed, fail or be skipped, gates included; the trigger rules, setups and teardowns are those
of Airflow (`tests.pipeline.airflow_rules`).
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline.airflow_rules import OUTCOMES, RULES, Dag, State, States, Task, ends, executions

from interlock.pipeline import Graph, Step, check

KIND = "data-poisoning"
ANY = dict.fromkeys(("gate", "other", "mid", "train", *(f"t{number}" for number in range(8))), OUTCOMES)


def steps_of(dag: Dag, roles: dict[str, Step]) -> Graph:
    """The neutral graph of `dag`, with what else is known of each task."""
    return Graph(
        steps=tuple(
            Step(
                id=task.id,
                gate=roles[task.id].gate,
                subject=roles[task.id].subject,
                overrides=roles[task.id].overrides,
                protects=roles[task.id].protects,
                requires=roles[task.id].requires,
                inputs=roles[task.id].inputs,
                rule=task.rule,
                needs_all_upstreams=task.rule == "all_success",
                setup=task.setup,
                teardown=task.teardown,
            )
            for task in dag.tasks
        ),
        edges=tuple((upper, task.id) for task in dag.tasks for upper in sorted(task.upstream)),
    )


def surely_succeeded(dag: Dag) -> dict[str, frozenset[str]]:
    """For each task that can run, the tasks that have succeeded whenever it starts, in whatever order."""
    found: dict[str, frozenset[str]] = {}
    for states, task in executions(dag, ANY):
        now = frozenset(other.id for other, state in zip(dag.tasks, states, strict=True) if state is State.SUCCESS)
        found[task.id] = found.get(task.id, now) & now
    return found


PROTECTED = Step(id="", protects="training", requires=(KIND,), inputs=("data",))
GATE = Step(id="", gate=KIND, subject="data")
ROLES = [
    PROTECTED,
    GATE,
    Step(id="", gate=KIND, subject="holdout"),
    Step(id="", gate=KIND, subject="data", overrides=("execute",)),
    Step(id=""),
    Step(id=""),
]


@st.composite
def dags(draw: st.DrawFn) -> tuple[Dag, dict[str, Step]]:
    """A gate first and a protected step last; between them anything, and any rule, setup or teardown."""
    tasks: list[Task] = []
    roles: dict[str, Step] = {}
    size = draw(st.integers(2, 5))
    for number in range(size):
        rule = draw(st.sampled_from(["all_success"] * len(RULES) + list(RULES)))
        part = draw(st.sampled_from(["", "", "", "", "setup", "teardown"]))
        chosen = draw(st.integers(1, 2**number - 1)) if number else 0
        upstream = frozenset(f"t{bit}" for bit in range(number) if chosen >> bit & 1)
        setup, teardown = part == "setup", part == "teardown"
        tasks.append(Task(id=f"t{number}", rule=rule, upstream=upstream, setup=setup, teardown=teardown))
        roles[f"t{number}"] = draw(st.sampled_from(ROLES))
    return Dag(tuple(tasks)), roles | {"t0": GATE, f"t{size - 1}": PROTECTED}


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(dags())
def test_no_order_of_execution_starts_a_gated_step_without_its_gate(drawn: tuple[Dag, dict[str, Step]]) -> None:
    dag, roles = drawn
    graph = steps_of(dag, roles)
    ungated = {violation.step_id for violation in check(graph)}
    succeeded = surely_succeeded(dag)
    sound = {step.id for step in graph.steps if step.stops and step.subject == "data"}
    for step in graph.steps:
        if step.protects and step.id not in ungated:
            assert succeeded.get(step.id, sound) & sound


def test_the_random_dags_are_not_all_of_one_sort() -> None:
    """Otherwise the law above would say nothing: some steps are gated and can run, and some run without their gate."""
    seen: set[str] = set()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(dags())
    def look(drawn: tuple[Dag, dict[str, Step]]) -> None:
        dag, roles = drawn
        graph = steps_of(dag, roles)
        ungated = {violation.step_id for violation in check(graph)}
        runs = surely_succeeded(dag)
        for step in graph.steps:
            if step.protects and step.id in runs:
                seen.add("ungated" if step.id in ungated else "gated")

    look()
    assert seen == {"gated", "ungated"}


def past_a_failed_gate(dag: Dag, end: State) -> bool:
    """Whether the training can start although the gate ended otherwise than well."""
    outcomes = ANY | {"gate": (end,)}
    return any(task.id == "train" for _, task in executions(dag, outcomes))


@pytest.mark.parametrize("end", [State.FAILED, State.SKIPPED], ids=lambda state: state.value)
def test_a_plain_chain_stops_at_a_gate_that_failed_or_was_skipped(end: State) -> None:
    dag = Dag((Task(id="gate"), Task(id="mid", upstream=frozenset({"gate"})), train("mid")))
    assert not past_a_failed_gate(dag, end)


def train(*upstream: str, rule: str = "all_success", teardown: bool = False) -> Task:
    return Task(id="train", upstream=frozenset(upstream), rule=rule, teardown=teardown)


FIRST = Task(id="gate")


@pytest.mark.parametrize(
    ("dag", "end"),
    [
        pytest.param(Dag((FIRST, train("gate", rule="all_done"))), State.FAILED, id="all-done"),
        pytest.param(Dag((FIRST, train("gate", rule="always"))), State.FAILED, id="always"),
        pytest.param(Dag((FIRST, train("gate", rule="one_failed"))), State.FAILED, id="one-failed"),
        pytest.param(Dag((FIRST, train("gate", rule="none_skipped"))), State.FAILED, id="none-skipped-after-a-failure"),
        pytest.param(Dag((FIRST, train("gate", rule="none_failed"))), State.SKIPPED, id="none-failed-after-a-skip"),
        pytest.param(
            Dag((FIRST, Task(id="other"), train("gate", "other", rule="one_success"))), State.FAILED, id="one-success"
        ),
        pytest.param(
            Dag((FIRST, Task(id="other"), train("gate", "other", rule="none_failed_min_one_success"))),
            State.SKIPPED,
            id="none-failed-min-one-success-after-a-skip",
        ),
        pytest.param(
            Dag((FIRST, train("gate", rule="all_done_setup_success", teardown=True))), State.FAILED, id="teardown"
        ),
        pytest.param(
            Dag((FIRST, Task(id="mid", rule="all_done", upstream=frozenset({"gate"})), train("mid"))),
            State.FAILED,
            id="loose-step-between",
        ),
    ],
)  # fmt: skip
def test_the_tricks_that_get_past_a_gate_in_airflow_do_so_here_and_are_ungated(dag: Dag, end: State) -> None:
    assert past_a_failed_gate(dag, end)
    roles = {task.id: Step(id=task.id) for task in dag.tasks}
    roles |= {"gate": Step(id="gate", gate=KIND, subject="data"), "train": PROTECTED}
    assert [violation.step_id for violation in check(steps_of(dag, roles))] == ["train"]


def test_a_task_waits_for_an_indirect_setup_and_ends_as_it_did() -> None:
    setup = Task(id="t0", setup=True)
    dag = Dag(
        (setup, Task(id="t1", upstream=frozenset({"t0"})), Task(id="t2", upstream=frozenset({"t1"}), rule="all_done"))
    )
    failed: States = (State.FAILED, State.UPSTREAM_FAILED, State.UPSTREAM_FAILED)
    assert ends(dag, ANY | {"t0": (State.FAILED,)}) == {failed}
