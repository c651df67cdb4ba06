"""How much a model's tensors differ from those of another one, tensor by tensor, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from interlock.artifacts.layout import row_major
from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.weights.dtypes import stored, values
from interlock.artifacts.weights.tensor import Tensor
from interlock.artifacts.weights.views import in_order, is_dense

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW: Final = 1 << 18
"""Elements that are compared at a time."""
FROM_NOTHING: Final = 1.0
"""Relative change of a tensor that was all zero before, or that is new or gone: all of it is."""
LARGEST: Final = 1e300
"""Relative change where a number became none, or none a number."""

Named: TypeAlias = tuple[str, Tensor]
"""A tensor, with its file's path in the model; that of a model of one file is empty."""
_Key: TypeAlias = tuple[str, str, int]
"""Name, and for a name that stands more than once also the file and which one of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one tensor differs.

    Args:
        tensor: The new one.
        count: How many numbers it has; of a type that is not read, bytes.
        elements: How many of them differ.
        turned: How many became NaN or infinite, or another of these, or a finite number again.
        distance: The L2 norm of the difference, of elements that are finite in both.
        norm: The L2 norm of the old one.
    """

    tensor: Tensor
    count: int = 0
    elements: int = 0
    turned: int = 0
    distance: float = 0.0
    norm: float = 0.0

    @property
    def relative(self) -> float:
        """Distance over the old norm; finite, and `FROM_NOTHING` where only bytes could be compared."""
        if self.turned:
            return LARGEST
        if not self.tensor.dtype.known:
            return FROM_NOTHING if self.elements else 0.0
        if not self.distance:
            return 0.0
        return min(self.distance / self.norm, LARGEST) if self.norm else FROM_NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a model differs from another.

    Args:
        same: Tensors of the same name, type, shape and elements.
        changes: Of tensors of the same name and shape, the largest relative change first.
        reshaped: Names of tensors that now have another shape, or of whose types only one is read.
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

    @property
    def largest(self) -> float:
        """The largest relative change; at least `FROM_NOTHING` where a tensor has nothing to be compared with."""
        changed = self.changes[0].relative if self.changes else 0.0
        return max(changed, FROM_NOTHING) if self.reshaped or self.added or self.removed else changed


def difference(new: Sequence[Named], old: Sequence[Named], budget: Budget) -> Difference:
    """Compare two models by the names of their tensors, whatever files they are in.

    Args:
        new: Of the one model.
        old: Of the other.
        budget: What may be spent.

    Raises:
        LimitPassedError: They have no name in common, the subject may not have so many bytes, or the time is over.
        SubjectError: A file cannot be read.
    """
    doubled = _doubled(new) | _doubled(old)
    now, before = _by_key(new, doubled), _by_key(old, doubled)
    common = now.keys() & before.keys()
    if not common:
        raise LimitPassedError("no tensor has a name that the other has; name a version of the same model")
    same, reshaped, changes = 0, [], []
    known: dict[tuple[object, ...], Change] = {}  # tied weights are compared once
    for key in common:
        one, other = now[key], before[key]
        if not _comparable(one, other):
            reshaped.append(key)
            continue
        pair = (one.place, one.dtype, one.shape, one.strides, other.place, other.dtype, other.strides)
        if pair not in known:
            known[pair] = _change(one, other, budget)
        change = replace(known[pair], tensor=one)
        if change.elements or one.dtype != other.dtype:
            changes.append(change)
        else:
            same += 1
    return Difference(
        same=same,
        changes=sorted(changes, key=lambda change: (-change.relative, -change.elements, change.tensor.name)),
        reshaped=_told(reshaped),
        added=_told(now.keys() - before.keys()),
        removed=_told(before.keys() - now.keys()),
    )


def _doubled(tensors: Sequence[Named]) -> set[str]:
    often = Counter(tensor.name for _, tensor in tensors)
    return {name for name, count in often.items() if count > 1}


