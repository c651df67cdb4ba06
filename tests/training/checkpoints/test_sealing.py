"""A sealed file opens whole, in its place, under its key, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from interlock.gate import SubjectError
from interlock.training.checkpoints.sealing import opened, sealed

KEY = bytes(range(32))
PIECE = (1 << 20) + 16
HEADER = 19 + 32


def seal(data: bytes, *, cut: int = 700_000, name: str = "1/model") -> bytes:
    view = memoryview(data)
    return b"".join(sealed((view[at : at + cut] for at in range(0, len(data), cut)), key=KEY, name=name))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_what_is_sealed_opens(size: int) -> None:
    data = os.urandom(size)
    closed = seal(data)
    assert bytes(opened(memoryview(closed), key=KEY, name="1/model")) == data
    assert size < 64 or data[:64] not in closed


def test_two_seals_of_one_file_have_nothing_in_common() -> None:
    one, other = seal(bytes(100)), seal(bytes(100))
    assert one[HEADER:] != other[HEADER:]


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[:-1], id="one byte cut off"),
        pytest.param(lambda data: data[: HEADER + 2 * PIECE], id="last piece cut off"),
        pytest.param(lambda data: data[:HEADER], id="header alone"),
        pytest.param(lambda data: b"", id="nothing"),
        pytest.param(lambda data: data + b"\0", id="one byte more"),
        pytest.param(lambda data: data + data[HEADER : HEADER + PIECE], id="a piece more"),
        pytest.param(
            lambda data: data[:HEADER] + data[HEADER + PIECE : HEADER + 2 * PIECE] + data[HEADER : HEADER + PIECE]
            + data[HEADER + 2 * PIECE :],
            id="two pieces changed places",
        ),
        pytest.param(lambda data: data[:HEADER] + data[HEADER + PIECE :], id="first piece left out"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="one bit"),
        pytest.param(lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:], id="another salt"),
        pytest.param(lambda data: b"interlock-sealed-2\n" + data[19:], id="another format"),
        pytest.param(lambda data: seal(bytes(3 << 20), name="1/optimizer"), id="another file's bytes"),
    ],
)  # fmt: skip
def test_changed_bytes_do_not_open(change: Change) -> None:
    closed = seal(os.urandom((2 << 20) + 5))
    with pytest.raises(SubjectError, match="sealed file"):
        opened(memoryview(change(closed)), key=KEY, name="1/model")


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SubjectError, match="does not open"):
        opened(memoryview(seal(b"weights")), key=bytes(32), name="1/model")


def test_it_opens_under_its_own_name_only() -> None:
    with pytest.raises(SubjectError, match="does not open"):
        opened(memoryview(seal(b"weights")), key=KEY, name="2/model")
