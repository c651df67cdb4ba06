"""Small pictures for the report: the rebuilt trigger, and flagged rows beside rows that look like them.

The attachment is one JSON text, limited in size; `interlock.reporting` draws it. Its shape::

    {"galleries": [{"title", "note",
                    "trigger": {"png", "caption"} or null,
                    "pairs": [{"flagged": PICTURE, "neighbour": PICTURE or null}]}]}
    PICTURE = {"png": base64, "caption": text, "box": [top, left, height, width] as fractions, or null}
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.detector import LabelShift, Pair, Scores, Suspicion, Trigger
from interlock.poisoning.revisit import Rows
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ATTACHMENT = "pictures"
MAX_BYTES = 400_000
MAX_SIDE = 64
MAX_GALLERIES = 6
MAX_PAIRS = 12


def wanted_rows(scores: Sequence[Scores]) -> tuple[int, ...]:
    """The rows whose features are needed, for pictures and to rebuild triggers."""
    rows: set[int] = set()
    for found in _suspicions(scores):
        rows |= {row for pair in found.pairs[:MAX_PAIRS] for row in (pair.row, pair.neighbour) if row >= 0}
        rows |= set(found.rows[:MAX_PAIRS])
    return tuple(sorted(rows))


def lonely_rows(scores: Sequence[Scores]) -> tuple[int, ...]:
    """The rows that are shown, and for which no detector named a row to stand beside them."""
    pairs = (pair for found in _suspicions(scores)[:MAX_GALLERIES] for pair in found.pairs[:MAX_PAIRS])
    return tuple(sorted({pair.row for pair in pairs if pair.neighbour < 0}))


def trigger_values(trigger: Trigger, rows: Rows) -> dict[int, float]:
    """The trigger's pixel values by their place in a row: the median of a few rows that carry it."""
    import numpy as np

    seen = [rows.features[row] for row in trigger.rows[:MAX_PAIRS] if row in rows.features]
    if not seen:
        return {}
    middle = np.median(np.stack(seen)[:, list(trigger.pixels)], axis=0)
    return {pixel: float(value) for pixel, value in zip(trigger.pixels, middle, strict=True) if np.isfinite(value)}


def pictures(scores: Sequence[Scores], rows: Rows, profile: Profile, image_shape: tuple[int, ...]) -> str:
    """The attachment, as JSON text of at most `MAX_BYTES`.

    Args:
        scores: What the detectors say.
        rows: At least the `wanted_rows`.
        profile: For black and white.
        image_shape: Height, width and, for colour, channels.
    """
    artist = _Artist(rows, profile, (*image_shape, 1)[:3])
    galleries: list[Json] = []
    left = MAX_BYTES
    for found in _suspicions(scores)[:MAX_GALLERIES]:
        gallery = artist.gallery(found, left)
        left -= len(canonical_json(gallery))
        if left < 0:
            break
        galleries.append(gallery)
    return canonical_json({"galleries": galleries}).decode()


def with_trigger(
    attachment: str,
    features: NDArray[np.float32],
    *,
    title: str,
    note: str,
    profile: Profile,
    image_shape: tuple[int, ...],
) -> str:
    """The attachment with one more gallery in front: a rebuilt trigger, with no rows beside it.

    Args:
        attachment: As `pictures` gives it; empty for none yet.
        features: float32 array (d,): the trigger on an average image, NaN where it changes nothing.
        title: Of the gallery.
        note: Below the title.
        profile: For black and white.
        image_shape: Height, width and, for colour, channels.
    """
    artist = _Artist(Rows(features={}, labels={}), profile, (*image_shape, 1)[:3])
    drawn: Json = {"png": artist.png(features), "caption": "what all carriers share, on an average image"}
    gallery: Json = {"title": title, "note": note, "trigger": drawn, "pairs": []}
    galleries = json.loads(attachment)["galleries"] if attachment else []
    made = canonical_json({"galleries": [gallery, *galleries[: MAX_GALLERIES - 1]]}).decode()
    return made if len(made) <= MAX_BYTES else attachment


