"""Mutations that know nothing of a format: bits, numbers, stretches, lengths."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal

_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1,
            1 << 63, (1 << 64) - 1)  # fmt: skip
LONGEST = 512
"""Bytes of one stretch that is moved, doubled or taken away."""


def stretch(rng: Random, size: int) -> tuple[int, int]:
    """Begin and end of a stretch within `size` bytes; short ones are more common."""
    start = rng.randrange(size + 1)
    return start, min(size, start + rng.choice((1, 2, 4, 8, rng.randrange(1, LONGEST))))


def _flip(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _number(rng: Random, data: bytes) -> bytes:
    """A number of 1 to 8 bytes becomes another: one next to it, one at a border, or a small one."""
    width = rng.choice((1, 2, 4, 8))
    order: Literal["little", "big"] = "little" if rng.random() < 0.5 else "big"
    at = rng.randrange(len(data))
    held = int.from_bytes(data[at : at + width], order)
    other = rng.choice((held + rng.choice((-1, 1, 8, -8)), rng.choice(_NUMBERS), rng.randrange(64), len(data)))
    return data[:at] + (other % (1 << 8 * width)).to_bytes(width, order) + data[at + width :]


def _insert(rng: Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def _delete(rng: Random, data: bytes) -> bytes:
    start, end = stretch(rng, len(data))
    return data[:start] + data[end:]


def _double(rng: Random, data: bytes) -> bytes:
    start, end = stretch(rng, len(data))
    return data[:end] + data[start:end] * rng.randrange(1, 4) + data[end:]


def _move(rng: Random, data: bytes) -> bytes:
    start, end = stretch(rng, len(data))
    rest = data[:start] + data[end:]
    at = rng.randrange(len(rest) + 1)
    return rest[:at] + data[start:end] + rest[at:]


def _cut(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _zero(rng: Random, data: bytes) -> bytes:
    start, end = stretch(rng, len(data))
    return data[:start] + bytes(end - start) + data[end:]


_ALL: tuple[Callable[[Random, bytes], bytes], ...] = (
    _flip, _number, _number, _number, _insert, _delete, _double, _move, _cut, _zero,
)  # fmt: skip


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    """One to four of these mutations."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice(_ALL)(rng, data) if data else b"."
    return data
