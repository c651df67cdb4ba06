"""Training the small network on rows that nobody vouches for: bounded, and the same for the same rows.

Rows come sorted by content, batches and weights are drawn by the seed, and arithmetic is in float32 in one order; so a
set of rows gives one network, however the rows were stored. (On another processor or device sums may round otherwise.)
What is kept of the training is each row's loss before the step that it took part in, epoch by epoch: what a real
training step can record for nothing (Pleiss et al., 2020, "Identifying mislabeled data using the area under the margin
ranking"; Swayamdipta et al., 2020, "Dataset cartography").
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from interlock.poisoning.models.network import Form

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

EPOCHS = 8
MOST_EPOCHS = 40
LEAST_STEPS = 400
"""Few rows are gone through more often than `EPOCHS` times, until there were so many steps or `MOST_EPOCHS`."""

BATCH = 128
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-4
CHUNK = 1024
"""Rows that are looked at together when nothing is learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained network and what its rows cost on the way.

    Args:
        form: What it takes and gives.
        network: In evaluation mode, on the CPU.
        losses: float32 array (rows, epochs): cross-entropy before the step that each row took part in.
    """

    form: Form
    network: torch.nn.Sequential = field(repr=False)
    losses: NDArray[np.float32] = field(repr=False)


def epochs_for(rows: int) -> int:
    """How often `rows` rows are gone through."""
    return min(MOST_EPOCHS, max(EPOCHS, math.ceil(LEAST_STEPS / math.ceil(rows / BATCH))))


def trained(
    points: NDArray[np.float32], labels: NDArray[np.int64], form: Form, *, seed: int, device: str = "cpu"
) -> Trained:
    """Train on all rows.

    Args:
        points: float32 array (n, width), centred and of about unit spread, in an order that follows from its content.
        labels: int64 array (n,): from 0, below `form.classes`.
        form: Of the network.
        seed: Of weights and batches.
        device: A torch device.
    """
    import numpy as np
    import torch

    inputs, wanted = form.tensor(points).to(device), torch.from_numpy(labels).to(device)
    network = form.network(seed).to(device).train()
    epochs, n = epochs_for(len(labels)), len(labels)
    cuts = _cuts(n)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * (len(cuts) - 1))
    draws = torch.Generator().manual_seed(seed)
    losses = np.empty((n, epochs), dtype=np.float32)
    for epoch in range(epochs):
        order = torch.randperm(n, generator=draws)
        for start, end in pairwise(cuts):
            chosen = order[start:end]
            each = torch.nn.functional.cross_entropy(
                network(inputs[chosen.to(device)]), wanted[chosen.to(device)], reduction="none"
            )
            losses[chosen.numpy(), epoch] = each.detach().cpu().numpy()
            optimizer.zero_grad(set_to_none=True)
            each.mean().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            optimizer.step()
            schedule.step()
    return Trained(form=form, network=network.eval().cpu(), losses=losses)


def _cuts(rows: int) -> list[int]:
    """Where batches begin and end: no batch of one row, of which there is no variance to normalise by."""
    cuts = [*range(0, rows, BATCH), rows]
    if len(cuts) > 2 and rows - cuts[-2] < 2:
        del cuts[-2]
    return cuts
