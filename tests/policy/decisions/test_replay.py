"""Recorded decisions under a new policy: each change is found, and what cannot be compared is never "unchanged"."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.policy.conftest import MakeEngine

from interlock.gate import Json, PolicyError, Verdict
from interlock.policy import Answer, Bundle, EmbeddedEngine, Library, PolicyDecider
from interlock.policy.decisions.log import DecisionLog
from interlock.policy.decisions.masking import DEFAULTS, mask
from interlock.policy.decisions.replay import Change, Opinion, Replayed, replay

DOCUMENT: dict[str, Any] = {
    "gate": "data-validation",
    "profile": "dev",
    "stage": "gate",
    "subject": {"name": "train.csv", "uri": "file:///train.csv", "digest": {"sha256": "0" * 64}},
    "report": {
        "gate": "data-validation",
        "subject": {"name": "train.csv", "uri": "file:///train.csv", "digest": {"sha256": "0" * 64}},
        "tools": [],
        "configuration": {},
        "started": "2026-11-23T12:00:00Z",
        "finished": "2026-11-23T12:00:00Z",
        "findings": [
            {
                "rule_id": "a.b",
                "level": "warning",
                "message": "row 3 holds Alice Smith",
                "evidence": "",
                "location": {"path": "", "row": 3, "column": "name", "offset": None},
            }
        ],
        "measures": {"rows": {"value": 10, "unit": "rows"}},
        "coverage": {"looked_at": ["train.csv"], "skipped": [], "failed": []},
    },
    "run": {"orchestrator": "cli", "pipeline": "p", "run_id": "r", "task_id": "t", "attempt": 1, "map_index": -1},
    "receipts": [],
    "requested": {"parameters": {"password": "hunter2-hunter2"}},
    "now": "2026-11-23T12:00:00Z",
}

RULES = """package interlock.decision

default allow := false

allow if count(reasons) == 0

