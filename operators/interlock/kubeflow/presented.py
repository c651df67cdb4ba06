"""Receipts that a pipeline hands to a protected step: each must hold by itself before the guard is asked at all.

An artifact is whatever its maker says, so nothing of it counts but the signed bytes: they must be there, be signed by
a key of the ring, be in their time, allow exactly the bytes that the step is about to use, be of a gate that the step
requires, and stand in the ledger. That decides nothing yet: `interlock.evidence.guard` still looks for itself at what
is newest, and asks policy. What is checked here is that the pipeline that ran is the one that was written: a step whose
receipt is missing, forged or another's was not reached the way that it should have been.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.evidence import KeyRing, Receipt, ReceiptSource, authentic, verify_receipt
from interlock.evidence.verification import MAX_ENVELOPE_BYTES
from interlock.gate import (
    Coverage,
    EvidenceError,
    Finding,
    Gap,
    GuardError,
    Level,
    Observation,
    Stage,
    Subject,
    UsageError,
    Verdict,
    utc_now,
)

if TYPE_CHECKING:
    from interlock.runner import LocalRunner

REFUSED = "guard.presented-receipt"


class Presented:
    """The receipts that were handed to one step, as something that its guard looks at once it holds the bytes.

    So that a refusal stands in the ledger beside the guard's other reasons, and is told in its own words::

        with presented.telling(), runner.open_guard(request, beforehand=presented.observe) as opened:
            ...

    Args:
        files: As in `check_presented`.
        requires: As in `check_presented`.
        runner: Whose ledger and key ring count.
    """

    def __init__(self, files: Mapping[str, str | Path], *, requires: Sequence[str], runner: LocalRunner) -> None:
        self._files = dict(files)
        self._requires = tuple(requires)
        self._runner = runner
        self._refusal: GuardError | None = None

    def observe(self, subject: Subject) -> Observation:
        """Check them against the held bytes; what does not hold never opens the guard.

        Raises:
            LedgerError, UnavailableError: As `check_presented`.
        """
        try:
            check_presented(
                self._files,
                digest=subject.digest,
                requires=self._requires,
                receipts=self._runner.receipts,
                keyring=self._runner.keyring,
                now=utc_now(),
            )
        except GuardError as error:
            self._refusal = error
            return Observation(
                findings=(Finding(rule_id=REFUSED, level=Level.ERROR, message=f"{error.where}: {error.what}"),),
                coverage=Coverage(failed=(Gap(path=error.where, reason=error.what),)),
            )
        return Observation()

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell a refusal because of them as what it is, with the receipt that the guard wrote."""
        try:
            yield
        except GuardError as error:
            if self._refusal is None:
                raise
            refusal = self._refusal
            raise GuardError(
                refusal.what,
                where=refusal.where,
                next_step=f"{refusal.next_step}; details: interlock ledger show {error.receipt_id}",
                receipt_id=error.receipt_id,
            ) from error


def check_presented(
    files: Mapping[str, str | Path],
    *,
    digest: str,
    requires: Sequence[str],
    receipts: ReceiptSource,
    keyring: KeyRing,
    now: datetime,
) -> tuple[Receipt, ...]:
    """Check the receipts that were handed to a protected step.

    Args:
        files: Where each of them lies, by the name of the input that brought it; untrusted.
        digest: sha256 of the bytes that the step is about to use, as they are now.
        requires: Kinds of gate, each of which must be there once.
        receipts: The ledger, `LocalRunner.receipts`.
        keyring: Whose signatures count, `LocalRunner.keyring`.
        now: UTC.

    Returns:
        The receipts in the order of `requires`.

    Raises:
        GuardError: One is missing, unreadable, forged, of another signer, expired, about other bytes, none that allows,
            not in the ledger, of a gate that is not required, or there twice.
        LedgerError: The ledger is damaged.
        UnavailableError: The ledger did not answer; try again.
    """
    found: dict[str, Receipt] = {}
    for name, file in files.items():
        receipt = _verified(name, Path(file), keyring, now)
        _check_says(name, receipt, digest)
        if receipt.gate not in requires:
            raise _refused(
                f"receipt {receipt.receipt_id} is of {receipt.gate}, which this step does not require",
                name,
                f"require {receipt.gate} too, or hand over a receipt of {', '.join(requires) or 'nothing'}",
            )
        if receipt.gate in found:
            raise _refused(f"there are two receipts of {receipt.gate}", name, "hand over one receipt of each gate")
        _check_recorded(name, receipt, receipts, keyring)
        found[receipt.gate] = receipt
    for gate in dict.fromkeys(requires):
        if gate not in found:
            raise _refused(f"no receipt of {gate} was handed over", "requires", f"wire the {gate} gate to this step")
    return tuple(found[gate] for gate in dict.fromkeys(requires))


def _verified(name: str, file: Path, keyring: KeyRing, now: datetime) -> Receipt:
    try:
        return verify_receipt(_read(name, file), keyring, now=now)
    except EvidenceError as error:
        place = f" ({error.where})" if error.where else ""
        raise _refused(
            f"the receipt does not hold: {error.what}{place}",
            f"{name}: {file}",
            error.next_step or "find out who put it there, then run the gate again",
        ) from error


def _read(name: str, file: Path) -> bytes:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise _refused("the receipt is no file", f"{name}: {file}", "hand over output `receipt` of a gate")
        with file.open("rb") as opened:
            text = opened.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        raise _refused(
            f"the receipt is not there: {error.strerror}", f"{name}: {file}", "run the gate that should have written it"
        ) from error
    if not text.strip():
        raise _refused("the receipt is empty", f"{name}: {file}", "run the gate that should have written it")
    return text


def _check_says(name: str, receipt: Receipt, digest: str) -> None:
    if receipt.stage is not Stage.GATE:
        raise _refused(
            f"receipt {receipt.receipt_id} was issued by a guard",
            name,
            "hand over output `receipt` of a gate; only that opens a guard",
        )
    if receipt.verdict is not Verdict.ALLOW:
        raise _refused(
            f"receipt {receipt.receipt_id} of {receipt.gate} says {receipt.verdict.value}",
            name,
            f"interlock ledger show {receipt.receipt_id}",
        )
    if receipt.subject.digest != digest:
        raise _refused(
            f"receipt {receipt.receipt_id} of {receipt.gate} speaks for other bytes, "
            f"sha256:{receipt.subject.digest}, and not for sha256:{digest}",
            name,
            f"run the {receipt.gate} gate on exactly these bytes, or find out who changed them",
        )


def _check_recorded(name: str, receipt: Receipt, receipts: ReceiptSource, keyring: KeyRing) -> None:
    """The ledger must know it, and as the same: a key alone makes no evidence."""
    try:
        entry = receipts.get(receipt.receipt_id)
    except UsageError as error:
        raise _refused(
            f"receipt {receipt.receipt_id} is not in the ledger",
            name,
            "let the gate and this step use one ledger, or find out who signed it",
        ) from error
    if authentic(entry.envelope, keyring).receipt != receipt:
        raise _refused(f"receipt {receipt.receipt_id} is another one in the ledger", name, "find out who signed both")


def _refused(what: str, where: str, next_step: str) -> GuardError:
    return GuardError(f"the guard stays shut: {what}", where=where, next_step=next_step)
