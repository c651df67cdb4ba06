"""A decider in a process that lives long: it asks for its policy again, and no decision mixes two of them."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.policy.decisions.test_decider import ALLOW, CLEAN, measured

from interlock.gate import Decision, InterlockError, Json, PolicyError, UnavailableError, Verdict
from interlock.policy import Answer, Bundle, FollowingDecider, PolicyDecider
from interlock.policy.bundles.source import Loaded
from interlock.policy.decisions.log import DecisionLog

POLL = 60.0


@dataclass(eq=False)
class NumberedEngine:
    """Allows by its own bundle, once it is let go on; an engine that is closed fails."""

    bundle: Bundle
    go_on: threading.Event
    asked: threading.Event = field(default_factory=threading.Event)
    closed: bool = False
    name: str = "numbered"
    version: str = "0"

    @property
    def bundle_digest(self) -> str:
        return self.bundle.digest

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        self.asked.set()
        assert self.go_on.wait(30)
        if self.closed:
            raise PolicyError("the engine is closed")
        return Answer(defined=True, value=ALLOW, bundle_digest=self.bundle.digest)

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


class Office:
    """Where policy is found: what there is now, how often it was asked, and two clocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now, self.ticks = 1_000_000.0, 5.0
        self.found = 0
        self.seconds = POLL
        self.trouble: InterlockError | None = None
        self.engines: list[NumberedEngine] = []
        self.events: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.current = self.bundle(1)

    def bundle(self, number: int) -> Bundle:
        path = self.folder / f"rule{number}.rego"
        path.write_text(f"package site.rule\n\nnumber := {number}\n")
        return Bundle.load(path)

    def find(self) -> Loaded:
        self.found += 1
        if self.trouble is not None:
            raise self.trouble
        return Loaded(bundle=self.current, seconds=self.seconds)

    def engine(self, bundle: Bundle) -> NumberedEngine:
        self.engines.append(NumberedEngine(bundle, self.go_on))
        return self.engines[-1]

    def decider(self) -> FollowingDecider:
        engine = self.engine(self.current)
        log = DecisionLog(engine=engine, bundle=self.current, ledger=self.events.append)
        return FollowingDecider(
            Loaded(bundle=self.current, seconds=self.seconds),
            PolicyDecider(engine, self.current, log=log),
            find=self.find,
            engine_over=self.engine,
            now=lambda: self.now,
            ticks=lambda: self.ticks,
        )

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.ticks += seconds


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def ask(decider: FollowingDecider) -> Decision:
    return decider.decide(measured(**CLEAN))


def test_the_next_decision_after_the_poll_asks_again(office: Office) -> None:
    decider = office.decider()
    first, office.current = office.current, office.bundle(2)
    assert ask(decider).bundle_digest == first.digest
    office.wait(POLL - 1)
    assert ask(decider).bundle_digest == first.digest
    assert office.found == 0
    office.wait(1)
    assert ask(decider).bundle_digest == office.current.digest
    assert (decider.bundle, decider.bundle_digest) == (office.current, office.current.digest)
    ask(decider)
    assert office.found == 1
    assert [engine.closed for engine in office.engines] == [True, False]


@pytest.mark.parametrize(
    "set_clock",
    [
        pytest.param(lambda office: setattr(office, "now", office.now - 3600), id="set back"),
        pytest.param(lambda office: setattr(office, "now", office.now + 3600), id="set forward, or asleep"),
        pytest.param(lambda office: setattr(office, "ticks", office.ticks + POLL), id="set back as time went by"),
    ],
)
def test_a_clock_that_is_set_keeps_no_policy_alive(office: Office, set_clock: Callable[[Office], None]) -> None:
    decider = office.decider()
    ask(decider)
    set_clock(office)
    office.current = office.bundle(2)
    assert ask(decider).bundle_digest == office.current.digest


def test_policy_that_no_server_gives_is_not_asked_for_again(office: Office) -> None:
    office.seconds = math.inf
    decider = office.decider()
    office.wait(1e9)
    assert ask(decider).verdict is Verdict.ALLOW
    assert office.found == 0


def test_the_same_policy_keeps_its_engine_and_its_log_and_says_what_is_new(office: Office) -> None:
    decider = office.decider()
    ask(decider)
    office.wait(POLL)
    office.current = replace(office.current, notes=("the server does not answer",))
    assert ask(decider).verdict is Verdict.ALLOW
    assert len(office.engines) == 1
    assert not office.engines[0].closed
    assert decider.bundle.notes == ("the server does not answer",)