reasons contains {{"id": "rows", "title": "T", "severity": "high", "message": "too few"}} if {{
	not input.report.measures.rows.value >= {rows}
}}
{more}
result := {{"allow": allow, "reasons": [r | some r in reasons], "warnings": [], "exemptions": []}}
"""
READS_MESSAGE = """
reasons contains {"id": "alice", "title": "T", "severity": "high", "message": "Alice"} if {
	some finding in input.report.findings
	not contains(finding.message, "another")
}
"""
READS_REASON = """
reasons contains {"id": "exempt", "title": "T", "severity": "high", "message": "m"} if count(input.exemptions) == 0
"""


def policy(rows: int, more: str = "") -> str:
    return RULES.format(rows=rows, more=more)


class Events:
    """Records real decisions as the ledger would."""

    def __init__(self, make_engine: MakeEngine) -> None:
        self._make_engine = make_engine
        self._deciders: dict[str, PolicyDecider] = {}
        self.lines: list[str] = []

    def decider(self, source: str) -> PolicyDecider:
        if source not in self._deciders:
            engine = self._make_engine(source)
            log = DecisionLog(engine=engine, bundle=Bundle.load(), ledger=self.lines.append)
            self._deciders[source] = PolicyDecider(engine, Bundle.load(), log=log)
        return self._deciders[source]

    def recorded(self, source: str, *documents: Mapping[str, Json]) -> list[Any]:
        decider = self.decider(source)
        for document in documents:
            decider.decide(document)
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def events(make_engine: MakeEngine) -> Events:
    return Events(make_engine)


def found(events: Events, recorded: list[Any], old: str, new: str) -> list[Replayed]:
    return list(replay(recorded, old=events.decider(old), new=events.decider(new)))


@pytest.mark.parametrize(
    ("before", "after", "change", "rule"),
    [
        pytest.param(5, 5, Change.NONE, (), id="the same policy"),
        pytest.param(5, 7, Change.NONE, (), id="a rule that does not matter here"),
        pytest.param(5, 50, Change.NEWLY_REFUSED, ("rows",), id="stricter"),
        pytest.param(50, 5, Change.NEWLY_ALLOWED, ("rows",), id="laxer"),
    ],
)
def test_a_change_of_the_verdict_is_found_with_its_rule(
    events: Events, before: int, after: int, change: Change, rule: tuple[str, ...]
) -> None:
    recorded = events.recorded(policy(before), DOCUMENT)
    (one,) = found(events, recorded, policy(before), policy(after))
    assert (one.change, one.rules) == (change, rule)
    assert one.decision_id == recorded[0]["decision_id"]
    assert (one.what, one.run) == ("data-validation (gate) of train.csv", "p/r/t")


def test_another_reason_for_the_same_verdict_is_told_apart(events: Events) -> None:
    recorded = events.recorded(policy(50), DOCUMENT)
    (one,) = found(events, recorded, policy(50), policy(5, READS_REASON))
    assert (one.change, one.rules) == (Change.OTHER_REASONS, ("exempt", "rows"))
    assert not one.change.changes_verdict


def test_a_new_policy_that_cannot_be_evaluated_is_a_change_and_says_why(events: Events) -> None:
    recorded = events.recorded(policy(5), DOCUMENT)
    (one,) = found(events, recorded, policy(5), "package interlock.decision\n\nresult := 1 / 0\n")
    assert one.change is Change.NEWLY_REFUSED
    assert one.new == Opinion(verdict=Verdict.UNDECIDED, reasons=())
    assert "divide by zero" in one.why


def test_what_the_old_policy_does_not_reproduce_is_not_comparable(events: Events) -> None:
    recorded = events.recorded(policy(5), DOCUMENT)
    (one,) = found(events, recorded, policy(50), policy(50))
    assert one.change is Change.NOT_COMPARABLE
    assert "it was decided by another bundle" in one.why


def test_another_bundle_that_decides_the_same_is_comparable(events: Events) -> None:
    recorded = events.recorded(policy(5), DOCUMENT)
    (one,) = found(events, recorded, policy(6), policy(50))
    assert one.change is Change.NEWLY_REFUSED


def test_a_verdict_that_rests_on_a_masked_value_is_not_comparable(events: Events) -> None:
    reads = policy(
        5, READS_MESSAGE.replace('not contains(finding.message, "another")', 'contains(finding.message, "Alice")')
    )
    recorded = events.recorded(reads, DOCUMENT)
    (one,) = found(events, recorded, reads, policy(5))
    assert one.change is Change.NOT_COMPARABLE
    assert "values are masked" in one.why


class _Fails:
    """An engine whose helper dies at each question."""

    name, version, bundle_digest = "embedded", "1", "0" * 64

    def evaluate(self, path: str, document: Json) -> Answer:
        raise PolicyError("the engine's helper died", where=path, next_step="try again")

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        raise PolicyError("the engine's helper died")

    def close(self) -> None:
        pass


@pytest.mark.parametrize("servers_own", [False, True], ids=["our-log", "an-opa-servers-log"])
def test_a_decision_of_an_engine_that_failed_is_not_blamed_on_masking(events: Events, servers_own: bool) -> None:
    engine = _Fails()
    log = DecisionLog(engine=engine, bundle=Bundle.load(), ledger=events.lines.append)
    assert PolicyDecider(engine, Bundle.load(), log=log).decide(DOCUMENT).verdict is Verdict.UNDECIDED
    (event,) = map(json.loads, events.lines)
    assert event["masked"]
    if servers_own:
        del event["custom"]
    (one,) = found(events, [event], policy(5), policy(5))
    assert one.change is Change.NOT_COMPARABLE
    assert one.why.startswith("the engine failed then: the engine's helper died")
    assert "masked" not in one.why


def test_an_answer_that_could_not_be_used_is_said(events: Events) -> None:
    broken = policy(5).replace('"warnings": []', '"warnings": 7')
    (one,) = found(events, events.recorded(broken, DOCUMENT), policy(5), policy(5))
    assert one.why.startswith("its answer could not be used then: the policy's answer is not as its schema says")


def test_a_new_policy_that_reads_a_masked_value_cannot_be_told(events: Events) -> None:
    recorded = events.recorded(policy(5), DOCUMENT)
    (one,) = found(events, recorded, policy(5), policy(5, READS_MESSAGE))
    assert one.change is Change.COULD_NOT_TELL
    assert "masked in the log" in one.why


def test_an_exemption_counts_again_as_it_did_then(events: Events) -> None:
    """Its time is over by now, but the recorded question has its own clock."""
    document = copy.deepcopy(DOCUMENT) | {"exemptions": [EXEMPTION]}
    judged = events.decider(policy(5, READS_REASON)).judge(document)
    assert judged.decision.reasons == ()
    event = {"decision_id": "d", "input": document, "custom": {"verdict": "ALLOW", "reasons": []}}
    (one,) = found(events, [event], policy(5, READS_REASON), policy(5))
    assert one.change is Change.NONE


EXEMPTION: dict[str, Any] = {
    "id": "01M85AY8MSVA66X0943BFC5M7X",
    "reason": "ticket 17",
    "rules": ["exempt"],
    "gate": "data-validation",
    "digest": {"sha256": "0" * 64},
    "profiles": ["dev"],
    "issued": "2026-11-23T12:00:00.000000Z",
    "expires": "2026-11-24T12:00:00.000000Z",
    "by": "alice",
    "keyid": "k",
    "dev": False,
}


def without(event: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(lambda e: None, "not in the log", id="a line that is no JSON"),
        pytest.param(lambda e: [], "not in the log", id="a list"),
        pytest.param(lambda e: without(e, "input"), "not in the log", id="no input"),
        pytest.param(lambda e: e | {"input": "x"}, "not in the log", id="the input is a text"),
        pytest.param(lambda e: e | {"erased": ["/input/run"]}, "removed from its input: /input/run", id="erased"),
        pytest.param(lambda e: without(e, "custom", "result"), "no event of a decision", id="no result"),
        pytest.param(lambda e: e | {"custom": {"verdict": "PERHAPS", "reasons": []}}, "no event", id="unknown verdict"),
        pytest.param(lambda e: e | {"custom": {"verdict": "DENY", "reasons": []}}, "says ALLOW", id="another verdict"),
        pytest.param(lambda e: e | {"input": {"gate": 1}}, "says UNDECIDED", id="an input of another shape"),
    ],
)
def test_what_is_no_whole_event_is_counted_and_never_unchanged(events: Events, spoil: Any, why: str) -> None:
    (event,) = events.recorded(policy(5), DOCUMENT)
    (one,) = found(events, [spoil(event)], policy(5), policy(5))
    assert one.change is Change.NOT_COMPARABLE
    assert why in one.why


def test_an_opa_servers_own_log_can_be_replayed(events: Events) -> None:
    (event,) = events.recorded(policy(50), DOCUMENT)
    own = without(event, "custom") | {
        "level": "info",
        "msg": "Decision Log",
        "type": "openpolicyagent.org/decision_logs",
    }
    (one,) = found(events, [own], policy(50), policy(5))
    assert one.change is Change.NEWLY_ALLOWED


@pytest.fixture(scope="module")
def shipped(library: Library) -> Iterator[PolicyDecider]:
    bundle = Bundle.load()
    decider = PolicyDecider(EmbeddedEngine(bundle, library=library), bundle)
    yield decider
    decider.close()


FOUND = {"report": DOCUMENT["report"]}


def test_masking_changes_no_verdict_of_the_shipped_rules(shipped: PolicyDecider, examples: Any) -> None:
    """So that decisions of the shipped policy can be compared: its rules read nothing that is masked by default."""
    for name, document in examples().items():
        for spoiled in (document, document | {"profile": "strict"}, document | {"stage": "guard"}, document | FOUND):
            before = shipped.judge(spoiled).decision
            event = mask({"input": spoiled}, DEFAULTS).event
            after = shipped.judge(event["input"]).decision
            assert (before.verdict, {r.id for r in before.reasons}) == (after.verdict, {r.id for r in after.reasons}), (
                name
            )
