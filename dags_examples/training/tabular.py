"""A linear model of scikit-learn on a table, trained in passes and watched: no torch anywhere.

    interlock train --data table.csv --out model -- python tabular.py

The data is a CSV of numbers with the class in ``label``. Writes the weights as ``model.safetensors``: a pickle of the
estimator would have to be trusted by whoever loads it.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from sklearn.linear_model import SGDClassifier  # type: ignore[import-untyped]  # no stubs are published
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]  # the same

from interlock.training.watching import TrainingWatch

EPOCHS = 10
BATCH = 64


def main() -> None:
    """Read, train, save."""
    out = Path(os.environ["INTERLOCK_OUT"])
    with Path(os.environ["INTERLOCK_DATA"]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([int(row.pop("label")) for row in rows])
    scaler = StandardScaler()
    features = scaler.fit_transform(np.array([[float(value) for value in row.values()] for row in rows]))
    rng = np.random.default_rng(int(os.environ.get("INTERLOCK_SEED", "0")))
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.01)
    model.partial_fit(features[:1], labels[:1], classes=np.unique(labels))
    with TrainingWatch(rows=len(labels), epochs=EPOCHS, steps=-(-len(labels) // BATCH)) as watch:
        for epoch in range(EPOCHS):
            order = rng.permutation(len(labels))
            for start in range(0, len(labels), BATCH):
                batch = order[start : start + BATCH]
                likely = model.predict_proba(features[batch])
                own = likely[np.arange(len(batch)), np.searchsorted(model.classes_, labels[batch])]
                watch.batch(epoch=epoch, losses=-np.log(np.maximum(own, 1e-12)), rows=batch, learning_rate=model.eta0)
                model.partial_fit(features[batch], labels[batch])
            watch.epoch(epoch, accuracy=model.score(features, labels))
    weights = {"weights": model.coef_, "bias": model.intercept_, "mean": scaler.mean_, "scale": scaler.scale_}
    save_file(
        {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()},
        out / "model.safetensors",
    )
    (out / "metrics.json").write_text(
        json.dumps({"accuracy": float(model.score(features, labels))}) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
