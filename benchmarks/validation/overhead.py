"""What the validation gate costs over the same suite run with bare Great Expectations.

Both read the same Parquet file and evaluate the same suite, alternating in one process, so that the machine's noise
meets both. The gate's time is `ValidationGate.look`, whole. Holding the bytes still and digesting them is the opener's
work; the time of one sha256 over the file is printed beside it. `--show-values` lets the gate quote offending values,
which is what bare Great Expectations always collects.

Run: python -m benchmarks.validation.overhead [--rows 1000000] [--rounds 7] [--show-values]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from interlock.gate import OpenSubject, Subject
from interlock.validation import Silent, ValidationGate

LIMIT = 1.10


def write_data(path: Path, rows: int) -> None:
    """Ten columns: six measurements, an id, a text, a category and a label."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"x{place}": random.normal(size=rows) for place in range(6)}
    columns["id"] = np.arange(rows)
    columns["postcode"] = random.integers(10_000, 99_999, rows).astype(str)
    columns["plan"] = random.choice(["free", "paid", "team"], rows)
    columns["label"] = random.integers(0, 10, rows)
    pd.DataFrame(columns).to_parquet(path)


def suite(*, holds: bool) -> dict[str, Any]:
    """What a team would write for that table: 27 expectations; `holds` says whether the data meets them."""
    plans, limit = (["free", "paid", "team"], 10) if holds else (["free", "paid"], 4)
    listed: list[dict[str, Any]] = [
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1}},
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "id"}},
        {"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "postcode", "value": 5}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "plan", "value_set": plans}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "label", "value_set": list(range(10))}},
    ]
    for place in range(6):
        column = f"x{place}"
        limits = {"column": column, "min_value": -limit, "max_value": limit}
        listed.append({"type": "expect_column_values_to_be_between", "kwargs": limits})
        listed.append({"type": "expect_column_mean_to_be_between", "kwargs": limits})
    columns = (*(f"x{place}" for place in range(6)), "id", "postcode", "plan", "label")
    listed += [{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": column}} for column in columns]
    return {"name": "overhead", "expectations": listed}


def bare(path: Path, document: dict[str, Any]) -> int:
    """Great Expectations as its documentation runs it in production; returns how many expectations failed.

    A `ValidationDefinition` reads the file once; `batch.validate` would read it twice and be an easier peer.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas_filesystem("data", base_directory=path.parent)
    data = source.add_parquet_asset("data").add_batch_definition_path("data", path=path.name)
    suite = context.suites.add(gx.ExpectationSuite(**document))
    definition = gx.ValidationDefinition(name="data", data=data, suite=suite)
    result = context.validation_definitions.add(definition).run()
    return sum(not item.success for item in result.results)


def gate(path: Path, document: dict[str, Any], *, show_values: bool) -> int:
    """The same through the gate."""
    subject = Subject(name=path.name, uri=path.as_uri(), digest="0" * 64)
    seen = ValidationGate(document, progress=Silent(), show_values=show_values).look(
        OpenSubject(subject=subject, path=path, files=("",))
    )
    return next(int(measure.value) for measure in seen.measures if measure.name == "expectations_failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds of one run: on the clock, and on all cores of this process, which a busy machine disturbs less."""

    clock: float
    cpu: float


def timed(work: Callable[[], int]) -> tuple[Spent, int]:
    clock, cpu = time.perf_counter(), time.process_time()
    found = work()
    return Spent(clock=time.perf_counter() - clock, cpu=time.process_time() - cpu), found


def compare(name: str, path: Path, document: dict[str, Any], options: argparse.Namespace) -> float:
    """One case: prints a line for the clock and one for the cores, and returns the larger ratio of the medians."""

    def own() -> int:
        return gate(path, document, show_values=options.show_values)

    timed(lambda: bare(path, document))
    timed(own)
    peers, ours = [], []
    for _ in range(options.rounds):
        spent, failed = timed(lambda: bare(path, document))
        peers.append(spent)
        spent, failed_in_gate = timed(own)
        ours.append(spent)
        if failed != failed_in_gate:
            raise SystemExit(f"bare Great Expectations failed {failed}, the gate {failed_in_gate}")
    ratios: list[float] = []
    for measure in ("clock", "cpu"):
        pairs = [(getattr(peer, measure), getattr(mine, measure)) for peer, mine in zip(peers, ours, strict=True)]
        peer_median, own_median = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratios.append(own_median / peer_median)
        print(f"{name:<24} {measure:<6} {failed:>6} {peer_median:>9.3f} s {own_median:>9.3f} s {ratios[-1]:>11.3f}")
    return max(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--show-values", action="store_true")
    options = parser.parse_args()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("great-expectations", "pandas", "pyarrow"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.parquet"
        write_data(path, options.rows)
        print(
            f"{versions}, {os.cpu_count()} cores, {options.rows} rows x 10 columns, {path.stat().st_size / 1e6:.0f} MB,"
        )
        print(f"{len(suite(holds=True)['expectations'])} expectations, median of {options.rounds} alternating rounds")
        print(f"{'case':<24} {'time':<6} {'failed':>6} {'bare GX':>11} {'gate':>11} {'gate / bare':>11}")
        clean = compare("all expectations hold", path, suite(holds=True), options)
        dirty = compare("a third of a column off", path, suite(holds=False), options)
        with path.open("rb") as stream:
            digest, _ = timed(lambda: hashlib.file_digest(stream, "sha256").digest_size)
    print(f"sha256 of the file: {digest.clock:.3f} s")
    print(f"limit {LIMIT:.2f}: {'met' if max(clean, dirty) <= LIMIT else 'MISSED'}")


if __name__ == "__main__":
    main()
