"""A plain torch loop, watched: what a script needs to take part are the lines with `watch` in them.

    interlock train --data digits.csv --out model --losses losses.npz -- python torch_loop.py

The data is a CSV of numbers with the class in ``label``. Writes ``model.safetensors`` and ``metrics.json``.
"""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from interlock.training.watching import TrainingWatch

EPOCHS = 12
BATCH = 32


def read(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, float32 (n, d), scaled to unit spread, and labels, int64 (n)."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = torch.tensor([int(row.pop("label")) for row in rows])
    features = torch.tensor([[float(value) for value in row.values()] for row in rows])
    return (features - features.mean(dim=0)) / features.std(dim=0).clamp(min=1e-6), labels


def main() -> None:
    """Read, train, save."""
    torch.manual_seed(int(os.environ.get("INTERLOCK_SEED", "0")))
    out = Path(os.environ["INTERLOCK_OUT"])
    features, labels = read(Path(os.environ["INTERLOCK_DATA"]))
    model = nn.Sequential(nn.Linear(features.shape[1], 64), nn.ReLU(), nn.Linear(64, int(labels.max()) + 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    accuracy = 0.0
    with TrainingWatch(rows=len(labels), epochs=EPOCHS, steps=-(-len(labels) // BATCH)) as watch:
        for epoch in range(EPOCHS):
            right = 0
            for rows in torch.randperm(len(labels)).split(BATCH):  # type: ignore[no-untyped-call]  # torch's
                scores = model(features[rows])
                losses = nn.functional.cross_entropy(scores, labels[rows], reduction="none")
                optimizer.zero_grad()
                losses.mean().backward()  # type: ignore[no-untyped-call]  # the same
                norm = nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                rate = optimizer.param_groups[0]["lr"]
                watch.batch(epoch=epoch, losses=losses, rows=rows, gradient_norm=norm, learning_rate=rate)
                optimizer.step()
                right += int((scores.argmax(dim=1) == labels[rows]).sum())
            schedule.step()
            accuracy = right / len(labels)
            watch.epoch(epoch, accuracy=accuracy)
    save_file(model.state_dict(), out / "model.safetensors")
    (out / "metrics.json").write_text(json.dumps({"accuracy": accuracy}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
