"""Receipts that a pipeline hands over: each must hold by itself, and each that does not is told by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from tests.evidence.bench import Bench, new_signer, signed, statement_in, trusted

from interlock.evidence import KeyRing, Ledger, ReceiptSource
from interlock.gate import GuardError, Recorded, Stage, Verdict
from interlock.kubeflow.presented import check_presented

REQUIRES = ("data-validation", "data-poisoning")

Files = dict[str, Path]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A workbench of its own for each test."""
    return Bench.at(tmp_path)


def handed(bench: Bench, *recorded: Recorded) -> Files:
    """The receipts as artifacts, by the names of the inputs that bring them."""
    files = {f"interlock_receipt_{place}": bench.folder / f"receipt-{place}" for place in range(1, len(recorded) + 1)}
    for file, one in zip(files.values(), recorded, strict=True):
        file.write_text(bench.entry(one).envelope)
    return files


def both(bench: Bench) -> Files:
    subject = bench.subject(bench.data())
    return handed(bench, *(bench.receipt(subject, gate) for gate in REQUIRES))


def check(
    bench: Bench,
    files: Mapping[str, Path],
    *,
    requires: tuple[str, ...] = REQUIRES,
    keyring: KeyRing | None = None,
    receipts: ReceiptSource | None = None,
) -> tuple[str, ...]:
    found = check_presented(
        files,
        digest=bench.subject(bench.data()).digest,
        requires=requires,
        receipts=receipts or bench.ledger,
        keyring=keyring or bench.keyring,
        now=bench.clock.now,
    )
    return tuple(receipt.gate for receipt in found)


def test_the_right_receipts_hold_in_whatever_order_they_come(bench: Bench) -> None:
    files = both(bench)
    assert check(bench, files) == REQUIRES
    assert check(bench, dict(reversed(files.items()))) == REQUIRES


def first(files: Files) -> Path:
    return files["interlock_receipt_1"]


def missing(bench: Bench, files: Files) -> None:
    first(files).unlink()


def empty(bench: Bench, files: Files) -> None:
    first(files).write_text(" \n")


def folder(bench: Bench, files: Files) -> None:
    first(files).unlink()
    first(files).mkdir()


def waiting_pipe(bench: Bench, files: Files) -> None:
    first(files).unlink()
    os.mkfifo(first(files))


def no_envelope(bench: Bench, files: Files) -> None:
    first(files).write_text('{"verdict": "ALLOW"}')


def changed_after_it_was_signed(bench: Bench, files: Files) -> None:
    envelope = json.loads(first(files).read_text())
    text = json.loads(signed({**statement_in(first(files).read_text()), "more": 1}, bench.signer))
    first(files).write_text(json.dumps({**envelope, "payload": text["payload"]}))


def stranger(bench: Bench, files: Files) -> None:
    first(files).write_text(signed(statement_in(first(files).read_text()), new_signer()))


def denied(bench: Bench, files: Files) -> None:
    subject = bench.subject(bench.data())
    files.update(handed(bench, bench.receipt(subject, REQUIRES[0], Verdict.DENY)))


def undecided(bench: Bench, files: Files) -> None:
    subject = bench.subject(bench.data())
    files.update(handed(bench, bench.receipt(subject, REQUIRES[0], Verdict.UNDECIDED)))


def other_bytes(bench: Bench, files: Files) -> None:
    subject = bench.subject(bench.data("other", "a,b\n3,4\n"))
    files.update(handed(bench, bench.receipt(subject, REQUIRES[0])))


def of_a_guard(bench: Bench, files: Files) -> None:
    subject = bench.subject(bench.data())
    files.update(handed(bench, bench.receipt(subject, REQUIRES[0], stage=Stage.GUARD)))


def of_a_gate_that_nobody_required(bench: Bench, files: Files) -> None:
    subject = bench.subject(bench.data())
    files.update(handed(bench, bench.receipt(subject, "model-probe")))


def twice(bench: Bench, files: Files) -> None:
    files["interlock_receipt_3"] = first(files)


def one_kind_only(bench: Bench, files: Files) -> None:
    del files["interlock_receipt_2"]


def none(bench: Bench, files: Files) -> None:
    files.clear()


def expired(bench: Bench, files: Files) -> None:
    bench.clock.now += timedelta(hours=2)


def signed_but_never_recorded(bench: Bench, files: Files) -> None:
    aside = Bench.at(bench.folder / "aside")
    aside.signer, subject = bench.signer, bench.subject(bench.data())
    files.update(handed(aside, aside.receipt(subject, REQUIRES[0])))


def another_of_the_same_id(bench: Bench, files: Files) -> None:
    statement = statement_in(first(files).read_text())
    statement["predicate"]["interlock_receipt"]["run"]["run_id"] = "another"
    first(files).write_text(signed(statement, bench.signer))


@pytest.mark.parametrize(
    ("attack", "what", "where"),
    [
        pytest.param(missing, "is not there", "interlock_receipt_1", id="missing"),
        pytest.param(empty, "is empty", "interlock_receipt_1", id="empty"),
        pytest.param(folder, "is no file", "interlock_receipt_1", id="a folder"),
        pytest.param(waiting_pipe, "is no file", "interlock_receipt_1", id="a pipe that never ends"),
        pytest.param(no_envelope, "has exactly payload", "interlock_receipt_1", id="no envelope"),
        pytest.param(changed_after_it_was_signed, "signature", "interlock_receipt_1", id="forged"),
        pytest.param(stranger, "no trusted key signed it", "interlock_receipt_1", id="unknown signer"),
        pytest.param(denied, "says DENY", "interlock_receipt_1", id="denied"),
        pytest.param(undecided, "says UNDECIDED", "interlock_receipt_1", id="undecided"),
        pytest.param(other_bytes, "speaks for other bytes", "interlock_receipt_1", id="other bytes"),
        pytest.param(of_a_guard, "issued by a guard", "interlock_receipt_1", id="a guard's"),
        pytest.param(
            of_a_gate_that_nobody_required, "does not require", "interlock_receipt_1", id="a gate that nobody required"
        ),
        pytest.param(twice, "two receipts of data-validation", "interlock_receipt_3", id="two of one kind"),
        pytest.param(one_kind_only, "no receipt of data-poisoning was handed over", "requires", id="one kind only"),
        pytest.param(none, "no receipt of data-validation was handed over", "requires", id="none at all"),
        pytest.param(expired, "expired at", "interlock_receipt_1", id="expired"),
        pytest.param(signed_but_never_recorded, "is not in the ledger", "interlock_receipt_1", id="not in the ledger"),
        pytest.param(another_of_the_same_id, "another one in the ledger", "interlock_receipt_1", id="of the same id"),
    ],
)
def test_a_receipt_that_does_not_hold_shuts_the_guard(
    bench: Bench, attack: Callable[[Bench, Files], None], what: str, where: str
) -> None:
    files = both(bench)
    attack(bench, files)
    with pytest.raises(GuardError) as refused:
        check(bench, files)
    assert what in refused.value.what
    assert where in refused.value.where
    assert refused.value.next_step


def test_a_key_for_other_gates_opens_nothing(bench: Bench) -> None:
    keyring = KeyRing([trusted(bench.signer, gates=["artifact-scan"])])
    with pytest.raises(GuardError, match="may not sign data-validation"):
        check(bench, both(bench), keyring=keyring)


def test_a_ledger_of_another_deployment_knows_none_of_them(bench: Bench) -> None:
    other = Ledger.open(f"sqlite:///{bench.folder / 'other.db'}")
    with pytest.raises(GuardError, match="is not in the ledger"):
        check(bench, both(bench), receipts=other)
