"""Each fault, seen through the decider: UNDECIDED with its reason, and a decision again when the cause is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.opa_servers import DIGEST, free_port, needs_opa, opa_program, plain, running_opa, write_bundle

from interlock.gate import Verdict
from interlock.policy import Bundle, EmbeddedEngine, Library, PolicyDecider, PolicyEngine
from interlock.policy.engines import evaluator
from interlock.policy.engines.binary import BinaryEngine
from interlock.policy.engines.server import ServerEngine

Examples = Callable[[], Mapping[str, dict[str, Any]]]
RULES = """package interlock.decision

answer := {"allow": true, "reasons": [], "warnings": [], "exemptions": []}

endless if count([1 | some i in numbers.range(1, 100000); some j in numbers.range(1, 100000); i != j]) > 0

result := answer if input.run.pipeline != "endless"

result := answer if {
	input.run.pipeline == "endless"
	endless
}
"""


@pytest.fixture
def documents(examples: Examples) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    document = examples()["validation"]
    return document, {**document, "run": {**document["run"], "pipeline": "endless"}}


@pytest.fixture
def rules(tmp_path: Path) -> Bundle:
    return Bundle.load(write_bundle(tmp_path / "rules", RULES, revision="1"))


def _embedded(bundle: Bundle, library: Library, _folder: Path) -> PolicyEngine:
    return EmbeddedEngine(bundle, library=library, deadline=1.0)


def _binary(bundle: Bundle, _library: Library, _folder: Path) -> PolicyEngine:
    return BinaryEngine(bundle, program=opa_program(), deadline=1.0)


@pytest.fixture(params=[pytest.param(_embedded, id="embedded"), pytest.param(_binary, id="binary", marks=needs_opa)])
def ending_engine(
    request: pytest.FixtureRequest, rules: Bundle, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PolicyEngine]:
    monkeypatch.setattr(evaluator, "COMPILE_SECONDS", 0.0)
    made: PolicyEngine = request.param(rules, library, tmp_path)
    yield made
    made.close()


def test_a_policy_that_never_ends_is_undecided_and_the_next_decision_is_made(
    ending_engine: PolicyEngine, rules: Bundle, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    decider = PolicyDecider(ending_engine, rules)
    ends, endless = documents
    for _ in range(2):
        assert decider.decide(ends).verdict is Verdict.ALLOW
        decision = decider.decide(endless)
        assert decision.verdict is Verdict.UNDECIDED
        assert "did not answer within" in decision.errors[0]
    assert decider.decide(ends).verdict is Verdict.ALLOW


def test_a_helper_killed_in_the_middle_is_undecided_and_the_next_decision_is_made(
    rules: Bundle, library: Library, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    engine = EmbeddedEngine(rules, library=library, deadline=30.0)
    decider = PolicyDecider(engine, rules)
    ends, endless = documents
    assert decider.decide(ends).verdict is Verdict.ALLOW
    assert engine.process_id is not None
    killer = threading.Timer(0.3, os.killpg, (engine.process_id, signal.SIGKILL))
    killer.start()
    decision = decider.decide(endless)
    killer.join()
    assert decision.verdict is Verdict.UNDECIDED
    assert "helper died" in decision.errors[0]
    assert decider.decide(ends).verdict is Verdict.ALLOW
    decider.close()


@needs_opa
def test_a_server_that_is_down_is_undecided_and_up_again_it_decides(
    tmp_path: Path, rules: Bundle, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    port = free_port()
    decider = PolicyDecider(ServerEngine(plain(port, retries=1)), rules)
    served = write_bundle(tmp_path / "served", RULES)
    for _ in range(2):
        decision = decider.decide(documents[0])
        assert decision.verdict is Verdict.UNDECIDED
        assert "cannot be asked" in decision.errors[0]
        with running_opa("--bundle", str(served), port=port):
            decision = decider.decide(documents[0])
            assert (decision.verdict, decision.bundle_digest) == (Verdict.ALLOW, DIGEST)
    decider.close()


@needs_opa
def test_a_server_whose_policy_never_ends_is_undecided_and_the_next_decision_is_made(
    tmp_path: Path, rules: Bundle, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    served = write_bundle(tmp_path / "served", RULES)
    ends, endless = documents
    with running_opa("--bundle", str(served)) as port:
        decider = PolicyDecider(ServerEngine(plain(port, timeout=1.0)), rules)
        decision = decider.decide(endless)
        assert decision.verdict is Verdict.UNDECIDED
        assert "did not answer within 1 seconds" in decision.errors[0]
        assert decider.decide(ends).verdict is Verdict.ALLOW
        decider.close()


@needs_opa
def test_a_program_that_goes_away_is_undecided_and_back_again_it_decides(
    tmp_path: Path, rules: Bundle, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    link = tmp_path / "opa"
    link.symlink_to(opa_program())
    decider = PolicyDecider(BinaryEngine(rules, program=link, deadline=20.0), rules)
    assert decider.decide(documents[0]).verdict is Verdict.ALLOW
    link.unlink()
    decision = decider.decide(documents[0])
    assert decision.verdict is Verdict.UNDECIDED
    assert "does not start" in decision.errors[0]
    link.symlink_to(opa_program())
    assert decider.decide(documents[0]).verdict is Verdict.ALLOW
    decider.close()


def test_many_faults_leave_no_helper_behind(
    rules: Bundle, library: Library, documents: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> None:
    engine = EmbeddedEngine(rules, library=library, deadline=30.0, helpers=2)
    decider = PolicyDecider(engine, rules)
    seen: set[int] = set()
    for _ in range(5):
        assert decider.decide(documents[0]).verdict is Verdict.ALLOW
        seen |= set(engine.process_ids)
        for process in engine.process_ids:
            os.killpg(process, signal.SIGKILL)
            _wait_for_end(process)
    decider.close()
    assert not [process for process in seen if Path(f"/proc/{process}").exists()]
    assert len(seen) == 5


def _wait_for_end(process: int) -> None:
    """Until it is a zombie, which only its engine can lay to rest."""
    for _ in range(1000):
        if Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.01)
    pytest.fail(f"process {process} still runs")
