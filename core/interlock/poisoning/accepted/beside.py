"""What a scan looks at beside its dataset: the profile of the last accepted snapshot, and a clean set.

Both are named by whoever asks for the scan, so both are untrusted. Their bytes are held and digested like a subject's,
and the digests stand in the report's configuration, which the receipt binds.

The profile counts only when a receipt of this gate allowed the snapshot that it says it is of, and the report behind
that receipt names the profile's own digest (`FACT`): a summary that somebody wrote, or one of a snapshot that was
refused, ends the scan. The clean set nobody vouches for.

Neither takes anything back: they add detectors, and no other detector hears them. So to name an older snapshot, or a
false clean set, hides nothing that a scan without it would find.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import EvidenceError, Json, References, SubjectError, UsageError
from interlock.gate.documents import timestamp
from interlock.poisoning.accepted.clean import CleanRows
from interlock.poisoning.accepted.snapshot import MAX_BYTES, NEXT, SnapshotProfile
from interlock.poisoning.batches import Columns

if TYPE_CHECKING:
    from interlock.gate import OpenSubject

GATE = "data-poisoning"
FACT = "snapshot_profile"
"""Name of the fact in a report that holds the digest of the profile that was written."""


@dataclass(slots=True, kw_only=True)
class Beside:
    """What was named, and what it turned out to be.

    Args:
        accepted: Path or URL of a profile, untrusted; None for no comparison.
        clean: Path or URL of a clean set, untrusted; None for none.
        references: What holds bytes and knows receipts; None until a runner gives it.
        profile: Of the accepted snapshot, once it is trusted.
        rows: The clean set, once it was read.
    """

    accepted: str | None = None
    clean: str | None = None
    references: References | None = field(default=None, repr=False)
    profile: SnapshotProfile | None = field(default=None, repr=False)
    rows: CleanRows | None = field(default=None, repr=False)
    _told: dict[str, dict[str, Json]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for option in ("accepted", "clean"):
            named = getattr(self, option)
            if named is not None and (not isinstance(named, str) or not named):
                raise UsageError(f"{option} is a path or a URL, not {named!r}", where=option)

    def configuration(self) -> dict[str, Json]:
        """What was compared with, by digest, as far as it is known by now."""
        named = {"accepted": self.accepted, "clean": self.clean}
        return {
            option: None if uri is None else {"uri": uri, **self._told.get(option, {})} for option, uri in named.items()
        }

    def take(self, columns: Columns) -> None:
        """Hold and read what was named.

        Args:
            columns: Of the dataset, with the shape that its images are drawn to.

        Raises:
            SubjectError: It cannot be read, or nothing vouches for the profile.
            UsageError: Nobody here knows any receipts.
            UnavailableError: Storage or ledger did not answer; try again.
        """
        self.profile, self.rows = None, None
        self._told.clear()
        if self.accepted is None and self.clean is None:
            return
        if self.references is None:
            raise UsageError(
                "without a runner nobody holds other bytes still, or knows which were accepted",
                where="accepted" if self.accepted is not None else "clean",
                next_step="scan with `interlock gate data-poisoning` or interlock.runner.LocalRunner",
            )
        if self.accepted is not None:
            with self.references.open(self.accepted) as opened:
                self._told["accepted"] = _digest(opened)
                self.profile = _trusted(opened, self.references, self._told["accepted"])
        if self.clean is not None:
            with self.references.open(self.clean) as opened:
                self._told["clean"] = _digest(opened)
                self.rows = CleanRows.of(opened, columns)


def named(document: bytes) -> dict[str, Json]:
    """How a report names the profile that it vouches for."""
    return {"digest": {"sha256": hashlib.sha256(document).hexdigest()}}


def _digest(opened: OpenSubject) -> dict[str, Json]:
    return {"digest": {"sha256": opened.subject.digest}}


def _trusted(opened: OpenSubject, references: References, told: dict[str, Json]) -> SnapshotProfile:
    """The profile in a held file, and in `told` who vouches for it.

    Raises:
        SubjectError: Nobody does; says why.
    """
    uri = opened.subject.uri
    if opened.files != ("",) or opened.path.stat().st_size > MAX_BYTES:
        raise SubjectError(
            f"the profile of a snapshot is one file of at most {MAX_BYTES:,} bytes", where=uri, next_step=NEXT
        )
    profile = SnapshotProfile.read(opened.path.read_bytes(), where=uri)
    told["subject"] = {"name": profile.name, "digest": {"sha256": profile.digest}}
    try:
        allowed = references.allowed(gate=GATE, digest=profile.digest)
    except EvidenceError as error:
        raise SubjectError(
            f"nothing shows that the snapshot behind this profile was accepted: {error.what}",
            where=f"{uri} ({error.where})" if error.where else uri,
            next_step=error.next_step,
        ) from error
    named = [one for one in allowed if one.facts.get(FACT) == _digest(opened)]
    if not named:
        raise SubjectError(
            "no receipt that allows the snapshot behind this profile names its digest: it is another file than the "
            "one that was written beside the receipt",
            where=uri,
            next_step=NEXT,
        )
    told["receipt"] = named[-1].receipt_id
    told["issued"] = timestamp(named[-1].issued)
    return profile
