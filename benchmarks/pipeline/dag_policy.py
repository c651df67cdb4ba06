"""What the cluster policy adds to the parse of a DAG of 100 tasks, against the parse itself.

    python benchmarks/pipeline/dag_policy.py [--rounds 15]

Each round is a process forked as the DAG processor forks one for each file: with policy read before the fork, and with
nothing read. The peer is making the DAG and bagging it without Interlock's policy. Milliseconds of processor time,
medians; asked for: at most 5 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="interlock-benchmark-"))
os.environ.setdefault("INTERLOCK_PROFILE", "standard")

import airflow.settings  # noqa: F401
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from interlock.airflow import ScanPoisoningOperator, SecureTrainOperator, ValidateDataOperator
from interlock.airflow_plugin.policy import dag_policy
from interlock.airflow_plugin.preload import preload

TASKS = 100


def ordinary() -> DAG:
    with DAG("ordinary") as dag:
        before = None
        for number in range(TASKS):
            task = BashOperator(task_id=f"t{number}", bash_command="true")
            if before is not None:
                before >> task
            before = task
    return dag


def protected() -> DAG:
    """60 ordinary tasks and 10 groups of two gates, one load and one training."""
    with DAG("protected") as dag:
        for number in range(60):
            BashOperator(task_id=f"t{number}", bash_command="true")
        for number in range(10):
            data = f"s3://lake/{number}/"
            gates = [
                ValidateDataOperator(task_id=f"validate{number}", subject=data, suite="suite.json"),
                ScanPoisoningOperator(task_id=f"poisoning{number}", subject=data, label="label"),
            ]
            train = SecureTrainOperator(task_id=f"train{number}", data=data, out=f"m{number}", command=["x"])
            gates >> BashOperator(task_id=f"load{number}", bash_command="true") >> train
    return dag


def in_a_fork(work: Callable[[], None]) -> float:
    """Milliseconds of processor time that `work` takes in a process forked from this one."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        begin = time.process_time()
        work()
        os.write(writer, str((time.process_time() - begin) * 1000).encode())
        os._exit(0)
    os.waitpid(child, 0)
    taken = float(os.read(reader, 64))
    os.close(reader)
    os.close(writer)
    return taken


def row(name: str, make: Callable[[], DAG], rounds: int) -> None:
    parse = statistics.median(in_a_fork(lambda: make().check_cycle()) for _ in range(rounds))
    dag = make()
    added = statistics.median(in_a_fork(lambda: dag_policy(dag)) for _ in range(rounds))
    print(f"{name:<44}{parse:10.2f}{added:10.2f}{added / parse:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(f"load {os.getloadavg()[0]:.1f}\n{'100 tasks; milliseconds':<44}{'parse':>10}{'policy':>10}{'ratio':>9}")
    row("ordinary, nothing read before the fork", ordinary, rounds)
    preload()
    row("ordinary, read before the fork", ordinary, rounds)
    row("10 trainings and 20 gates, read before", protected, rounds)


if __name__ == "__main__":
    main()
