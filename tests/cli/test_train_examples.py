"""Each example of a watched training, through `interlock train` on small data."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Interlock

from interlock.training import BwrapSandbox

EXAMPLES = Path(__file__).parents[2] / "dags_examples" / "training"

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interlock: Interlock) -> Path:
    if not BwrapSandbox().probe().available:
        pytest.skip("bubblewrap does not work here")
    monkeypatch.setenv("INTERLOCK_PROFILE", "dev")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def numbers() -> Iterator[dict[str, object]]:
    """scikit-learn's breast cancer table, which both classes of estimators learn in seconds."""
    from sklearn.datasets import load_breast_cancer  # type: ignore[import-untyped]  # no stubs are published

    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    for features, label in zip(data.data, data.target, strict=True):
        yield {**dict(zip(names, features, strict=True)), "label": int(label)}


def texts() -> Iterator[dict[str, object]]:
    """Sentences of random words, some of which say what the label is."""
    rng = np.random.default_rng(0)
    common = [f"w{number}" for number in range(120)]
    telling = (["awful", "poor", "dull", "broken"], ["great", "fine", "clear", "solid"])
    for row in range(240):
        words = [*rng.choice(common, 8), *rng.choice(telling[row % 2], 2)]
        yield {"text": " ".join(rng.permutation(words)), "label": row % 2}


def written(path: Path, rows: Iterator[dict[str, object]]) -> str:
    listed = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(listed[0]))
        table.writeheader()
        table.writerows(listed)
    return path.name


@pytest.mark.parametrize(
    ("script", "rows", "model"),
    [
        pytest.param("torch_loop.py", numbers, "model.safetensors", id="torch"),
        pytest.param("text_classifier.py", texts, "model.safetensors", id="hugging-face"),
        pytest.param("tabular.py", numbers, "model.safetensors", id="scikit-learn"),
    ],
)
def test_an_example_is_trained_watched_and_published(
    script: str, rows: object, model: str, project: Path, interlock: Interlock
) -> None:
    data = written(project / "train.csv", rows())  # type: ignore[operator]
    suite = {"name": "s", "expectations": [{"type": "expect_column_to_exist", "kwargs": {"column": "label"}}]}
    (project / "suite.json").write_text(json.dumps(suite))
    assert interlock("gate", "data-validation", data, "--suite", "suite.json").status == 0
    column = ("--text", "text") if rows is texts else ()
    scanned = interlock("gate", "data-poisoning", data, "--label", "label", *column)
    assert scanned.status == 0, scanned.out
    said = interlock(
        "train", "--data", data, "--out", "model", "--losses", "losses.npz", "--report", "r.json",
        "--", "python", str(EXAMPLES / script),
    )  # fmt: skip
    assert said.status == 0, said.err
    assert (project / "model" / model).is_file()
    assert not (project / "model" / "losses.npz").exists()
    report = json.loads((project / "r.json").read_text())["report"]
    measures = {name: measure["value"] for name, measure in report["measures"].items()}
    assert measures["loss_not_finite"] == 0
    assert measures["recorded_losses"] == 1.0
    assert measures["last_loss"] < 0.6
    losses = np.load(project / "losses.npz")["losses"]
    assert losses.shape[1] >= 3