def _suspicions(scores: Sequence[Scores]) -> list[Trigger | Suspicion | LabelShift]:
    """Triggers first, shifts last, each in order of strength, of the detectors that raised an alarm."""
    loud = [found for found in scores if found.alarm]
    return [
        *(trigger for found in loud for trigger in found.triggers),
        *(one for found in loud for one in found.suspicions if one.level is not Level.NOTE),
        *(shift for found in loud for shift in found.shifts),
    ]


class _Artist:
    """Draws rows of one dataset."""

    def __init__(self, rows: Rows, profile: Profile, shape: tuple[int, ...]) -> None:
        self._rows = rows
        self._profile = profile
        self._height, self._width, self._channels = shape

    def gallery(self, found: Trigger | Suspicion | LabelShift, room: int) -> dict[str, Json]:
        """One suspicion, with as many pairs as fit into `room` bytes."""
        if isinstance(found, Trigger):
            title, beside = f"Repeated pattern, label {found.label[:40]}", "the nearest image without the pattern"
        elif isinstance(found, Suspicion):
            title, beside = found.title, "the most similar row that is not flagged"
        else:
            who, among = found.label[:40] or "with any class", found.resembles[:40] or "other classes"
            title, beside = f"Rows labelled {who} among rows of {among}", "the nearest row of that class"
        base: dict[str, Json] = {
            "title": title,
            "note": f"{len(found.rows)} rows. Left: a flagged row. Right: {beside}.",
            "trigger": self._trigger(found) if isinstance(found, Trigger) else None,
            "pairs": [],
        }
        pairs: list[Json] = []
        left = room - len(canonical_json(base))
        for pair in found.pairs[:MAX_PAIRS]:
            drawn = self._pair(pair, self._box(found) if isinstance(found, Trigger) else None)
            left -= len(canonical_json(drawn)) + 1
            if left < 0:
                break
            pairs.append(drawn)
        return base | {"pairs": pairs}

    def _pair(self, pair: Pair, box: list[Json] | None) -> dict[str, Json]:
        beside = pair.neighbour if pair.neighbour >= 0 else self._rows.alike.get(pair.row, -1)
        return {
            "flagged": self._row(pair.row, box),
            "neighbour": self._row(beside, None) if beside >= 0 else None,
        }

    def _row(self, row: int, box: list[Json] | None) -> dict[str, Json]:
        label = self._rows.labels[row][:40]
        return {"png": self.png(self._rows.features[row]), "caption": f"label {label}, row {row}", "box": box}

    def _box(self, trigger: Trigger) -> list[Json]:
        return [
            trigger.top / self._height,
            trigger.left / self._width,
            trigger.height / self._height,
            trigger.width / self._width,
        ]

    def _trigger(self, trigger: Trigger) -> dict[str, Json] | None:
        """The trigger alone, on nothing."""
        import numpy as np

        values = trigger_values(trigger, self._rows)
        if not values:
            return None
        canvas = np.full(self._height * self._width * self._channels, np.nan, dtype=np.float32)
        canvas[list(values)] = list(values.values())
        caption = f"{trigger.height} x {trigger.width} at row {trigger.top}, column {trigger.left}"
        return {"png": self.png(canvas), "caption": f"the pattern, rebuilt: {caption}"}

    def png(self, features: NDArray[np.float32]) -> str:
        """Base64 of a small PNG; pixels without a value are transparent."""
        import numpy as np
        from PIL import Image

        low, high = self._profile.value_low, self._profile.value_high
        known = np.isfinite(features)
        with np.errstate(invalid="ignore"):
            grey = np.clip((np.where(known, features, low) - low) / max(high - low, 1e-12), 0, 1) * 255
        pixels = np.rint(grey).astype(np.uint8).reshape(self._height, self._width, self._channels)
        colours = pixels[:, :, :3] if self._channels >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
        alpha = known.reshape(self._height, self._width, self._channels).any(axis=2).astype(np.uint8) * 255
        picture = (
            Image.fromarray(np.dstack([colours, alpha]), mode="RGBA")
            if not known.all()
            else Image.fromarray(pixels[:, :, 0] if self._channels < 3 else np.ascontiguousarray(colours))
        )
        picture.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", optimize=True)
        return base64.b64encode(buffer.getvalue()).decode("ascii")
