"""Approvals that a gate recorded in the ledger, as policy reads them beside those that people signed themselves.

A receipt of gate ``approval`` says that somebody whom policy listed answered yes, in an orchestrator that logged them
in, about exactly these bytes. It counts under the rules of every receipt: a trusted key that may sign this kind, its
time, its bytes, a known policy bundle. `by` of such an approval is the person and `via` the orchestrator; the key is
the gate's. A later rejection by the same person takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.verification import authentic, check_key, check_time
from interlock.gate.documents import timestamp
from interlock.gate.errors import EvidenceError, InterlockError, ReceiptError
from interlock.gate.protocols import Granted, Grants
from interlock.gate.values import Json, Stage, Verdict, utc_now

GATE = "approval"
STEPS = frozenset({"training", "deployment"})
"""The questions for which the ledger is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """One person's newest answer; `document` is None where it is no approval."""

    by: str
    document: Mapping[str, Json] | None


class RecordedApprovals:
    """Implements `interlock.gate.protocols.Grants` over recorded receipts.

    Args:
        receipts: Where receipts are looked for; not trusted.
        keyring: Whose signatures count.
        bundles: Digests of the policy bundles whose receipts count, asked for each question.
        clock: UTC now; replaced in tests.
    """

    def __init__(
        self,
        receipts: ReceiptSource,
        keyring: KeyRing,
        *,
        bundles: Callable[[], Collection[str]],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._receipts = receipts
        self._keyring = keyring
        self._bundles = bundles
        self._clock = clock

    def holding(self, *, gate: str, name: str, digest: str, profile: str) -> Granted:  # noqa: ARG002 (bytes count)
        """The approvals of step `gate` for `digest`. Never raises: what cannot be read does not hold."""
        if gate not in STEPS:
            return Granted()
        try:
            entries, bundles = self._receipts.find(digest), frozenset(self._bundles()) - {""}
        except InterlockError as error:
            return Granted(refused=(f"approvals in the ledger cannot be read: {error}",))
        words: dict[str, _Word] = {}
        refused: list[str] = []
        for entry in entries:
            try:
                word = self._word(entry, step=gate, digest=digest, profile=profile, bundles=bundles)
            except InterlockError as error:
                refused.append(f"approval {entry.receipt_id}: {error}")
                continue
            if word is not None:
                words[word.by] = word
        approvals = tuple(word.document for word in words.values() if word.document is not None)
        return Granted(approvals=approvals, refused=tuple(refused))

    def _word(
        self, entry: LedgerEntry, *, step: str, digest: str, profile: str, bundles: Collection[str]
    ) -> _Word | None:
        """What this entry says for the question; None when it is about something else.

        Raises:
            EvidenceError: It is an approval, and does not count.
            UnavailableError: The ledger did not answer.
        """
        try:
            found = authentic(entry.envelope, self._keyring)
        except EvidenceError:
            return None  # what nobody trusted signed is no approval, nor known to be meant as one
        receipt = found.receipt
        if receipt.gate != GATE or receipt.stage is not Stage.GATE or receipt.subject.digest != digest:
            return None
        check_key(found)
        check_time(receipt, self._clock())
        said = _said(self._receipts.get(receipt.receipt_id), receipt)
        by = said.get("by")
        person = by.get("name") if isinstance(by, Mapping) else None
        if said.get("step") != step or not isinstance(person, str):
            return None
        if receipt.verdict is not Verdict.ALLOW:
            return _Word(by=person, document=None) if said.get("choice") == "rejected" else None
        _check_decision(receipt, profile=profile, bundles=bundles)
        return _Word(by=person, document=_document(receipt, said, step=step, person=person))


class JoinedGrants:
    """Implements `interlock.gate.protocols.Grants`: what any of several sources knows.

    Args:
        sources: In the order in which their answers are put together.
    """

    def __init__(self, *sources: Grants) -> None:
        self._sources = sources

    def holding(self, *, gate: str, name: str, digest: str, profile: str) -> Granted:
        """What holds by any source; never raises."""
        found = [source.holding(gate=gate, name=name, digest=digest, profile=profile) for source in self._sources]
        return Granted(
            exemptions=tuple(one for granted in found for one in granted.exemptions),
            approvals=tuple(one for granted in found for one in granted.approvals),
            refused=tuple(one for granted in found for one in granted.refused),
        )


def _said(entry: LedgerEntry, receipt: Receipt) -> Mapping[str, Json]:
    """The fact ``approval`` of the report that the receipt's signature binds."""
    if entry.report_digest != receipt.report_digest:
        raise ReceiptError("its report is not the one that was signed", where=receipt.receipt_id)
    facts = entry.report_document().get("facts")
    said = facts.get(GATE) if isinstance(facts, Mapping) else None
    if not isinstance(said, Mapping):
        raise ReceiptError("its report says nothing of an answer", where=receipt.receipt_id)
    return said


def _check_decision(receipt: Receipt, *, profile: str, bundles: Collection[str]) -> None:
    """Refuse an approval that was allowed under other rules than those that ask now."""
    if receipt.bundle_digest not in bundles:
        raise ReceiptError("an unknown policy bundle allowed it", where=receipt.receipt_id)
    if receipt.profile != profile:
        raise ReceiptError(f"profile {receipt.profile!r} allowed it, not {profile!r}", where=receipt.receipt_id)
    if receipt.exemptions:
        raise ReceiptError("an exemption allowed it, not a person", where=receipt.receipt_id)


def _document(receipt: Receipt, said: Mapping[str, Json], *, step: str, person: str) -> dict[str, Json]:
    """`approval` of the input document's schema."""
    return {
        "id": receipt.receipt_id,
        "reason": str(said.get("record", "")),
        "step": step,
        "digest": {"sha256": receipt.subject.digest},
        "issued": timestamp(receipt.issued),
        "expires": timestamp(receipt.expires),
        "by": person,
        "via": str(said.get("via")),
        "keyid": receipt.keyid,
        "dev": receipt.dev,
    }