@pytest.mark.parametrize("trouble", [PolicyError("badly signed"), UnavailableError("nobody answers")])
def test_policy_that_cannot_be_had_decides_nothing_until_it_can(office: Office, trouble: InterlockError) -> None:
    decider = office.decider()
    assert ask(decider).verdict is Verdict.ALLOW
    office.wait(POLL)
    office.trouble = trouble
    for count in (1, 2):
        decision = ask(decider)
        assert (decision.verdict, decision.bundle_digest) == (Verdict.UNDECIDED, "")
        assert trouble.what in decision.errors[0]
        assert office.found == count
        with pytest.raises(type(trouble)), decider.held():
            raise AssertionError("the old policy is there")
        office.found -= 1
    office.trouble = None
    assert ask(decider).verdict is Verdict.ALLOW


def test_a_decision_without_policy_is_logged_as_any_other(office: Office) -> None:
    decider = office.decider()
    ask(decider)
    office.wait(POLL)
    office.trouble = PolicyError("badly signed")
    decision = ask(decider)
    office.trouble, office.current = None, office.bundle(2)
    ask(decider)
    events = [json.loads(event) for event in office.events]
    assert [event["req_id"] for event in events] == [1, 2, 3]
    assert len({event["labels"]["id"] for event in events}) == 1
    assert "badly signed" in events[1]["error"]["message"]
    assert events[1]["custom"]["verdict"] == "UNDECIDED"
    assert decision.event_digest


def test_a_decision_is_made_by_one_policy_to_its_end(office: Office) -> None:
    decider = office.decider()
    first, slow = office.current, office.engines[0]
    office.go_on.clear()
    decisions: list[Decision] = []
    thread = threading.Thread(target=lambda: decisions.append(ask(decider)))
    thread.start()
    assert slow.asked.wait(30)
    office.wait(POLL)
    office.current = office.bundle(2)
    with decider.held() as newer:
        assert newer.bundle_digest == office.current.digest
        assert not slow.closed
        office.go_on.set()
        thread.join(30)
    assert (decisions[0].verdict, decisions[0].bundle_digest) == (Verdict.ALLOW, first.digest)
    assert slow.closed
    revisions = [json.loads(event)["bundles"]["interlock"]["revision"] for event in office.events]
    assert revisions == [first.digest]


def test_who_holds_a_policy_keeps_it_while_another_comes(office: Office) -> None:
    decider = office.decider()
    with decider.held() as held:
        digest = held.bundle_digest
        office.wait(POLL)
        office.current = office.bundle(2)
        assert ask(decider).bundle_digest == office.current.digest
        decision = held.decide(measured(**CLEAN))
        assert (decision.verdict, decision.bundle_digest, held.bundle_digest) == (Verdict.ALLOW, digest, digest)
        with held.held() as again:
            assert again is held
    assert office.engines[0].closed


def test_many_threads_ask_once_and_mix_nothing(office: Office) -> None:
    decider = office.decider()
    office.wait(POLL)
    office.current = office.bundle(2)
    decisions: list[Decision] = []
    threads = [threading.Thread(target=lambda: decisions.append(ask(decider))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {(each.verdict, each.bundle_digest) for each in decisions} == {(Verdict.ALLOW, office.current.digest)}
    assert len(decisions) == 8
    assert office.found == 1


def test_a_process_that_is_forked_while_policy_is_found_decides(office: Office) -> None:
    decider = office.decider()
    found, go_on = threading.Event(), threading.Event()

    def slowly() -> Loaded:
        found.set()
        assert go_on.wait(30)
        return office.find()

    slow = FollowingDecider(
        Loaded(bundle=office.current, seconds=0.0),
        PolicyDecider(office.engine(office.current), office.current),
        find=lambda: slowly() if threading.current_thread() is not threading.main_thread() else office.find(),
        engine_over=office.engine,
    )
    thread = threading.Thread(target=lambda: ask(slow))
    thread.start()
    assert found.wait(30)
    child = os.fork()
    if child == 0:
        os._exit(0 if ask(slow).verdict is Verdict.ALLOW and ask(decider).verdict is Verdict.ALLOW else 1)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        go_on.set()
        thread.join(30)


def test_closing_it_closes_the_engine_in_use(office: Office) -> None:
    decider = office.decider()
    decider.close()
    assert office.engines[0].closed
