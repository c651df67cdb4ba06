"""What a gate may look up beside its subject: other bytes, held like a subject, and what receipts say of them.

A gate that compares with an earlier snapshot must know that the snapshot was allowed. The ledger knows: a receipt of
that gate about those bytes, under a trusted key that may sign it, which says ALLOW without an exemption. The newest
receipt decides, as at a guard, so a later DENY takes back an earlier ALLOW. Its time does not matter, nor the policy
bundle that decided: nothing is opened by it, and what was accepted a month ago is still what was accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import EVALUATION, LedgerEntry
from interlock.evidence.model_signing import models_of, read_signature, verify_model
from interlock.evidence.model_signing.statement import GIT, below
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.verification import authentic, check_key
from interlock.gate.errors import EvidenceError, ReceiptError
from interlock.gate.protocols import Allowed, Evaluated, Opener, OpenSubject, SignedBy
from interlock.gate.values import Stage, Subject, Verdict

_MOST_MATERIALS = 1000


class LedgerReferences:
    """Implements `interlock.gate.protocols.References`.

    Args:
        opener: Holds bytes still.
        receipts: Where receipts are looked for; asked for when they are needed.
        keyring: Whose signatures count; likewise.
        profile: Policy profile of the deployment: what a weaker one accepted sets no mark here.
    """

    def __init__(
        self, opener: Opener, *, receipts: Callable[[], ReceiptSource], keyring: Callable[[], KeyRing], profile: str
    ) -> None:
        self._opener = opener
        self._receipts = receipts
        self._keyring = keyring
        self._profile = profile

    def open(self, uri: str) -> AbstractContextManager[OpenSubject]:
        """Hold other bytes still, as those of a subject."""
        return self._opener.open(uri)

    def signature(self, model: OpenSubject, place: str) -> SignedBy:
        """Who signed a model; see the protocol."""
        found = verify_model(str(model.path), read_signature(model.path / place), models_of(self._keyring()), own=place)
        loose = tuple(file for file in found.unsigned if not below(file, GIT))
        return SignedBy(signer=found.signer, unsigned=loose)

    def allowed(self, *, gate: str, digest: str) -> tuple[Allowed, ...]:
        """Every receipt of `gate` that allows the bytes of `digest`, oldest first; see the protocol."""
        receipts, keyring = self._receipts(), self._keyring()
        found: list[tuple[LedgerEntry, Receipt]] = []
        refused = ""
        for entry in receipts.find(digest):
            try:
                one = authentic(entry.envelope, keyring)
                check_key(one)
            except EvidenceError as error:
                refused = f"; one that is there does not count: {error.what}"
                continue
            receipt = one.receipt
            if (receipt.gate, receipt.stage, receipt.subject.digest) == (gate, Stage.GATE, digest):
                found.append((entry, receipt))
        if not found:
            raise EvidenceError(
                f"no receipt of {gate} allows these bytes{refused}",
                where=f"sha256:{digest}",
                next_step=f"run {gate} on them, or name their ledger's export in setting `receipts`",
            )
        _, newest = found[-1]
        if newest.verdict is not Verdict.ALLOW:
            raise EvidenceError(
                f"the newest receipt of {gate} for these bytes says {newest.verdict.value}",
                where=newest.receipt_id,
                next_step=f"compare with another snapshot; details: interlock ledger show {newest.receipt_id}",
            )
        allowing = [(entry, one) for entry, one in found if one.verdict is Verdict.ALLOW and not one.exemptions]
        if not allowing:
            raise EvidenceError(
                f"only an exemption let {gate} allow these bytes",
                where=newest.receipt_id,
                next_step="compare with a snapshot that was allowed without one",
            )
        return tuple(self._allowed(receipts, entry, receipt) for entry, receipt in allowing)

    def evaluated(self, name: str) -> tuple[Evaluated, ...]:
        """The receipts of evaluations of one name, oldest first; see the protocol."""
        receipts = self._receipts()
        found = []
        for entry, receipt in self._authentic(receipts.of_evaluation(name), EVALUATION):
            if receipt.profile != self._profile or not receipt.materials or receipt.materials[0].name != name:
                continue
            allowed = receipt.verdict is Verdict.ALLOW and not receipt.exemptions
            found.append(
                Evaluated(
                    receipt_id=receipt.receipt_id,
                    issued=receipt.issued,
                    subject=receipt.subject,
                    allowed=allowed,
                    materials=receipt.materials,
                    facts=self._allowed(receipts, entry, receipt).facts if allowed else {},
                )
            )
        return tuple(found)

    def materials(self, digest: str) -> tuple[Subject, ...]:
        """What a model was made from, and that in turn; see the protocol."""
        receipts, found, waiting = self._receipts(), dict[str, Subject](), [digest]
        while waiting and len(found) < _MOST_MATERIALS:
            for _, receipt in self._authentic(receipts.find(waiting.pop(), parts=True), "training"):
                fresh = [material for material in receipt.materials if material.digest not in found]
                found |= {material.digest: material for material in fresh}
                waiting += [material.digest for material in fresh]
        return tuple(found.values())

    def holders(self, digest: str) -> frozenset[str]:
        """What is the file of a digest, or holds it; see the protocol."""
        entries = self._receipts().find(digest, parts=True)
        return frozenset({digest, *(receipt.subject.digest for _, receipt in self._authentic(entries, ""))})

    def _authentic(self, entries: Iterable[LedgerEntry], gate: str) -> Iterator[tuple[LedgerEntry, Receipt]]:
        """Those of a gate, or of any, under a trusted key that may sign it; the others say nothing."""
        keyring = self._keyring()
        for entry in entries:
            try:
                one = authentic(entry.envelope, keyring)
                check_key(one)
            except EvidenceError:
                continue
            if one.receipt.stage is Stage.GATE and gate in {"", one.receipt.gate}:
                yield entry, one.receipt

    @staticmethod
    def _allowed(receipts: ReceiptSource, entry: LedgerEntry, receipt: Receipt) -> Allowed:
        stored = receipts.get(entry.receipt_id)
        if stored.report_digest != receipt.report_digest:
            raise ReceiptError("its report is not the one that was signed", where=receipt.receipt_id)
        facts = stored.report_document().get("facts")
        return Allowed(
            receipt_id=receipt.receipt_id, issued=receipt.issued, facts=facts if isinstance(facts, dict) else {}
        )
