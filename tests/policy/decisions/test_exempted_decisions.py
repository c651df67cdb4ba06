"""The shipped policy and real signatures: the glass breaks for the question that was signed for, and for no other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner

from interlock.evidence import Exemption, GrantFolder, KeyRing, ReceiptSigner, TrustedKey, sign_grant
from interlock.gate import Decision, Verdict
from interlock.policy import Bundle, EmbeddedEngine, Library, PolicyDecider

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIGEST = "0" * 64


def new_signer(*, dev: bool = False) -> ReceiptSigner:
    signer = CryptoSigner.generate_ed25519()
    return ReceiptSigner(signer=signer, public=signer.public_key, dev=dev)


ALICE, DEV, BOB, MALLORY = new_signer(), new_signer(dev=True), new_signer(), new_signer()
RING = KeyRing(
    [
        TrustedKey(name="alice", key=ALICE.public, gates=frozenset(), exemptions=True),
        TrustedKey(name="dev", key=DEV.public, dev=True, exemptions=True),
        TrustedKey(name="bob", key=BOB.public, approvals=True),
    ]
)
GOOD = Exemption(
    id="01M85AY8MSVA66X0943BFC5M7X",
    reason="ticket 17",
    rules=("dataset.expectations-failed",),
    gate="data-validation",
    digest=DIGEST,
    profiles=("standard",),
    issued=NOON - timedelta(hours=1),
    expires=NOON + timedelta(days=1),
)


@pytest.fixture(scope="module")
def shipped(library: Library) -> Iterator[EmbeddedEngine]:
    engine = EmbeddedEngine(Bundle.load(), library=library)
    yield engine
    engine.close()


@pytest.fixture
def denied(examples: Callable[[], Any]) -> dict[str, Any]:
    """A validation in which one expectation failed, at noon, in the profile standard."""
    document: dict[str, Any] = examples()["validation"] | {"profile": "standard", "now": "2026-11-23T12:00:00Z"}
    document["report"]["measures"]["expectations_failed"]["value"] = 1
    for subject in (document["subject"], document["report"]["subject"]):
        subject["digest"]["sha256"] = DIGEST
    return document


def decided(engine: EmbeddedEngine, document: Any, *envelopes: str, now: datetime = NOON) -> Decision:
    with tempfile.TemporaryDirectory() as folder:
        for number, envelope in enumerate(envelopes):
            Path(folder, f"{number}.json").write_text(envelope)
        grants = GrantFolder(Path(folder), RING, clock=lambda: now)
        return PolicyDecider(engine, Bundle.load(), grants=grants).decide(document)


def test_a_good_exemption_sets_its_reason_aside_and_says_so(shipped: EmbeddedEngine, denied: Any) -> None:
    without = decided(shipped, denied)
    assert (without.verdict, [reason.id for reason in without.reasons]) == (
        Verdict.DENY,
        ["dataset.expectations-failed"],
    )
    exempted = decided(shipped, denied, sign_grant(GOOD, ALICE))
    assert (exempted.verdict, exempted.exemptions) == (Verdict.ALLOW, (GOOD.id,))
    assert any("ticket 17" in warning.message for warning in exempted.warnings)


def test_a_receipt_does_not_outlive_the_exemption_it_rests_on(shipped: EmbeddedEngine, denied: Any) -> None:
    short = replace(GOOD, expires=NOON + timedelta(minutes=10))
    assert decided(shipped, denied, sign_grant(short, ALICE)).not_after == short.expires
    unused = replace(short, rules=("dataset.rows",))
    assert decided(shipped, denied, sign_grant(unused, ALICE)).not_after is None


def altered(envelope: str) -> str:
    document = json.loads(envelope)
    document["payload"] = sign_and_take_payload(replace(GOOD, rules=(*GOOD.rules, "gate.findings")))
    return json.dumps(document)


def sign_and_take_payload(exemption: Exemption) -> str:
    return str(json.loads(sign_grant(exemption, MALLORY))["payload"])


FLAWED: dict[str, Callable[[timedelta], str]] = {
    "expired": lambda d: sign_grant(replace(GOOD, issued=NOON - d * 2, expires=NOON - d), ALICE),
    "not yet": lambda d: sign_grant(
        replace(GOOD, issued=NOON + timedelta(minutes=2) + d, expires=NOON + timedelta(minutes=3) + d * 2), ALICE
    ),
    "altered": lambda d: altered(sign_grant(replace(GOOD, expires=NOON + d), ALICE)),
    "a stranger's": lambda d: sign_grant(replace(GOOD, expires=NOON + d), MALLORY),
    "no right": lambda d: sign_grant(replace(GOOD, expires=NOON + d), BOB),
    "other bytes": lambda d: sign_grant(replace(GOOD, digest="1" * 64, expires=NOON + d), ALICE),
    "another gate": lambda d: sign_grant(replace(GOOD, gate="data-poisoning", expires=NOON + d), ALICE),
    "another profile": lambda d: sign_grant(replace(GOOD, profiles=("dev",), expires=NOON + d), ALICE),
    "another rule": lambda d: sign_grant(replace(GOOD, rules=("dataset.rows",), expires=NOON + d), ALICE),
    "a dev key's": lambda d: sign_grant(replace(GOOD, expires=NOON + d), DEV),
    "no JSON": lambda d: "{" * d.days,
}


@hypothesis_settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flaws=st.lists(st.sampled_from(sorted(FLAWED)), min_size=1, max_size=4), hours=st.integers(1, 500))
def test_no_flawed_exemption_changes_a_verdict(
    shipped: EmbeddedEngine, denied: Any, flaws: list[str], hours: int
) -> None:
    span = timedelta(hours=hours)
    decision = decided(shipped, denied, *(FLAWED[flaw](span) for flaw in flaws))
    assert decision.verdict is Verdict.DENY
    assert [reason.id for reason in decision.reasons] == ["dataset.expectations-failed"]
    assert decision.exemptions == ()


def test_a_flawed_exemption_beside_a_good_one_takes_nothing_from_it(shipped: EmbeddedEngine, denied: Any) -> None:
    span = timedelta(hours=1)
    others = [make(span) for flaw, make in sorted(FLAWED.items()) if flaw != "another rule"]
    decision = decided(shipped, denied, *others, sign_grant(replace(GOOD, id="0" * 26), ALICE))
    assert (decision.verdict, decision.exemptions) == (Verdict.ALLOW, ("0" * 26,))


def test_no_exemption_helps_where_nobody_could_tell(shipped: EmbeddedEngine, denied: Any) -> None:
    denied["report"]["measures"]["expectations_failed"]["value"] = "1"
    assert decided(shipped, denied, sign_grant(GOOD, ALICE)).verdict is Verdict.UNDECIDED
