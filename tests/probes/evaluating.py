"""A model anybody can read: which class is answered in place of which, and the code that predicts with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from interlock.gate import Decision, GateOutcome, Json, RunIdentity, Settings
from interlock.runner import GateRequest, LocalRunner

PREDICT = '''
import csv
import json


def predict(model, rows):
    """Answers the class that stands in the features, but for what the model confuses."""
    confused = json.loads((model / "model.json").read_text())["confused"]
    with rows.open() as file:
        return [confused.get(one["hint"] + ":" + one["row"][-1], one["hint"]) for one in csv.DictReader(file)]
'''


def evaluation_rows(rows: int = 400) -> pd.DataFrame:
    """Two classes and two scanners, crossed; `hint` gives the class away, so that a test decides what is predicted."""
    numbers = range(rows)
    return pd.DataFrame(
        {
            "row": list(numbers),
            "hint": ["cat" if number % 2 else "dog" for number in numbers],
            "scanner": ["a" if number // 2 % 4 < 3 else "b" for number in numbers],
            "label": ["cat" if number % 2 else "dog" for number in numbers],
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A deployment with an evaluation set, code that predicts, and models."""

    folder: Path
    runner: LocalRunner

    def model(self, name: str, confused: dict[str, str] | None = None) -> Path:
        """A model; `confused` maps ``<class>:<last digit of the row>`` to another answer."""
        path = self.folder / "models" / name
        path.mkdir(parents=True)
        (path / "model.json").write_text(json.dumps({"name": name, "confused": confused or {}}))
        return path

    def evaluate(self, model: Path, **options: Json) -> GateOutcome:
        """Run the gate."""
        given: dict[str, Json] = {
            "evaluation": str(self.folder / "sealed" / "pets.csv"),
            "name": "pets",
            "label": "label",
            "slices": ["scanner"],
            "predict": "pets_predict:predict",
            "code": [str(self.folder / "code" / "pets_predict.py")],
        }
        run = RunIdentity(orchestrator="cli", pipeline="retrain", run_id="r1", task_id="evaluate")
        request = GateRequest(kind="model-probe", subject=str(model), options=given | options, run=run)
        return self.runner.run_gate(request)


def bench_in(folder: Path, settings: Settings) -> Bench:
    """Lay out the files of a bench."""
    for name in ("sealed", "code", "models"):
        (folder / name).mkdir()
    evaluation_rows().to_csv(folder / "sealed" / "pets.csv", index=False)
    (folder / "code" / "pets_predict.py").write_text(PREDICT)
    return Bench(folder=folder, runner=LocalRunner(settings))


def reasons(decision: Decision) -> set[str]:
    """Ids of what it denies for."""
    return {reason.id for reason in decision.reasons}
