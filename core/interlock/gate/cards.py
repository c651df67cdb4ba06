"""Cards: files at the top of a subject's folder that speak of the subject, as publishers of data and models write them.

A card is one of the subject's own bytes, so a receipt binds it to what it speaks of. What it says is still only a claim
of whoever wrote it; policy decides which claims are enough. Here is how a card is read within limits; what the claims
mean is the business of the rooms that know data (`interlock.validation`) and models (`interlock.artifacts`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interlock.gate.errors import SubjectError

CROISSANT, README = "croissant.json", "README.md"
DATASET_CARDS = (CROISSANT, README)
"""Cards of a dataset, which hold no rows: MLCommons Croissant 1.0, and Hugging Face dataset cards."""

MAX_BYTES = 4 * 1024 * 1024
MAX_FRONT_MATTER = 64 * 1024
MAX_ENTRIES, MAX_TEXT = 1000, 2000

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


def json_card(path: Path) -> Mapping[str, Any]:
    """A card that is a JSON object.

    Args:
        path: Of the card; its content is untrusted.

    Raises:
        SubjectError: It is none, or too large.
    """
    text = _text(path)
    if text is None:
        raise broken_card(path.name, "no UTF-8")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise broken_card(path.name, f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise broken_card(path.name, "no JSON object")
    return document


def front_matter(path: Path) -> Mapping[str, Any] | None:
    """The YAML front matter of a Markdown file; None when it has none, or is no text at all.

    Args:
        path: Of the card; its content is untrusted, and no tag in it makes an object.

    Raises:
        SubjectError: It is broken, no mapping, or too large.
    """
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    found = _FRONT_MATTER.match(_text(path) or "")
    if found is None:
        return None
    if len(found["yaml"]) > MAX_FRONT_MATTER:
        raise broken_card(path.name, f"its front matter has more than {MAX_FRONT_MATTER} characters")
    try:
        document = yaml.safe_load(found["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise broken_card(path.name, f"its front matter is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise broken_card(path.name, "its front matter is no mapping")
    return document


def texts_in(value: Any, *, card: str, key: str) -> tuple[str, ...] | None:
    """One text or a list of them; in JSON-LD an entry may be an object that names itself. None when nothing is there.

    Raises:
        SubjectError: It is something else, or too much.
    """
    if value is None:
        return None
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_ENTRIES:
        raise broken_card(card, f"{key} has more than {MAX_ENTRIES} entries")
    return tuple(_named(entry, card, key) for entry in entries)


def text_in(value: Any, *, card: str, key: str) -> str | None:
    """One text; None when nothing is there.

    Raises:
        SubjectError: It is something else, or too long.
    """
    return None if value is None else _named(value, card, key)


def broken_card(card: str, what: str) -> SubjectError:
    """The error for a card that is there and cannot be read; it is never taken for an absent one."""
    return SubjectError(f"the card cannot be read: {what}", where=card, next_step="repair the card, or take it out")


def _text(path: Path) -> str | None:
    if path.stat().st_size > MAX_BYTES:
        raise broken_card(path.name, f"more than {MAX_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        return None


def _named(entry: Any, card: str, key: str) -> str:
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in ("@id", "url", "name") if isinstance(entry.get(name), str)), None)
    if not isinstance(entry, str) or not entry.strip() or len(entry) > MAX_TEXT:
        raise broken_card(card, f"{key} holds something else than a text of up to {MAX_TEXT} characters")
    if any("\ud800" <= sign <= "\udfff" for sign in entry):  # YAML lets a card write halves of a character
        raise broken_card(card, f"{key} holds half of a character")
    return entry.strip()
