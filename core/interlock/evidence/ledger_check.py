"""The chain: how entries hang together, and how to find the first place where they do not.

Each entry's `link` is the sha256 over its own fields and the link before, so altering, removing, swapping or inserting
a row breaks the chain at that row. Marks (the index) and reports hang on the same entries: both follow from what is
chained and are recomputed here. Cutting the tail leaves a shorter chain that is whole in itself; only a head that was
noted elsewhere shows it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from interlock.evidence.ledger_decisions import check_bound, check_events
from interlock.evidence.ledger_events import check_enforcement
from interlock.evidence.ledger_tables import ENTRIES, MARKS, REPORTS
from interlock.evidence.receipt import strict_json
from interlock.gate.documents import canonical_json
from interlock.gate.errors import LedgerError, ReceiptError, UsageError
from interlock.gate.values import Json

EVALUATION = "model-probe"
"""The gate whose receipts name what they evaluated with as their first material."""

_BATCH = 200
_MOST_ACCOUNTS = 100
_HEAD = re.compile(r"(0|[1-9][0-9]*):([0-9a-f]{64})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """The newest link of a ledger at some moment. Its text is ``<seq>:<link>``.

    Args:
        seq: How many entries there are.
        link: Link of the newest.
    """

    seq: int
    link: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.link}"

    @classmethod
    def parse(cls, text: str) -> LedgerHead:
        """The reverse of `str`.

        Raises:
            UsageError: It is no head.
        """
        match = _HEAD.match(text.strip())
        if match is None:
            raise UsageError("a ledger's head is <number>:<64 hexadecimal digits>", where=repr(text[:100]))
        return cls(seq=int(match[1]), link=match[2])


GENESIS = LedgerHead(seq=0, link=hashlib.sha256(b"urn:interlock:ledger:v1").hexdigest())
"""The head of an empty ledger: what the first entry hangs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One row of the ledger.

    Args:
        seq: Place in the chain, from 1.
        receipt_id: As in the receipt.
        envelope: DSSE envelope as JSON; its signature is not checked by the ledger.
        envelope_digest: sha256 of `envelope`.
        report_digest: sha256 of the report document.
        recorded: When it was appended, RFC 3339 in UTC.
        previous: Link of the entry before.
        link: sha256 over all of the above but the envelope itself.
        report: Report document as canonical JSON; None in listings.
    """

    seq: int
    receipt_id: str
    envelope: str
    envelope_digest: str
    report_digest: str
    recorded: str
    previous: str
    link: str
    report: str | None = None

    def report_document(self) -> Mapping[str, Json]:
        """The report, parsed.

        Raises:
            UsageError: The entry comes from a listing, without its report.
        """
        if self.report is None:
            raise UsageError("a listed entry has no report", where=self.receipt_id, next_step="use Ledger.get")
        document: Mapping[str, Json] = strict_json(self.report, what="a report")
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One index row of an entry.

    Args:
        kind: ``subject``, ``part``, ``run``, ``run_id``, ``uri``, ``name``, or ``account`` (which follows from the
            report, the others from the statement).
        value: A digest, or the sha256 of the canonical JSON of a text (texts may be of any length and content).
    """

    kind: str
    value: str


