"""Reads JSON of which every reader takes the same: strict UTF-8, no key twice, not deeper than Python follows."""

from __future__ import annotations

from typing import Any

from interlock.artifacts.record import Record, shown
from interlock.gate.documents import unambiguous_json


class MalformedJsonError(Exception):
    """The text is no JSON that all readers understand alike; `str()` says why."""


def strict_json(raw: bytes, record: Record) -> Any:
    """Parse one JSON document.

    Args:
        raw: The whole document, unverified.
        record: Whose budget it is held against.

    Returns:
        Dicts, lists, texts, numbers, booleans and None. ``NaN`` and the infinities are floats, as Python writes them.

    Raises:
        MalformedJsonError: It is none.
        LimitPassedError: It is larger than a text may be.
    """
    record.budget.hold_text(len(raw))
    record.budget.spend_bytes(len(raw))
    try:
        return unambiguous_json(raw.decode("utf-8"), constants=True)
    except ValueError as error:
        raise MalformedJsonError(f"no JSON: {shown(str(error))}") from error
