"""Pictures among a gate's attachments (shape: `interlock.poisoning.pictures`); nothing else is shown."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.gate import Observation
from interlock.reporting.attachments import items_of

MAX_GALLERIES = 20
MAX_PAIRS = 24
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture; `box` is top, left, height and width of a frame, in percent."""

    caption: str
    png: bytes
    box: tuple[float, ...] = ()

    @property
    def source(self) -> str:
        """A URL that holds the picture."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A trigger, if it could be rebuilt, and flagged rows beside others."""

    title: str
    note: str
    trigger: Picture | None
    pairs: tuple[tuple[Picture, Picture | None], ...]


def galleries_of(seen: Observation) -> list[Gallery]:
    """Every gallery among the attachments."""
    read = (_gallery(item) for item in items_of(seen, "galleries", MAX_GALLERIES))
    return [gallery for gallery in read if gallery is not None]


def _gallery(item: Mapping[str, object]) -> Gallery | None:
    shown = item.get("pairs")
    if not isinstance(shown, list):
        return None
    pairs = [
        (flagged, _picture(pair.get("neighbour")))
        for pair in shown[:MAX_PAIRS]
        if isinstance(pair, Mapping) and (flagged := _picture(pair.get("flagged"))) is not None
    ]
    trigger = _picture(item.get("trigger"))
    if not pairs and trigger is None:
        return None
    return Gallery(
        title=str(item.get("title", "")), note=str(item.get("note", "")), trigger=trigger, pairs=tuple(pairs)
    )


def _picture(item: object) -> Picture | None:
    """A picture that really is a PNG; a data URL of any other type could be a document with a script in it."""
    if not isinstance(item, Mapping) or not isinstance(item.get("png"), str):
        return None
    try:
        content = base64.b64decode(item["png"], validate=True)
    except (binascii.Error, ValueError):
        return None
    if not content.startswith(_PNG):
        return None
    return Picture(caption=str(item.get("caption", "")), png=content, box=_box(item.get("box")))


def _box(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != 4:
        return ()
    sides = tuple(side * 100 for side in value if isinstance(side, int | float) and 0 <= side <= 1)
    return sides if len(sides) == 4 else ()
