"""The decider fails closed: only a complete ALLOW is an ALLOW."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import (
    Coverage,
    GateContext,
    Json,
    Measure,
    Observation,
    PolicyError,
    Report,
    RunIdentity,
    Settings,
    SettingsError,
    Stage,
    Subject,
    Tool,
    UnavailableError,
    Verdict,
)
from interlock.gate.documents import decision_document, decision_from, decision_input
from interlock.policy import (
    DECISION_PATH,
    Answer,
    Bundle,
    EmbeddedEngine,
    EngineMissingError,
    Library,
    PolicyDecider,
    PolicyEngine,
    open_decider,
)

REASON = {"id": "a.b", "title": "T", "severity": "high", "message": "m", "remediation": "r", "controls": []}
ALLOW: dict[str, Any] = {"allow": True, "reasons": [], "warnings": [], "exemptions": []}
DENY = ALLOW | {"allow": False, "reasons": [REASON]}
Examples = Callable[[], Mapping[str, dict[str, Any]]]


@dataclass
class SaidEngine:
    """An engine that says what it is told to."""

    says: Answer | Exception
    asked: list[str] = field(default_factory=list)
    closed: bool = False
    name: str = "said"
    version: str = "0"
    bundle_digest: str = "b" * 64

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        self.asked.append(path)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def decider_that_hears(says: Answer | Exception | Any) -> PolicyDecider:
    answer = says if isinstance(says, Answer | Exception) else Answer(defined=True, value=says, bundle_digest="b" * 64)
    engine: PolicyEngine = SaidEngine(answer)
    return PolicyDecider(engine, Bundle.load())


def measured(**measures: float) -> dict[str, Json]:
    """A document as `run_gate` writes it."""
    moment = datetime(2026, 11, 23, 12, tzinfo=UTC)
    report = Report(
        gate="data-validation",
        subject=Subject(name="train.csv", uri="file:///train.csv", digest="0" * 64),
        observation=Observation(
            measures=tuple(Measure(name=name, value=value) for name, value in measures.items()),
            coverage=Coverage(looked_at=("train.csv",)),
            attachments=(("picture", "{}"),),
        ),
        tools=(Tool(name="great_expectations", version="1.24.1"),),
        configuration="{}",
        started=moment,
        finished=moment + timedelta(seconds=1),
    )
    run = RunIdentity(orchestrator="cli", pipeline="p", run_id="r", task_id="t")
    return decision_input(report, GateContext(run=run, profile="dev", stage=Stage.GATE), now=moment)


CLEAN = {
    "rows": 10.0,
    "expectations_evaluated": 3,
    "expectations_failed": 0,
    "expectations_errored": 0,
    "required_missing": 0,
}


def test_a_document_as_gates_write_it_is_decided_by_real_opa(engine: EmbeddedEngine, bundle: Bundle) -> None:
    decider = PolicyDecider(engine, bundle)
    allowed = decider.decide(measured(**CLEAN))
    assert (allowed.verdict, allowed.errors) == (Verdict.ALLOW, ())
    assert (allowed.engine, allowed.engine_version) == ("opa-embedded", "1.20.2")
    assert allowed.bundle_digest == decider.bundle_digest == bundle.digest
    assert uuid.UUID(allowed.decision_id).version == 4
    denied = decider.decide(measured(**(CLEAN | {"expectations_failed": 2})))
    assert denied.verdict is Verdict.DENY
    assert [reason.message for reason in denied.reasons] == ["2 of 3 expectations failed"]
    assert denied.reasons[0].controls
    assert denied.decision_id != allowed.decision_id
    assert decision_from(decision_document(denied)) == denied


def test_a_complete_answer_is_taken() -> None:
    assert decider_that_hears(ALLOW).decide(measured(**CLEAN)).verdict is Verdict.ALLOW
    denied = decider_that_hears(DENY | {"warnings": [REASON]}).decide(measured(**CLEAN))
    assert denied.verdict is Verdict.DENY
    assert denied.reasons == denied.warnings


@pytest.mark.parametrize(
    ("says", "error"),
    [
        pytest.param(Answer(defined=False, value=None), "undefined", id="undefined"),
        pytest.param(PolicyError("did not answer within 5 seconds"), "did not answer", id="deadline"),
        pytest.param(UnavailableError("connection refused"), "refused", id="engine unreachable"),
        pytest.param(None, "None is not of type 'object'", id="null"),
        pytest.param(True, "not of type 'object'", id="a bare true"),
        pytest.param({}, "'allow' is a required property", id="an empty object"),
        pytest.param([ALLOW], "not of type 'object'", id="a list"),
        pytest.param(ALLOW | {"allow": "true"}, r"\$\.allow", id="allow is a text"),
        pytest.param(ALLOW | {"allow": 1}, r"\$\.allow", id="allow is a number"),
        pytest.param(ALLOW | {"allow": None}, r"\$\.allow", id="allow is null"),
        pytest.param(ALLOW | {"reasons": [REASON]}, r"\$\.reasons", id="allow with reasons"),
        pytest.param(ALLOW | {"reasons": None}, r"\$\.reasons", id="reasons are null"),
        pytest.param({"allow": True}, "required property", id="allow alone"),
        pytest.param(ALLOW | {"also": 1}, "unexpected", id="a field too many"),
        pytest.param(DENY | {"reasons": [REASON | {"severity": "meh"}]}, "severity", id="unknown severity"),
        pytest.param(DENY | {"reasons": [{"id": "x"}]}, "required property", id="a reason without a message"),
        pytest.param(DENY | {"reasons": ["no"]}, "not of type 'object'", id="a reason that is a text"),
        pytest.param(ALLOW | {"exemptions": [1]}, "exemptions", id="an exemption that is a number"),
    ],
)
def test_any_other_answer_is_undecided_and_says_why(says: object, error: str) -> None:
    decision = decider_that_hears(says).decide(measured(**CLEAN))
    assert decision.verdict is Verdict.UNDECIDED
    assert decision.errors
    assert any(re.search(error, text) for text in decision.errors), decision.errors
    assert decision.decision_id


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda d: d.pop("now"), id="no time"),
        pytest.param(lambda d: d.update(now="yesterday"), id="time is no time"),
        pytest.param(lambda d: d.update(stage="later"), id="unknown stage"),
        pytest.param(lambda d: d.update(profile=None), id="profile is null"),
        pytest.param(lambda d: d.update(extra=1), id="a field too many"),
        pytest.param(
            lambda d: d["report"]["measures"].update(rows={"value": "10", "unit": ""}), id="measure is a text"
        ),
        pytest.param(lambda d: d["report"]["measures"].update(rows={"value": True, "unit": ""}), id="measure is true"),
        pytest.param(lambda d: d["report"]["coverage"].pop("failed"), id="no coverage.failed"),
        pytest.param(lambda d: d["report"].update(findings={}), id="findings is an object"),
        pytest.param(lambda d: d["subject"]["digest"].update(sha256="abc"), id="a short digest"),
        pytest.param(lambda d: d.update(receipts=[{"gate": "training"}]), id="a bare receipt"),
        pytest.param(lambda d: d["report"]["findings"].append({"level": "loud"}), id="a broken finding"),
    ],
)
def test_an_input_that_breaks_its_schema_is_undecided_and_never_asked(spoil: Callable[[Any], None]) -> None:
    document: Any = measured(**CLEAN)
    spoil(document)
    engine = SaidEngine(Answer(defined=True, value=ALLOW, bundle_digest="b" * 64))
    decision = PolicyDecider(engine, Bundle.load()).decide(document)
    assert decision.verdict is Verdict.UNDECIDED
    assert "the input document is not as its schema says" in decision.errors[0]
    assert engine.asked == []


def test_many_problems_are_counted_not_listed() -> None:
    decision = decider_that_hears(ALLOW).decide({})
    assert len(decision.errors) == 6
    assert decision.errors[-1].endswith("and 4 more")


def test_a_document_nested_without_end_is_undecided(engine: EmbeddedEngine, bundle: Bundle) -> None:
    nested: Any = []
    for _ in range(100_000):
        nested = [nested]
    document = measured(**CLEAN) | {"requested": {"deep": nested}}
    assert PolicyDecider(engine, bundle).decide(document).verdict is Verdict.UNDECIDED


def test_one_document_is_asked_for_and_closing_closes_the_engine() -> None:
    engine = SaidEngine(Answer(defined=True, value=ALLOW, bundle_digest="b" * 64))
    decider = PolicyDecider(engine, Bundle.load())
    decider.decide(measured(**CLEAN))
    decider.close()
    assert engine.asked == [DECISION_PATH]
    assert engine.closed


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("package interlock.decision\n\nallow := true\n", id="no result"),
        pytest.param("package interlock.decision\n\nresult := true\n", id="a bare true"),
        pytest.param("package interlock.decision\n\nresult := 1 / 0\n", id="an error"),
        pytest.param("package interlock.decision\n\nresult := {\n", id="a syntax error"),
        pytest.param('package interlock.decision\n\nresult := http.send({"url": "http://x"}).body\n', id="banned"),
    ],
)
def test_a_bad_bundle_is_undecided(
    source: str, tmp_path: Path, library: Library, bundle: Bundle, examples: Examples
) -> None:
    (tmp_path / "r.rego").write_text(source)
    bad = Bundle.load(tmp_path / "r.rego")
    decider = PolicyDecider(EmbeddedEngine(bad, library=library), bad)
    try:
        decision = decider.decide(examples()["validation"])
    finally:
        decider.close()
    assert decision.verdict is Verdict.UNDECIDED
    assert decision.errors


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return replace(Settings.load({}, system_file=tmp_path / "none"), home=tmp_path)


def test_settings_open_the_embedded_engine(
    settings: Settings, library: Library, monkeypatch: pytest.MonkeyPatch, examples: Examples
) -> None:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    for engine in ("auto", "embedded"):
        decider = open_decider(replace(settings, engine=engine))
        assert decider.decide(examples()["validation"]).verdict is Verdict.ALLOW
        decider.close()


def test_a_missing_engine_and_a_missing_bundle_are_said_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERLOCK_OPA_LIB", raising=False)
    monkeypatch.setattr("interlock.policy.engines.install.BESIDE_PYTHON", settings.home)
    with pytest.raises(EngineMissingError, match="install-engine"):
        open_decider(replace(settings, engine="embedded"))
    with pytest.raises(SettingsError, match="no policy bundle"):
        open_decider(replace(settings, policy="/nowhere"))
