"""What was used up together: the verified receipts that count on one account of the ledger.

An account is a text that the reports of several trainings name in their facts (``accounts``): the month of a team, the
privacy of a dataset, the history of a step. Who names which, and what adds up, is those rooms' business. Here every
receipt is verified first: a trusted key that may sign it, and the very report that its signature binds. Its time does
not matter, because nothing is opened by it; nor does its verdict, because what was refused in the end was used up, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger import Ledger
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.evidence.verification import authentic, check_key
from interlock.gate.errors import EvidenceError, ReceiptError
from interlock.gate.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """One receipt on an account, with the numbers and facts of its report.

    Args:
        receipt: Verified; its verdict and time are not looked at.
        measures: By name.
        facts: By name.
    """

    receipt: Receipt
    measures: Mapping[str, float]
    facts: Mapping[str, Mapping[str, Json]]

    def fact(self, name: str) -> Mapping[str, Json]:
        """One fact; empty when there is none."""
        return self.facts.get(name, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What stands on an account.

    Args:
        receipts: Those that count, oldest first.
        refused: Why others do not, one text each.
    """

    receipts: tuple[Accounted, ...]
    refused: tuple[str, ...]


def account(ledger: Ledger, keyring: KeyRing, name: str, *, gate: str, newest: int | None = None) -> Account:
    """Read one account.

    Args:
        ledger: Where the receipts are; not trusted.
        keyring: Whose signatures count.
        name: As the reports name it.
        gate: The kind of gate whose receipts count, those of its guards included.
        newest: Only so many of the newest.

    Raises:
        LedgerError: A row or report was altered.
        UnavailableError: The database did not answer; try again.
    """
    refused: list[str] = []

    def read(entry: LedgerEntry) -> Accounted | None:
        try:
            return _accounted(entry, keyring, gate)
        except EvidenceError as error:
            refused.append(f"{entry.receipt_id}: {error.what}")
            return None

    found = ledger.of_account(name, read, newest=newest)
    return Account(receipts=tuple(one for one in found if one is not None), refused=tuple(reversed(refused)))


def _accounted(entry: LedgerEntry, keyring: KeyRing, gate: str) -> Accounted:
    found = authentic(entry.envelope, keyring)
    check_key(found)
    receipt = found.receipt
    if receipt.gate != gate:
        raise ReceiptError(f"a receipt of {receipt.gate}, not of {gate}", where=receipt.receipt_id)
    if entry.report_digest != receipt.report_digest:
        raise ReceiptError("its report is not the one that was signed", where=receipt.receipt_id)
    document = entry.report_document()
    measures, facts = document.get("measures"), document.get("facts")
    return Accounted(
        receipt=receipt,
        measures=_numbers(measures if isinstance(measures, Mapping) else {}),
        facts={
            name: fact
            for name, fact in (facts if isinstance(facts, Mapping) else {}).items()
            if isinstance(fact, Mapping)
        },
    )


def _numbers(measures: Mapping[str, Json]) -> dict[str, float]:
    found = {name: one.get("value") for name, one in measures.items() if isinstance(one, Mapping)}
    return {
        name: float(value)
        for name, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
