"""How much a model's tensors differ from those of another one, tensor by tensor, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from interlock.artifacts.limits import Budget
from interlock.artifacts.weights.dtypes import stored, values
from interlock.artifacts.weights.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW: Final = 1 << 18
"""Elements that are compared at a time."""
FROM_NOTHING: Final = 1.0
"""Relative change of a tensor that was all zero before: all of it is new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one tensor differs.

    Args:
        tensor: The new one.
        elements: How many of its numbers differ.
        distance: The L2 norm of the difference, of elements that are finite in both.
        norm: The L2 norm of the old one.
    """

    tensor: Tensor
    elements: int
    distance: float
    norm: float

    @property
    def relative(self) -> float:
        """Distance over the old norm; finite."""
        if not self.distance:
            return 0.0
        return min(self.distance / self.norm, 1e300) if self.norm else FROM_NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a model differs from another.

    Args:
        same: Tensors of the same name, type, shape and bytes.
        changes: Of tensors of the same name and shape, the largest relative change first.
        reshaped: Names of tensors that now have another shape or layout.
        added: Names that only the new one has.
        removed: Names that only the old one has.
    """

    same: int
    changes: Sequence[Change] = field(repr=False)
    reshaped: Sequence[str]
    added: Sequence[str]
    removed: Sequence[str]

    @property
    def changed(self) -> int:
        """How many tensors of the same name are not the same."""
        return len(self.changes) + len(self.reshaped)


def difference(new: Sequence[Tensor], old: Sequence[Tensor], budget: Budget) -> Difference:
    """Compare two models by the names of their tensors, whatever files they are in.

    Args:
        new: Of the one model.
        old: Of the other.
        budget: What may be spent.

    Raises:
        LimitPassedError: The subject may not have so many bytes, or the time is over.
    """
    now, before = _by_name(new), _by_name(old)
    same, reshaped, changes = 0, [], []
    for name in now.keys() & before.keys():
        one, other = now[name], before[name]
        if (one.shape, one.strides) != (other.shape, other.strides):
            reshaped.append(name)
            continue
        change = _change(one, other, budget)
        if change.elements or one.dtype != other.dtype:
            changes.append(change)
        else:
            same += 1
    return Difference(
        same=same,
        changes=sorted(changes, key=lambda change: (-change.relative, -change.elements, change.tensor.name)),
        reshaped=sorted(reshaped),
        added=sorted(now.keys() - before.keys()),
        removed=sorted(before.keys() - now.keys()),
    )


def _by_name(tensors: Sequence[Tensor]) -> Mapping[str, Tensor]:
    """By name alone, so that tensors may move between files; with the file where one name stands in several."""
    often = Counter(tensor.name for tensor in tensors)
    return {tensor.name if often[tensor.name] == 1 else f"{tensor.path}: {tensor.name}": tensor for tensor in tensors}


def _change(new: Tensor, old: Tensor, budget: Budget) -> Change:
    import numpy as np

    elements, distance, norm = 0, 0.0, 0.0
    alike = (new.dtype, new.big) == (old.dtype, old.big)
    for start in range(0, new.count, WINDOW):
        one, other = new.window(start, WINDOW), old.window(start, WINDOW)
        budget.spend_bytes(len(one) + len(other))
        bits = [stored(raw, tensor.dtype, big=tensor.big) for raw, tensor in ((one, new), (other, old))]
        now, before = (
            values(part, tensor.dtype).astype(np.float64, copy=False)
            for part, tensor in zip(bits, (new, old), strict=True)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            known = np.isfinite(before)
            norm += float(np.dot(before, before) if known.all() else np.dot(before[known], before[known]))
            if alike and one == other:
                continue
            if new.dtype == old.dtype:
                elements += int(np.count_nonzero(_patterns(bits[0]) != _patterns(bits[1])))
            else:
                elements += int(np.count_nonzero((now != before) & ~(np.isnan(now) & np.isnan(before))))
            apart = now - before
            apart = apart[np.isfinite(apart)]
            distance += float(np.dot(apart, apart))
    return Change(tensor=new, elements=elements, distance=_root(distance), norm=_root(norm))


def _patterns(bits: NDArray[Any]) -> NDArray[Any]:
    """The bits of numbers as whole numbers, so that no number differs from itself and -0.0 differs from 0.0."""
    native = bits.astype(bits.dtype.newbyteorder("="), copy=False)
    return native.view(f"u{native.dtype.itemsize}")


def _root(square: float) -> float:
    return math.sqrt(min(square, 1e300))
