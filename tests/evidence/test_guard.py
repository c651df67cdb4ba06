"""The guard: opens on the right receipts for the bytes as they are now, and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, text
from sqlalchemy.pool import NullPool
from tests.evidence.bench import BUNDLE, LIFETIME, RUN, Bench, ToldDecider, new_signer, signed, statement_in, trusted

from interlock.evidence import KeyRing, authentic
from interlock.evidence.guard import ACCEPTED, DAMAGED, MISSING, OTHER_BYTES, REFUSED, Opened
from interlock.evidence.ledger_check import LedgerEntry, link_of, marks_of, statement_of
from interlock.evidence.ledger_tables import ENTRIES, MARKS
from interlock.evidence.receipt import new_receipt_id
from interlock.gate import (
    Coverage,
    Gap,
    GateContext,
    GuardError,
    Json,
    Measure,
    Observation,
    PolicyError,
    Stage,
    Subject,
    SubjectNotFoundError,
    UnsafeSubjectError,
    UsageError,
    Verdict,
)

REQUIRES = ("data-validation", "data-poisoning")


def at_guard(bench: Bench, uri: Path, *, known_bundles: Sequence[str] = ()) -> Opened:
    """Open the guard, and give back what it opened after it is closed again."""
    context = GateContext(run=RUN, profile="standard")
    guard = bench.guard(known_bundles=known_bundles)
    with guard.open(str(uri), kind="training", requires=REQUIRES, context=context) as opened:
        return opened


def refused(bench: Bench, uri: Path) -> GuardError:
    """The guard's refusal; a receipt of it must be in the ledger, signed and denying."""
    before = bench.ledger.head().seq
    with pytest.raises(GuardError) as error:
        at_guard(bench, uri)
    entry = bench.ledger.entries(limit=1)[0]
    assert (entry.seq, entry.receipt_id) == (before + 1, error.value.receipt_id)
    receipt = authentic(entry.envelope, bench.keyring).receipt
    assert receipt.stage is Stage.GUARD
    assert receipt.verdict is not Verdict.ALLOW
    assert error.value.where == receipt.subject.uri
    assert error.value.receipt_id in error.value.next_step
    assert len(error.value.next_step) > len(f"details: interlock ledger show {error.value.receipt_id}")
    return error.value


def allow_both(bench: Bench, data: Path) -> Subject:
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate)
    return subject


def rules(bench: Bench) -> list[str]:
    newest = bench.ledger.get(bench.ledger.entries(limit=1)[0].receipt_id)
    found = newest.report_document()["findings"]
    assert isinstance(found, list)
    return [finding["rule_id"] for finding in found]


def test_right_receipts_open_the_guard_on_the_held_bytes(bench: Bench) -> None:
    data = bench.data()
    subject = allow_both(bench, data)
    with bench.guard().open(
        str(data), kind="training", requires=REQUIRES, context=GateContext(run=RUN, profile="standard")
    ) as opened:
        assert opened.subject.subject == subject
        (data / "part-0.csv").write_text("poison")
        assert (opened.subject.path / "part-0.csv").read_text() == "a,b\n1,2\n"
    assert [receipt.gate for receipt in opened.receipts] == list(REQUIRES)
    own = authentic(bench.entry(opened.recorded).envelope, bench.keyring).receipt
    assert (own.stage, own.gate, own.verdict) == (Stage.GUARD, "training", Verdict.ALLOW)
    assert [one.receipt_id for one in own.inputs] == [receipt.receipt_id for receipt in opened.receipts]
    assert rules(bench) == [ACCEPTED, ACCEPTED]


class MovingDecider(ToldDecider):
    """Its bundle is another one at each look, unless it is held; it may be that there is none to hold."""

    trouble: PolicyError | None = None

    @property
    def bundle_digest(self) -> str:
        raise AssertionError("the guard looks at what may move")

    @contextmanager
    def held(self) -> Iterator[ToldDecider]:
        if self.trouble is not None:
            raise self.trouble
        yield ToldDecider(asked=self.asked)


