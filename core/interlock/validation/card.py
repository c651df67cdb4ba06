"""What a dataset says of itself: its sources, its licences and how personal it is, read from a card among its files.

A card is one of the dataset's own files, so the receipt binds it to the data it speaks of: changing the licence changes
the digest. What it says is a claim of whoever wrote it; policy decides which claims are enough
(`policies/interlock/dataset`). Two forms are read:

- ``croissant.json``, MLCommons Croissant 1.0 (JSON-LD): ``license``, ``isBasedOn``, and ``interlock:pii``;
- ``README.md`` with YAML front matter, as Hugging Face dataset cards have it: ``license``, ``source_datasets``, and
  ``pii``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import Json, OpenSubject
from interlock.gate.cards import CROISSANT, README, front_matter, json_card, text_in, texts_in

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
    said = json_card(path)
    return DatasetCard(
        path=CROISSANT,
        sources=texts_in(said.get("isBasedOn"), card=CROISSANT, key="isBasedOn"),
        licences=_licences(texts_in(said.get("license"), card=CROISSANT, key="license")),
        pii=text_in(said.get("interlock:pii"), card=CROISSANT, key="interlock:pii"),
    )


def _from_readme(path: Path) -> DatasetCard | None:
    said = front_matter(path)
    if said is None:
        return None
    return DatasetCard(
        path=README,
        sources=texts_in(said.get("source_datasets"), card=README, key="source_datasets"),
        licences=_licences(texts_in(said.get("license"), card=README, key="license")),
        pii=text_in(said.get("pii"), card=README, key="pii"),
    )


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
