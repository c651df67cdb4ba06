"""Attachments as a page reads them: whatever is no such document is passed over, for it quotes what was examined."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from interlock.gate import Observation


def items_of(seen: Observation, key: str, most: int) -> Iterator[Mapping[str, Any]]:
    """The objects in the list of that name, of every attachment that has one.

    Args:
        seen: By a gate; its attachments are untrusted.
        key: Of the list in the attachment's object.
        most: Objects of each attachment that are looked at.
    """
    for _, text in seen.attachments:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            continue
        items = document.get(key) if isinstance(document, Mapping) else None
        yield from (item for item in (items[:most] if isinstance(items, list) else ()) if isinstance(item, Mapping))


def number(value: object) -> float | None:
    """A finite number, or None for what is none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
