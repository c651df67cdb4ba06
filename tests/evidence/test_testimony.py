"""What `interlock verify` tells: which receipts speak for some bytes, and in which state a receipt is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.evidence.bench import LIFETIME, NOON, Bench, new_signer, trusted

from interlock.evidence import KeyRing, State, speaks_for, verify_file
from interlock.gate import SubjectNotFoundError, UsageError, Verdict


def states(bench: Bench, what: object, keyring: KeyRing | None = None) -> list[State]:
    _, testimonies = speaks_for(bench.ledger, keyring or bench.keyring, str(what), now=bench.clock.now)
    return [one.state for one in testimonies]


def test_receipts_speak_for_the_bytes_at_a_path_or_for_a_digest(bench: Bench) -> None:
    data = bench.data()
    subject = bench.subject(data)
    bench.receipt(subject)
    bench.receipt(subject, "data-poisoning", Verdict.DENY)
    bench.receipt(bench.subject(bench.data("other", "other")))
    for what in (data, subject.digest, f"sha256:{subject.digest}", data.as_uri()):
        assert states(bench, what) == [State.VALID, State.VALID]
    found, (first, second) = speaks_for(bench.ledger, bench.keyring, str(data), now=NOON)
    assert found == subject
    assert first.receipt is not None
    assert second.receipt is not None
    assert (first.receipt.verdict, second.receipt.verdict) == (Verdict.ALLOW, Verdict.DENY)
    assert speaks_for(bench.ledger, bench.keyring, subject.digest, now=NOON)[0] is None


def test_receipt_of_a_folder_speaks_for_its_file_as_a_part(bench: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data))
    _, (testimony,) = speaks_for(bench.ledger, bench.keyring, str(data / "part-0.csv"), now=NOON)
    assert (testimony.state, testimony.whole) == (State.VALID, False)


def test_nothing_speaks_for_bytes_that_nobody_saw(bench: Bench) -> None:
    assert states(bench, bench.data()) == []
    assert states(bench, "f" * 64) == []


def test_path_that_is_not_there_is_not_found(bench: Bench) -> None:
    with pytest.raises(SubjectNotFoundError):
        states(bench, bench.folder / "none")


def test_state_tells_time_and_signer(bench: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data))
    assert states(bench, data, KeyRing([trusted(new_signer())])) == [State.BAD_SIGNATURE]
    assert states(bench, data, KeyRing([trusted(bench.signer, gates=["training"])])) == [State.BAD_SIGNATURE]
    bench.clock.now = NOON + LIFETIME
    assert states(bench, data) == [State.EXPIRED]
    bench.clock.now = NOON - LIFETIME
    assert states(bench, data) == [State.NOT_YET_VALID]
    _, (testimony,) = speaks_for(bench.ledger, bench.keyring, str(data), now=bench.clock.now)
    assert "not valid before" in testimony.reason


def test_file_of_receipts_tells_each_lines_state(bench: Bench) -> None:
    good = bench.entry(bench.receipt(bench.subject(bench.data()))).envelope
    stranger = bench.entry(bench.receipt(bench.subject(bench.data()), signer=new_signer())).envelope
    place = bench.folder / "receipts.intoto.jsonl"
    place.write_text(f"{good}\n\n{stranger}\nnot json\n{{}}\n")
    testimonies = verify_file(place, bench.keyring, now=NOON)
    assert [one.state for one in testimonies] == [
        State.VALID,
        State.BAD_SIGNATURE,
        State.MALFORMED,
        State.MALFORMED,
    ]
    assert testimonies[1].receipt is None
    assert testimonies[1].receipt_id == "receipts.intoto.jsonl:2"


def test_file_that_holds_no_receipts_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for place in (tmp_path / "none", tmp_path / "empty", tmp_path / "binary", tmp_path):
        with pytest.raises(UsageError):
            verify_file(place, KeyRing([]), now=NOON)
