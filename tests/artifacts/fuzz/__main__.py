"""Scans mutants of the whole corpus by the hundred thousand, and holds the scan against what loaders would do.

``python -m tests.artifacts.fuzz --mutants 200000 --jobs 2 --seed 1``: prints how many mutants of each kind were
allowed, refused and left open, and keeps each one that breaks the law, crashes the scan or never ends in
``tests/artifacts/seeds``, where a test replays them. Exit status 1 if there was one, or if the loaders
are not to be had.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path

from tests.artifacts.fuzz.law import LOADERS
from tests.artifacts.fuzz.run import SEEDS, run
from tests.artifacts.fuzz.seeds import all_seeds, quick_seeds
from tests.artifacts.oracle_client import Oracle


def main(arguments: list[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.artifacts.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=200_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=SEEDS, help="where mutants that fail are written to")
    parser.add_argument("--quick", action="store_true", help="only seeds that need no training")
    chosen = parser.parse_args(arguments)
    with closing(Oracle(LOADERS)) as oracle:
        oracle.ask(b"N.")  # without loaders the law would hold for anything
    seeds = quick_seeds() if chosen.quick else all_seeds()
    table = run(seeds, mutants=chosen.mutants, jobs=chosen.jobs, seed=chosen.seed, keep=chosen.keep, tell=sys.stderr)
    print(table.text())
    if table.blind:
        print("the loaders died of more than 1 % of what was allowed: see to them, and run again", file=sys.stderr)
    return 1 if table.failures or table.blind else 0


if __name__ == "__main__":
    sys.exit(main())
