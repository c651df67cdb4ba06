"""Breaking the glass as a person does it: sign, see it used, see it refused, and see what a new policy would change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Interlock, Said

from interlock.policy.bundles.bundle import packaged_folder

HOSTILE = b"cos\nsystem\n(S'true'\ntR."
RULES = ("gate.findings", "model.unsafe-code", "model.formats")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pkl"
    path.write_bytes(HOSTILE)
    return path


def rules(*ids: str) -> list[str]:
    return [word for one in ids or RULES for word in ("--rule", one)]


def exempted(interlock: Interlock, subject: object, *more: str) -> Said:
    reason = ("--reason", "ticket 17: a known false alarm")
    return interlock("exempt", subject, "--gate", "artifact-scan", *rules(), *reason, *more)


def scan(interlock: Interlock, model: Path) -> Any:
    return json.loads(interlock("gate", "artifact-scan", model, "--format", "json").out)


def test_an_exemption_lets_one_subject_pass_and_shows_everywhere(interlock: Interlock, model: Path) -> None:
    assert scan(interlock, model)["verdict"] == "DENY"
    said = exempted(interlock, model, "--days", "2")
    assert said.status == 0
    assert "dev key" in said.err
    exemption = said.out.split()[1]

    outcome = scan(interlock, model)
    assert outcome["verdict"] == "ALLOW"
    assert outcome["decision"]["exemptions"] == [exemption]
    listed = interlock("ledger", "list").out.splitlines()
    assert f"EXEMPTED by {exemption}" in listed[0]
    assert "EXEMPTED" not in listed[1]
    shown = interlock("ledger", "show", outcome["receipt_id"]).out
    assert f"EXEMPTED  exemption {exemption} was used" in shown
    assert outcome["decision"]["decision_id"] in shown
    assert interlock("ledger", "verify").out.startswith("2 receipts, 2 logged decisions and 0 enforcement events")

    model.write_bytes(HOSTILE + b" ")
    assert scan(interlock, model)["verdict"] == "DENY"


def test_taking_the_file_away_takes_it_back(interlock: Interlock, model: Path, home: Path) -> None:
    exempted(interlock, model)
    assert scan(interlock, model)["verdict"] == "ALLOW"
    (place,) = (home / "exemptions").iterdir()
    place.unlink()
    assert scan(interlock, model)["verdict"] == "DENY"


def test_an_altered_exemption_is_as_if_absent_and_the_receipt_says_so(
    interlock: Interlock, model: Path, home: Path
) -> None:
    exempted(interlock, model)
    (place,) = (home / "exemptions").iterdir()
    envelope = json.loads(place.read_text())
    envelope["signatures"][0]["sig"] = "AAAA" + envelope["signatures"][0]["sig"][4:]
    place.write_text(json.dumps(envelope))
    outcome = scan(interlock, model)
    assert outcome["verdict"] == "DENY"
    assert outcome["decision"]["exemptions"] == []
    assert [one["id"] for one in outcome["decision"]["warnings"]] == ["exemption.refused"]
    assert "does not hold" in interlock("exempt", "list").out


def test_a_bundle_stays_the_same_when_the_glass_is_broken(interlock: Interlock, model: Path) -> None:
    before = scan(interlock, model)["decision"]["bundle_digest"]
    exempted(interlock, model)
    assert scan(interlock, model)["decision"]["bundle_digest"] == before


def test_a_digest_names_the_subject_too(interlock: Interlock, model: Path) -> None:
    digest = scan(interlock, model)["subject"]["digest"]["sha256"]
    assert exempted(interlock, f"sha256:{digest}").status == 0
    assert scan(interlock, model)["verdict"] == "ALLOW"


def test_what_was_signed_is_listed_with_its_signer(interlock: Interlock, model: Path) -> None:
    exempted(interlock, model)
    assert interlock("approve", model, "--step", "deployment", "--reason", "looked at it").status == 0
    listed = json.loads(interlock("exempt", "list", "--format", "json").out)
    assert {one["kind"] for one in listed["grants"]} == {"exemption", "approval"}
    assert all(one["holds"] and one["grant"]["by"] == "dev" and one["grant"]["dev"] for one in listed["grants"])
    table = interlock("exempt", "list").out
    assert "ticket 17" in table
    assert "dev (dev key)" in table


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param((), "one SUBJECT or for --any-named", id="for nothing"),
        pytest.param(("sha256:" + "a" * 64, "--any-named", "x"), "one SUBJECT or for --any-named", id="for two things"),
        pytest.param(("/nowhere",), "nothing is there", id="no such subject"),
        pytest.param(("sha256:" + "a" * 64, "--days", "0"), "90 days", id="no time"),
        pytest.param(("sha256:" + "a" * 64, "--days", "91"), "90 days", id="too long"),
        pytest.param(("sha256:" + "a" * 64, "--days", "nan"), "90 days", id="not a number"),
    ],
)
def test_what_cannot_be_signed_is_one_clear_message(
    interlock: Interlock, home: Path, arguments: tuple[str, ...], says: str
) -> None:
    said = interlock("exempt", *arguments, "--gate", "artifact-scan", *rules("gate.findings"), "--reason", "r")
    assert said.status == 2
    assert says in said.err
    assert not (home / "exemptions").exists()


def test_a_mistyped_rule_is_said(interlock: Interlock, model: Path) -> None:
    said = interlock("exempt", model, "--gate", "artifact-scan", *rules("gate.findigs"), "--reason", "r")
    assert "no rule of this deployment's policy has the id 'gate.findigs'" in said.err


@pytest.mark.parametrize("part", ["gate.finding", "findings", "data.interlock.facts"])
def test_a_part_of_an_id_is_no_id(interlock: Interlock, model: Path, part: str) -> None:
    said = interlock("exempt", model, "--gate", "artifact-scan", *rules(part, "gate.findings"), "--reason", "r")
    assert said.err.count("no rule of this deployment's policy has the id") == 1
    assert f"has the id {part!r}" in said.err


@pytest.mark.parametrize("rule", ["gate.no-rules", "gate.nothing-looked-at", "evidence.age"])
def test_an_exemption_from_what_nothing_sets_aside_is_signed_and_called_useless(
    interlock: Interlock, model: Path, rule: str
) -> None:
    said = interlock("exempt", model, "--gate", "artifact-scan", *rules(rule), "--reason", "r")
    assert said.status == 0
    assert f"in profile dev no exemption sets {rule} aside, and neither does this one" in said.err
    (listed,) = json.loads(interlock("exempt", "list", "--format", "json").out)["grants"]
    assert (listed["holds"], listed["problem"]) == (False, f"in profile dev: nothing sets {rule} aside")


def test_a_grant_is_listed_as_the_profile_in_force_takes_it(
    interlock: Interlock, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = exempted(interlock, model, "--profile", "dev", "--profile", "standard")
    assert "in profile standard this exemption sets nothing aside: its key is a development key" in said.err
    assert "in profile dev this exemption" not in said.err
    (listed,) = json.loads(interlock("exempt", "list", "--format", "json").out)["grants"]
    assert (listed["holds"], listed["problem"]) == (True, "")
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    (listed,) = json.loads(interlock("exempt", "list", "--format", "json").out)["grants"]
    assert listed["holds"] is False
    assert listed["problem"].startswith("in profile standard: its key is a development key")
    assert "holds" not in interlock("exempt", "list").out


def test_only_a_key_that_may_sign_exemptions_is_trusted_with_them(
    interlock: Interlock, home: Path, tmp_path: Path, model: Path
) -> None:
    pem = tmp_path / "alice.pem"
    pem.write_text(interlock("keys", "create").out.split("\n", 1)[1])
    (home / "keys" / "dev.pub").unlink()
    assert "approvals" in interlock("keys", "trust", pem, "--name", "alice", "--approvals").out
    said = exempted(interlock, model)
    assert "does not let key" in said.err
    assert "may not sign exemptions" in interlock("exempt", "list").out
    limits = json.loads((home / "keys" / "alice.json").read_text())
    assert limits == {"gates": [], "approvals": True}


@pytest.fixture
def laxer(tmp_path: Path) -> Path:
    """The shipped policy, but a hostile pickle is fine with it."""
    folder = tmp_path / "laxer"
    shutil.copytree(packaged_folder(), folder, ignore=shutil.ignore_patterns("__pycache__", "*_test.rego"))
    for place in folder.rglob("*.rego"):
        source = place.read_text()
        for rule in RULES:
            if f"#   id: {rule}\n" in source:
                source = source.replace("deny contains", "never contains")
        place.write_text(source)
    return folder


def test_a_laxer_policy_is_found_on_recorded_decisions(interlock: Interlock, model: Path, laxer: Path) -> None:
    denied = scan(interlock, model)
    assert interlock("policy", "diff", "shipped", "shipped", "--ledger").status == 0
    said = interlock("policy", "diff", "shipped", laxer, "--ledger")
    assert said.status == 1
    assert said.out.startswith("NEWLY ALLOWED: 1 decision")
    assert denied["decision"]["decision_id"] in said.out
    assert "model.unsafe-code: 1 decision" in said.out
    document = json.loads(interlock("policy", "diff", "shipped", laxer, "--format", "json").out)
    assert document["counts"]["newly allowed"] == 1
    assert document["by_rule"]["newly allowed"]["gate.findings"] == 1


def test_an_exempted_decision_is_replayed_with_its_exemption(interlock: Interlock, model: Path) -> None:
    exempted(interlock, model)
    assert scan(interlock, model)["verdict"] == "ALLOW"
    said = interlock("policy", "diff", "shipped", "shipped")
    assert (said.status, said.out) == (0, "1 decision replayed: 1 no change\n")


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        pytest.param("", 3, "no decision is recorded", id="an empty file"),
        pytest.param("{\n[]\n", 3, "2 not comparable", id="lines that are no events"),
    ],
)
def test_a_log_that_says_nothing_is_not_called_unchanged(
    interlock: Interlock, tmp_path: Path, lines: str, status: int, says: str
) -> None:
    place = tmp_path / "log.jsonl"
    place.write_text(lines)
    said = interlock("policy", "diff", "shipped", "shipped", "--log", place)
    assert said.status == status
    assert says in said.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("--since", "yesterday"), "no moment", id="since when"),
        pytest.param(("--ledger", "--log", "{log}"), "not from both", id="two sources"),
    ],
)
def test_a_diff_that_cannot_be_asked_for_is_a_usage_error(
    interlock: Interlock, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    place = tmp_path / "log.jsonl"
    place.touch()
    said = interlock("policy", "diff", "shipped", "shipped", *(one.format(log=place) for one in arguments))
    assert said.status == 2
    assert says in said.err


def test_a_decision_log_file_can_be_replayed_since_a_moment(
    interlock: Interlock, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "decisions.jsonl"
    monkeypatch.setenv("INTERLOCK_DECISION_LOG", str(place))
    scan(interlock, model)
    assert interlock("policy", "diff", "shipped", "shipped", "--log", place, "--since", "2020-01-01").status == 0
    assert interlock("policy", "diff", "shipped", "shipped", "--log", place, "--since", "2999-01-01").status == 3
