"""Which receipts speak for the bytes at a guard, and why the others do not. Pure: no I/O, no decision.

Everything that comes out of the ledger is untrusted here. A receipt counts when a trusted key that may sign this kind
of gate signed it, it is in its time, a gate (not a guard) issued it, and a known policy bundle decided it. Of several
that count, the one that is nearest decides: of this run before other runs, of this pipeline before others, then the
newest, so that a later DENY takes back an earlier ALLOW.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.evidence.keyring import KeyRing
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.evidence.verification import authentic, check_key, check_time
from interlock.gate.documents import timestamp
from interlock.gate.errors import EvidenceError
from interlock.gate.values import Json, RunIdentity, Stage, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A receipt that counts: authentic, in time, of a gate.

    Args:
        entry: Where it lies in the ledger.
        receipt: What it says.
        same_run: Whether this run issued it.
        same_pipeline: Whether this pipeline issued it.
        bundle_known: Whether a bundle that the deployment knows decided it.
    """

    entry: LedgerEntry
    receipt: Receipt
    same_run: bool
    same_pipeline: bool
    bundle_known: bool

    @property
    def speaks(self) -> bool:
        """Whether it opens a guard, as far as Python can tell; policy may ask for more."""
        return self.bundle_known and self.receipt.verdict is Verdict.ALLOW

    def document(self) -> dict[str, Json]:
        """What a policy rule reads of it."""
        receipt = self.receipt
        return {
            "receipt_id": receipt.receipt_id,
            "gate": receipt.gate,
            "verdict": receipt.verdict.value,
            "profile": receipt.profile,
            "issued": timestamp(receipt.issued),
            "expires": timestamp(receipt.expires),
            "keyid": receipt.keyid,
            "dev": receipt.dev,
            "same_run": self.same_run,
            "same_pipeline": self.same_pipeline,
            "bundle_known": self.bundle_known,
            "bundle_digest": receipt.bundle_digest,
            "exemptions": list(receipt.exemptions),
            "run": {"pipeline": receipt.run.pipeline, "run_id": receipt.run.run_id},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A receipt that does not count, or says no, and why.

    Args:
        receipt_id: As the ledger names it; unverified.
        gate: What it claims to be about; empty when it cannot be trusted to say.
        reason: One sentence without a full stop.
        next_step: What to do about it; may be empty.
    """

    receipt_id: str
    gate: str
    reason: str
    next_step: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What became of all receipts for the bytes at the guard.

    Args:
        witnesses: All that count, oldest first.
        accepted: For each required gate that has one, the receipt that opens.
        refusals: All that do not.
        missing: Required gates without a receipt that opens.
    """

    witnesses: tuple[Witness, ...]
    accepted: tuple[Witness, ...]
    refusals: tuple[Refusal, ...]
    missing: tuple[str, ...]


def examine(
    entries: Iterable[LedgerEntry],
    *,
    digest: str,
    requires: Sequence[str],
    run: RunIdentity,
    keyring: KeyRing,
    bundles: Collection[str],
    now: datetime,
) -> Examination:
    """Sort the ledger's receipts for one digest into those that count and those that do not.

    Args:
        entries: From the ledger, oldest first; untrusted.
        digest: sha256 of the bytes at the guard.
        requires: Kinds of gate.
        run: Which run asks.
        keyring: Whose signatures count.
        bundles: Digests of the policy bundles that count.
        now: UTC.
    """
    witnesses: list[Witness] = []
    refusals: list[Refusal] = []
    for entry in entries:
        found = _witness(entry, digest=digest, run=run, keyring=keyring, bundles=bundles, now=now)
        if isinstance(found, Refusal):
            if found.gate in {"", *requires}:
                refusals.append(found)
        elif found.receipt.gate in requires:
            witnesses.append(found)
    accepted: list[Witness] = []
    for gate in requires:
        nearest = max((w for w in witnesses if w.receipt.gate == gate), key=_nearness, default=None)
        if nearest is not None and nearest.speaks:
            accepted.append(nearest)
        elif nearest is not None:
            refusals.append(_says_no(nearest))
    opened = {witness.receipt.gate for witness in accepted}
    return Examination(
        witnesses=tuple(witnesses),
        accepted=tuple(accepted),
        refusals=tuple(refusals),
        missing=tuple(gate for gate in requires if gate not in opened),
    )


def _witness(
    entry: LedgerEntry, *, digest: str, run: RunIdentity, keyring: KeyRing, bundles: Collection[str], now: datetime
) -> Witness | Refusal:
    try:
        found = authentic(entry.envelope, keyring)
    except EvidenceError as error:
        return Refusal(receipt_id=entry.receipt_id, gate="", reason=error.what, next_step=error.next_step)
    receipt = found.receipt
    try:
        check_key(found)
        check_time(receipt, now)
    except EvidenceError as error:
        return _refusal(receipt, error.what, error.next_step)
    if receipt.subject.digest != digest:
        return _refusal(receipt, f"speaks of other bytes, sha256:{receipt.subject.digest}")
    if receipt.stage is not Stage.GATE:
        return _refusal(receipt, "was issued by a guard; only a gate's receipt opens one")
    same_pipeline = (receipt.run.orchestrator, receipt.run.pipeline) == (run.orchestrator, run.pipeline)
    return Witness(
        entry=entry,
        receipt=receipt,
        same_run=same_pipeline and receipt.run.run_id == run.run_id,
        same_pipeline=same_pipeline,
        bundle_known=receipt.bundle_digest in bundles,
    )


def _nearness(witness: Witness) -> tuple[bool, bool, bool, int]:
    return witness.bundle_known, witness.same_run, witness.same_pipeline, witness.entry.seq


def _says_no(witness: Witness) -> Refusal:
    receipt = witness.receipt
    if not witness.bundle_known:
        shown = receipt.bundle_digest[:16] or "none"
        return _refusal(
            receipt,
            f"was decided by an unknown policy bundle ({shown})",
            "run the gate again, or name that bundle in setting `known_bundles`",
        )
    why = [reason.message for reason in receipt.decision.reasons] or list(receipt.decision.errors)
    return _refusal(
        receipt,
        f"says {receipt.verdict.value}{': ' + why[0] if why else ''}",
        f"interlock ledger show {receipt.receipt_id}",
    )


def _refusal(receipt: Receipt, reason: str, next_step: str = "") -> Refusal:
    return Refusal(receipt_id=receipt.receipt_id, gate=receipt.gate, reason=reason, next_step=next_step)
