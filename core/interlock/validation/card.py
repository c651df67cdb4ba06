"""What a dataset says of itself: its sources, its licences and how personal it is, read from a card among its files.

A card is one of the dataset's own files, so the receipt binds it to the data it speaks of: changing the licence changes
the digest. What it says is a claim of whoever wrote it; policy decides which claims are enough
(`policies/interlock/dataset`). Two forms are read:

- ``croissant.json``, MLCommons Croissant 1.0 (JSON-LD): ``license``, ``isBasedOn``, and ``interlock:pii``;
- ``README.md`` with YAML front matter, as Hugging Face dataset cards have it: ``license``, ``source_datasets``, and
  ``pii``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.gate import DATASET_CARDS, Json, OpenSubject, SubjectError

CROISSANT, README = DATASET_CARDS
MAX_BYTES = 4 * 1024 * 1024
MAX_FRONT_MATTER = 64 * 1024
MAX_ENTRIES, MAX_TEXT = 1000, 2000

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?P<yaml>.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_SPDX_URL = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/(?P<id>[A-Za-z0-9.+-]+?)(?:\.html|\.json)?/?\Z")
_CC_URL = re.compile(r"https?://creativecommons\.org/licenses/(?P<kind>[a-z-]+)/(?P<version>\d\.\d)/?(?:deed.*)?\Z")
_CC0_URL = re.compile(r"https?://creativecommons\.org/publicdomain/zero/1\.0/?(?:deed.*)?\Z")
_SPDX_SPELLINGS = {
    spelling.lower(): spelling
    for spelling in (
        "AGPL-3.0-only", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-4.0",
        "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0",
        "CDLA-Permissive-2.0", "CDLA-Sharing-1.0", "GPL-3.0-only", "MIT", "MPL-2.0", "ODbL-1.0", "ODC-By-1.0",
        "PDDL-1.0", "Unlicense",
    )
}  # fmt: skip
"""Hugging Face writes SPDX ids in lower case; policy compares the spelling that SPDX publishes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCard:
    """The claims of one card. None is a claim that is not made, which is not the same as an empty list.

    Args:
        path: The card, relative to the dataset.
        sources: Where the data comes from, as the card names it.
        licences: SPDX ids where they are known, else the card's own text.
        pii: ``none``, ``pseudonymised``, ``personal``, ``special``, or whatever else the card says.
    """

    path: str
    sources: tuple[str, ...] | None = None
    licences: tuple[str, ...] | None = None
    pii: str | None = None

    def document(self) -> dict[str, Json]:
        """What a policy rule reads of it."""
        said: dict[str, Json] = {"card": self.path}
        if self.sources is not None:
            said["sources"] = list(self.sources)
        if self.licences is not None:
            said["licences"] = list(self.licences)
        if self.pii is not None:
            said["pii"] = self.pii
        return said


def read_card(opened: OpenSubject) -> DatasetCard | None:
    """The card at the top of a dataset folder, Croissant before README; None when it has none.

    Args:
        opened: The held dataset; the card is as untrusted as the rest of it.

    Raises:
        SubjectError: A card is there and cannot be read: broken, too large, or not in its form.
    """
    if CROISSANT in opened.files:
        return _from_croissant(opened.path / CROISSANT)
    if README in opened.files:
        return _from_readme(opened.path / README)
    return None


def _from_croissant(path: Path) -> DatasetCard:
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise _broken(CROISSANT, f"no JSON: {error}") from error
    if not isinstance(document, dict):
        raise _broken(CROISSANT, "no JSON object")
    return DatasetCard(
        path=CROISSANT,
        sources=_texts(document.get("isBasedOn"), CROISSANT, "isBasedOn"),
        licences=_licences(_texts(document.get("license"), CROISSANT, "license")),
        pii=_one_text(document.get("interlock:pii"), CROISSANT, "interlock:pii"),
    )


def _from_readme(path: Path) -> DatasetCard | None:
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    found = _FRONT_MATTER.match(_text(path))
    if found is None:
        return None
    if len(found["yaml"]) > MAX_FRONT_MATTER:
        raise _broken(README, f"its front matter has more than {MAX_FRONT_MATTER} characters")
    try:
        document = yaml.safe_load(found["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _broken(README, f"its front matter is no YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(document, dict):
        raise _broken(README, "its front matter is no mapping")
    return DatasetCard(
        path=README,
        sources=_texts(document.get("source_datasets"), README, "source_datasets"),
        licences=_licences(_texts(document.get("license"), README, "license")),
        pii=_one_text(document.get("pii"), README, "pii"),
    )


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_BYTES:
        raise _broken(path.name, f"more than {MAX_BYTES} bytes")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise _broken(path.name, "no UTF-8") from error


def _texts(value: Any, card: str, key: str) -> tuple[str, ...] | None:
    """One text or a list of them; in JSON-LD an entry may be an object that names itself."""
    if value is None:
        return None
    entries = value if isinstance(value, list) else [value]
    if len(entries) > MAX_ENTRIES:
        raise _broken(card, f"{key} has more than {MAX_ENTRIES} entries")
    return tuple(_named(entry, card, key) for entry in entries)


def _named(entry: Any, card: str, key: str) -> str:
    if isinstance(entry, Mapping):
        entry = next((entry[name] for name in ("@id", "url", "name") if isinstance(entry.get(name), str)), None)
    if not isinstance(entry, str) or not entry.strip() or len(entry) > MAX_TEXT:
        raise _broken(card, f"{key} holds something else than a text of up to {MAX_TEXT} characters")
    return entry.strip()


def _one_text(value: Any, card: str, key: str) -> str | None:
    return None if value is None else _named(value, card, key)


def _licences(named: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if named is None else tuple(_spdx(licence) for licence in named)


def _spdx(licence: str) -> str:
    if found := _SPDX_URL.match(licence):
        licence = found["id"]
    elif found := _CC_URL.match(licence):
        licence = f"CC-{found['kind'].upper()}-{found['version']}"
    elif _CC0_URL.match(licence):
        licence = "CC0-1.0"
    return _SPDX_SPELLINGS.get(licence.lower(), licence)


def _broken(card: str, what: str) -> SubjectError:
    return SubjectError(
        f"the dataset's card cannot be read: {what}", where=card, next_step="repair the card, or take it out"
    )
