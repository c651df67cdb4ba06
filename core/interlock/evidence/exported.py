"""Receipts from a folder that ``interlock ledger export`` wrote: evidence that travels without its ledger.

A gate in another cluster, or before a network boundary, keeps a ledger of its own; its export is what reaches the
guard. Nothing in the folder is trusted. Signatures are checked by whoever reads a receipt, as for a ledger's. What is
checked here is that the export is whole: every receipt that `export.LIST` names is there, in its order, with the links
it had in its ledger. An export that was changed or copied in part speaks for nothing at all, because what is missing
from it could be the receipt that takes back another one. Whoever may write the folder can still put an older export in
its place, as one could with a ledger: keep it where no pipeline may write.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from interlock.evidence.export import LIST, RECEIPTS, REPORTS
from interlock.evidence.ledger_check import (
    LedgerEntry,
    Mark,
    link_of,
    mark_of_evaluation,
    mark_of_run,
    marks_of,
    marks_of_digest,
    statement_of,
)
from interlock.evidence.receipt import strict_json
from interlock.gate.errors import LedgerError, ReceiptError, UsageError
from interlock.gate.values import RunIdentity

MAX_RECEIPTS_BYTES = 512 << 20
MAX_LIST_BYTES = 64 << 20
MAX_REPORT_BYTES = 64 << 20

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


def exported_receipts(folder: Path) -> ExportedReceipts:
    """The export in `folder` as it is now; read anew only when its files are others than before.

    An API server asks at every start of a protected task, and a whole ledger's export is long.
    """
    stamps = [_stamp(folder / name) for name in (LIST, RECEIPTS)]
    if folder not in _read or _read[folder][0] != stamps:
        _read[folder] = stamps, ExportedReceipts(folder)
    return _read[folder][1]


def _stamp(place: Path) -> tuple[int, ...]:
    """What tells a file from the one that was there before; nothing where there is none."""
    try:
        found = place.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class ExportedReceipts:
    """Implements `interlock.evidence.receipt_sources.ReceiptSource` over one export; it is read once.

    Args:
        folder: As `interlock.evidence.export` wrote it; untrusted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, digest: str, *, parts: bool = False) -> tuple[LedgerEntry, ...]:
        """The receipts about the bytes that `digest` names, in the order of their ledger.

        Args:
            digest: sha256 of a file, or of a folder's manifest.
            parts: Also receipts of folders that hold a file of that digest.

        Raises:
            LedgerError: The export is missing, not whole, or was changed. Then none is returned.
        """
        return self._marked(marks_of_digest(digest, parts=parts))

    def check(self) -> int:
        """How many receipts it holds, if it is whole.

        Raises:
            LedgerError: As for `find`.
        """
        return len(self._entries)

    def of_run(self, run: RunIdentity) -> tuple[LedgerEntry, ...]:
        """The receipts of one run, in the order of their ledger.

        Raises:
            LedgerError: As for `find`.
        """
        return self._marked(frozenset({mark_of_run(run.orchestrator, run.pipeline, run.run_id)}))

    def of_evaluation(self, name: str) -> tuple[LedgerEntry, ...]:
        """The receipts of the evaluations of one name, in the order of their ledger.

        Raises:
            LedgerError: As for `find`.
        """
        return self._marked(frozenset({mark_of_evaluation(name)}))

    def get(self, receipt_id: str) -> LedgerEntry:
        """One receipt with its report.

        Raises:
            UsageError: The export has no such receipt.
            LedgerError: As for `find`, or its report is not there or was changed.
        """
        for entry, _ in self._entries:
            if entry.receipt_id == receipt_id:
                return self._with_report(entry)
        raise UsageError("the export has no such receipt", where=f"{receipt_id} in {self._folder}")

    def _marked(self, marks: frozenset[Mark]) -> tuple[LedgerEntry, ...]:
        return tuple(entry for entry, own in self._entries if marks & own)

    @cached_property
    def _entries(self) -> tuple[tuple[LedgerEntry, frozenset[Mark]], ...]:
        listed = self._listed()
        lines = self._text(RECEIPTS, MAX_RECEIPTS_BYTES).removesuffix("\n").split("\n")
        if len(lines) != len(listed):
            raise self._damaged(f"{LIST} names {len(listed)} receipts, {RECEIPTS} holds {len(lines)}")
        return tuple(self._entry(one, line) for one, line in zip(listed, lines, strict=True))

    def _listed(self) -> list[LedgerEntry]:
        """The links as the ledger had them, without envelopes; each gives its own link and follows the one before."""
        try:
            document = strict_json(self._text(LIST, MAX_LIST_BYTES), what="a list of exported receipts")
            listed = [_listed(one) for one in document["entries"]]
        except (ReceiptError, KeyError, TypeError) as error:
            raise self._damaged(f"{LIST} cannot be read") from error
        for entry in listed:
            if entry.link != link_of(entry):
                raise self._damaged(f"entry {entry.seq} of {LIST} was altered: its fields do not give its link")
        for one, after in pairwise(listed):
            if after.seq <= one.seq or (after.seq == one.seq + 1 and after.previous != one.link):
                raise self._damaged(f"entry {after.seq} of {LIST} does not follow entry {one.seq}")
        return listed

    def _entry(self, listed: LedgerEntry, line: str) -> tuple[LedgerEntry, frozenset[Mark]]:
        try:
            statement = statement_of(line)
            marks = frozenset(marks_of(statement))
            bound = statement["predicate"]["interlock_receipt"]["receipt_id"]
        except (ReceiptError, KeyError, TypeError) as error:
            raise self._damaged(f"the receipt of entry {listed.seq} cannot be read") from error
        if bound != listed.receipt_id:
            raise self._damaged(f"entry {listed.seq} of {LIST} names another receipt than the one it holds")
        # An export writes an envelope on one line, whatever its author wrote: so it has a digest of its own.
        return replace(listed, envelope=line, envelope_digest=hashlib.sha256(line.encode()).hexdigest()), marks

    def _with_report(self, entry: LedgerEntry) -> LedgerEntry:
        if _DIGEST.match(entry.report_digest) is None:  # it becomes a file's name
            raise self._damaged(f"entry {entry.seq} of {LIST} names no report")
        name = f"{REPORTS}/{entry.report_digest}.json"
        report = self._text(name, MAX_REPORT_BYTES)
        if hashlib.sha256(report.encode()).hexdigest() != entry.report_digest:
            raise self._damaged(f"{name} is not the report that was recorded")
        return replace(entry, report=report)

    def _text(self, name: str, limit: int) -> str:
        place = self._folder / name
        try:
            if place.stat().st_size > limit:
                raise self._damaged(f"{name} has more than {limit} bytes")
            return place.read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise self._damaged(f"{name} cannot be read") from error

    def _damaged(self, how: str) -> LedgerError:
        return LedgerError(
            f"the exported receipts are not whole: {how}",
            where=str(self._folder),
            next_step="export them again with `interlock ledger export`, or take the folder out of setting `receipts`",
        )


def _listed(fields: Mapping[str, Any]) -> LedgerEntry:
    """One entry of the list.

    Raises:
        KeyError, TypeError: It has another shape.
    """
    seq = fields["seq"]
    texts = {name: fields[name] for name in ("receipt_id", "envelope", "report", "recorded", "previous", "link")}
    if type(seq) is not int or not all(isinstance(text, str) for text in texts.values()):
        raise TypeError
    return LedgerEntry(
        seq=seq,
        receipt_id=texts["receipt_id"],
        envelope="",
        envelope_digest=texts["envelope"],
        report_digest=texts["report"],
        recorded=texts["recorded"],
        previous=texts["previous"],
        link=texts["link"],
    )


_read: dict[Path, tuple[list[tuple[int, ...]], ExportedReceipts]] = {}
"""By folder, as it was when it was read last; a deployment names a few."""
