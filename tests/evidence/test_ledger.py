"""The ledger on SQLite and on a real PostgreSQL: append-only, chained, safe for many writers, honest about damage."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from tests.evidence import writers
from tests.evidence.bench import BUNDLE, NOON, RUN, Bench, decision, report
from tests.evidence.databases import raw

from interlock.evidence import Ledger, LedgerHead
from interlock.evidence.ledger_check import GENESIS
from interlock.gate import (
    Decision,
    GateContext,
    LedgerError,
    MissingExtraError,
    Recorded,
    SettingsError,
    Subject,
    UnavailableError,
    UsageError,
)


@pytest.fixture
def bench(tmp_path: Path, url: str) -> Bench:
    made = Bench.at(tmp_path)
    return replace(made, ledger=Ledger.open(url, clock=made.clock))


SUBJECTS = [Subject(name=f"s{n}", uri=f"file:///lake/s{n}", digest=f"{n:064x}") for n in range(10)]


def filled(bench: Bench, count: int = 6) -> list[Recorded]:
    return [bench.receipt(subject) for subject in SUBJECTS[:count]]


def test_empty_ledger_verifies(bench: Bench) -> None:
    assert bench.ledger.verify() == GENESIS == bench.ledger.head()


def test_entries_hang_on_each_other_and_come_back_as_they_went_in(bench: Bench) -> None:
    recorded = filled(bench)
    head = bench.ledger.verify()
    assert head == bench.ledger.head()
    assert head.seq == 6
    newest = bench.ledger.entries(limit=2)
    assert [entry.seq for entry in newest] == [6, 5]
    assert newest[0].previous == newest[1].link
    entry = bench.ledger.get(recorded[0].receipt_id)
    assert (entry.seq, entry.previous, entry.envelope_digest) == (1, GENESIS.link, recorded[0].envelope_digest)
    assert entry.report_document()["gate"] == "data-validation"
    assert entry.recorded == "2026-11-23T12:00:00.000000Z"


def test_receipts_are_found_by_digest_run_and_run_id(bench: Bench) -> None:
    filled(bench, 2)
    other = bench.receipt(SUBJECTS[0], run=replace(RUN, run_id="manual__2"))
    found = [entry.receipt_id for entry in bench.ledger.find(SUBJECTS[0].digest)]
    assert len(found) == 2
    assert found[1] == other.receipt_id
    assert [entry.receipt_id for entry in bench.ledger.of_run_id("manual__2")] == [other.receipt_id]
    assert len(bench.ledger.of_run(RUN)) == 2
    assert bench.ledger.of_run(replace(RUN, pipeline="other")) == ()
    assert bench.ledger.find("f" * 64) == ()


def test_file_of_a_folder_is_found_only_when_parts_are_asked_for(bench: Bench) -> None:
    bench.receipt(bench.subject(bench.data()))
    digest = bench.store.files_of(bench.subject(bench.data()).digest)[0].sha256
    assert bench.ledger.find(digest) == ()
    assert len(bench.ledger.find(digest, parts=True)) == 1


def test_ledger_opened_again_goes_on(bench: Bench, url: str) -> None:
    filled(bench, 2)
    again = replace(bench, ledger=Ledger.open(url, clock=bench.clock))
    again.receipt(SUBJECTS[5])
    again.ledger.close()
    assert again.ledger.verify().seq == 3


def test_texts_of_any_kind_and_length_go_in(bench: Bench) -> None:
    odd = Subject(name="n\0'\"é😀" * 50, uri="s3://" + "u" * 10_000, digest="a" * 64)
    run = replace(RUN, run_id="manual\0__" + "r" * 5_000)
    recorded = bench.receipt(odd, run=run)
    assert bench.ledger.of_run_id(run.run_id)[0].receipt_id == recorded.receipt_id
    bench.ledger.verify()


def test_unknown_receipt_is_a_usage_error(bench: Bench) -> None:
    with pytest.raises(UsageError, match="no such receipt"):
        bench.ledger.get("0" * 26)


def test_report_that_the_receipt_does_not_bind_is_not_stored(bench: Bench) -> None:
    entry = bench.entry(bench.receipt(SUBJECTS[0]))
    with pytest.raises(UsageError, match="another report"):
        bench.ledger.append(entry.envelope, "{}")


def test_same_receipt_twice_is_refused(bench: Bench) -> None:
    entry = bench.entry(bench.receipt(SUBJECTS[0]))
    assert entry.report is not None
    with pytest.raises(LedgerError):
        bench.ledger.append(entry.envelope, entry.report)
    assert bench.ledger.verify().seq == 1


def test_threads_that_write_at_once_make_one_chain(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: bench.receipt(SUBJECTS[n % 10]), range(20)))
    assert bench.ledger.verify().seq == 20


def test_processes_that_open_and_write_at_once_make_one_chain(tmp_path: Path, url: str) -> None:
    # None of them finds the tables there.
    running = [writers.start(tmp_path / f"writer-{n}", url, 5) for n in range(3)]
    for process, hears in running:
        assert writers.heard(hears) == 5
        process.join()
        assert process.exitcode == 0
    assert Ledger.open(url).verify().seq == 15


def test_process_killed_while_it_appends_leaves_a_chain_that_verifies(bench: Bench, url: str) -> None:
    durable = 0
    for delay in (0.0, 0.004, 0.009, 0.02):
        process, hears = writers.start(bench.folder / "writer", url, 10_000)
        for _ in range(3):
            assert hears.recv() == "appended"
        time.sleep(delay)
        process.kill()
        durable += 3 + writers.heard(hears)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert bench.ledger.verify().seq >= durable
        durable = bench.ledger.head().seq
    bench.receipt(SUBJECTS[0])
    assert bench.ledger.verify().seq == durable + 1


@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("UPDATE interlock_entries SET envelope = '{}' WHERE seq = 2", id="update of an entry"),
        pytest.param("DELETE FROM interlock_entries WHERE seq = 2", id="delete of an entry"),
        pytest.param("UPDATE interlock_marks SET value = 'x'", id="update of the index"),
        pytest.param("DELETE FROM interlock_marks", id="delete of the index"),
        pytest.param("UPDATE interlock_reports SET document = ''", id="update of a report"),
        pytest.param("DELETE FROM interlock_reports", id="delete of a report"),
        pytest.param("TRUNCATE interlock_entries", id="truncate"),
        pytest.param(
            "INSERT OR REPLACE INTO interlock_entries SELECT seq, receipt_id, '{}', envelope_digest, report_digest, "
            "recorded, previous, link FROM interlock_entries WHERE seq = 2",
            id="insert or replace",
        ),
    ],
)
def test_database_refuses_to_change_what_is_written(statement: str, bench: Bench, url: str) -> None:
    filled(bench, 3)
    sqlite = url.startswith("sqlite")
    if ("TRUNCATE" in statement and sqlite) or ("REPLACE" in statement and not sqlite):
        pytest.skip("the other database's language")
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text(statement))
    assert bench.ledger.verify().seq == 3


def alter_envelope(db: Connection) -> None:
    db.execute(text("UPDATE interlock_entries SET envelope = replace(envelope, '\"sig\"', '\"gis\"') WHERE seq = 3"))


def alter_digest_too(db: Connection) -> None:
    db.execute(text("UPDATE interlock_entries SET envelope_digest = :d WHERE seq = 3"), {"d": "0" * 64})


def alter_time(db: Connection) -> None:
    db.execute(text("UPDATE interlock_entries SET recorded = '2026-01-01T00:00:00.000000Z' WHERE seq = 3"))


def remove_row(db: Connection) -> None:
    db.execute(text("DELETE FROM interlock_entries WHERE seq = 3"))


def remove_row_and_close_the_gap(db: Connection) -> None:
    db.execute(text("DELETE FROM interlock_entries WHERE seq = 3"))
    for seq in (4, 5, 6):
        db.execute(text("UPDATE interlock_entries SET seq = :to WHERE seq = :seq"), {"seq": seq, "to": seq - 1})


def remove_first_row(db: Connection) -> None:
    db.execute(text("DELETE FROM interlock_entries WHERE seq = 1"))


def swap_rows(db: Connection) -> None:
    for old, new in ((3, 99), (4, 3), (99, 4)):
        db.execute(text("UPDATE interlock_entries SET seq = :new WHERE seq = :old"), {"old": old, "new": new})


def insert_before_the_first(db: Connection) -> None:
    db.execute(
        text(
            "INSERT INTO interlock_entries SELECT 0, '00000000000000000000000000', envelope, envelope_digest, "
            "report_digest, recorded, previous, link FROM interlock_entries WHERE seq = 1"
        )
    )


def unreadable_envelope(db: Connection) -> None:
    db.execute(text("UPDATE interlock_entries SET envelope = 'garbage' WHERE seq = 3"))


def forge_index_row(db: Connection) -> None:
    db.execute(text("INSERT INTO interlock_marks VALUES ('subject', :v, 3)"), {"v": "e" * 64})


def remove_index_row(db: Connection) -> None:
    db.execute(text("DELETE FROM interlock_marks WHERE seq = 3 AND kind = 'subject'"))


def forge_index_row_of_no_entry(db: Connection) -> None:
    db.execute(text("INSERT INTO interlock_marks VALUES ('subject', :v, 77)"), {"v": "e" * 64})


def alter_report(db: Connection) -> None:
    db.execute(
        text(
            "UPDATE interlock_reports SET document = '{}' "
            "WHERE digest = (SELECT report_digest FROM interlock_entries WHERE seq = 3)"
        )
    )


def remove_report(db: Connection) -> None:
    db.execute(
        text("DELETE FROM interlock_reports WHERE digest = (SELECT report_digest FROM interlock_entries WHERE seq = 3)")
    )


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (alter_envelope, "entry 3 was altered"),
        (alter_digest_too, "entry 3 was altered"),
        (alter_time, "entry 3 was altered"),
        (remove_row, "breaks after entry 2: entry 3 is missing"),
        (remove_row_and_close_the_gap, "entry 3 does not follow entry 2"),
        (remove_first_row, "breaks after entry 0: entry 1 is missing"),
        (swap_rows, "entry 3 does not follow entry 2"),
        (insert_before_the_first, "entry 0 was put before"),
        (unreadable_envelope, "entry 3 was altered"),
        (forge_index_row, "entry 3 has a forged index row"),
        (remove_index_row, "entry 3 has lost its index row"),
        (forge_index_row_of_no_entry, "entry 77, which is not there"),
        (alter_report, "entry 3 has another report"),
        (remove_report, "entry 3 has lost its report"),
    ],
    ids=lambda value: value.__name__.replace("_", " ") if callable(value) else "",
)
def test_verify_names_the_first_broken_link(
    attack: Callable[[Connection], None], says: str, bench: Bench, url: str
) -> None:
    filled(bench)
    with raw(url) as connection:
        attack(connection)
    with pytest.raises(LedgerError, match=says) as broken:
        bench.ledger.verify()
    assert broken.value.next_step


def rewritten(db: Connection, bench: Bench) -> None:
    """What an owner of the database can do with all his time: a chain that is whole in itself, over an altered row."""
    from interlock.evidence.ledger_check import LedgerEntry, link_of

    previous = GENESIS.link
    for row in db.execute(text("SELECT * FROM interlock_entries ORDER BY seq")).mappings().all():
        entry = replace(LedgerEntry(**row), previous=previous)
        if entry.seq == 3:
            entry = replace(entry, recorded="2026-01-01T00:00:00.000000Z")
        previous = link_of(entry)
        db.execute(
            text("UPDATE interlock_entries SET previous = :p, link = :l, recorded = :r WHERE seq = :s"),
            {"p": entry.previous, "l": previous, "r": entry.recorded, "s": entry.seq},
        )


def test_rewritten_chain_is_whole_in_itself_but_not_what_a_noted_head_names(bench: Bench, url: str) -> None:
    filled(bench)
    noted = bench.ledger.verify()
    with raw(url) as connection:
        rewritten(connection, bench)
    bench.ledger.verify()
    with pytest.raises(LedgerError, match="entry 6 is not the one that the noted head names"):
        bench.ledger.verify(noted)


def test_cut_tail_is_named_when_a_head_was_noted(bench: Bench, url: str) -> None:
    filled(bench)
    noted = str(bench.ledger.verify())
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_marks WHERE seq > 4"))
        connection.execute(text("DELETE FROM interlock_entries WHERE seq > 4"))
    assert bench.ledger.verify().seq == 4
    with pytest.raises(LedgerError, match="entries 5 to 6 are missing: the tail was cut"):
        bench.ledger.verify(noted)


def test_noted_head_of_a_ledger_that_grew_is_fine(bench: Bench) -> None:
    filled(bench, 3)
    noted = bench.ledger.verify()
    filled(bench, 2)
    assert bench.ledger.verify(noted).seq == 5
    assert LedgerHead.parse(str(noted)) == noted


@pytest.mark.parametrize("head", ["", "5", "5:xyz", "-1:" + "0" * 64, "1:" + "A" * 64])
def test_head_that_cannot_be_read_is_a_usage_error(head: str, bench: Bench) -> None:
    with pytest.raises(UsageError, match="head"):
        bench.ledger.verify(head)


def test_chain_longer_than_a_batch_verifies(bench: Bench, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.evidence.ledger_check._BATCH", 2)
    filled(bench)
    assert bench.ledger.verify().seq == 6
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_entries WHERE seq = 5"))
    with pytest.raises(LedgerError, match="entry 5 is missing"):
        bench.ledger.verify()


@pytest.mark.parametrize("attack", [alter_envelope, unreadable_envelope, alter_time], ids=lambda a: a.__name__)
def test_damaged_row_is_never_handed_out(attack: Callable[[Connection], None], bench: Bench, url: str) -> None:
    recorded = filled(bench)
    with raw(url) as connection:
        attack(connection)
    with pytest.raises(LedgerError, match="entry 3"):
        bench.ledger.get(recorded[2].receipt_id)
    with pytest.raises(LedgerError, match="entry 3"):
        bench.ledger.find(SUBJECTS[2].digest)
    assert bench.ledger.find(SUBJECTS[1].digest)


def test_forged_index_row_hands_out_nothing(bench: Bench, url: str) -> None:
    filled(bench)
    with raw(url) as connection:
        forge_index_row(connection)
    with pytest.raises(LedgerError, match="mark that is not its own"):
        bench.ledger.find("e" * 64)


def test_altered_report_is_never_handed_out(bench: Bench, url: str) -> None:
    recorded = filled(bench)
    with raw(url) as connection:
        alter_report(connection)
    with pytest.raises(LedgerError, match="another report"):
        bench.ledger.get(recorded[2].receipt_id)


def test_sqlite_file_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    place = tmp_path / "new" / "ledger.db"
    Ledger.open(f"sqlite:///{place}")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with raw(f"sqlite:///{place}") as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"


def test_file_that_is_no_ledger_is_a_ledger_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, but long enough to have a header" * 100)
    with pytest.raises(LedgerError, match="not a database") as refused:
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    assert "ledger.db" in refused.value.where


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("not a url", id="no URL"),
        pytest.param("mysql://host/x", id="another database"),
        pytest.param("sqlite://", id="in memory"),
        pytest.param("sqlite:////proc/none/ledger.db", id="folder that cannot be made"),
        pytest.param("postgresql+nodriver://host/x", id="unknown driver"),
    ],
)
def test_url_that_cannot_be_used_is_a_settings_error(address: str) -> None:
    with pytest.raises(SettingsError):
        Ledger.open(address)


def test_driver_that_is_not_installed_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(MissingExtraError, match=r"interlock\[postgres\]"):
        Ledger.open("postgresql+pg8000://u:p@127.0.0.1:9/x")


def test_database_that_does_not_answer_is_unavailable_and_hides_the_password() -> None:
    with pytest.raises(UnavailableError) as refused:
        Ledger.open("postgresql+pg8000://u:sesame@127.0.0.1:9/x")
    assert "sesame" not in str(refused.value)
    assert "127.0.0.1:9" in str(refused.value)


@pytest.mark.postgres
def test_wrong_password_is_a_settings_error(postgres: str) -> None:
    head, _, tail = postgres.partition("@")
    with pytest.raises(SettingsError, match="refuses this account"):
        Ledger.open(f"{head}x@{tail}")


@pytest.mark.postgres
def test_account_that_may_only_read_and_insert_is_enough(bench: Bench, postgres: str, url: str) -> None:
    if url != postgres:
        pytest.skip("SQLite has no accounts")
    bench.receipt(SUBJECTS[0])
    with raw(postgres, triggers=True) as connection:
        connection.execute(text("CREATE ROLE gate LOGIN PASSWORD 'gate'"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        connection.execute(text("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO gate"))
    host = postgres.partition("@")[2]
    limited = replace(bench, ledger=Ledger.open(f"postgresql+pg8000://gate:gate@{host}", clock=bench.clock))
    limited.receipt(SUBJECTS[1])
    assert limited.ledger.verify().seq == 2


def test_ledger_survives_a_fork(bench: Bench) -> None:
    bench.receipt(SUBJECTS[0])
    child = os.fork()
    if child == 0:
        try:
            bench.receipt(SUBJECTS[1])
        except BaseException:  # noqa: BLE001 - the child must never run the rest of the tests
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    bench.receipt(SUBJECTS[2])
    assert bench.ledger.verify().seq == 3


def test_envelopes_in_the_ledger_are_plain_dsse(bench: Bench) -> None:
    entry = bench.entry(bench.receipt(SUBJECTS[0]))
    assert set(json.loads(entry.envelope)) == {"payload", "payloadType", "signatures"}
    assert BUNDLE
    assert bench.clock.now == NOON


def event_of(decision_id: str, said: str = "ALLOW") -> str:
    return json.dumps({"decision_id": decision_id, "custom": {"verdict": said}})


def logged(bench: Bench, count: int = 4) -> None:
    for number in range(count):
        bench.ledger.append_decision(event_of(f"d{number}"))


def bound(bench: Bench, event: str, subject: Subject = SUBJECTS[0]) -> Recorded:
    """A receipt whose signature binds `event`."""
    digest = bench.ledger.append_decision(event).event_digest
    judged: Decision = replace(decision(), decision_id=json.loads(event)["decision_id"], event_digest=digest)
    return bench.recorder().record(report(subject), judged, GateContext(run=RUN, profile="standard"))


def test_logged_decisions_come_back_in_order_and_since_a_moment(bench: Bench) -> None:
    logged(bench, 3)
    bench.clock.now = NOON + timedelta(hours=1)
    bench.ledger.append_decision(event_of("later"))
    assert [one.decision_id for one in bench.ledger.decisions()] == ["d0", "d1", "d2", "later"]
    assert [one.decision_id for one in bench.ledger.decisions(limit=2)] == ["d2", "later"]
    assert [one.decision_id for one in bench.ledger.decisions(since=bench.clock.now)] == ["later"]
    assert bench.ledger.decisions()[0].document()["custom"] == {"verdict": "ALLOW"}
    assert bench.ledger.verify() == GENESIS


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("{", id="no JSON"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="no decision id"),
        pytest.param('{"decision_id": 1}', id="a number"),
        pytest.param('{"decision_id": ""}', id="empty"),
        pytest.param(json.dumps({"decision_id": "x" * 201}), id="too long"),
    ],
)
def test_what_is_no_event_is_not_logged(bench: Bench, event: str) -> None:
    with pytest.raises(UsageError, match="decision"):
        bench.ledger.append_decision(event)
    assert bench.ledger.decisions() == ()


def test_one_decision_id_is_logged_once(bench: Bench) -> None:
    logged(bench, 1)
    with pytest.raises(LedgerError, match=r"a decision with id 'd0' is logged already; the server, .* repeats answers"):
        bench.ledger.append_decision(event_of("d0", "DENY"))
    assert len(bench.ledger.decisions()) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("UPDATE interlock_decisions SET event = '{}'", id="update"),
        pytest.param("DELETE FROM interlock_decisions", id="delete"),
    ],
)
def test_the_decision_log_is_append_only(bench: Bench, url: str, change: str) -> None:
    logged(bench)
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text(change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            """UPDATE interlock_decisions SET event = '{"decision_id": "d1"}' WHERE seq = 2""",
            "event 2 .* was altered",
            id="event rewritten",
        ),
        pytest.param(
            "UPDATE interlock_decisions SET recorded = '2020-01-01T00:00:00.000000Z' WHERE seq = 2",
            "event 2 .* was altered",
            id="moved in time",
        ),
        pytest.param("UPDATE interlock_decisions SET decision_id = 'x' WHERE seq = 2", "event 2", id="filed elsewhere"),
        pytest.param("DELETE FROM interlock_decisions WHERE seq = 2", "event 2 is missing", id="taken out"),
        pytest.param("DELETE FROM interlock_decisions WHERE seq = 1", "event 1 is missing", id="first taken out"),
        pytest.param("UPDATE interlock_decisions SET seq = -1 WHERE seq = 4", "event 1 is missing", id="moved before"),
    ],
)
def test_an_altered_decision_log_is_found(bench: Bench, url: str, change: str, says: str) -> None:
    logged(bench)
    with raw(url) as connection:
        connection.execute(text(change))
    with pytest.raises(LedgerError, match=says):
        bench.ledger.verify()


def test_an_event_that_a_receipt_binds_cannot_be_rewritten_with_its_chain(bench: Bench, url: str) -> None:
    """The owner of the database can compute every hash, but not the signature over the receipt."""
    bound(bench, event_of("d1", "DENY"))
    bench.ledger.verify()
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_decisions"))
    bench.ledger.append_decision(event_of("d1", "ALLOW"))
    with pytest.raises(LedgerError, match="another event than the one that a receipt binds"):
        bench.ledger.verify()


def test_an_event_that_a_receipt_binds_cannot_be_cut_off(bench: Bench, url: str) -> None:
    logged(bench)
    bound(bench, event_of("last"))
    with raw(url) as connection:
        connection.execute(text("DELETE FROM interlock_decisions WHERE decision_id = 'last'"))
    with pytest.raises(LedgerError, match="has lost a receipt's event"):
        bench.ledger.verify()


def test_altered_events_are_not_read(bench: Bench, url: str) -> None:
    logged(bench)
    with raw(url) as connection:
        connection.execute(text("UPDATE interlock_decisions SET event = '{}' WHERE seq = 3"))
    with pytest.raises(LedgerError, match="event 3"):
        bench.ledger.decisions()


def test_a_ledger_from_before_the_decision_log_gets_one(bench: Bench, url: str) -> None:
    filled(bench, 2)
    with raw(url, triggers=True) as connection:
        connection.execute(text("DROP TABLE interlock_decisions"))
    again = Ledger.open(url, clock=bench.clock)
    again.append_decision(event_of("d0"))
    assert again.verify().seq == 2
    with pytest.raises(DBAPIError, match="append-only"), raw(url, triggers=True) as connection:
        connection.execute(text("DELETE FROM interlock_decisions"))


def test_many_that_open_a_new_ledger_at_once_all_get_it(tmp_path: Path) -> None:
    for round_ in range(20):
        together = threading.Barrier(8)

        def opened(_: int, place: Path = tmp_path / f"{round_}.db", together: threading.Barrier = together) -> int:
            together.wait()
            return Ledger.open(f"sqlite:///{place}").head().seq

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(opened, range(8))) == [0] * 8


def test_many_writers_of_decisions_make_one_chain(bench: Bench) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bench.ledger.append_decision, [event_of(f"d{number}") for number in range(20)]))
    bench.ledger.verify()
    assert [one.seq for one in bench.ledger.decisions()] == list(range(1, 21))
