"""Where receipts are looked for: the ledger, and exports of other ledgers that the deployment names.

Several sources are read as one. The same receipt in two of them is one receipt. Ledgers do not know each other's
order, so what comes from more than one of them is put in the order in which it was issued, by the signed receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from interlock.evidence.exported import exported_receipts
from interlock.evidence.ledger_check import LedgerEntry, statement_of
from interlock.evidence.receipt import strict_json
from interlock.gate.documents import canonical_json, moment_of
from interlock.gate.errors import LedgerError, ReceiptError, UsageError
from interlock.gate.values import RunIdentity

if TYPE_CHECKING:
    from interlock.evidence.ledger import Ledger
    from interlock.gate.settings import Settings


class ReceiptSource(Protocol):
    """Finds receipts; trusts and judges none. `interlock.evidence.Ledger` is one."""

    def find(self, digest: str, *, parts: bool = False) -> tuple[LedgerEntry, ...]:
        """The receipts about the bytes that `digest` names, oldest first.

        Raises:
            LedgerError: What is there was altered; then none is returned.
            UnavailableError: It did not answer; try again.
        """
        ...

    def of_run(self, run: RunIdentity) -> tuple[LedgerEntry, ...]:
        """The receipts of one run, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        ...

    def of_evaluation(self, name: str) -> tuple[LedgerEntry, ...]:
        """The receipts of the evaluations of one name, oldest first.

        Raises:
            LedgerError, UnavailableError: As for `find`.
        """
        ...

    def get(self, receipt_id: str) -> LedgerEntry:
        """One receipt with its report.

        Raises:
            UsageError: No such receipt.
            LedgerError, UnavailableError: As for `find`.
        """
        ...


class JoinedReceipts:
    """Implements `ReceiptSource` over several; one that is damaged shuts all, because it could hold a DENY.

    Args:
        sources: In any order.
    """

    def __init__(self, sources: Sequence[ReceiptSource]) -> None:
        self._sources = tuple(sources)

    def find(self, digest: str, *, parts: bool = False) -> tuple[LedgerEntry, ...]:
        """As each source's, together."""
        return _together(source.find(digest, parts=parts) for source in self._sources)

    def of_run(self, run: RunIdentity) -> tuple[LedgerEntry, ...]:
        """As each source's, together."""
        return _together(source.of_run(run) for source in self._sources)

    def of_evaluation(self, name: str) -> tuple[LedgerEntry, ...]:
        """As each source's, together."""
        return _together(source.of_evaluation(name) for source in self._sources)

    def get(self, receipt_id: str) -> LedgerEntry:
        """From the first source that has it."""
        for source in self._sources[:-1]:
            try:
                return source.get(receipt_id)
            except UsageError:
                continue
        return self._sources[-1].get(receipt_id)


def open_receipts(settings: Settings, ledger: Ledger) -> ReceiptSource:
    """The ledger, and the exports that setting ``receipts`` names.

    Args:
        settings: Of the deployment.
        ledger: Its ledger.
    """
    exports = [exported_receipts(Path(folder).expanduser()) for folder in settings.receipts]
    return JoinedReceipts([*exports, ledger]) if exports else ledger


def _together(found: Iterable[Sequence[LedgerEntry]]) -> tuple[LedgerEntry, ...]:
    several = [entries for entries in found if entries]
    if len(several) < 2:
        return tuple(several[0]) if several else ()
    known: dict[str, tuple[datetime, LedgerEntry]] = {}
    for entries in several:
        for entry in entries:
            # Told apart by signature too: a copy with a bad one must not hide the receipt.
            known.setdefault(*_identified(entry))
    ordered = sorted(known.values(), key=lambda one: (one[0], one[1].seq))
    # Who looks for the newest goes by `seq`, which is meant inside one ledger only.
    return tuple(replace(entry, seq=place) for place, (_, entry) in enumerate(ordered, start=1))


def _identified(entry: LedgerEntry) -> tuple[str, tuple[datetime, LedgerEntry]]:
    """Its envelope, however it is spelled, and when it says that it was issued; nothing is verified here."""
    try:
        issued = moment_of(statement_of(entry.envelope)["predicate"]["interlock_receipt"]["issued"])
        envelope = canonical_json(strict_json(entry.envelope, what="an envelope")).decode()
    except (ReceiptError, KeyError, TypeError, ValueError) as error:
        raise LedgerError(
            "a receipt cannot be read", where=entry.receipt_id, next_step="run `interlock ledger verify`"
        ) from error
    return envelope, (issued, entry)
