"""A model registry in a folder: versions named by content, aliases that move in one step.

::

    <root>/<name>/versions/sha256-<digest>/...    exactly the promoted bytes; never changed
    <root>/<name>/aliases/<alias>.json            which version, which receipts, what was there before

A version is complete, durable and hashed again in its place before an alias names it, so whoever follows an alias finds
a whole model whatever was killed when. Whether a model *may* be promoted is not asked here: the guard has opened on
these bytes, or this is not called.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from interlock.deployment.places import LocalPlace, Place, RemotePlace
from interlock.deployment.records import Alias, AliasRecord, Version
from interlock.gate import (
    OpenSubject,
    SubjectError,
    SubjectNotFoundError,
    UnsafeSubjectError,
    UsageError,
    utc_now,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Where an alias points now.

    Args:
        to: ``registry://<name>/<alias>``.
        digest: Of the version it points to.
        uri: Where that version's file or folder lies; opens as a subject of that digest.
        receipts: Ids of the receipts that let it be promoted.
        promoted: UTC.
        previous: Digest it pointed to before, empty when this is the first.
        changed: Whether this call moved it to other bytes.
    """

    to: str
    digest: str
    uri: str
    receipts: tuple[str, ...]
    promoted: datetime
    previous: str
    changed: bool


class FolderRegistry:
    """The registry behind ``registry://``.

    Args:
        root: Folder, ``file://`` URL or object store URL (`Settings.registry`).
    """

    def __init__(self, root: str) -> None:
        from interlock.evidence.sources import local_path

        path = local_path(root)
        self._place: Place = LocalPlace(path) if path is not None else RemotePlace(root)

    def promote(
        self, opened: OpenSubject, *, to: str, receipts: tuple[str, ...] = (), now: datetime | None = None
    ) -> Promotion:
        """Copy the held bytes into the registry, hash them there, then let the alias name them.

        Promoting what the alias already names changes nothing but the receipts.

        Args:
            opened: The model as the guard opened it; these bytes and no others are promoted.
            to: ``registry://<name>/<alias>``.
            receipts: Ids of the receipts that opened the guard.
            now: UTC; the clock when not given.

        Raises:
            UsageError: `to` is no registry place.
            UnsafeSubjectError: What lies in the registry under this digest are other bytes.
            SubjectError: The alias file cannot be read.
            UnavailableError: The registry did not answer or is full; the alias stays where it was.
        """
        alias = Alias.parse(to)
        version = Version(
            digest=opened.subject.digest,
            file=opened.path.name if opened.files == ("",) else "",
            receipts=tuple(receipts),
            promoted=now or utc_now(),
        )
        with self._place.alone(alias.name):
            record = self._record(alias)
            self._ensure(alias, version, opened.path)
            after = record.promoted(version) if record else AliasRecord(current=version)
            if after != record:
                self._place.replace(_alias_file(alias), after.write())
        return self._promotion(alias, after, changed=record is None or record.current.digest != version.digest)

    def rollback(self, to: str) -> Promotion:
        """Let the alias name what it named before, once those bytes are hashed again.

        Raises:
            UsageError: `to` is no registry place, or there is nothing to go back to.
            SubjectNotFoundError: Nothing was promoted there, or the former version is gone.
            UnsafeSubjectError: The former version is no longer the bytes that were promoted.
            UnavailableError: The registry did not answer; the alias stays where it was.
        """
        alias = Alias.parse(to)
        with self._place.alone(alias.name):
            after = self._existing(alias).back()
            if after is None:
                raise UsageError("there is no former version to go back to", where=to, next_step="promote another one")
            self._verify(alias, after.current)
            self._place.replace(_alias_file(alias), after.write())
        return self._promotion(alias, after, changed=True)

    def resolve(self, to: str) -> Promotion:
        """What the alias names now; its bytes are not hashed here (open `uri` as a subject for that).

        Raises:
            UsageError: `to` is no registry place.
            SubjectNotFoundError: Nothing was promoted there.
            SubjectError: The alias file cannot be read.
            UnavailableError: The registry did not answer.
        """
        alias = Alias.parse(to)
        return self._promotion(alias, self._existing(alias), changed=False)

    def history(self, to: str) -> tuple[Version, ...]:
        """What the alias named, the current version first.

        Raises:
            UsageError, SubjectNotFoundError, SubjectError, UnavailableError: As `resolve`.
        """
        record = self._existing(Alias.parse(to))
        return (record.current, *record.previous)

    def place_of(self, to: str, version: Version) -> str:
        """Where a version that `history` told of lies; opens as a subject of its digest, if nobody changed it.

        Raises:
            UsageError: `to` is no registry place.
        """
        return self._uri(Alias.parse(to), version)

    def _record(self, alias: Alias) -> AliasRecord | None:
        path = _alias_file(alias)
        text = self._place.read(path)
        return AliasRecord.read(text, where=self._place.uri(path)) if text is not None else None

    def _existing(self, alias: Alias) -> AliasRecord:
        record = self._record(alias)
        if record is None:
            raise SubjectNotFoundError("nothing was promoted there", where=str(alias))
        return record

    def _ensure(self, alias: Alias, version: Version, source: Path) -> None:
        """Make the version whole in its place, or find that it is."""
        from interlock.evidence.store import Store

        uri = self._uri(alias, version)
        if self._found(uri) is None:
            with tempfile.TemporaryDirectory(prefix="interlock-promotion-") as work:
                Store(Path(work, "store")).publish(source, uri)
        self._verify(alias, version)
        self._place.protect(_version_folder(alias, version))

    def _verify(self, alias: Alias, version: Version) -> None:
        uri = self._uri(alias, version)
        found = self._found(uri)
        if found is None:
            raise SubjectNotFoundError("the version is not in the registry", where=uri, next_step="promote it again")
        if found != version.digest:
            raise UnsafeSubjectError(
                f"the registry holds other bytes under this digest: sha256:{found}",
                where=uri,
                next_step="find out who changed them, remove them, then promote again",
            )

    def _found(self, uri: str) -> str | None:
        """The digest of what lies at `uri` now; None when nothing is there, or an upload that did not finish."""
        from interlock.evidence.snapshot import take_snapshot

        try:
            return take_snapshot(uri).digest
        except SubjectNotFoundError:
            return None
        except UnsafeSubjectError:
            raise
        except SubjectError:
            if isinstance(self._place, RemotePlace):
                return None
            raise

    def _uri(self, alias: Alias, version: Version) -> str:
        folder = _version_folder(alias, version)
        return self._place.uri(f"{folder}/{version.file}" if version.file else folder)

    def _promotion(self, alias: Alias, record: AliasRecord, *, changed: bool) -> Promotion:
        return Promotion(
            to=str(alias),
            digest=record.current.digest,
            uri=self._uri(alias, record.current),
            receipts=record.current.receipts,
            promoted=record.current.promoted,
            previous=record.previous[0].digest if record.previous else "",
            changed=changed,
        )


def _alias_file(alias: Alias) -> str:
    return f"{alias.name}/aliases/{alias.alias}.json"


def _version_folder(alias: Alias, version: Version) -> str:
    return f"{alias.name}/versions/sha256-{version.digest}"
