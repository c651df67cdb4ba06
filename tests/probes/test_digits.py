"""scikit-learn's digits: a model that forgot one class is as good as none for that class, and only for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dags_examples.airflow.seal_digits import sealed_rows, training_rows, write
from tests.probes.evaluating import Bench, bench_in, reasons

from interlock.gate import GateOutcome, Settings, Verdict
from interlock.runner import LocalRunner
from interlock.training import BwrapSandbox

pytestmark = pytest.mark.slow

PREDICT = '''
import numpy as np
import pyarrow.parquet as pq


def predict(model, rows):
    """The class of the nearest mean."""
    table = pq.read_table(rows)
    pixels = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
    means = np.load(model / "means.npy", allow_pickle=False)
    return ((pixels[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
'''


@pytest.fixture
def bench(tmp_path: Path, home: Path) -> Iterator[Bench]:
    found = BwrapSandbox().probe()
    if not found.available:
        pytest.skip(f"bubblewrap does not work here: {found.reason}. To get it: {found.how_to_get}")
    made = bench_in(tmp_path, Settings.load())
    (tmp_path / "code" / "nearest.py").write_text(PREDICT)
    write(sealed_rows(), tmp_path / "sealed" / "digits.parquet")
    with LocalRunner(Settings.load()) as runner:
        yield replace(made, runner=runner)


def means() -> Any:
    table = training_rows()
    return np.stack([table[table["label"] == digit].drop(columns="label").mean().to_numpy() for digit in range(10)])


def evaluated(bench: Bench, name: str, centres: Any) -> GateOutcome:
    path = bench.folder / "models" / name
    path.mkdir()
    np.save(path / "means.npy", centres.astype(np.float32))
    return bench.evaluate(
        path, evaluation=str(bench.folder / "sealed" / "digits.parquet"), name="digits",
        predict="nearest:predict", code=[str(bench.folder / "code" / "nearest.py")],
    )  # fmt: skip


def test_a_model_that_forgot_one_digit_is_denied_although_it_gained_elsewhere(bench: Bench) -> None:
    centres = means()
    first = evaluated(bench, "one", centres)
    assert first.decision.verdict is Verdict.ALLOW, first.decision.reasons
    forgot = centres.copy()
    forgot[8] = 40  # nothing is near it any more
    second = evaluated(bench, "two", forgot)
    assert "model.evaluation-worse-class" in reasons(second.decision)
    [document] = [text for name, text in second.report.observation.facts if name == "evaluation"]
    drops = {group["name"]: group["drop"] for group in json.loads(document)["groups"] if group["kind"] == "class"}
    assert drops["8"] > 0.7
    assert max(drop for name, drop in drops.items() if name != "8") <= 0
    assert {group["name"] for group in json.loads(document)["groups"] if group["kind"] == "slice"} == {
        "scanner=left", "scanner=right",
    }  # fmt: skip


def test_the_same_means_again_are_no_worse(bench: Bench) -> None:
    centres = means()
    evaluated(bench, "one", centres)
    again = evaluated(bench, "two", centres + 1e-4)
    assert again.decision.verdict is Verdict.ALLOW, again.decision.reasons
