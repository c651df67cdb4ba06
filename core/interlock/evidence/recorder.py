"""Signing and storing: what turns a decision into a receipt. Implements `interlock.gate.Recorder`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from interlock.evidence.keys import ReceiptSigner
from interlock.evidence.ledger import Ledger
from interlock.evidence.receipt import Receipt, new_receipt_id, own_tool, parts_of, statement_document
from interlock.evidence.snapshot import FileEntry
from interlock.evidence.verification import PAYLOAD_TYPE
from interlock.gate.documents import canonical_json, digest_of, report_document
from interlock.gate.errors import EvidenceError
from interlock.gate.protocols import GateContext, Recorded
from interlock.gate.values import Decision, Json, Report, Subject, utc_now


class HeldFiles(Protocol):
    """Knows the files of a folder by its digest; `Store` does."""

    def files_of(self, digest: str) -> tuple[FileEntry, ...]:
        """The files, or nothing when they are not known."""
        ...


class ReceiptRecorder:
    """Signs receipts with one key and appends them to one ledger."""

    def __init__(
        self,
        signer: ReceiptSigner,
        ledger: Ledger,
        lifetime: timedelta,
        *,
        store: HeldFiles | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """Nothing is signed yet.

        Args:
            signer: The key.
            ledger: Where receipts go.
            lifetime: How long a receipt opens guards.
            store: When given, receipts of folders also name each file by its own sha256.
            clock: UTC now; replaced in tests.
        """
        self._signer = signer
        self._ledger = ledger
        self._lifetime = lifetime
        self._store = store
        self._clock = clock

    def record(
        self,
        report: Report,
        decision: Decision,
        context: GateContext,
        *,
        materials: Sequence[Subject] = (),
        inputs: Sequence[Recorded] = (),
    ) -> Recorded:
        """Write one receipt to the ledger; returns only after it is durable.

        Args:
            report: What was seen.
            decision: What policy said of it.
            context: Run, profile and stage.
            materials: What the subject was made from.
            inputs: The receipts that the decision rests on (a guard's).

        Raises:
            EvidenceError: The report cannot be written down, or the ledger cannot be used.
            UnavailableError: The key service or the ledger did not answer; try again.
        """
        from securesystemslib.dsse import Envelope

        try:
            seen = report_document(report)
            receipt = self._receipt(report, seen, decision, context)
            receipt = replace(receipt, materials=tuple(materials), inputs=tuple(inputs))
            payload = canonical_json(statement_document(receipt, report))
        except (ValueError, TypeError) as error:
            raise EvidenceError(
                f"a report cannot be written down: {error}",
                where=report.subject.uri,
                next_step=f"the {report.gate} gate put a value into its report that JSON has no word for",
            ) from error
        envelope = Envelope(payload, PAYLOAD_TYPE, {})
        self._signer.sign(envelope)
        entry = self._ledger.append(json.dumps(envelope.to_dict()), canonical_json(seen).decode())
        return Recorded(receipt_id=entry.receipt_id, envelope_digest=entry.envelope_digest)

    def _receipt(self, report: Report, seen: Mapping[str, Json], decision: Decision, context: GateContext) -> Receipt:
        issued = self._clock()
        return Receipt(
            receipt_id=new_receipt_id(issued),
            subject=report.subject,
            parts=self._parts(report.subject),
            gate=report.gate,
            stage=context.stage,
            profile=context.profile,
            run=context.run,
            decision=decision,
            report_digest=digest_of(seen),
            configuration_digest=digest_of(seen["configuration"]),
            tools=(*report.tools, own_tool()),
            keyid=self._signer.keyid,
            dev=self._signer.dev,
            issued=issued,
            expires=self._end(issued, decision),
        )

    def _end(self, issued: datetime, decision: Decision) -> datetime:
        """After the lifetime, or with the exemption that it rests on; never before it begins."""
        end = min(issued + self._lifetime, decision.not_after or datetime.max.replace(tzinfo=UTC))
        return max(end, issued + timedelta(milliseconds=1))

    def _parts(self, subject: Subject) -> tuple[Subject, ...]:
        files = self._store.files_of(subject.digest) if self._store is not None else ()
        return parts_of(subject, [(entry.path, entry.sha256) for entry in files])
