"""Names in a registry, and the record behind an alias: the two things of it that others may have written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from interlock.gate import Json, SubjectError, UsageError
from interlock.gate.documents import canonical_json, moment_of, timestamp

SCHEME = "registry://"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_REMEMBERED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """A place that a model can be promoted to: ``registry://<name>/<alias>``."""

    name: str
    alias: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the URL form; nothing that could become another path is a name.

        Raises:
            UsageError: `text` has another shape.
        """
        parts = text.removeprefix(SCHEME).split("/")
        if not text.startswith(SCHEME) or len(parts) != 2 or not all(_NAME.match(part) for part in parts):
            raise UsageError(
                "a registry place is written registry://<name>/<alias>",
                where=repr(text),
                next_step="use letters, digits, dots, dashes and underscores, a letter or digit first",
            )
        return cls(name=parts[0], alias=parts[1])

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}/{self.alias}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A model that an alias points to, or pointed to.

    Args:
        digest: sha256 of the file, or of the folder's manifest.
        file: Name of the file when the model is a single file, else empty.
        receipts: Ids of the receipts that let it be promoted.
        promoted: UTC.
    """

    digest: str
    file: str
    receipts: tuple[str, ...]
    promoted: datetime

    def document(self) -> dict[str, Json]:
        """As it stands in the alias file."""
        return {
            "digest": self.digest,
            "file": self.file,
            "receipts": list(self.receipts),
            "promoted": timestamp(self.promoted),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasRecord:
    """What an alias file says.

    Args:
        current: What the alias points to.
        previous: What it pointed to before, the newest first.
        rolled_back: Digest that the last rollback took away; empty after a promotion.
    """

    current: Version
    previous: tuple[Version, ...] = ()
    rolled_back: str = ""

    def promoted(self, version: Version) -> AliasRecord:
        """The record after a promotion; the same bytes again only renew the receipts."""
        if version.digest == self.current.digest and version.file == self.current.file:
            renewed = Version(
                digest=version.digest,
                file=version.file,
                receipts=version.receipts,
                promoted=version.promoted if version.receipts != self.current.receipts else self.current.promoted,
            )
            return AliasRecord(current=renewed, previous=self.previous)
        return AliasRecord(current=version, previous=(self.current, *self.previous)[:_REMEMBERED])

    def back(self) -> AliasRecord | None:
        """The record after a rollback, or None when there is nothing to go back to."""
        if not self.previous:
            return None
        return AliasRecord(current=self.previous[0], previous=self.previous[1:], rolled_back=self.current.digest)

    def write(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                **self.current.document(),
                "previous": [version.document() for version in self.previous],
                "rolled_back": self.rolled_back,
            }
        )

    @classmethod
    def read(cls, text: bytes, *, where: str) -> Self:
        """The reverse of `write`.

        Raises:
            SubjectError: It has another shape; nothing is deployed from a guess.
        """
        try:
            document = json.loads(text)
            return cls(
                current=_version(document),
                previous=tuple(_version(item) for item in document["previous"]),
                rolled_back=str(document["rolled_back"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise SubjectError(
                f"the alias file cannot be read: {error}", where=where, next_step="restore it, or remove it and promote"
            ) from error


def _version(document: Mapping[str, Any]) -> Version:
    digest, file = str(document["digest"]), str(document["file"])
    if not _DIGEST.match(digest):
        raise ValueError(f"{digest!r} is no sha256")
    if file and (file in {".", ".."} or "/" in file or not file.isprintable()):
        raise ValueError(f"{file!r} is no file name")
    if not isinstance(document["receipts"], list):
        raise TypeError("receipts is no array")
    return Version(
        digest=digest,
        file=file,
        receipts=tuple(str(item) for item in document["receipts"]),
        promoted=moment_of(str(document["promoted"])),
    )
