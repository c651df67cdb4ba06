"""For people who ask where a model comes from: back over its training receipt to its data, base models and code.

Each part is shown with what its receipts are worth now. Nothing is opened by it, and nothing is read but receipts: the
bytes of a material are only named. What a guard makes of the same receipts is `interlock.evidence.lineage`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from interlock.evidence.keyring import KeyRing
from interlock.evidence.lineage import data_digest
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.evidence.testimony import State, Testimony, speaks_for
from interlock.gate.documents import subject_document, timestamp
from interlock.gate.values import Json, Stage, Subject, Verdict

_DEEPEST = 8
_MOST = 200


class Worth(Enum):
    """What the receipts of one part come to now."""

    VALID = "valid"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    EXPIRED = "expired"
    UNTRUSTED = "untrusted signer"
    MISSING = "missing"
    NAMED = "named only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A model, or a part of what it was made from.

    Args:
        role: ``subject``, ``data``, ``base model`` or ``code``.
        subject: Its name and digest, as the training's signed receipt names them.
        testimonies: Receipts of gates about exactly these bytes, oldest first.
        made_from: What the newest training receipt names; empty where there is none.
    """

    role: str
    subject: Subject
    testimonies: tuple[Testimony, ...]
    made_from: tuple[Ancestor, ...] = ()

    @property
    def worth(self) -> Worth:
        """The newest valid receipt of each gate counts, as everywhere; code needs none, as no gate looks at code."""
        newest = {
            one.receipt.gate: one.receipt.verdict
            for one in self.testimonies
            if one.state is State.VALID and one.receipt is not None
        }
        if Verdict.DENY in newest.values():
            return Worth.REFUSED
        if newest:
            return Worth.UNDECIDED if Verdict.UNDECIDED in newest.values() else Worth.VALID
        states = {one.state for one in self.testimonies}
        if State.EXPIRED in states or State.NOT_YET_VALID in states:
            return Worth.EXPIRED
        if states:
            return Worth.UNTRUSTED
        return Worth.NAMED if self.role == "code" else Worth.MISSING

    def all(self, depth: int = 0) -> Iterator[tuple[int, Ancestor]]:
        """This and everything behind it, each with how far back it lies."""
        yield depth, self
        for one in self.made_from:
            yield from one.all(depth + 1)

    def document(self) -> dict[str, Json]:
        """As JSON."""
        return {
            "role": self.role,
            "subject": subject_document(self.subject),
            "state": self.worth.value,
            "receipts": [testimony_document(one) for one in self.testimonies],
            "made_from": [one.document() for one in self.made_from],
        }


def testimony_document(one: Testimony) -> dict[str, Json]:
    """One receipt and what it is worth, as JSON."""
    told: dict[str, Json] = {"receipt_id": one.receipt_id, "state": one.state.value, "reason": one.reason}
    receipt = one.receipt
    if receipt is None:
        return told
    return told | {
        "gate": receipt.gate,
        "stage": receipt.stage.value,
        "verdict": receipt.verdict.value,
        "signer": {"keyid": receipt.keyid, "dev": receipt.dev},
        "issued": timestamp(receipt.issued),
        "expires": timestamp(receipt.expires),
        "whole": one.whole,
    }


def trace(subject: Subject, receipts: ReceiptSource, keyring: KeyRing, *, now: datetime) -> Ancestor:
    """Walk back from a model.

    Args:
        subject: The model.
        receipts: Where receipts are looked for; not trusted.
        keyring: Whose signatures count.
        now: UTC.

    Raises:
        LedgerError: A row about one of the parts was altered.
        UnavailableError: The database did not answer; try again.
    """
    return _Walk(receipts, keyring, now).back(subject, "subject", 0)


class _Walk:
    """Meets each digest once, so that receipts which name each other end somewhere."""

    def __init__(self, receipts: ReceiptSource, keyring: KeyRing, now: datetime) -> None:
        self._receipts = receipts
        self._keyring = keyring
        self._now = now
        self._met: set[str] = set()

    def back(self, subject: Subject, role: str, depth: int) -> Ancestor:
        """One part, and what is behind it."""
        _, found = speaks_for(self._receipts, self._keyring, f"sha256:{subject.digest}", now=self._now)
        about = tuple(one for one in found if one.receipt is None or one.receipt.stage is Stage.GATE)
        training = _newest_training(about)
        known = subject.digest in self._met or depth >= _DEEPEST or len(self._met) >= _MOST
        self._met.add(subject.digest)
        if training is None or known:
            return Ancestor(role=role, subject=subject, testimonies=about)
        data = data_digest(training, self._receipts)
        parts = tuple(self._part(material, data, depth + 1) for material in training.materials)
        return Ancestor(role=role, subject=subject, testimonies=about, made_from=parts)

    def _part(self, material: Subject, data: str, depth: int) -> Ancestor:
        part = self.back(material, "data" if material.digest == data else "code", depth)
        if part.role == "code" and _newest_training(part.testimonies) is not None:
            return Ancestor(
                role="base model", subject=part.subject, testimonies=part.testimonies, made_from=part.made_from
            )
        return part


def _newest_training(testimonies: Sequence[Testimony]) -> Receipt | None:
    """The newest training receipt that a trusted key signed, whatever its time: where it came from stays true."""
    found = [one.receipt for one in testimonies if one.receipt is not None and one.receipt.gate == "training"]
    signed = {one.receipt_id for one in testimonies if one.state is not State.BAD_SIGNATURE}
    return next((receipt for receipt in reversed(found) if receipt.receipt_id in signed), None)
