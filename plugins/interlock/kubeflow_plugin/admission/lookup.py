"""What the ledger says of the receipts that an object names, for policy to judge.

Annotations are written by whoever creates the object: they only say where to look. What counts is the receipt in the
ledger, under a trusted key's signature. What cannot be looked up is told as a problem, and never left out silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime

from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.verification import authentic, check_key, check_time
from interlock.gate import EvidenceError, InterlockError, Json, Stage, UsageError, Verdict, utc_now
from interlock.gate.documents import timestamp
from interlock.training.cluster.pod import RECEIPT

MOST_NAMED = 8
"""Receipts that are looked up for one review; a further one is unknown, and opens nothing."""

_ID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_DEEPEST = 12
_TEMPLATES = ("spec", "template", "jobTemplate", "predictor")


def named_receipts(review: Mapping[str, Json]) -> tuple[str, ...]:
    """Ids that the object, as it is wanted and as it is, carries where policy reads them.

    Args:
        review: An AdmissionReview; untrusted.
    """
    request = review.get("request")
    if not isinstance(request, Mapping):
        return ()
    found = [found for part in ("object", "oldObject") for found in _annotated(request.get(part), _DEEPEST)]
    return tuple(dict.fromkeys(found))[:MOST_NAMED]


def _annotated(thing: Json, depth: int) -> Iterator[str]:
    """In the metadata of an object and of its pod templates."""
    if not isinstance(thing, Mapping) or depth == 0:
        return
    metadata = thing.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    named = annotations.get(RECEIPT) if isinstance(annotations, Mapping) else None
    if isinstance(named, str) and _ID.fullmatch(named):
        yield named
    for part in _TEMPLATES:
        yield from _annotated(thing.get(part), depth - 1)


class Lookup:
    """Looks receipts up; thread safe as far as its source is (`interlock.evidence.Ledger` is).

    Args:
        receipts: Where receipts lie; opened anew for each question, so that a database that comes back is found.
        keyring: Whose signatures count, read anew for each question.
        clock: UTC now; replaced in tests.
    """

    def __init__(
        self,
        receipts: Callable[[], ReceiptSource],
        keyring: Callable[[], KeyRing],
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._receipts = receipts
        self._keyring = keyring
        self._clock = clock

    def of(self, review: Mapping[str, Json], *, bundles: Collection[str]) -> dict[str, Json]:
        """``input.receipts``: each named receipt, by id. Never raises.

        Args:
            review: An AdmissionReview; untrusted.
            bundles: Digests of the policy bundles whose decisions count.
        """
        named = named_receipts(review)
        if not named:
            return {}
        try:
            receipts, keyring = self._receipts(), self._keyring()
        except InterlockError as error:
            return {one: {"problem": f"it could not be looked up: {error.what}"} for one in named}
        return {one: self._record(one, receipts, keyring, bundles) for one in named}

    def _record(
        self, receipt_id: str, receipts: ReceiptSource, keyring: KeyRing, bundles: Collection[str]
    ) -> dict[str, Json]:
        try:
            entry = receipts.get(receipt_id)
            receipt = self._verified(entry, keyring)
            problem = self._problem(receipt_id, receipt, bundles) or self._taken_back(receipt, receipts, keyring)
        except UsageError:
            return {"problem": "the ledger has no such receipt"}
        except EvidenceError as error:
            return {"problem": error.what}
        except InterlockError as error:
            return {"problem": f"it could not be looked up: {error.what}"}
        return {
            "verdict": receipt.verdict.value,
            "stage": receipt.stage.value,
            "gate": receipt.gate,
            "subject": receipt.subject.digest,
            "expires": timestamp(receipt.expires),
            "dev": receipt.dev,
            "problem": problem,
        }

    def _verified(self, entry: LedgerEntry, keyring: KeyRing) -> Receipt:
        found = authentic(entry.envelope, keyring)
        check_key(found)
        check_time(found.receipt, self._clock())
        return found.receipt

    def _problem(self, receipt_id: str, receipt: Receipt, bundles: Collection[str]) -> str:
        if receipt.receipt_id != receipt_id:
            return "the ledger holds another receipt under this id"
        if receipt.bundle_digest not in bundles:
            return "it was decided by an unknown policy bundle"
        return ""

    def _taken_back(self, guard: Receipt, receipts: ReceiptSource, keyring: KeyRing) -> str:
        """Why it does not hold any more: a gate looked at these bytes since, and its newest receipt is no ALLOW."""
        newest: dict[str, Receipt] = {}
        for entry in receipts.find(guard.subject.digest):
            try:
                receipt = self._verified(entry, keyring)
            except EvidenceError:
                continue  # what nobody trusted signed takes nothing back
            if receipt.stage is Stage.GATE and receipt.issued > guard.issued:
                newest[receipt.gate] = receipt
        for gate, receipt in sorted(newest.items()):
            if receipt.verdict is not Verdict.ALLOW:
                return f"since then {gate} said {receipt.verdict.value} of these bytes ({receipt.receipt_id})"
        return ""
