"""Predicts digits with the network of `train_digits`: the code that an evaluation runs in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no stubs
import torch
from safetensors.torch import load_file
from train_digits import PIXELS, network  # type: ignore[import-not-found]  # it lies beside this file


def predict(model: Path, rows: Path) -> dict[str, Any]:
    """The digit of each row, and the probability of each class.

    Args:
        model: Folder that `train_digits` wrote.
        rows: Parquet file with the columns ``p00`` to ``p77``.
    """
    torch.set_num_threads(1)
    table = pq.read_table(rows, columns=PIXELS)
    pixels = torch.tensor([table[name].to_pylist() for name in PIXELS], dtype=torch.float32).T
    net = network()
    net.load_state_dict(load_file(model / "model.safetensors"))
    with torch.no_grad():
        scores = net(pixels.reshape(-1, 1, 8, 8) / 16.0).softmax(dim=1)
    return {"predictions": scores.argmax(dim=1), "scores": scores, "classes": list(range(10))}