def _by_key(tensors: Sequence[Named], doubled: set[str]) -> Mapping[_Key, Tensor]:
    """By name alone, so that tensors may move between files; by file and turn where one name stands more than once."""
    found: dict[_Key, Tensor] = {}
    turns: Counter[tuple[str, str]] = Counter()
    for file, tensor in tensors:
        if tensor.name in doubled:
            turns[tensor.name, file] += 1
            found[tensor.name, file, turns[tensor.name, file]] = tensor
        else:
            found[tensor.name, "", 0] = tensor
    return found


def _told(keys: Iterable[_Key]) -> list[str]:
    return [f"{file}: {name}" if file else name for name, file, _ in sorted(keys)]


def _comparable(new: Tensor, old: Tensor) -> bool:
    """The same elements stand in the same order, as far as they are known."""
    if new.shape != old.shape or new.dtype.parts != old.dtype.parts:
        return False
    if new.dtype.known and old.dtype.known:
        return True
    return new.dtype == old.dtype and (bool(new.strides or old.strides) or new.length == old.length)


def _windows(new: Tensor, old: Tensor, budget: Budget) -> Iterator[tuple[bytes, bytes]]:
    """The elements of both, side by side: as they stand in the files where that is the same order, else row by row."""
    with new.holder.opened() as now, old.holder.opened() as before:
        if new.strides == old.strides and is_dense(new.runs):
            for start in range(0, new.length // new.dtype.width, WINDOW):
                yield new.window(now, start, WINDOW), old.window(before, start, WINDOW)
                budget.check_time()
            return
        steps = [tensor.strides or row_major(tensor.shape) for tensor in (new, old)]
        axes = [axis for axis in zip(new.shape, *steps, strict=True) if axis[1] or axis[2]]
        one, other = ([(axis[0], axis[which]) for axis in axes] for which in (1, 2))
        total = math.prod(size for size, *_ in axes) if new.length and old.length else 0
        for start in range(0, total, WINDOW):
            count = min(WINDOW, total - start)
            yield (
                new.picked(now, in_order(one, start, count)),
                old.picked(before, in_order(other, start, count)),
            )
            budget.check_time()


def _change(new: Tensor, old: Tensor, budget: Budget) -> Change:
    import numpy as np

    total, elements, turned, distance, norm = 0, 0, 0, 0.0, 0.0
    alike = (new.dtype, new.big) == (old.dtype, old.big)
    for one, other in _windows(new, old, budget):
        budget.spend_bytes(len(one) + len(other))
        bits = [stored(raw, tensor.dtype, big=tensor.big) for raw, tensor in ((one, new), (other, old))]
        total += len(bits[0])
        if not new.dtype.known:
            elements += int(np.count_nonzero(bits[0] != bits[1]))
            continue
        now, before = (
            values(part, tensor.dtype).astype(np.float64, copy=False)
            for part, tensor in zip(bits, (new, old), strict=True)
        )
        with np.errstate(over="ignore", invalid="ignore"):
            known = np.isfinite(before)
            norm += float(np.dot(before, before) if known.all() else np.dot(before[known], before[known]))
            if alike and one == other:
                continue
            apart = (now != before) & ~(np.isnan(now) & np.isnan(before))
            both = known & np.isfinite(now)
            turned += int(np.count_nonzero(apart & ~both))
            if new.dtype == old.dtype:
                elements += int(np.count_nonzero(_patterns(bits[0]) != _patterns(bits[1])))
            else:
                elements += int(np.count_nonzero(apart))
            by = now[both] - before[both]
            by = by[np.isfinite(by)]
            distance += float(np.dot(by, by))
    return Change(tensor=new, count=total, elements=elements, turned=turned, distance=_root(distance), norm=_root(norm))


def _patterns(bits: NDArray[Any]) -> NDArray[Any]:
    """The bits of numbers as whole numbers, so that no number differs from itself and -0.0 differs from 0.0."""
    native = bits.astype(bits.dtype.newbyteorder("="), copy=False)
    return native.view(f"u{native.dtype.itemsize}")


def _root(square: float) -> float:
    return math.sqrt(min(square, 1e300))
