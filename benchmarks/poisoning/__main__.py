"""The poisoning scan beside ART, cleanlab and PyOD: every row of the table of targets, in one command.

Run from the root of the repository, with ``pip install -e '.[compare]'`` and matplotlib (which PyOD brings)::

    OMP_NUM_THREADS=1 python -m benchmarks.poisoning --quick             # one rate of each attack: five minutes
    OMP_NUM_THREADS=1 python -m benchmarks.poisoning --with-training     # everything: see the page for its cost
    OMP_NUM_THREADS=1 python -m benchmarks.poisoning --only texts --only tables

Tables, texts and more photographs come from packages that are downloaded by hand: `benchmarks.poisoning.shipped` says
how. Each cell is stored as soon as it is measured, so a run that was stopped goes on where it ended; ``--again``
measures what is stored anew, and ``--stored`` nothing at all. The page and its pictures are drawn from all that is
stored.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import logging
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.poisoning.cells import Cell, Family
from benchmarks.poisoning.image_cells import image_cells
from benchmarks.poisoning.measure import can_train, measured
from benchmarks.poisoning.other_cells import clean_cells, table_cells, text_cells
from benchmarks.poisoning.rendering import PAGE, page, pictures
from benchmarks.poisoning.shipped import Shipped
from benchmarks.poisoning.verdicts import Line, line

Record = dict[str, Any]
STORE = "cells.jsonl"
DOCS = Path("docs/benchmarks")
IMAGES = {Family.STATIC, Family.EVASIVE, Family.NATURAL, Family.TRAINING, Family.LABELS}


def cells(shipped: Shipped, families: set[Family]) -> Iterator[Cell]:
    """All cells of these families; data of others is not even read."""
    if IMAGES & families:
        yield from (cell for cell in image_cells(shipped) if cell.family in families)
    for family, made in ((Family.TABLES, table_cells), (Family.TEXTS, text_cells), (Family.CLEAN, clean_cells)):
        if family in families:
            yield from made(shipped)


def stored(path: Path) -> list[Record]:
    """What was measured before; a last line that ends in the middle was being written when the run was stopped."""
    if not path.exists():
        return []
    found = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            print(f"a line of {path} is not whole, and its cell is measured again", file=sys.stderr)
    return found


def store(path: Path, record: Record) -> None:
    """Append one record, and see it on the disk."""
    with path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            broken = file.read(1) != b"\n"
            file.write(b"\n" if broken else b"")
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def run(options: argparse.Namespace, shipped: Shipped) -> list[Line]:
    """Measure what is not stored yet, and give the lines of all that is."""
    place = options.out / STORE
    known = {} if options.again else {(one["cell"], one["seed"], one["trained"]): one for one in stored(place)}
    lines = []
    for cell in cells(shipped, {Family(name) for name in options.only} or set(Family)):
        if options.quick and not cell.quick:
            continue
        trains = cell.trains and options.with_training and can_train()
        found = []
        for seed in range(1 if cell.family is Family.CLEAN else options.seeds):
            key = (cell.key, seed, trains)
            if key not in known and options.stored:
                shipped.missing.append(f"not measured: {cell.key}, seed {seed}")
                continue
            if key not in known:
                began = time.monotonic()
                known[key] = measured(cell, seed, train=options.with_training, with_peers=_asks(cell, seed))
                store(place, known[key])
                _say(known[key], time.monotonic() - began)
            found.append(known[key])
        if found:
            lines.append(line(cell, found, can_train=can_train()))
    return lines


def _asks(cell: Cell, seed: int) -> bool:
    """Peers are asked once a cell; a peer that is to be beaten, at every seed."""
    return seed == 0 or bool(cell.goal.beats)


def _say(one: Record, seconds: float) -> None:
    tpr = "clean" if one["tpr"] is None else f"TPR {100 * one['tpr']:5.1f}"
    print(
        f"{one['cell']:<78} seed {one['seed']}  {tpr}  FPR {100 * one['fpr_untouched']:6.3f}  "
        f"strength {one['strongest']:.2f}  {one['cpu']:6.1f} s CPU  ({seconds:.0f} s with peers)",
        flush=True,
    )


def versions() -> str:
    """When and where, and the versions of what is compared."""
    names = ("adversarial-robustness-toolbox", "cleanlab", "pyod", "numpy", "torch", "scikit-learn")
    found = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    where = f"{os.cpu_count()} processors, Python {platform.python_version()}"
    return f"Drawn on {datetime.now(UTC):%Y-%m-%d}; {where}, {found}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    families = [family.value for family in Family]
    parser.add_argument("--quick", action="store_true", help="one rate of each attack")
    parser.add_argument("--only", action="append", default=[], choices=families, help="may be given several times")
    parser.add_argument("--seeds", type=int, default=1, help="attacks of each cell that are drawn")
    parser.add_argument("--with-training", action="store_true", help="let the scan train a model where the row says so")
    parser.add_argument("--again", action="store_true", help="measure what is stored anew")
    parser.add_argument("--stored", action="store_true", help="measure nothing, and draw the page of what is stored")
    parser.add_argument("--data", action="append", default=[], type=Path, help="folder of unpacked packages")
    parser.add_argument("--out", type=Path, default=Path("build/poisoning"), help="where measurements are stored")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where the page and its pictures go")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of peers
    logging.disable(logging.WARNING)
    options.out.mkdir(parents=True, exist_ok=True)
    shipped = Shipped(tuple(options.data))
    lines = run(options, shipped)
    notes = list(dict.fromkeys(shipped.missing))
    for note in notes:
        print(note, file=sys.stderr)
    if lines:
        options.docs.mkdir(parents=True, exist_ok=True)
        (options.docs / PAGE).write_text(page(lines, notes, versions()), encoding="utf-8")
        pictures(lines, options.docs)
        reached = sum(one.met == one.seeds for one in lines)
        print(f"{reached} of {len(lines)} cells reach their target: {options.docs / PAGE}")


if __name__ == "__main__":
    main()
