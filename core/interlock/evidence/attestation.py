"""Whether some bytes have a receipt of one gate, asked by whoever holds the bytes and is no step of a run.

A DAG bundle asks this of each file before Airflow imports it. The rules are the guard's (`examination`): a trusted key
that may sign for the gate, in its time, by the gate itself and not by a guard, over exactly these bytes, decided by a
known policy bundle, and of several the newest, so that a later DENY takes back an earlier ALLOW. Policy is not asked
again and nothing is recorded: what opens a protected step is still the guard.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from interlock.evidence.examination import Examination, examine
from interlock.evidence.keyring import KeyRing
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.gate.errors import LedgerError, UsageError
from interlock.gate.values import GATE_KINDS, RunIdentity, utc_now

_NO_RUN = RunIdentity(orchestrator="", pipeline="", run_id="", task_id="")
"""No receipt is of this run, so only trust, time and order count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What recorded receipts say of some bytes.

    Args:
        digest: sha256 of the bytes.
        receipt: The receipt that speaks for them; None where none does.
        reason: Why none does, in one sentence without a full stop; empty where one does.
        next_step: What to do about it.
    """

    digest: str
    receipt: Receipt | None = None
    reason: str = ""
    next_step: str = ""


class Attestations:
    """Asks for the receipts of one gate.

    Args:
        gate: Kind of gate, one of `GATE_KINDS`.
        receipts: Where receipts are looked for; not trusted.
        keyring: Whose signatures count.
        bundles: Digests of the policy bundles whose decisions count.
        clock: UTC now; replaced in tests.

    Raises:
        UsageError: There is no such gate.
    """

    def __init__(
        self,
        *,
        gate: str,
        receipts: ReceiptSource,
        keyring: KeyRing,
        bundles: Collection[str],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if gate not in GATE_KINDS:
            raise UsageError(f"unknown kind of gate {gate!r}", next_step=f"use one of {', '.join(GATE_KINDS)}")
        self._gate = gate
        self._receipts = receipts
        self._keyring = keyring
        self._bundles = frozenset(bundles) - {""}
        self._clock = clock

    def of(self, digest: str) -> Attestation:
        """Look for a receipt that speaks for the bytes of that sha256.

        Raises:
            UnavailableError: The ledger did not answer; try again.
        """
        try:
            entries = self._receipts.find(digest)
        except LedgerError as error:
            return Attestation(
                digest=digest,
                reason=f"the evidence is damaged: {error.what}",
                next_step=error.next_step,
            )
        found = examine(
            entries,
            digest=digest,
            requires=(self._gate,),
            run=_NO_RUN,
            keyring=self._keyring,
            bundles=self._bundles,
            now=self._clock(),
        )
        if found.accepted:
            return Attestation(digest=digest, receipt=found.accepted[0].receipt)
        return self._missing(digest, found)

    def _missing(self, digest: str, found: Examination) -> Attestation:
        again = f"run the {self._gate} gate on exactly these bytes"
        if not found.refusals:
            return Attestation(digest=digest, reason=f"it has no {self._gate} receipt", next_step=again)
        last = found.refusals[-1]
        return Attestation(
            digest=digest,
            reason=f"its {self._gate} receipt {last.receipt_id} does not count: {last.reason}",
            next_step=last.next_step or again,
        )