def test_one_policy_says_which_receipts_count_and_decides(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    moving = replace(bench, decider=MovingDecider())
    opened = at_guard(moving, data)
    receipt = authentic(bench.entry(opened.recorded).envelope, bench.keyring).receipt
    assert receipt.bundle_digest == BUNDLE
    assert len(moving.decider.asked) == 1


def test_policy_that_cannot_be_had_opens_nothing(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    decider = MovingDecider()
    decider.trouble = PolicyError("the bundle is badly signed")
    with pytest.raises(PolicyError, match="badly signed"):
        at_guard(replace(bench, decider=decider), data)
    assert decider.asked == []


def test_policy_is_asked_with_the_stage_and_the_verified_receipts(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    at_guard(bench, data)
    (document,) = bench.decider.asked
    assert (document["stage"], document["gate"]) == ("guard", "training")
    receipts = document["receipts"]
    assert isinstance(receipts, list)
    first = receipts[0]
    assert {name: first[name] for name in ("gate", "verdict", "profile", "keyid", "dev", "same_run")} == {
        "gate": "data-validation",
        "verdict": "ALLOW",
        "profile": "standard",
        "keyid": bench.signer.keyid,
        "dev": False,
        "same_run": True,
    }
    assert (first["same_pipeline"], first["bundle_known"]) == (True, True)
    measures = document["report"]["measures"]  # type: ignore[call-overload,index]  # JSON
    assert {name: measure["value"] for name, measure in measures.items()} == {  # type: ignore[union-attr,index,call-overload]
        "receipts_found": 2,
        "receipts_accepted": 2,
        "receipts_missing": 0,
    }


def test_what_is_measured_beforehand_is_for_policy_and_stands_in_the_receipt(bench: Bench) -> None:
    data = bench.data()
    subject = allow_both(bench, data)
    asked: list[Subject] = []

    def beforehand(held: Subject) -> Observation:
        asked.append(held)
        return Observation(
            measures=(Measure(name="month_gpu_hours", value=3.5, unit="hours"),), facts=(("gpu", '{"devices": []}'),)
        )

    context = GateContext(run=RUN, profile="standard")
    with bench.guard().open(
        str(data), kind="training", requires=REQUIRES, context=context, beforehand=beforehand
    ) as opened:
        assert opened.receipts
    assert asked == [subject]
    report = bench.decider.asked[-1]["report"]
    assert isinstance(report, dict)
    assert report["measures"]["month_gpu_hours"] == {"value": 3.5, "unit": "hours"}
    assert report["facts"] == {"gpu": {"devices": []}}
    assert "month_gpu_hours" in json.dumps(bench.ledger.get(opened.recorded.receipt_id).report_document())


def test_what_could_not_be_measured_beforehand_shuts_the_guard(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    gap = Observation(coverage=Coverage(failed=(Gap(path="gpu", reason="NVML does not answer"),)))
    context = GateContext(run=RUN, profile="standard")
    guard = bench.guard().open(str(data), kind="training", requires=REQUIRES, context=context, beforehand=lambda _: gap)
    with pytest.raises(GuardError, match="NVML does not answer"), guard:
        pass


def test_missing_receipt_names_gate_place_and_next_step(bench: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data), "data-validation")
    error = refused(bench, data)
    assert "no data-poisoning receipt" in error.what
    assert "run the data-poisoning gate" in error.next_step
    assert rules(bench) == [MISSING, ACCEPTED]


def test_other_bytes_are_told_with_both_digests(bench: Bench) -> None:
    data = bench.data()
    scanned = allow_both(bench, data)
    (data / "part-0.csv").write_text("poison")
    error = refused(bench, data)
    now = bench.subject(data)
    assert f"scanned sha256:{scanned.digest}" in error.what
    assert f"now sha256:{now.digest}" in error.what
    assert "bytes differ from what was scanned" in error.what
    assert OTHER_BYTES in rules(bench)


def expired(bench: Bench, data: Path) -> str:
    allow_both(bench, data)
    bench.clock.now += LIFETIME
    return "expired at"


def not_yet_valid(bench: Bench, data: Path) -> str:
    bench.clock.now += timedelta(hours=2)
    allow_both(bench, data)
    bench.clock.now -= timedelta(hours=2)
    return "not valid before"


def other_files_receipts(bench: Bench, data: Path) -> str:
    allow_both(bench, bench.data("other", "other"))
    return "no data-validation receipt"


def unknown_signer(bench: Bench, data: Path) -> str:
    stranger, subject = new_signer(), bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, signer=stranger)
    return "no trusted key signed it"


def signer_of_another_gate(bench: Bench, data: Path) -> str:
    narrow = new_signer()
    bench.keyring = KeyRing([trusted(bench.signer), trusted(narrow, "validator", ["data-validation"])])
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, signer=narrow)
    return "may not sign data-poisoning"


def guards_receipts(bench: Bench, data: Path) -> str:
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, stage=Stage.GUARD)
    return "was issued by a guard"


def deny(bench: Bench, data: Path) -> str:
    bench.receipt(bench.subject(data), "data-validation")
    bench.receipt(bench.subject(data), "data-poisoning", Verdict.DENY)
    return "says DENY: told to refuse"


def undecided(bench: Bench, data: Path) -> str:
    bench.receipt(bench.subject(data), "data-validation", Verdict.UNDECIDED)
    bench.receipt(bench.subject(data), "data-poisoning")
    return "says UNDECIDED: told to doubt"


