"""How long the chain rule takes, in processor time, and how it grows with the edges.

    python benchmarks/pipeline/chain.py [--rounds 30]

Pipelines of random edges between chains of gates, ordinary steps and a training; each chain is on a dataset of its own
unless said otherwise. Asked for: at most 2 ms for a 200-task DAG, linear in edges. The fastest of the rounds is the
cost; the median shows what other work on the machine added.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from itertools import pairwise

from interlock.pipeline import Graph, Step, check

KINDS = ("data-validation", "data-poisoning")


def pipeline(tasks: int, edges: int, *, trainings: int, loose: bool = False, shared: bool = False) -> Graph:
    """A DAG of `trainings` chains validate, poisoning -> load -> ... -> train, and random edges between all.

    Args:
        tasks: Nodes.
        edges: Edges.
        trainings: Protected steps.
        loose: Nothing may hold a training: the step in front of each runs anyway, and no other edge leads to it.
        shared: All chains are on one dataset.
    """
    rng = random.Random(tasks)
    steps: list[Step] = []
    chosen: set[tuple[str, str]] = set()
    for chain in range(trainings):
        length = max(4, tasks // trainings)
        data = "s3://lake/train" if shared else f"s3://lake/{chain}"
        gates = [Step(id=f"{kind}-{chain}", gate=kind, subject=data) for kind in KINDS]
        middle = [Step(id=f"step-{chain}-{number}") for number in range(length - 3)]
        middle[-1] = Step(
            id=f"load-{chain}", needs_all_upstreams=not loose, rule="all_done" if loose else "all_success"
        )
        train = Step(id=f"train-{chain}", protects="training", requires=KINDS, inputs=(data,))
        path = [gates[0], *middle, train]
        chosen |= {(upper.id, lower.id) for upper, lower in pairwise(path)}
        chosen.add((gates[1].id, middle[0].id))
        steps += [*gates, *middle, train]
    steps += [Step(id=f"other-{number}") for number in range(tasks - len(steps))]
    while len(chosen) < edges:
        upper, lower = sorted(rng.sample(range(len(steps)), 2))
        if not (loose and steps[lower].protects):
            chosen.add((steps[upper].id, steps[lower].id))
    return Graph(steps=tuple(steps), edges=tuple(sorted(chosen)))


def measured(graph: Graph, rounds: int) -> tuple[float, float, int]:
    """Fastest and median processor time in milliseconds, and the number of violations."""
    times, found = [], 0
    for _ in range(rounds):
        start = time.process_time_ns()
        found = len(check(graph))
        times.append((time.process_time_ns() - start) / 1e6)
    return min(times), statistics.median(times), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    print("| pipeline | violations | fastest ms | median ms |\n| --- | --- | --- | --- |")
    cases = {
        "gated": pipeline(200, 600, trainings=20),
        "nothing protected": pipeline(200, 600, trainings=0),
        "20 trainings ungated, one dataset": pipeline(200, 600, trainings=20, loose=True, shared=True),
        "20 trainings ungated, 20 datasets": pipeline(200, 600, trainings=20, loose=True),
    }
    for name, graph in cases.items():
        fastest, median, found = measured(graph, rounds)
        print(f"| 200 tasks, 600 edges, {name} | {found} | {fastest:.2f} | {median:.2f} |")
    print("\n| tasks | edges | gated: ms | us per edge | all ungated: ms | us per edge |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tasks in (200, 1_000, 5_000, 20_000):
        edges = 3 * tasks
        gated, _, none = measured(pipeline(tasks, edges, trainings=20), max(3, rounds // (tasks // 200)))
        ungated = pipeline(tasks, edges, trainings=20, loose=True, shared=True)
        loose, _, _ = measured(ungated, max(3, rounds // (tasks // 200)))
        assert none == 0, "this pipeline is gated"
        print(f"| {tasks:,} | {edges:,} | {gated:.2f} | {gated / edges * 1e3:.2f} ", end="")
        print(f"| {loose:.2f} | {loose / edges * 1e3:.2f} |")


if __name__ == "__main__":
    main()
