"""Receipts: what survives a round trip, and every way to forge, bend or reuse one that must be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.bench import (
    LIFETIME,
    NOON,
    RUN,
    Bench,
    decision,
    new_signer,
    report,
    signed,
    statement_in,
    trusted,
)

from interlock.evidence import CLOCK_SKEW, KeyRing, Receipt, authentic, verify_receipt
from interlock.evidence.receipt import new_receipt_id, receipt_from, statement_document
from interlock.gate import (
    Decision,
    EvidenceError,
    Finding,
    GateContext,
    InterlockError,
    Level,
    Reason,
    ReceiptError,
    Recorded,
    RunIdentity,
    Severity,
    SignatureError,
    Stage,
    Subject,
    Tool,
    Verdict,
)
from interlock.gate.documents import canonical_json

SIGNER = new_signer()
RING = KeyRing([trusted(SIGNER)])
SCHEMA = json.loads((Path(__file__).parents[2] / "policies" / "schemas" / "receipt.json").read_text())

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGEST = st.text("0123456789abcdef", min_size=64, max_size=64)
SUBJECT = st.builds(Subject, name=TEXT, uri=TEXT, digest=DIGEST)
REASON = st.builds(Reason, id=TEXT, title=TEXT, severity=st.sampled_from(Severity), message=TEXT, remediation=TEXT)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    verdict = draw(st.sampled_from(Verdict))
    allowed = verdict is Verdict.ALLOW
    return Decision(
        verdict=verdict,
        reasons=() if allowed else tuple(draw(st.lists(REASON, max_size=2))),
        warnings=tuple(draw(st.lists(REASON, max_size=2))),
        exemptions=tuple(draw(st.lists(TEXT, max_size=2))),
        engine=draw(TEXT),
        engine_version=draw(TEXT),
        bundle_digest=draw(DIGEST | st.just("")),
        decision_id=draw(TEXT),
        errors=() if allowed else tuple(draw(st.lists(TEXT, max_size=2))),
    )


RECEIPT = st.builds(
    Receipt,
    receipt_id=st.just(new_receipt_id(NOON)),
    subject=SUBJECT,
    parts=st.lists(SUBJECT.map(lambda part: replace(part, uri="")), max_size=3).map(tuple),
    gate=st.sampled_from(["data-validation", "training", "deployment", "pipeline"]),
    stage=st.sampled_from(Stage),
    profile=TEXT,
    run=st.builds(
        RunIdentity,
        orchestrator=TEXT,
        pipeline=TEXT,
        run_id=TEXT,
        task_id=TEXT,
        attempt=st.integers(0, 9),
        map_index=st.integers(-1, 9),
    ),
    decision=decisions(),
    report_digest=DIGEST,
    configuration_digest=DIGEST,
    tools=st.lists(st.builds(Tool, name=TEXT, version=TEXT), max_size=2).map(tuple),
    materials=st.lists(SUBJECT, max_size=2).map(tuple),
    inputs=st.lists(
        st.builds(Recorded, receipt_id=st.just(new_receipt_id(NOON)), envelope_digest=DIGEST), max_size=2
    ).map(tuple),
    keyid=DIGEST,
    dev=st.booleans(),
    issued=st.just(NOON),
    expires=st.just(NOON + LIFETIME),
)


@settings(max_examples=60, deadline=None)
@given(receipt=RECEIPT)
def test_receipt_survives_a_round_trip(receipt: Receipt) -> None:
    document = statement_document(receipt, report(receipt.subject))
    assert receipt_from(canonical_json(document)) == receipt


def test_receipt_ids_sort_by_time_and_differ() -> None:
    ids = [new_receipt_id(NOON + timedelta(seconds=second)) for second in range(50)]
    assert ids == sorted(ids)
    assert len({new_receipt_id(NOON) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("gate", "stage", "predicate"),
    [
        ("data-validation", Stage.GATE, "https://in-toto.io/attestation/test-result/v0.1"),
        ("training", Stage.GATE, "https://slsa.dev/provenance/v1"),
        ("training", Stage.GUARD, "https://slsa.dev/verification_summary/v1"),
        ("deployment", Stage.GATE, "https://slsa.dev/verification_summary/v1"),
        ("deployment", Stage.GUARD, "https://slsa.dev/verification_summary/v1"),
    ],
)
@pytest.mark.parametrize("verdict", Verdict, ids=lambda verdict: verdict.value)
def test_recorded_receipt_fits_the_published_schema(
    gate: str, stage: Stage, predicate: str, verdict: Verdict, bench: Bench
) -> None:
    subject = bench.subject(bench.data())
    recorded = bench.receipt(subject, gate, verdict, stage=stage, materials=[subject])
    statement = statement_in(bench.entry(recorded).envelope)
    jsonschema.Draft202012Validator(SCHEMA).validate(statement)
    assert statement["predicateType"] == predicate
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["digest"]["sha256"] == subject.digest
    result = statement["predicate"].get("result", statement["predicate"].get("verificationResult"))
    assert result in ({"PASSED", None} if verdict is Verdict.ALLOW else {"FAILED", None})


def test_receipt_of_a_folder_names_each_file_for_stock_tools(bench: Bench) -> None:
    recorded = bench.receipt(bench.subject(bench.data()))
    receipt = verify_receipt(bench.entry(recorded).envelope, bench.keyring, now=NOON)
    assert [part.name for part in receipt.parts] == ["train/part-0.csv"]


def test_recorded_receipt_binds_all_that_it_should(bench: Bench) -> None:
    subject = bench.subject(bench.data())
    recorded = bench.receipt(subject, "training", materials=[subject])
    entry = bench.entry(recorded)
    receipt = verify_receipt(entry.envelope, bench.keyring, now=NOON)
    assert receipt.receipt_id == recorded.receipt_id
    assert (receipt.subject, receipt.materials) == (subject, (subject,))
    assert receipt.run == replace(RUN, task_id="training")
    assert receipt.report_digest == entry.report_digest
    assert (receipt.engine, receipt.engine_version, receipt.bundle_digest) == ("told", "1", "b" * 64)
    assert receipt.expires - receipt.issued == LIFETIME
    assert [tool.name for tool in receipt.tools] == ["tool", "interlock"]


def base() -> Any:
    """The statement of a good receipt, to be bent."""
    subject = Subject(name="train", uri="file:///lake/train", digest="a" * 64)
    receipt = Receipt(
        receipt_id=new_receipt_id(NOON),
        subject=subject,
        gate="data-validation",
        stage=Stage.GATE,
        profile="standard",
        run=RUN,
        decision=decision(),
        report_digest="c" * 64,
        configuration_digest="d" * 64,
        tools=(Tool(name="tool", version="1"),),
        keyid=SIGNER.keyid,
        dev=False,
        issued=NOON,
        expires=NOON + LIFETIME,
    )
    return statement_document(receipt, report(subject))


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every field and item of a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inside for path in [(*here, key), *paths(item, (*here, key))]]


def parent_of(statement: Any, path: tuple[Any, ...]) -> Any:
    for key in path[:-1]:
        statement = statement[key]
    return statement


FIELDS = [path for path in paths(base()) if isinstance(path[-1], str)]


def test_the_unbent_statement_verifies() -> None:
    assert verify_receipt(signed(base(), SIGNER), RING, now=NOON).verdict is Verdict.ALLOW


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: "/".join(map(str, path)))
def test_signed_receipt_without_a_field_is_refused(path: tuple[Any, ...]) -> None:
    statement = base()
    del parent_of(statement, path)[path[-1]]
    if path == ("subject", 0, "uri"):  # optional in a resource, so it is the contradiction that is found
        path = ("subject",)
    with pytest.raises(ReceiptError):
        verify_receipt(signed(statement, SIGNER), RING, now=NOON)


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: "/".join(map(str, path)))
@pytest.mark.parametrize("wrong", [None, 7, True, [1], {"x": 1}], ids=["null", "number", "truth", "array", "object"])
def test_signed_receipt_with_a_mistyped_field_is_refused(path: tuple[Any, ...], wrong: object) -> None:
    statement = base()
    parent = parent_of(statement, path)
    numeric = path[-1] in {"attempt", "map_index"} and wrong == 7 and not isinstance(wrong, bool)
    boolean = path[-1] == "dev" and wrong is True
    if numeric or boolean:
        return
    parent[path[-1]] = wrong
    with pytest.raises(ReceiptError):
        verify_receipt(signed(statement, SIGNER), RING, now=NOON)


@pytest.mark.parametrize(
    "path",
    [path for path in paths(base()) if isinstance(parent_of(base(), (*path, "x")), dict)] + [()],
    ids=lambda path: "/".join(map(str, path)) or "statement",
)
def test_signed_receipt_with_an_unknown_field_is_refused(path: tuple[Any, ...]) -> None:
    statement = base()
    parent_of(statement, (*path, "x"))["allow_anyway"] = True
    with pytest.raises(ReceiptError):
        verify_receipt(signed(statement, SIGNER), RING, now=NOON)


def bound(statement: Any) -> Any:
    return statement["predicate"]["interlock_receipt"]


def swap_subject(statement: Any) -> None:
    statement["subject"][0]["digest"]["sha256"] = "e" * 64


def swap_bound_subject(statement: Any) -> None:
    bound(statement)["subject"]["digest"]["sha256"] = "e" * 64


def result_says_passed_verdict_says_deny(statement: Any) -> None:
    bound(statement)["decision"]["verdict"] = "DENY"


def verdict_says_allow_with_reasons(statement: Any) -> None:
    reason = {"id": "x", "title": "x", "severity": "high", "message": "x", "remediation": "", "controls": []}
    bound(statement)["decision"]["reasons"] = [reason]


def another_predicate_type(statement: Any) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


def guard_stage_in_a_gate_predicate(statement: Any) -> None:
    bound(statement)["stage"] = "guard"


def expires_before_it_is_issued(statement: Any) -> None:
    bound(statement)["expires"] = "2026-11-23T11:00:00.000000Z"


def another_statement_type(statement: Any) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


def unknown_gate(statement: Any) -> None:
    bound(statement)["gate"] = "coffee"


def unknown_verdict(statement: Any) -> None:
    bound(statement)["decision"]["verdict"] = "ALLOWED"


def impossible_date(statement: Any) -> None:
    bound(statement)["issued"] = "2026-13-45T12:00:00.000000Z"


def upper_case_digest(statement: Any) -> None:
    bound(statement)["report_digest"]["sha256"] = "C" * 64


def digest_with_a_line_break(statement: Any) -> None:
    bound(statement)["report_digest"]["sha256"] = "c" * 63 + "\n"


def names_another_signer(statement: Any) -> None:
    bound(statement)["signer"]["keyid"] = "f" * 64


def half_a_surrogate(statement: Any) -> None:
    bound(statement)["profile"] = "\ud800"


@pytest.mark.parametrize(
    "bend",
    [
        swap_subject,
        swap_bound_subject,
        result_says_passed_verdict_says_deny,
        verdict_says_allow_with_reasons,
        another_predicate_type,
        guard_stage_in_a_gate_predicate,
        expires_before_it_is_issued,
        another_statement_type,
        unknown_gate,
        unknown_verdict,
        impossible_date,
        upper_case_digest,
        digest_with_a_line_break,
        names_another_signer,
        half_a_surrogate,
    ],
    ids=lambda bend: bend.__name__.replace("_", " "),
)
def test_signed_receipt_that_makes_no_sense_is_refused(bend: Callable[[Any], None]) -> None:
    statement = base()
    bend(statement)
    with pytest.raises(ReceiptError):
        verify_receipt(signed(statement, SIGNER), RING, now=NOON)


def test_receipt_of_an_unknown_key_is_refused() -> None:
    stranger = new_signer()
    statement = base()
    bound(statement)["signer"]["keyid"] = stranger.keyid
    with pytest.raises(SignatureError, match="no trusted key") as refused:
        verify_receipt(signed(statement, stranger), RING, now=NOON)
    assert stranger.keyid[:16] in str(refused.value)


def test_receipt_of_a_stranger_under_a_trusted_key_id_is_refused() -> None:
    envelope = json.loads(signed(base(), new_signer()))
    envelope["signatures"][0]["keyid"] = SIGNER.keyid
    with pytest.raises(SignatureError, match="does not hold"):
        verify_receipt(json.dumps(envelope), RING, now=NOON)


def test_altered_payload_is_refused() -> None:
    envelope = json.loads(signed(base(), SIGNER))
    other = base()
    other["subject"][0]["digest"]["sha256"] = "e" * 64
    bound(other)["subject"]["digest"]["sha256"] = "e" * 64
    envelope["payload"] = json.loads(signed(other, SIGNER))["payload"]
    with pytest.raises(SignatureError, match="does not hold"):
        verify_receipt(json.dumps(envelope), RING, now=NOON)


def test_signature_over_another_payload_type_is_refused() -> None:
    with pytest.raises(ReceiptError, match="payloadType"):
        verify_receipt(signed(base(), SIGNER, payload_type="application/json"), RING, now=NOON)


def test_payload_type_that_was_changed_afterwards_is_refused() -> None:
    envelope = json.loads(signed(base(), SIGNER, payload_type="application/json"))
    envelope["payloadType"] = "application/vnd.in-toto+json"
    with pytest.raises(SignatureError, match="does not hold"):
        verify_receipt(json.dumps(envelope), RING, now=NOON)


def test_further_signature_of_a_stranger_neither_helps_nor_harms() -> None:
    assert verify_receipt(signed(base(), SIGNER, new_signer()), RING, now=NOON)
    with pytest.raises(SignatureError):
        verify_receipt(signed(base(), new_signer(), new_signer()), RING, now=NOON)


def test_further_trusted_signature_must_hold_too() -> None:
    second = new_signer()
    ring = KeyRing([trusted(SIGNER), trusted(second, "second")])
    envelope = signed(base(), SIGNER, second)
    assert verify_receipt(envelope, ring, now=NOON).keyid == SIGNER.keyid
    broken = json.loads(envelope)
    broken["signatures"][1]["sig"] = broken["signatures"][0]["sig"]
    with pytest.raises(SignatureError, match="second"):
        verify_receipt(json.dumps(broken), ring, now=NOON)


def test_receipt_signed_only_by_another_trusted_key_than_it_names_is_refused() -> None:
    second = new_signer()
    ring = KeyRing([trusted(SIGNER), trusted(second, "second")])
    with pytest.raises(ReceiptError, match="another signer"):
        verify_receipt(signed(base(), second), ring, now=NOON)


def test_key_that_may_not_sign_this_gate_is_refused() -> None:
    ring = KeyRing([trusted(SIGNER, gates=["training"])])
    with pytest.raises(SignatureError, match="may not sign data-validation"):
        verify_receipt(signed(base(), SIGNER), ring, now=NOON)


def test_expired_receipt_is_refused_to_the_moment() -> None:
    envelope = signed(base(), SIGNER)
    assert verify_receipt(envelope, RING, now=NOON + LIFETIME - timedelta(microseconds=1))
    with pytest.raises(ReceiptError, match="expired at 2026-11-23T13:00") as refused:
        verify_receipt(envelope, RING, now=NOON + LIFETIME)
    assert refused.value.next_step
    assert authentic(envelope, RING).receipt.expires == NOON + LIFETIME


def test_receipt_of_the_future_is_refused_beyond_a_small_skew() -> None:
    envelope = signed(base(), SIGNER)
    assert verify_receipt(envelope, RING, now=NOON - CLOCK_SKEW)
    with pytest.raises(ReceiptError, match="not valid before"):
        verify_receipt(envelope, RING, now=NOON - CLOCK_SKEW - timedelta(microseconds=1))


def test_receipt_of_a_dev_key_is_dev_even_if_it_says_otherwise() -> None:
    ring = KeyRing([replace(trusted(SIGNER), dev=True)])
    assert verify_receipt(signed(base(), SIGNER), ring, now=NOON).dev


def envelope_with(**fields: object) -> str:
    return json.dumps(json.loads(signed(base(), SIGNER)) | fields)


SIGNATURE = json.loads(signed(base(), SIGNER))["signatures"][0]


@pytest.mark.parametrize(
    "envelope",
    [
        pytest.param("", id="empty"),
        pytest.param("not json", id="no JSON"),
        pytest.param("[" * 100_000, id="bottomless nesting"),
        pytest.param("[]", id="no object"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param('{"verdict": "ALLOW"}', id="bare verdict, as XCom would carry it"),
        pytest.param(envelope_with(extra=1), id="unknown field"),
        pytest.param(envelope_with(payload=None), id="payload null"),
        pytest.param(envelope_with(payload="***"), id="payload no base64"),
        pytest.param(envelope_with(payload=""), id="payload empty"),
        pytest.param(envelope_with(signatures=[]), id="no signature"),
        pytest.param(envelope_with(signatures=None), id="signatures null"),
        pytest.param(envelope_with(signatures=[SIGNATURE] * 17), id="too many signatures"),
        pytest.param(envelope_with(signatures=[SIGNATURE, SIGNATURE]), id="one key twice"),
        pytest.param(envelope_with(signatures=[{"sig": SIGNATURE["sig"]}]), id="signature without key id"),
        pytest.param(envelope_with(signatures=[SIGNATURE | {"x": 1}]), id="signature with unknown field"),
        pytest.param(envelope_with(signatures=[SIGNATURE | {"sig": "***"}]), id="signature no base64"),
        pytest.param(envelope_with(signatures=[SIGNATURE | {"sig": ""}]), id="signature empty"),
        pytest.param(envelope_with(signatures=[SIGNATURE | {"keyid": 1}]), id="key id a number"),
        pytest.param('{"payload":"","payload":"","payloadType":"","signatures":[]}', id="repeated name"),
    ],
)
def test_envelope_of_another_shape_is_refused(envelope: str | bytes) -> None:
    with pytest.raises(EvidenceError):
        verify_receipt(envelope, RING, now=NOON)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"_type": NaN}', id="NaN"),
        pytest.param(b'{"a":1,"a":2}', id="repeated name"),
        pytest.param(b"\xff", id="no UTF-8"),
        pytest.param(b"[" * 100_000, id="bottomless nesting"),
        pytest.param(json.dumps({"_type": "layout"}).encode(), id="in-toto layout"),
    ],
)
def test_signed_payload_that_is_no_receipt_is_refused(payload: bytes) -> None:
    with pytest.raises(ReceiptError):
        verify_receipt(signed(payload, SIGNER), RING, now=NOON)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_change_to_an_envelope_gives_another_receipt(data: st.DataObject) -> None:
    envelope = signed(base(), SIGNER)
    good = verify_receipt(envelope, RING, now=NOON)
    place = data.draw(st.integers(0, len(envelope) - 1))
    changed = envelope[:place] + data.draw(st.characters()) + envelope[place + 1 :]
    with suppress(InterlockError):
        assert verify_receipt(changed, RING, now=NOON) == good


def test_report_that_json_cannot_say_is_an_error_and_no_receipt(bench: Bench) -> None:
    odd = Finding(rule_id="x", level=Level.ERROR, message="\ud800")
    with pytest.raises(EvidenceError, match="cannot be written down"):
        bench.recorder().record(
            report(bench.subject(bench.data()), "data-validation", odd),
            decision(),
            GateContext(run=RUN, profile="dev"),
        )
    assert bench.ledger.head().seq == 0


@pytest.mark.parametrize(
    ("left", "lives"),
    [
        pytest.param(None, LIFETIME, id="no exemption"),
        pytest.param(LIFETIME * 2, LIFETIME, id="a longer exemption"),
        pytest.param(LIFETIME / 2, LIFETIME / 2, id="a shorter exemption"),
        pytest.param(timedelta(0), timedelta(milliseconds=1), id="one that ran out meanwhile"),
    ],
)
def test_a_receipt_ends_with_the_exemption_it_rests_on(bench: Bench, left: timedelta | None, lives: timedelta) -> None:
    judged = replace(decision(), not_after=None if left is None else NOON + left)
    subject = bench.subject(bench.data())
    recorded = bench.recorder().record(report(subject), judged, GateContext(run=RUN, profile="standard"))
    receipt = authentic(bench.entry(recorded).envelope, bench.keyring).receipt
    assert receipt.expires - receipt.issued == lives