def deny_after_allow(bench: Bench, data: Path) -> str:
    subject = allow_both(bench, data)
    bench.receipt(subject, "data-poisoning", Verdict.DENY)
    return "says DENY"


def unknown_bundle(bench: Bench, data: Path) -> str:
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, bundle="0" * 64)
    return "unknown policy bundle"


def no_bundle(bench: Bench, data: Path) -> str:
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, bundle="")
    return "unknown policy bundle"


def only_a_part_of_the_folder(bench: Bench, data: Path) -> str:
    allow_both(bench, data / "part-0.csv")
    return "no data-validation receipt"


def the_folder_around_it(bench: Bench, data: Path) -> str:
    allow_both(bench, data.parent)
    return "no data-validation receipt"


@pytest.mark.parametrize(
    "attack",
    [
        expired,
        not_yet_valid,
        other_files_receipts,
        unknown_signer,
        signer_of_another_gate,
        guards_receipts,
        deny,
        undecided,
        deny_after_allow,
        unknown_bundle,
        no_bundle,
        only_a_part_of_the_folder,
        the_folder_around_it,
    ],
    ids=lambda attack: attack.__name__.replace("_", " "),
)
def test_guard_stays_shut_and_says_why(attack: Callable[[Bench, Path], str], bench: Bench) -> None:
    data = bench.data()
    says = attack(bench, data)
    assert says in refused(bench, data).what


def insert_forged(bench: Bench, envelope: str) -> None:
    """Write a row past the API, as somebody with the database's password can."""
    head, bound = bench.ledger.head(), statement_of(envelope)["predicate"]["interlock_receipt"]
    entry = LedgerEntry(
        seq=head.seq + 1,
        receipt_id=bound["receipt_id"],
        envelope=envelope,
        envelope_digest=hashlib.sha256(envelope.encode()).hexdigest(),
        report_digest=bound["report_digest"]["sha256"],
        recorded="2026-11-23T12:00:00.000000Z",
        previous=head.link,
        link="",
    )
    entry = replace(entry, link=link_of(entry))
    row = {column.name: getattr(entry, column.name) for column in ENTRIES.columns}
    marks = [{"kind": mark.kind, "value": mark.value, "seq": entry.seq} for mark in marks_of(statement_of(envelope))]
    with create_engine(f"sqlite:///{bench.folder / 'ledger.db'}", poolclass=NullPool).begin() as db:
        db.execute(insert(ENTRIES), row)
        db.execute(insert(MARKS), marks)


def forged(bench: Bench, data: Path, *, keyid: str) -> None:
    """What a task can write that knows the trusted key's id, but not the key."""
    subject, attacker = bench.subject(data), new_signer()
    for gate in REQUIRES:
        statement = statement_in(bench.entry(bench.receipt(bench.subject(bench.data("x", "x")), gate)).envelope)
        bound = statement["predicate"]["interlock_receipt"]
        for place in (statement["subject"][0], bound["subject"]):
            place["digest"] = {"sha256": subject.digest}
        bound["receipt_id"] = new_receipt_id(bench.clock.now)
        envelope = json.loads(signed(statement, attacker))
        envelope["signatures"][0]["keyid"] = keyid
        insert_forged(bench, json.dumps(envelope))


def test_forged_envelopes_under_the_trusted_key_id_open_nothing(bench: Bench) -> None:
    data = bench.data()
    forged(bench, data, keyid=bench.signer.keyid)
    assert "does not hold" in refused(bench, data).what
    assert rules(bench).count(REFUSED) == 2


def test_forged_envelopes_beside_real_receipts_do_not_shut_the_guard(bench: Bench) -> None:
    data = bench.data()
    forged(bench, data, keyid=bench.signer.keyid)
    allow_both(bench, data)
    at_guard(bench, data)
    assert rules(bench) == [REFUSED, REFUSED, ACCEPTED, ACCEPTED]