def mark_value(value: Json) -> str:
    """The fixed-size stand-in for a text in the index."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def marks_of_digest(digest: str, *, parts: bool) -> frozenset[Mark]:
    """What receipts about some bytes are found by.

    Args:
        digest: sha256 of a file, or of a folder's manifest.
        parts: Also receipts of folders that hold a file of that digest.
    """
    return frozenset(Mark(kind=kind, value=digest) for kind in (("subject", "part") if parts else ("subject",)))


def mark_of_run(orchestrator: Json, pipeline: Json, run_id: Json) -> Mark:
    """What the receipts of one run are found by."""
    return Mark(kind="run", value=mark_value([orchestrator, pipeline, run_id]))


def mark_of_account(account: str) -> Mark:
    """What the receipts that count on one account are found by."""
    return Mark(kind="account", value=mark_value(account))


def accounts_of(report: str) -> tuple[Mark, ...]:
    """The index rows that follow from a report: the accounts that facts of a training name.

    An account is what several trainings use up together, for example the month of a team or the privacy of a dataset.

    Args:
        report: Report document as JSON, whose sha256 a receipt binds.
    """
    # Most reports are large and name no account, so most are not parsed.
    if '"accounts"' not in report:
        return ()
    try:
        document = strict_json(report, what="a report")
    except ReceiptError:
        return ()
    facts = document.get("facts") if isinstance(document, dict) and document.get("gate") == "training" else None
    if not isinstance(facts, dict):
        return ()
    named = [fact.get("accounts") for fact in facts.values() if isinstance(fact, dict)]
    texts = [text for accounts in named if isinstance(accounts, list) for text in accounts if isinstance(text, str)]
    return tuple(dict.fromkeys(map(mark_of_account, texts[:_MOST_ACCOUNTS])))


def mark_of_evaluation(name: Json) -> Mark:
    """What the receipts of one evaluation are found by."""
    return Mark(kind="evaluation", value=mark_value(name))


def link_of(entry: LedgerEntry) -> str:
    """The link that `entry` should have."""
    return hashlib.sha256(
        canonical_json(
            {
                "seq": entry.seq,
                "receipt_id": entry.receipt_id,
                "envelope": entry.envelope_digest,
                "report": entry.report_digest,
                "recorded": entry.recorded,
                "previous": entry.previous,
            }
        )
    ).hexdigest()


def entry_of(row: Row[Any], report: str | None = None) -> LedgerEntry:
    """A row as a value; nothing is checked."""
    return LedgerEntry(**{column.name: getattr(row, column.name) for column in ENTRIES.columns}, report=report)


def statement_of(envelope: str) -> Mapping[str, Any]:
    """The statement inside an envelope, its signature unchecked: for the index only, never to trust.

    Raises:
        ReceiptError: It cannot be read.
    """
    document = strict_json(envelope, what="an envelope")
    try:
        statement = strict_json(base64.b64decode(document["payload"], validate=True), what="a receipt's payload")
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise ReceiptError("an envelope cannot be read", where="payload") from error
    if not isinstance(statement, dict):
        raise ReceiptError("a statement is an object", where="payload")
    return statement


def marks_of(statement: Mapping[str, Any]) -> tuple[Mark, ...]:
    """The index rows that follow from a statement.

    Raises:
        ReceiptError: It has another shape.
    """
    try:
        bound = statement["predicate"]["interlock_receipt"]
        run, subject = bound["run"], bound["subject"]
        found = [
            Mark(kind="subject", value=subject["digest"]["sha256"]),
            mark_of_run(run["orchestrator"], run["pipeline"], run["run_id"]),
            Mark(kind="run_id", value=mark_value(run["run_id"])),
            Mark(kind="uri", value=mark_value(subject["uri"])),
            Mark(kind="name", value=mark_value(subject["name"])),
        ]
        found += [Mark(kind="part", value=part["digest"]["sha256"]) for part in statement["subject"][1:]]
        # Of these alone, because the index of a ledger that is already there has to follow from its envelopes, too.
        if bound["gate"] == EVALUATION and bound["materials"]:
            found.append(mark_of_evaluation(bound["materials"][0]["name"]))
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ReceiptError("a statement has another shape", where="interlock_receipt") from error
    return tuple(dict.fromkeys(found))


def check_entry(entry: LedgerEntry) -> None:
    """Compare one entry with its own hashes.

    Raises:
        LedgerError: Names the entry and what of it was altered.
    """
    if entry.link != link_of(entry):
        raise _broken(entry, "was altered: its fields do not give its link")
    if hashlib.sha256(entry.envelope.encode(errors="surrogatepass")).hexdigest() != entry.envelope_digest:
        raise _broken(entry, "was altered: its envelope is not the one that was recorded")
    if entry.report is not None and hashlib.sha256(entry.report.encode()).hexdigest() != entry.report_digest:
        raise _broken(entry, "has another report than the one that was recorded")
    try:
        receipt_id = statement_of(entry.envelope)["predicate"]["interlock_receipt"]["receipt_id"]
    except (ReceiptError, KeyError, TypeError) as error:
        raise _broken(entry, "holds an envelope that cannot be read") from error
    if receipt_id != entry.receipt_id:
        raise _broken(entry, "names another receipt than the one it holds")


def check_ledger(connection: Connection, expected: LedgerHead | None) -> LedgerHead:
    """Walk the chain from its first entry and recompute everything.

    Args:
        connection: Inside one consistent view.
        expected: A head that was noted earlier.

    Raises:
        LedgerError: Names the first broken link.
    """
    head, passed = GENESIS, expected is None or expected == GENESIS
    while batch := _batch(connection, after=head.seq):
        reports = _reports(connection, [entry.report_digest for entry in batch])
        marks = _marks(connection, batch[0].seq, batch[-1].seq)
        for entry in batch:
            _check_link(head, entry)
            check_entry(entry)
            stored = reports.get(entry.report_digest)
            _check_report(entry, stored)
            _check_marks(entry, marks[entry.seq], stored.accounts if stored is not None else ())
            check_bound(connection, statement_of(entry.envelope), where=entry.receipt_id)
            head = LedgerHead(seq=entry.seq, link=entry.link)
            passed = passed or head == expected
    _refuse_strays(connection, head)
    check_events(connection)
    check_enforcement(connection)
    if expected is not None and not passed:
        raise _not_the_expected(head, expected)
    return head


def _batch(connection: Connection, *, after: int) -> list[LedgerEntry]:
    rows = select(ENTRIES).where(ENTRIES.c.seq > after).order_by(ENTRIES.c.seq).limit(_BATCH)
    if after == GENESIS.seq:  # a row that was put before the first one must be met, too
        rows = select(ENTRIES).order_by(ENTRIES.c.seq).limit(_BATCH)
    return [entry_of(row) for row in connection.execute(rows)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What is stored under a report's digest: its sha256, and the accounts that it names."""

    digest: str
    accounts: tuple[Mark, ...]


