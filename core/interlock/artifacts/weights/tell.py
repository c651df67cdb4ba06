"""Turns what was measured of one file's tensors into findings and into numbers for policy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.record import Record, shown
from interlock.artifacts.weights.low_bits import BLOCK, ONE_IN, Sample, Written
from interlock.artifacts.weights.statistics import Statistics
from interlock.artifacts.weights.tensor import Listing, Tensor
from interlock.gate.values import Json

NAMED: Final = 20
LEAST_COPIED: Final = 1024
"""Elements from which on a second tensor of the same bytes is told."""

_HOW: Final = {
    "rounded": "{elements:,} elements have low bits that are not zero, where all others were rounded to 16 bits",
    "bytes": "the low bytes of {elements:,} elements are far from uniform (chi-square, {sure:.0f} standard deviations)",
    "phases": "the lowest bits of {elements:,} elements repeat every eighth element, as those of text do",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One tensor, and what was measured of it."""

    tensor: Tensor
    statistics: Statistics
    written: Sequence[Written] = ()


@dataclass(slots=True, kw_only=True)
class Totals:
    """Numbers over the whole subject; each is a measure of its name.

    Args:
        tensors: Looked into; tied ones once.
        unread_tensors: Of a type that is not looked into.
        unread_files: Of a format that is not looked into.
        nan_tensors: With an element that is no number.
        infinite_tensors: With an infinite element, masks left out.
        absurd_tensors: See `Statistics.absurd`.
        constant_tensors: Whose elements are all the same.
        duplicate_tensors: With the bytes of another one of the same file, tied ones left out.
        written_tensors: With low bits that do not look learned.
        hidden_bytes: That no tensor owns.
    """

    tensors: int = 0
    unread_tensors: int = 0
    unread_files: int = 0
    nan_tensors: int = 0
    infinite_tensors: int = 0
    absurd_tensors: int = 0
    constant_tensors: int = 0
    duplicate_tensors: int = 0
    written_tensors: int = 0
    hidden_bytes: int = 0
    sample: Sample = field(default_factory=Sample, repr=False)

    def counted(self) -> dict[str, int]:
        """Measures for policy."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, int)}


def tell_file(path: str, seen: Sequence[Seen], listing: Listing, totals: Totals, record: Record) -> None:
    """Findings of one file.

    Args:
        path: Of the file.
        seen: Its tensors; their bytes can still be read.
        listing: What else is in the file.
        totals: Grow.
        record: Where findings go.

    Raises:
        LimitPassedError: Nothing may be read any more.
    """
    totals.tensors += len(seen)
    totals.unread_tensors += len(listing.unread)
    _tell_summary(path, seen, record)
    for one in seen:
        _tell_numbers(one, totals, record)
        _tell_written(one, totals, record)
    constant = [one.tensor.name for one in seen if one.statistics.constant]
    totals.constant_tensors += len(constant)
    if constant:
        record.note(rules.CONSTANT_WEIGHTS, f"all elements are the same in {_some(constant)}", path)
    for copies in _copies(seen, record):
        totals.duplicate_tensors += len(copies) - 1
        record.note(rules.DUPLICATE_WEIGHTS, f"the same bytes under several names: {_some(copies)}", path)
    if listing.unread:
        unread = [f"{tensor.name} ({tensor.dtype.name})" for tensor in listing.unread]
        record.note(rules.UNREAD_WEIGHTS, f"not looked into: {_some(unread)}", path, tensors=len(unread))
    for hidden in listing.hidden:
        totals.hidden_bytes += hidden.size
        what = f"{hidden.size:,} bytes that no tensor owns, in {hidden.what}"
        record.warning(rules.HIDDEN_BYTES, what, hidden.path, hidden.offset, bytes=hidden.size)


def tell_sample(totals: Totals, path: str, record: Record) -> None:
    """Say it where not all low bits were looked at."""
    left_out = totals.sample.left_out
    if left_out:
        what = f"the low bits of {left_out:,} of {totals.sample.seen:,} bytes were not looked at"
        record.note(rules.WEIGHTS, f"{what}: one stretch in {ONE_IN} is", path, bytes=left_out)


def _tell_summary(path: str, seen: Sequence[Seen], record: Record) -> None:
    numbers = [one.statistics for one in seen if one.statistics.dtype.numbers]
    elements = sum(one.statistics.count for one in seen)
    types: dict[str, Json] = {}
    for one in seen:
        name = one.statistics.dtype.name
        types[name] = int(str(types.get(name, 0))) + one.statistics.count
    largest = max((one.largest for one in numbers), default=0.0)
    what = f"{len(seen):,} tensors, {elements:,} elements ({', '.join(types) or 'none'}), the largest {largest:.4g}"
    record.note(rules.WEIGHTS, what, path, tensors=len(seen), elements=elements, types=types)


def _tell_numbers(one: Seen, totals: Totals, record: Record) -> None:
    tensor, found = one.tensor, one.statistics
    infinite = 0 if found.mask else found.infinite
    evidence: dict[str, Json] = {"tensor": shown(tensor.name), "shape": list(tensor.shape[:8]), **found.document()}
    if found.nan or infinite:
        totals.nan_tensors += bool(found.nan)
        totals.infinite_tensors += bool(infinite)
        counts = ((found.nan, "NaN"), (infinite, "infinite"))
        what = " and ".join(f"{count:,} {kind}" for count, kind in counts if count)
        record.warning(
            rules.NOT_FINITE,
            f"{shown(tensor.name)}: {what} of {found.count:,} elements",
            tensor.path,
            tensor.offset,
            **evidence,
        )
    if found.absurd:
        totals.absurd_tensors += 1
        what = (
            f"{shown(tensor.name)}: {found.large:,} elements up to {found.largest:.3g}, whose square {found.dtype.name}"
        )
        record.warning(rules.ABSURD_WEIGHTS, f"{what} cannot hold", tensor.path, tensor.offset, **evidence)


def _tell_written(one: Seen, totals: Totals, record: Record) -> None:
    tensor = one.tensor
    totals.written_tensors += bool(one.written)
    for written in one.written:
        what = _HOW[written.how].format(elements=written.elements, sure=written.sure)
        record.note(
            rules.LOW_BITS,
            f"{shown(tensor.name)}: {what}",
            tensor.path,
            tensor.offset + written.element * tensor.dtype.size,
            tensor=shown(tensor.name),
            how=written.how,
            elements=written.elements,
            standard_deviations=round(written.sure, 1),
            block=BLOCK,
        )


def _copies(seen: Sequence[Seen], record: Record) -> Iterator[list[str]]:
    """Names of tensors with the same bytes in different places; only what has equal numbers is read for it."""
    alike: dict[tuple[object, ...], dict[tuple[object, ...], Tensor]] = {}
    for one in seen:
        found = one.statistics
        if found.count >= LEAST_COPIED and not found.constant:
            key = (found.dtype.name, found.count, found.first, found.squares, found.total, found.low, found.high)
            alike.setdefault(key, {})[one.tensor.place] = one.tensor
    for tensors in alike.values():
        digests: dict[bytes, list[str]] = {}
        for tensor in tensors.values() if len(tensors) > 1 else ():
            digest = hashlib.sha256()
            for piece in tensor.pieces(record.budget):
                digest.update(piece)
            digests.setdefault(digest.digest(), []).append(tensor.name)
        yield from (names for names in digests.values() if len(names) > 1)


def _some(names: Sequence[str]) -> str:
    some = ", ".join(shown(name) for name in names[:NAMED])
    return f"{some}, ... ({len(names):,} in all)" if len(names) > NAMED else some
