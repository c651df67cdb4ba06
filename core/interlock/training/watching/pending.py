"""Numbers of batches that still lie on an accelerator, fetched together: one wait for many batches."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One step. Numbers that were not given are None; NaN and infinities are what they are.

    Args:
        step: Counted over the run.
        loss: Mean over the batch.
        gradient_norm: Before clipping.
        learning_rate: Of the step.
        samples: In the batch.
    """

    step: int
    loss: float | None
    gradient_norm: float | None
    learning_rate: float | None
    samples: int


class Pending:
    """Steps whose numbers nobody has looked at yet."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, Any, Any, float | None, int]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(
        self, *, step: int, losses: Any, gradient_norm: Any, learning_rate: float | None, samples: int | None, rows: Any
    ) -> None:
        """Keep one step; what lies on an accelerator stays there."""
        counted = samples if samples is not None else _count(losses) if _count(losses) else _count(rows)
        rate = None if learning_rate is None else float(learning_rate)
        self._steps.append((step, _mean(losses), _detached(gradient_norm), rate, int(counted)))

    def taken(self) -> list[Point]:
        """All of them, in order; nothing is kept."""
        steps, self._steps = self._steps, []
        losses = fetched([loss for _, loss, _, _, _ in steps])
        norms = fetched([norm for _, _, norm, _, _ in steps])
        return [
            Point(step=step, loss=loss, gradient_norm=norm, learning_rate=rate, samples=samples)
            for (step, _, _, rate, samples), loss, norm in zip(steps, losses, norms, strict=True)
        ]


def fetched(values: list[Any]) -> list[float | None]:
    """Numbers out of scalars of any kind; tensors of one device are fetched in one piece.

    Args:
        values: Tensors without dimensions, numbers, numpy scalars, None.
    """
    torch = sys.modules.get("torch")
    found: list[float | None] = [None] * len(values)
    devices: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        if torch is not None and isinstance(value, torch.Tensor):
            devices.setdefault(value.device, []).append(place)
        elif value is not None:
            found[place] = float(value)
    for places in devices.values():
        together = torch.stack([values[place].float() for place in places]).tolist()  # type: ignore[union-attr]
        for place, number in zip(places, together, strict=True):
            found[place] = number
    return found


def _mean(losses: Any) -> Any:
    """The mean of a batch, on its own device; None for none."""
    if losses is None or isinstance(losses, int | float):
        return losses
    if hasattr(losses, "detach"):
        kept = losses.detach()
        return kept.reshape(()).clone() if kept.numel() == 1 else kept.float().mean()
    if hasattr(losses, "mean"):  # an array of numpy
        return float(losses.mean())
    return sum(map(float, losses)) / len(losses)


def _detached(value: Any) -> Any:
    return value.detach().reshape(()).clone() if hasattr(value, "detach") else value


def _count(values: Any) -> int:
    """How many samples there are in one value a sample; 0 for a scalar."""
    shape = getattr(values, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    return len(values) if hasattr(values, "__len__") else 0