def test_damaged_ledger_row_shuts_the_guard(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    engine = create_engine(f"sqlite:///{bench.folder / 'ledger.db'}", poolclass=NullPool)
    with engine.begin() as db:
        db.execute(text("DROP TRIGGER interlock_entries_no_UPDATE"))
        db.execute(text("UPDATE interlock_entries SET envelope = 'garbage' WHERE seq = 1"))
    error = refused(bench, data)
    assert "the evidence is damaged: entry 1 was altered" in error.what
    assert "restore the ledger from a backup" in error.next_step
    assert DAMAGED in rules(bench)


@pytest.mark.parametrize("verdict", [Verdict.DENY, Verdict.UNDECIDED], ids=lambda verdict: verdict.value)
def test_policy_that_does_not_allow_shuts_the_guard(verdict: Verdict, bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    bench.decider.verdict = verdict
    assert "told to" in refused(bench, data).what


def test_receipts_of_another_run_are_for_policy_to_judge(bench: Bench) -> None:
    data = bench.data()
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, run=replace(RUN, run_id="yesterday"))
    at_guard(bench, data)
    shown = bench.decider.asked[0]["receipts"]
    assert isinstance(shown, list)
    assert [(one["same_run"], one["same_pipeline"]) for one in shown] == [(False, True), (False, True)]

    def same_run_only(document: object) -> bool:
        return all(one["same_run"] for one in document["receipts"])  # type: ignore[index]  # JSON

    bench.decider.decide = lambda document: (  # type: ignore[method-assign]  # a profile that asks for the same run
        type(bench.decider)(verdict=Verdict.ALLOW if same_run_only(document) else Verdict.DENY).decide(document)
    )
    refused(bench, data)


def test_receipt_of_this_run_decides_before_those_of_others(bench: Bench) -> None:
    data = bench.data()
    subject = allow_both(bench, data)
    bench.receipt(subject, "data-poisoning", Verdict.DENY, run=replace(RUN, pipeline="somebody-elses"))
    at_guard(bench, data)


def test_another_pipelines_run_of_the_same_name_is_not_this_run(bench: Bench) -> None:
    data = bench.data()
    subject = bench.subject(data)
    for gate in REQUIRES:
        bench.receipt(subject, gate, run=replace(RUN, pipeline="other"))
    at_guard(bench, data)
    shown = bench.decider.asked[0]["receipts"]
    assert isinstance(shown, list)
    assert not any(one["same_run"] or one["same_pipeline"] for one in shown)


def test_known_bundle_of_a_policy_roll_out_counts(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    bench.decider.bundle = "d" * 64
    refused(bench, data)
    at_guard(bench, data, known_bundles=[BUNDLE])


def test_dev_receipts_are_shown_to_policy_as_dev(bench: Bench) -> None:
    data = bench.data()
    bench.keyring = KeyRing([replace(trusted(bench.signer), dev=True)])
    allow_both(bench, data)
    at_guard(bench, data)
    shown = bench.decider.asked[0]["receipts"]
    assert isinstance(shown, list)
    assert all(one["dev"] for one in shown)


def test_what_cannot_be_held_is_a_subject_error_and_never_opens(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    (data / "link").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeSubjectError):
        at_guard(bench, data)
    with pytest.raises(SubjectNotFoundError):
        at_guard(bench, bench.folder / "none")


@pytest.mark.parametrize(
    ("kind", "requires"),
    [
        pytest.param("training", (), id="nothing required"),
        pytest.param("training", ("data-validatoin",), id="misspelt gate"),
        pytest.param("traning", REQUIRES, id="misspelt kind"),
    ],
)
def test_guard_that_is_set_wrongly_is_a_usage_error(kind: str, requires: tuple[str, ...], bench: Bench) -> None:
    context = GateContext(run=RUN, profile="standard")
    with (
        pytest.raises(UsageError),
        bench.guard().open(str(bench.data()), kind=kind, requires=requires, context=context),
    ):
        pass


def test_error_inside_the_step_passes_through(bench: Bench) -> None:
    data = bench.data()
    allow_both(bench, data)
    context = GateContext(run=RUN, profile="standard")
    with (
        pytest.raises(ZeroDivisionError),
        bench.guard().open(str(data), kind="training", requires=REQUIRES, context=context),
    ):
        _ = 1 / 0


RECEIPT: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {
        "gate": st.sampled_from(REQUIRES),
        "verdict": st.sampled_from(["ALLOW", "DENY", "UNDECIDED"]),
        "stage": st.sampled_from(["gate", "guard"]),
        "bundle": st.sampled_from([BUNDLE, "0" * 64]),
        "stranger": st.booleans(),
    }
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(receipts=st.lists(RECEIPT, max_size=5))
def test_guard_opens_only_if_the_newest_good_receipt_of_every_gate_allows(
    receipts: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    bench, stranger = Bench.at(tmp_path_factory.mktemp("bench")), new_signer()
    data = bench.data()
    subject = bench.subject(data)
    newest: dict[str, str] = {}
    for one in receipts:
        bench.receipt(
            subject,
            one["gate"],
            Verdict(one["verdict"]),
            stage=Stage(one["stage"]),
            bundle=one["bundle"],
            signer=stranger if one["stranger"] else None,
        )
        if one["stage"] == "gate" and one["bundle"] == BUNDLE and not one["stranger"]:
            newest[one["gate"]] = one["verdict"]
    opened = False
    with suppress(GuardError):
        at_guard(bench, data)
        opened = True
    assert opened == all(newest.get(gate) == "ALLOW" for gate in REQUIRES)