def _reports(connection: Connection, digests: list[str]) -> dict[str, _Stored]:
    """What is stored under each digest; one document in memory at a time."""
    found = {}
    for digest in dict.fromkeys(digests):
        document = connection.execute(select(REPORTS.c.document).where(REPORTS.c.digest == digest)).scalar_one_or_none()
        if document is not None:
            sha256 = hashlib.sha256(document.encode()).hexdigest()
            found[digest] = _Stored(digest=sha256, accounts=accounts_of(document))
    return found


def _marks(connection: Connection, first: int, last: int) -> Mapping[int, set[Mark]]:
    found: defaultdict[int, set[Mark]] = defaultdict(set)
    for row in connection.execute(select(MARKS).where(MARKS.c.seq.between(first, last))):
        found[row.seq].add(Mark(kind=row.kind, value=row.value))
    return found


def _check_link(head: LedgerHead, entry: LedgerEntry) -> None:
    if entry.seq != head.seq + 1:
        missing = f"entry {head.seq + 1} is missing" if entry.seq > head.seq else f"entry {entry.seq} was put before"
        raise LedgerError(
            f"the chain breaks after entry {head.seq}: {missing}", where=entry.receipt_id, next_step=_RESTORE
        )
    if entry.previous != head.link:
        raise _broken(entry, f"does not follow entry {head.seq}")


def _check_report(entry: LedgerEntry, stored: _Stored | None) -> None:
    if stored is None:
        raise _broken(entry, "has lost its report")
    if stored.digest != entry.report_digest:
        raise _broken(entry, "has another report than the one that was recorded")


def _check_marks(entry: LedgerEntry, found: Iterable[Mark], accounts: Iterable[Mark]) -> None:
    try:
        due = {*marks_of(statement_of(entry.envelope)), *accounts}
    except ReceiptError as error:
        raise _broken(entry, "holds an envelope that cannot be read") from error
    for mark in due - set(found):
        raise _broken(entry, f"has lost its index row ({mark.kind})")
    for mark in set(found) - due:
        raise _broken(entry, f"has a forged index row ({mark.kind} {mark.value[:16]})")


def _refuse_strays(connection: Connection, head: LedgerHead) -> None:
    beyond = select(func.min(MARKS.c.seq)).where((MARKS.c.seq > head.seq) | (MARKS.c.seq < 1))
    stray = connection.execute(beyond).scalar_one_or_none()
    if stray is not None:
        raise LedgerError(
            f"the index names entry {stray}, which is not there: the tail was cut, or the index row is forged",
            where=f"after entry {head.seq}",
            next_step=_RESTORE,
        )


def _not_the_expected(head: LedgerHead, expected: LedgerHead) -> LedgerError:
    if expected.seq > head.seq:
        what = f"entries {head.seq + 1} to {expected.seq} are missing: the tail was cut"
    else:
        what = f"entry {expected.seq} is not the one that the noted head names: the chain was rewritten"
    return LedgerError(what, where=f"head {head}", next_step=_RESTORE)


def _broken(entry: LedgerEntry, how: str) -> LedgerError:
    return LedgerError(f"entry {entry.seq} {how}", where=entry.receipt_id, next_step=_RESTORE)


_RESTORE = "trust nothing from that entry on; restore the ledger from a backup"
