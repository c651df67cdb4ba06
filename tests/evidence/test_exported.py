"""The guard on exported receipts: whole exports count like a ledger, and everything less counts as damage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.evidence.bench import LIFETIME, NOON, RUN, Bench, new_signer, trusted

from interlock.evidence import (
    ExportedReceipts,
    JoinedReceipts,
    KeyRing,
    Ledger,
    Opened,
    ReceiptSource,
    authentic,
    export_ledger,
    open_receipts,
)
from interlock.evidence.exported import exported_receipts
from interlock.evidence.guard import DAMAGED
from interlock.gate import GateContext, GuardError, LedgerError, Settings, UsageError, Verdict

REQUIRES = ("data-validation", "data-poisoning")


@pytest.fixture
def elsewhere(bench: Bench) -> Bench:
    """Another site with a ledger of its own, whose key this one trusts."""
    ledger = Ledger.open(f"sqlite:///{bench.folder / 'elsewhere.db'}", clock=bench.clock)
    return replace(bench, ledger=ledger)


def exported(site: Bench, name: str = "export", *, run: str | None = None) -> Path:
    folder = site.folder / name
    export_ledger(site.ledger, folder, keyring=site.keyring, now=NOON, signer=site.signer, run=run)
    return folder


def gates(site: Bench, data: Path, verdicts: Sequence[Verdict] = (Verdict.ALLOW, Verdict.ALLOW)) -> None:
    subject = site.subject(data)
    for gate, verdict in zip(REQUIRES, verdicts, strict=True):
        site.receipt(subject, gate, verdict)


def joined(bench: Bench, *folders: Path) -> ReceiptSource:
    return JoinedReceipts([*(ExportedReceipts(folder) for folder in folders), bench.ledger])


def at_guard(bench: Bench, data: Path, receipts: ReceiptSource, keyring: KeyRing | None = None) -> Opened:
    context = GateContext(run=RUN, profile="standard")
    guard = bench.guard(receipts=receipts, keyring=keyring)
    with guard.open(str(data), kind="training", requires=REQUIRES, context=context) as opened:
        return opened


@pytest.mark.parametrize("run", [None, RUN.run_id], ids=["whole-ledger", "one-run"])
def test_receipts_of_another_ledger_open_the_guard_by_their_export(
    bench: Bench, elsewhere: Bench, run: str | None
) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere, run=run)
    opened = at_guard(bench, data, joined(bench, folder))
    assert [receipt.gate for receipt in opened.receipts] == list(REQUIRES)
    own = authentic(bench.entry(opened.recorded).envelope, bench.keyring).receipt
    lines = (folder / "receipts.intoto.jsonl").read_text().splitlines()
    assert [one.envelope_digest for one in own.inputs] == [hashlib.sha256(line.encode()).hexdigest() for line in lines]


def test_without_the_export_the_guard_stays_shut(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(elsewhere, data)
    with pytest.raises(GuardError, match="no data-validation receipt"):
        at_guard(bench, data, bench.ledger)


def test_one_gate_may_be_in_the_ledger_and_the_other_in_an_export(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data), "data-validation")
    elsewhere.receipt(elsewhere.subject(data), "data-poisoning")
    assert at_guard(bench, data, joined(bench, exported(elsewhere))).recorded


@pytest.mark.parametrize("denying", ["ledger", "export"])
def test_a_later_denial_anywhere_takes_back_an_earlier_allow(denying: str, bench: Bench, elsewhere: Bench) -> None:
    first, later = (elsewhere, bench) if denying == "ledger" else (bench, elsewhere)
    data = bench.data()
    for _ in range(3):  # the numbers of one ledger say nothing of another's
        first.receipt(first.subject(bench.data("other")), "data-validation")
    gates(first, data)
    bench.clock.now += timedelta(seconds=5)
    gates(later, data, (Verdict.ALLOW, Verdict.DENY))
    with pytest.raises(GuardError, match="says DENY"):
        at_guard(bench, data, joined(bench, exported(elsewhere)))


def test_the_same_receipt_in_ledger_and_export_is_one(bench: Bench) -> None:
    data = bench.data()
    gates(bench, data)
    source = joined(bench, exported(bench))
    assert len(source.find(bench.subject(data).digest)) == 2
    assert len(source.of_run(RUN)) == 2
    assert at_guard(bench, data, source).recorded


def test_an_exported_receipt_of_an_untrusted_signer_opens_nothing(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere)
    with pytest.raises(GuardError, match="no trusted key"):
        at_guard(bench, data, joined(bench, folder), KeyRing([trusted(new_signer())]))


def test_an_expired_exported_receipt_opens_nothing(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere)
    bench.clock.now += LIFETIME
    with pytest.raises(GuardError, match="expired"):
        at_guard(bench, data, joined(bench, folder))


def test_a_copy_with_a_bad_signature_hides_no_denial(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(bench, data)
    bench.clock.now += timedelta(seconds=5)
    subject = bench.subject(data)
    denied = bench.receipt(subject, "data-poisoning", Verdict.DENY)
    folder = exported(bench)
    place = folder / "receipts.intoto.jsonl"
    lines = place.read_text().splitlines()
    forged = json.loads(lines[-1])
    forged["signatures"][0]["sig"] = json.loads(lines[0])["signatures"][0]["sig"]
    place.write_text("\n".join([*lines[:-1], json.dumps(forged, separators=(",", ":"))]) + "\n")
    found = joined(bench, folder).find(subject.digest)
    assert [entry.receipt_id for entry in found].count(denied.receipt_id) == 2
    with pytest.raises(GuardError, match="says DENY"):
        at_guard(bench, data, joined(bench, folder))


def _lines(folder: Path, change: Callable[[list[str]], list[str]]) -> None:
    place = folder / "receipts.intoto.jsonl"
    place.write_text("".join(line + "\n" for line in change(place.read_text().splitlines())))


def _listed(folder: Path, change: Callable[[list[dict[str, object]]], object]) -> None:
    place = folder / "ledger.json"
    document = json.loads(place.read_text())
    change(document["entries"])
    place.write_text(json.dumps(document))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no-folder": lambda folder: folder.rename(folder.with_name("gone")),
    "no-receipts": lambda folder: (folder / "receipts.intoto.jsonl").unlink(),
    "no-list": lambda folder: (folder / "ledger.json").unlink(),
    "receipt-left-out": lambda folder: _lines(folder, lambda lines: lines[:-1]),
    "receipt-put-in": lambda folder: _lines(folder, lambda lines: [*lines, lines[0]]),
    "receipts-swapped": lambda folder: _lines(folder, lambda lines: lines[::-1]),
    "garbage-receipt": lambda folder: _lines(folder, lambda lines: ["garbage", *lines[1:]]),
    "empty-receipts": lambda folder: (folder / "receipts.intoto.jsonl").write_text(""),
    "not-utf8": lambda folder: (folder / "receipts.intoto.jsonl").write_bytes(b"\xff\n\xff\n"),
    "list-of-nothing": lambda folder: (folder / "ledger.json").write_text("[]"),
    "list-not-json": lambda folder: (folder / "ledger.json").write_text("{"),
    "entry-left-out": lambda folder: _listed(folder, lambda entries: entries.pop()),
    "entries-swapped": lambda folder: _listed(folder, lambda entries: entries.reverse()),
    "time-altered": lambda folder: _listed(folder, lambda entries: entries[0].update(recorded="2020")),
    "number-altered": lambda folder: _listed(folder, lambda entries: entries[0].update(seq="1")),
    "field-missing": lambda folder: _listed(folder, lambda entries: entries[0].pop("link")),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_an_export_that_is_not_whole_shuts_the_guard_and_is_named(
    damage: Callable[[Path], object], bench: Bench, elsewhere: Bench
) -> None:
    data = bench.data()
    gates(bench, data)
    gates(elsewhere, data)
    folder = exported(elsewhere)
    damage(folder)
    with pytest.raises(GuardError) as error:
        at_guard(bench, data, joined(bench, folder))
    assert "the evidence is damaged: the exported receipts are not whole" in error.value.what
    assert str(folder) in error.value.what
    assert "setting `receipts`" in error.value.next_step
    newest = bench.ledger.get(bench.ledger.entries(limit=1)[0].receipt_id).report_document()
    assert DAMAGED in json.dumps(newest)


def test_reports_come_with_the_export_and_are_compared(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere)
    entry = joined(bench, folder).find(bench.subject(data).digest)[0]
    assert ExportedReceipts(folder).get(entry.receipt_id).report_document()["gate"] == "data-validation"
    assert joined(bench, folder).get(entry.receipt_id).report is not None
    (folder / "reports" / f"{entry.report_digest}.json").write_text("{}")
    with pytest.raises(LedgerError, match="not the report that was recorded"):
        ExportedReceipts(folder).get(entry.receipt_id)
    with pytest.raises(UsageError, match="no such receipt"):
        joined(bench, folder).get("01ARZ3NDEKTSV4RRFFQ69G5FAV")


def test_an_export_is_read_once_until_it_is_another_one(bench: Bench, elsewhere: Bench) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere)
    digest = bench.subject(data).digest
    first = exported_receipts(folder)
    assert len(first.find(digest)) == 2
    assert exported_receipts(folder) is first
    folder.rename(folder.with_name("before"))
    gates(elsewhere, data)
    again = exported_receipts(exported(elsewhere))
    assert again is not first
    assert len(again.find(digest)) == 4


def test_the_settings_name_the_exports(bench: Bench, elsewhere: Bench, tmp_path: Path) -> None:
    data = bench.data()
    gates(elsewhere, data)
    folder = exported(elsewhere)
    nowhere = tmp_path / "no-system-file.toml"
    without = Settings.load({"INTERLOCK_HOME": str(tmp_path)}, system_file=nowhere)
    assert open_receipts(without, bench.ledger) is bench.ledger
    named = Settings.load({"INTERLOCK_HOME": str(tmp_path), "INTERLOCK_RECEIPTS": str(folder)}, system_file=nowhere)
    assert at_guard(bench, data, open_receipts(named, bench.ledger)).recorded
