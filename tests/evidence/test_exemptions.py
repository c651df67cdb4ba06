"""Exemptions and approvals: from a key that may sign them, in their time, for this question; else as if absent."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evidence.bench import NOON, Clock, new_signer, signed, statement_in, trusted

from interlock.evidence import Approval, Exemption, GrantFolder, KeyRing, ReceiptSigner, TrustedKey, sign_grant
from interlock.evidence.grants import LONGEST, authentic_grant, check_grant_time
from interlock.evidence.keyring import KeyRing as Ring
from interlock.gate import EvidenceError, ReceiptError, Settings, SettingsError, SignatureError, UsageError
from interlock.gate.protocols import Granted
from interlock.policy.schemas import schema

DIGEST = "a" * 64
EXEMPTION = Exemption(
    id="01M85AY8MSVA66X0943BFC5M7X",
    reason="a known false alarm, ticket 17",
    rules=("dataset.poisoning-flagged",),
    gate="data-poisoning",
    digest=DIGEST,
    profiles=("standard",),
    issued=NOON,
    expires=NOON + timedelta(days=2),
)
APPROVAL = Approval(
    id="01M85AY8MSVA66X0943BFC5M7Y",
    reason="looked at the report",
    step="deployment",
    digest=DIGEST,
    name="model",
    issued=NOON,
    expires=NOON + timedelta(days=1),
)
SIGNER = new_signer()
DEV = new_signer(dev=True)
RING = KeyRing(
    [
        replace(trusted(SIGNER, "alice", []), exemptions=True, approvals=True),
        replace(trusted(DEV, "dev"), exemptions=True, approvals=True),
    ]
)


def asked(folder: Path, ring: KeyRing = RING, *, clock: Clock | None = None, **changes: Any) -> Granted:
    question = {"gate": "data-poisoning", "name": "train.csv", "digest": DIGEST, "profile": "standard"}
    return GrantFolder(folder, ring, clock=clock or Clock()).holding(**{**question, **changes})


def put(folder: Path, envelope: str, name: str = "one.json") -> None:
    (folder / name).write_text(envelope)


def test_a_signed_exemption_is_what_policy_reads_of_it(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    granted = asked(tmp_path)
    assert granted.refused == ()
    (document,) = granted.exemptions
    assert document == {
        "id": EXEMPTION.id,
        "reason": EXEMPTION.reason,
        "rules": ["dataset.poisoning-flagged"],
        "gate": "data-poisoning",
        "digest": {"sha256": DIGEST},
        "profiles": ["standard"],
        "issued": "2026-11-23T12:00:00.000000Z",
        "expires": "2026-11-25T12:00:00.000000Z",
        "by": "alice",
        "keyid": SIGNER.keyid,
        "dev": False,
    }


def test_what_policy_reads_has_the_shape_of_its_schema(tmp_path: Path) -> None:
    from jsonschema import Draft202012Validator

    definitions: Any = schema("decision_input.json")["$defs"]
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    put(tmp_path, sign_grant(replace(EXEMPTION, id="0" * 26, digest="", subject="train.csv"), SIGNER), "named.json")
    put(tmp_path, sign_grant(APPROVAL, DEV), "approval.json")
    exemptions = asked(tmp_path).exemptions
    approvals = asked(tmp_path, gate="deployment").approvals
    assert (len(exemptions), len(approvals)) == (2, 1)
    for kind, documents in (("exemption", exemptions), ("approval", approvals)):
        for document in documents:
            Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": definitions}).validate(document)
    assert approvals[0]["dev"] is True


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"gate": "artifact-scan"}, id="another gate"),
        pytest.param({"digest": "b" * 64}, id="other bytes"),
        pytest.param({"profile": "strict"}, id="another profile"),
    ],
)
def test_an_exemption_for_another_question_is_not_even_mentioned(tmp_path: Path, changes: dict[str, Any]) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    assert asked(tmp_path, **changes) == Granted()


def test_an_exemption_for_a_name_holds_for_that_name_only(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(replace(EXEMPTION, digest="", subject="train.csv"), SIGNER))
    assert len(asked(tmp_path, digest="c" * 64).exemptions) == 1
    assert asked(tmp_path, name="other.csv").exemptions == ()


def test_an_approval_is_for_its_step_and_its_bytes(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(APPROVAL, SIGNER))
    assert [one["by"] for one in asked(tmp_path, gate="deployment").approvals] == ["alice"]
    assert asked(tmp_path, gate="training").approvals == ()
    assert asked(tmp_path, gate="deployment", digest="c" * 64).approvals == ()


def ring_with(signer: ReceiptSigner, **rights: bool) -> KeyRing:
    return KeyRing([replace(trusted(signer, "alice"), **rights)])  # type: ignore[arg-type]  # rights are flags


def altered(change: Callable[[Any], None], *, again: ReceiptSigner | None = None) -> str:
    """A signed exemption whose statement was changed; signed again, or with the signature it had."""
    envelope = json.loads(sign_grant(EXEMPTION, SIGNER))
    statement = statement_in(json.dumps(envelope))
    change(statement)
    if again is not None:
        return signed(statement, again)
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(envelope)


def predicate(**fields: object) -> Callable[[Any], None]:
    return lambda statement: statement["predicate"].update(fields)


MALLORY = new_signer()

UNUSABLE = [
    pytest.param(altered(predicate(expires="2027-01-01T00:00:00.000000Z")), "does not hold", id="expiry put off"),
    pytest.param(altered(predicate(rules=["gate.findings"])), "does not hold", id="another rule"),
    pytest.param(sign_grant(EXEMPTION, MALLORY), "no trusted key", id="a stranger's key"),
    pytest.param(altered(predicate(), again=MALLORY), "no trusted key", id="signed again by a stranger"),
    pytest.param(
        altered(predicate(signer={"keyid": DEV.keyid, "dev": True}), again=SIGNER), "another signer", id="borrowed name"
    ),
    pytest.param(altered(predicate(rules=[]), again=SIGNER), "another shape", id="no rule"),
    pytest.param(altered(predicate(rules=["*"]), again=SIGNER), "another shape", id="every rule"),
    pytest.param(altered(predicate(reason=" "), again=SIGNER), "another shape", id="no reason"),
    pytest.param(altered(predicate(profiles=[]), again=SIGNER), "another shape", id="no profile"),
    pytest.param(altered(predicate(gate="everything"), again=SIGNER), "another shape", id="unknown gate"),
    pytest.param(altered(predicate(expires="tomorrow"), again=SIGNER), "another shape", id="no time"),
    pytest.param(
        altered(predicate(expires="2026-13-40T99:00:00.000000Z"), again=SIGNER),
        "another shape",
        id="a time that is none",
    ),
    pytest.param(altered(predicate(expires="2036-11-23T12:00:00.000000Z"), again=SIGNER), "90 days", id="ten years"),
    pytest.param(
        altered(predicate(expires="2026-11-23T12:00:00.000000Z"), again=SIGNER), "90 days", id="no time at all"
    ),
    pytest.param(altered(predicate(more=1), again=SIGNER), "another shape", id="a field too many"),
    pytest.param(altered(lambda s: s.update(subject=[]), again=SIGNER), "another shape", id="no subject"),
    pytest.param(
        altered(lambda s: s.update(subject=s["subject"] * 2), again=SIGNER), "another shape", id="two subjects"
    ),
    pytest.param(
        altered(lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), again=SIGNER),
        "neither an exemption",
        id="another predicate",
    ),
    pytest.param(signed([EXEMPTION.id], SIGNER), "neither an exemption", id="a list"),
    pytest.param(signed(b"\xff\xfe", SIGNER), "no JSON", id="no JSON inside"),
    pytest.param("{", "no JSON", id="no JSON"),
    pytest.param("", "no JSON", id="an empty file"),
    pytest.param("x" * 70_000, "larger", id="a huge file"),
]


@pytest.mark.parametrize(("envelope", "why"), UNUSABLE)
def test_what_cannot_be_used_is_as_if_absent_and_said(tmp_path: Path, envelope: str, why: str) -> None:
    put(tmp_path, envelope)
    (found,) = GrantFolder(tmp_path, RING, clock=Clock()).read()
    assert not found.holds
    assert why in found.problem
    granted = asked(tmp_path)
    assert (granted.exemptions, granted.approvals) == ((), ())


def of_no_time() -> str:
    """Signed by nobody, for a moment before the year 1 in UTC."""
    statement = statement_in(sign_grant(EXEMPTION, SIGNER))
    statement["predicate"]["issued"] = "0001-01-01T00:00:00+23:59"
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    signatures = [{"keyid": "nobody", "sig": "eA=="}]
    return json.dumps({"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": signatures})


@pytest.mark.parametrize("broken", [pytest.param("{", id="no JSON"), pytest.param(of_no_time(), id="of no time")])
def test_a_broken_file_does_not_keep_a_good_one_from_counting(broken: str, tmp_path: Path) -> None:
    put(tmp_path, broken, "a.json")
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), "b.json")
    granted = asked(tmp_path)
    assert len(granted.exemptions) == 1
    assert granted.refused[0].startswith("a.json: ")


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        pytest.param(NOON, True, id="when it was issued"),
        pytest.param(NOON + timedelta(days=2, microseconds=-1), True, id="just before it expires"),
        pytest.param(NOON + timedelta(days=2), False, id="when it expires"),
        pytest.param(NOON - timedelta(seconds=30), True, id="by a clock that is a little behind"),
        pytest.param(NOON - timedelta(hours=1), False, id="before it was issued"),
    ],
)
def test_an_exemption_holds_in_its_time_only(tmp_path: Path, moment: Any, *, holds: bool) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    granted = asked(tmp_path, clock=Clock(moment))
    assert bool(granted.exemptions) is holds
    assert bool(granted.refused) is not holds


def test_a_key_signs_only_what_it_may(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), "exemption.json")
    put(tmp_path, sign_grant(APPROVAL, SIGNER), "approval.json")
    for rights, kinds in (({}, (0, 0)), ({"exemptions": True}, (1, 0)), ({"approvals": True}, (0, 1))):
        ring = ring_with(SIGNER, **rights)
        counted = len(asked(tmp_path, ring).exemptions), len(asked(tmp_path, ring, gate="deployment").approvals)
        assert counted == kinds
    assert "may not sign exemptions" in asked(tmp_path, ring_with(SIGNER)).refused[0]


def test_a_key_that_one_file_lets_and_another_does_not_may_not(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    may = replace(trusted(SIGNER, "a"), exemptions=True)
    assert asked(tmp_path, Ring([may, trusted(SIGNER, "b")])).exemptions == ()


def test_taking_the_file_away_takes_the_exemption_back(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER))
    folder = GrantFolder(tmp_path, RING, clock=Clock())
    question = {"gate": "data-poisoning", "name": "n", "digest": DIGEST, "profile": "standard"}
    assert folder.holding(**question).exemptions
    (tmp_path / "one.json").unlink()
    assert folder.holding(**question) == Granted()


def test_many_files_of_a_stranger_cost_no_more_than_strictness(tmp_path: Path) -> None:
    for number in range(1100):
        put(tmp_path, "{", f"a{number}.json")
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), "z.json")
    granted = asked(tmp_path)
    assert granted.exemptions == ()
    assert len(granted.refused) == 6
    assert granted.refused[-1] == "and 995 more"


def test_one_id_counts_once(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), "a.json")
    put(tmp_path, sign_grant(replace(EXEMPTION, rules=("gate.findings",)), SIGNER), "b.json")
    granted = asked(tmp_path)
    assert [one["rules"] for one in granted.exemptions] == [["dataset.poisoning-flagged"]]
    assert "already" in granted.refused[0]


@pytest.mark.parametrize("make", [pytest.param(os.mkfifo, id="pipe"), pytest.param(os.mkdir, id="folder")])
def test_what_is_no_file_is_said_and_does_not_hang(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.json")
    (found,) = GrantFolder(tmp_path, RING).read()
    assert "no regular file" in found.problem or "cannot be read" in found.problem


def test_a_mounted_file_is_a_link_and_counts(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "one").write_text(sign_grant(EXEMPTION, SIGNER))
    (tmp_path / "one.json").symlink_to("..data/one")
    assert asked(tmp_path).exemptions


def test_a_file_named_in_no_known_letters_can_be_said(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json"))).write_text("{")
    (said,) = asked(tmp_path).refused
    assert said.encode()


def test_no_folder_and_other_files_hold_nothing(tmp_path: Path) -> None:
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), "one.txt")
    put(tmp_path, sign_grant(EXEMPTION, SIGNER), ".hidden.json")
    assert asked(tmp_path) == Granted() == asked(tmp_path / "none")


@pytest.mark.parametrize(
    "grant",
    [
        pytest.param(replace(EXEMPTION, expires=NOON + LONGEST + timedelta(seconds=1)), id="too long"),
        pytest.param(replace(EXEMPTION, expires=NOON), id="no time"),
        pytest.param(replace(EXEMPTION, reason=""), id="no reason"),
        pytest.param(replace(EXEMPTION, rules=("Everything",)), id="no rule id"),
        pytest.param(replace(EXEMPTION, digest="", subject=""), id="for nothing"),
        pytest.param(replace(APPROVAL, digest="abc"), id="a short digest"),
    ],
)
def test_what_nobody_would_accept_is_not_signed(grant: Exemption | Approval) -> None:
    with pytest.raises(UsageError):
        sign_grant(grant, SIGNER)


def settings(folder: Path) -> Settings:
    return replace(Settings.load({}, system_file=folder / "none"), trusted_keys=folder)


def loaded(folder: Path, limits: object, name: str = "alice") -> TrustedKey:
    (folder / f"{name}.pub").write_text(SIGNER.public_pem)
    if limits is not None:
        (folder / f"{name}.json").write_text(json.dumps(limits))
    (key,) = KeyRing.load(settings(folder))
    return key


@pytest.mark.parametrize(
    ("limits", "name", "rights"),
    [
        pytest.param(None, "alice", (False, False), id="nothing said"),
        pytest.param({"gates": []}, "alice", (False, False), id="gates said"),
        pytest.param({"exemptions": True}, "alice", (True, False), id="exemptions"),
        pytest.param({"approvals": True, "gates": []}, "alice", (False, True), id="approvals only"),
        pytest.param({"dev": True}, "alice", (False, False), id="a dev key by its file"),
        pytest.param(None, "dev", (True, True), id="the dev key"),
        pytest.param({"exemptions": False}, "dev", (False, True), id="the dev key, limited"),
    ],
)
def test_who_may_sign_is_in_the_file_beside_the_key(
    tmp_path: Path, limits: object, name: str, rights: tuple[bool, bool]
) -> None:
    key = loaded(tmp_path, limits, name)
    assert (key.exemptions, key.approvals) == rights


@pytest.mark.parametrize("said", [{"exemptions": "yes"}, {"approvals": 1}, {"exemption": True}])
def test_a_right_that_cannot_be_read_is_an_error_and_no_right(tmp_path: Path, said: object) -> None:
    with pytest.raises(SettingsError, match=r"alice\.json"):
        loaded(tmp_path, said)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(SignatureError, match=r"put \{\"exemptions\": true\} into alice\.json"):
        authentic_grant(sign_grant(EXEMPTION, SIGNER), ring_with(SIGNER))
    with pytest.raises(ReceiptError, match="sign a new one"):
        check_grant_time(EXEMPTION, NOON + timedelta(days=3))


ENVELOPE = sign_grant(EXEMPTION, SIGNER).encode()


@given(place=st.integers(0, len(ENVELOPE) - 1), flip=st.integers(1, 255))
def test_no_altered_byte_makes_another_exemption(place: int, flip: int) -> None:
    """Either it is refused, or it is (for example in white space or a key's hint) the same exemption still."""
    changed = bytearray(ENVELOPE)
    changed[place] ^= flip
    try:
        found = authentic_grant(bytes(changed), RING)
    except EvidenceError:
        return
    assert found.grant == EXEMPTION
    assert found.signed.by == "alice"
