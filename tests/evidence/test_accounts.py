"""Accounts in the ledger: what several trainings use up together, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.evidence.bench import BUNDLE, NOON, RUN, Bench, decision, new_signer, report, trusted
from tests.evidence.databases import raw

from interlock.evidence import KeyRing, Ledger
from interlock.evidence.accounts import account
from interlock.evidence.ledger_check import accounts_of, mark_of_account
from interlock.gate import GateContext, LedgerError, Measure, Recorded, Stage, Subject, Verdict


@pytest.fixture
def bench(tmp_path: Path, url: str) -> Bench:
    made = Bench.at(tmp_path)
    return replace(made, ledger=Ledger.open(url, clock=made.clock))


def subject(number: int) -> Subject:
    return Subject(name=f"m{number}", uri="file:///m", digest=f"{number:064x}")


def trained(
    bench: Bench, number: int, accounts: Sequence[Any], *, gate: str = "training", verdict: Verdict = Verdict.ALLOW
) -> Recorded:
    made = report(subject(number), gate)
    seen = replace(
        made.observation,
        facts=(("budget", json.dumps({"accounts": list(accounts), "team": "fraud"})),),
        measures=(Measure(name="gpu_hours", value=number / 2), Measure(name="restarts", value=0)),
    )
    context = GateContext(run=RUN, profile="standard", stage=Stage.GATE)
    return bench.recorder().record(replace(made, observation=seen), decision(verdict, bundle=BUNDLE), context)


def test_an_account_holds_what_reports_of_trainings_name_it_and_nothing_else(bench: Bench) -> None:
    for number, accounts in enumerate((["a", "b"], ["b"], ["a"], [])):
        trained(bench, number, accounts)
    trained(bench, 7, ["a"], gate="data-validation")
    found = account(bench.ledger, bench.keyring, "a", gate="training")
    assert [one.measures["gpu_hours"] for one in found.receipts] == [0.0, 1.0]
    assert found.receipts[0].fact("budget")["team"] == "fraud"
    assert found.receipts[0].fact("other") == {}
    assert found.refused == ()
    newest = account(bench.ledger, bench.keyring, "b", gate="training", newest=1)
    assert [one.measures["gpu_hours"] for one in newest.receipts] == [0.5]
    assert account(bench.ledger, bench.keyring, "c", gate="training").receipts == ()
    bench.ledger.verify()


def test_denied_and_expired_receipts_count_and_those_of_strangers_do_not(bench: Bench) -> None:
    trained(bench, 1, ["a"], verdict=Verdict.DENY)
    bench.clock.now = NOON.replace(year=2027)
    narrowed = KeyRing([trusted(bench.signer, gates=["data-validation"])])
    stranger = KeyRing([trusted(new_signer())])
    assert len(account(bench.ledger, bench.keyring, "a", gate="training").receipts) == 1
    for keyring, why in ((narrowed, "may not sign training"), (stranger, "no trusted key signed it")):
        found = account(bench.ledger, keyring, "a", gate="training")
        assert found.receipts == ()
        assert why in found.refused[0]


def test_a_removed_index_row_of_an_account_shows(bench: Bench, url: str) -> None:
    trained(bench, 1, ["a"])
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_marks WHERE kind = 'account'"))
    with pytest.raises(LedgerError, match=r"has lost its index row \(account\)"):
        bench.ledger.verify()


def test_a_forged_index_row_of_an_account_hands_out_nothing(bench: Bench, url: str) -> None:
    trained(bench, 1, ["a"])
    with raw(url) as connection:
        value = mark_of_account("b").value
        connection.execute(text("INSERT INTO interlock_marks VALUES ('account', :v, 1)"), {"v": value})
    with pytest.raises(LedgerError, match="a mark that is not its own"):
        account(bench.ledger, bench.keyring, "b", gate="training")
    with pytest.raises(LedgerError, match="forged index row"):
        bench.ledger.verify()


def test_a_report_that_was_changed_or_lost_hands_out_nothing(bench: Bench, url: str) -> None:
    trained(bench, 1, ["a"])
    with raw(url) as connection:
        connection.execute(text("UPDATE interlock_reports SET document = replace(document, '0.5', '0.1')"))
    with pytest.raises(LedgerError, match="another report"):
        account(bench.ledger, bench.keyring, "a", gate="training")
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_reports"))
    with pytest.raises(LedgerError, match="has lost its report"):
        account(bench.ledger, bench.keyring, "a", gate="training")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        '{"accounts": 1}',
        '{"gate": "training", "facts": {"budget": {"accounts": "a"}}}',
        '{"gate": "training", "facts": {"budget": {"accounts": [7, null, ["a"]]}}}',
        '{"gate": "training", "facts": {"budget": ["accounts"]}}',
        '{"gate": "training", "facts": [{"accounts": ["a"]}]}',
        '{"gate": "data-validation", "facts": {"budget": {"accounts": ["a"]}}}',
    ],
)
def test_other_shapes_name_no_account(document: str) -> None:
    assert accounts_of(document) == ()


def test_those_who_take_turns_wait_for_each_other_and_write_meanwhile(bench: Bench, url: str) -> None:
    seen: list[str] = []

    def second() -> None:
        with Ledger.open(url).turn("start"):
            seen.append("second")

    with bench.ledger.turn("start"):
        waiting = threading.Thread(target=second)
        waiting.start()
        with bench.ledger.turn("another name"):
            trained(bench, 1, ["a"])
        time.sleep(0.2)
        seen.append("first")
    waiting.join()
    assert seen == ["first", "second"]
