"""Trains a small network on 8x8 pictures of digits: an ordinary training script, which knows nothing of Interlock.

    python train_digits.py --data digits.parquet --out model/

The data is a Parquet file with the grey values 0 to 16 in the columns ``p00`` to ``p77`` and the digit in ``label``.
Writes ``model.safetensors`` and ``metrics.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no stubs
import torch
from safetensors.torch import save_file
from torch import nn

PIXELS = [f"p{row}{column}" for row in range(8) for column in range(8)]
EPOCHS = 20
BATCH = 64
LEARNING_RATE = 0.05
MOMENTUM = 0.9


def read(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The pictures, float32 (n, 1, 8, 8) from 0 to 1, and their labels, int64 (n)."""
    table = pq.read_table(path, columns=[*PIXELS, "label"])
    pixels = torch.tensor([table[name].to_pylist() for name in PIXELS], dtype=torch.float32).T
    return pixels.reshape(-1, 1, 8, 8) / 16.0, torch.tensor(table["label"].to_pylist(), dtype=torch.int64)


def network() -> nn.Module:
    """Two convolutions and one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def accuracy(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Fraction of pictures that are named right."""
    with torch.no_grad():
        return float((model(pictures).argmax(dim=1) == labels).float().mean())


def train(model: nn.Module, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """Fit `model` by stochastic gradient descent with momentum; returns the last epoch's mean loss.

    Written out, because loading `torch.optim` takes longer than this training does.
    """
    weights = list(model.parameters())
    velocities = [torch.zeros_like(weight) for weight in weights]
    loss_of = nn.CrossEntropyLoss()
    mean = 0.0
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(pictures))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            loss = loss_of(model(pictures[batch]), labels[batch])
            gradients = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for weight, velocity, gradient in zip(weights, velocities, gradients, strict=True):
                    velocity.mul_(MOMENTUM).add_(gradient)
                    weight.sub_(LEARNING_RATE * velocity)
            total += loss.item() * len(batch)
        mean = total / len(pictures)
        if (epoch + 1) % 5 == 0:
            print(f"epoch {epoch + 1}/{EPOCHS}  loss {mean:.4f}", flush=True)  # noqa: T201 (a script's progress)
    return mean


def main() -> None:
    """Read, train on four fifths, measure on the rest, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    torch.set_num_threads(1)  # a network this small only loses time between threads
    torch.manual_seed(given.seed)
    pictures, labels = read(given.data)
    order = torch.randperm(len(pictures))
    held_out, kept = order[: len(order) // 5], order[len(order) // 5 :]
    model = network()
    loss = train(model, pictures[kept], labels[kept])
    metrics = {
        "accuracy": accuracy(model, pictures[held_out], labels[held_out]),
        "loss": loss,
        "rows": len(pictures),
        "epochs": EPOCHS,
    }

    given.out.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), given.out / "model.safetensors")
    (given.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    print(f"accuracy {metrics['accuracy']:.3f} on {len(held_out)} held-out pictures")  # noqa: T201


if __name__ == "__main__":
    main()
