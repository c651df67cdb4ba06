"""Each decision is logged as OPA would log it, bound to its receipt; and one that cannot be logged does not count."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.conftest import MakeEngine
from tests.policy.engines.opa_servers import free_port, needs_opa, opa_program

from interlock.evidence import Ledger
from interlock.gate import Decision, Json, LedgerError, PolicyError, Settings, UnavailableError, Verdict
from interlock.gate.documents import canonical_json
from interlock.gate.protocols import Granted
from interlock.policy import Answer, Bundle, EmbeddedEngine, Library, PolicyDecider, open_decider
from interlock.policy.decisions.log import DecisionLog
from interlock.policy.decisions.log_file import LineFile
from interlock.policy.decisions.masking import mask, mask_rules

GOLDEN = json.loads((Path(__file__).parent / "goldens" / "opa_decision_log_event.json").read_text())
"""An event of OPA 1.20.2 (`opa run -s --set decision_logs.console=true`), with what its console adds."""

CONSOLE = {"level", "msg", "time", "type"}
EVENT_V1 = {
    *("labels", "decision_id", "batch_decision_id", "trace_id", "span_id", "revision", "bundles", "path", "query"),
    *("input", "result", "intermediate_results", "mapped_result", "nd_builtin_cache", "erased", "masked", "error"),
    *("requested_by", "timestamp", "metrics", "req_id", "rule_labels", "request_context", "custom"),
}
"""The fields of struct EventV1 in OPA's v1/plugins/logs/plugin.go."""

ALLOW: dict[str, Any] = {"allow": True, "reasons": [], "warnings": [], "exemptions": []}
REASON = {"id": "a.b", "title": "T", "severity": "high", "message": "m", "remediation": "r", "controls": []}
DENY = ALLOW | {"allow": False, "reasons": [REASON]}
UNDEFINED = Answer(defined=False, value=None, bundle_digest="b" * 64)
EXEMPTION: dict[str, Any] = {
    "id": "01M85AY8MSVA66X0943BFC5M7X",
    "reason": "ticket 17",
    "rules": ["dataset.poisoning-flagged"],
    "gate": "data-validation",
    "digest": {"sha256": "a" * 64},
    "profiles": ["dev"],
    "issued": "2026-11-23T12:00:00.000000Z",
    "expires": "2026-11-24T12:00:00.000000Z",
    "by": "alice",
    "keyid": "k",
    "dev": False,
}


class SaidEngine:
    """An engine that says what it is told to, and keeps what it was asked."""

    name = "said"
    version = "1.20.2"
    bundle_digest = "b" * 64

    def __init__(self, says: Any) -> None:
        self._says = says
        self.asked: list[Mapping[str, Json]] = []

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        self.asked.append(document)
        if isinstance(self._says, Exception):
            raise self._says
        if isinstance(self._says, Answer):
            return self._says
        return Answer(defined=True, value=self._says, bundle_digest="b" * 64, decision_id="", metrics={"timer_x_ns": 7})

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        raise NotImplementedError

    def close(self) -> None:
        pass


class Said:
    """Grants that are what they are told to be."""

    def __init__(self, granted: Granted) -> None:
        self._granted = granted

    def holding(self, *, gate: str, name: str, digest: str, profile: str) -> Granted:
        return self._granted


class Log:
    """A ledger's side of a decision log; it may be broken."""

    def __init__(self, broken: Exception | None = None) -> None:
        self._broken = broken
        self.lines: list[str] = []

    def __call__(self, event: str) -> None:
        if self._broken is not None:
            raise self._broken
        self.lines.append(event)

    @property
    def events(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


def logging(engine: Any, log: Log | None, *, bundle: Bundle | None = None, **more: Any) -> PolicyDecider:
    bundle = bundle or Bundle.load()
    grants = more.pop("grants", None)
    decision_log = DecisionLog(engine=engine, bundle=bundle, ledger=log, **more)
    return PolicyDecider(engine, bundle, grants=grants, log=decision_log)


def bundle_with(data: Mapping[str, Json], *sources: str) -> Bundle:
    from interlock.policy import Module

    modules = tuple(Module(path=f"m{number}.rego", source=source) for number, source in enumerate(sources))
    return replace(Bundle.load(), data={**Bundle.load().data, **data}, modules=(*Bundle.load().modules, *modules))


@pytest.fixture
def document() -> dict[str, Any]:
    return copy.deepcopy(_DOCUMENT)


def kind(value: Any) -> type:
    return type(value)


def test_an_event_has_the_fields_and_types_of_opas_own(document: dict[str, Any], make_engine: MakeEngine) -> None:
    log = Log()
    engine = make_engine(f"package interlock.decision\n\nresult := {json.dumps(ALLOW)}")
    decision = logging(engine, log).decide(document)
    (event,) = log.events
    assert decision.verdict is Verdict.ALLOW
    assert set(event) <= EVENT_V1
    for name in set(GOLDEN) - CONSOLE - {"erased", "masked"}:
        assert kind(event[name]) is kind(GOLDEN[name]), name
    assert all(isinstance(text, str) for text in event["labels"].values())
    assert set(GOLDEN["labels"]) <= set(event["labels"])
    assert all(set(one) == {"revision"} for one in event["bundles"].values())
    assert all(isinstance(number, int) for number in event["metrics"].values())
    assert datetime.fromisoformat(event["timestamp"]).tzinfo is not None
    assert event["path"] == "interlock/decision/result"
    assert event["labels"]["version"] == "1.20.2"


def test_an_event_says_what_was_asked_and_what_was_decided(document: dict[str, Any]) -> None:
    engine, log = SaidEngine(DENY), Log()
    decision = logging(engine, log).decide(document)
    (event,) = log.events
    (asked,) = engine.asked
    assert event["decision_id"] == decision.decision_id
    assert event["result"] == DENY
    assert event["metrics"]["timer_x_ns"] == 7
    assert event["custom"] == {
        "verdict": "DENY",
        "reasons": ["a.b"],
        "exemptions": [],
        "exemptions_refused": [],
        "input_digest": {"sha256": hashlib.sha256(canonical_json(asked)).hexdigest()},
        "bundle_digest": {"sha256": "b" * 64},
        "engine": {"name": "said", "version": "1.20.2"},
    }
    assert decision.event_digest == hashlib.sha256(log.lines[0].encode()).hexdigest()


@pytest.mark.parametrize(
    ("says", "error"),
    [
        pytest.param(UNDEFINED, "undefined", id="undefined"),
        pytest.param(PolicyError("did not answer within 5 seconds"), "did not answer", id="deadline"),
        pytest.param(UnavailableError("connection refused"), "refused", id="engine unreachable"),
        pytest.param({"allow": "yes"}, "schema", id="another shape"),
        pytest.param(ALLOW | {"exemptions": ["invented"]}, "$.exemptions", id="an exemption nobody gave"),
    ],
)
def test_an_undecided_decision_is_logged_with_its_error(says: Any, error: str, document: dict[str, Any]) -> None:
    log = Log()
    decision = logging(SaidEngine(says), log).decide(document)
    (event,) = log.events
    assert decision.verdict is Verdict.UNDECIDED
    assert event["custom"]["verdict"] == "UNDECIDED"
    assert error in event["error"]["message"]
    assert event["decision_id"] == decision.decision_id
    assert "result" not in event


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda d: d.update(requested="hunter2-hunter2"), id="a text where an object is due"),
        pytest.param(lambda d: d.update(surprise={"hunter2-hunter2": 1}), id="a field too many"),
        pytest.param(lambda d: d["requested"].update(x=float("nan"), y="hunter2-hunter2"), id="no number"),
        pytest.param(lambda d: d["requested"].update(x="\ud800", y="hunter2-hunter2"), id="half a character"),
    ],
)
def test_an_input_of_another_shape_is_logged_without_its_values(
    spoil: Callable[[Any], None], document: dict[str, Any], library: Library
) -> None:
    spoil(document)
    engine, log = EmbeddedEngine(Bundle.load(), library=library), Log()
    decision = logging(engine, log).decide(document)
    engine.close()
    (event,) = log.events
    assert decision.verdict is Verdict.UNDECIDED
    assert "input" not in event
    assert "/input" in event["erased"]
    assert "hunter2" not in log.lines[0]


def test_what_a_document_says_of_exemptions_is_thrown_away(document: dict[str, Any]) -> None:
    """A pipeline that could write the document would write itself an exemption."""
    document |= {"exemptions": [EXEMPTION], "approvals": [EXEMPTION]}
    engine = SaidEngine(ALLOW)
    PolicyDecider(engine, Bundle.load()).decide(document)
    assert (engine.asked[0]["exemptions"], engine.asked[0]["approvals"]) == ([], [])
    decision = PolicyDecider(SaidEngine(ALLOW | {"exemptions": [EXEMPTION["id"]]}), Bundle.load()).decide(document)
    assert decision.verdict is Verdict.UNDECIDED


def test_what_holds_is_given_to_policy_and_its_use_is_logged(document: dict[str, Any]) -> None:
    engine, log = SaidEngine(ALLOW | {"exemptions": [EXEMPTION["id"]]}), Log()
    granted = Granted(exemptions=(EXEMPTION,), refused=("old.json: expired",))
    decision = logging(engine, log, grants=Said(granted)).decide(document)
    assert decision.verdict is Verdict.ALLOW
    assert decision.exemptions == (EXEMPTION["id"],)
    assert [warning.message for warning in decision.warnings] == ["old.json: expired"]
    assert engine.asked[0]["exemptions"] == [EXEMPTION]
    assert log.events[0]["custom"]["exemptions"] == [EXEMPTION["id"]]
    assert log.events[0]["custom"]["exemptions_refused"] == ["old.json: expired"]
    assert log.events[0]["input"]["exemptions"] == [EXEMPTION]


FAULTS = [
    LedgerError("the chain is broken"),
    UnavailableError("the database did not answer"),
    PolicyError("cannot be masked"),
]


@given(
    says=st.sampled_from([ALLOW, DENY, UNDEFINED, PolicyError("late"), {"allow": 1}]),
    fault=st.sampled_from([None, *FAULTS]),
)
def test_logging_changes_no_verdict_but_to_undecided(says: Any, fault: Exception | None) -> None:
    asked = copy.deepcopy(_DOCUMENT)
    without = PolicyDecider(SaidEngine(says), Bundle.load()).decide(asked)
    logged = logging(SaidEngine(says), Log(fault)).decide(asked)
    if fault is None:
        assert (logged.verdict, logged.reasons, logged.errors) == (without.verdict, without.reasons, without.errors)
        assert logged.event_digest
        return
    assert logged.verdict is Verdict.UNDECIDED
    assert f"the decision could not be logged: {fault}" in logged.errors
    assert not logged.event_digest


_DOCUMENT: dict[str, Any] = {
    "gate": "data-validation",
    "profile": "dev",
    "stage": "gate",
    "subject": {"name": "n", "uri": "file:///n", "digest": {"sha256": "0" * 64}},
    "report": {
        "gate": "data-validation",
        "subject": {"name": "n", "uri": "file:///n", "digest": {"sha256": "0" * 64}},
        "tools": [],
        "configuration": {},
        "started": "2026-11-23T12:00:00Z",
        "finished": "2026-11-23T12:00:00Z",
        "findings": [],
        "measures": {},
        "coverage": {"looked_at": ["n"], "skipped": [], "failed": []},
    },
    "run": {"orchestrator": "cli", "pipeline": "p", "run_id": "r", "task_id": "t", "attempt": 1, "map_index": -1},
    "receipts": [],
    "requested": {},
    "now": "2026-11-23T12:00:00Z",
}


def test_the_real_ledger_keeps_the_event_and_refuses_a_second_of_its_id(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    again = Answer(defined=True, value=ALLOW, bundle_digest="b" * 64, decision_id="server-says-1")
    decider = PolicyDecider(
        SaidEngine(again),
        Bundle.load(),
        log=DecisionLog(engine=SaidEngine(again), bundle=Bundle.load(), ledger=ledger.append_decision),
    )
    first, second = decider.decide(_DOCUMENT), decider.decide(_DOCUMENT)
    assert (first.verdict, second.verdict) == (Verdict.ALLOW, Verdict.UNDECIDED)
    (logged,) = ledger.decisions()
    assert (logged.decision_id, logged.event_digest) == ("server-says-1", first.event_digest)
    ledger.verify()


def settings(folder: Path, **changes: Any) -> Settings:
    return replace(Settings.load({}, system_file=folder / "none"), home=folder, **changes)


def test_a_file_gets_one_line_for_each_decision(tmp_path: Path, library: Library, monkeypatch: Any) -> None:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    place = tmp_path / "decisions.jsonl"
    decider = open_decider(settings(tmp_path, decision_log=str(place)))
    decisions = [decider.decide(_DOCUMENT) for _ in range(3)]
    decider.close()
    events = [json.loads(line) for line in place.read_text().splitlines()]
    assert [event["decision_id"] for event in events] == [decision.decision_id for decision in decisions]
    assert [event["req_id"] for event in events] == [1, 2, 3]
    assert place.stat().st_mode & 0o777 == 0o600
    assert not decisions[0].event_digest  # no ledger, so no receipt may claim that it has the event


def test_standard_output_gets_the_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    logging(SaidEngine(ALLOW), None, lines=LineFile("-")).decide(_DOCUMENT)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["custom"]["verdict"] == "ALLOW"


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("/dev/full", id="the disk is full"),
        pytest.param("/proc/none", id="no such folder"),
        pytest.param(".", id="a folder"),
    ],
)
def test_a_file_that_cannot_be_written_makes_it_undecided_until_it_can(place: str, tmp_path: Path) -> None:
    decision = logging(SaidEngine(ALLOW), Log(), lines=LineFile(place)).decide(_DOCUMENT)
    assert decision.verdict is Verdict.UNDECIDED
    assert "the decision log cannot be written" in decision.errors[0]
    assert "decision_log" in decision.errors[0]
    assert logging(SaidEngine(ALLOW), Log(), lines=LineFile(str(tmp_path / "l"))).decide(_DOCUMENT).errors == ()


def test_half_a_line_of_a_killed_writer_does_not_spoil_the_next(tmp_path: Path) -> None:
    place = tmp_path / "l"
    place.write_text('{"decision_id": "whole"}\n{"decision_id": "ha')
    LineFile(str(place)).write('{"decision_id": "next"}')
    assert place.read_text().splitlines()[2] == '{"decision_id": "next"}'


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="decision log"):
        LineFile(str(tmp_path / "l")).write("{}")
    assert not (tmp_path / "elsewhere").exists()


def test_half_a_line_is_taken_back_when_the_disk_is_full(tmp_path: Path) -> None:
    """A limit on the file's size stands for the full disk: the write is short, as there."""
    place = tmp_path / "l"
    place.write_text("{}\n")
    code = (
        "import resource, signal, sys\n"
        "from interlock.policy.decisions.log_file import LineFile\n"
        "from interlock.gate import UnavailableError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try:\n    LineFile(sys.argv[1]).write('x' * 100)\n"
        "except UnavailableError as error:\n    print(error)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True)
    assert "cannot be written" in ended.stdout
    assert place.read_text() == "{}\n"


def test_many_writers_leave_whole_lines(tmp_path: Path) -> None:
    place = str(tmp_path / "l")
    line = json.dumps({"x": "y" * 20_000})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(LineFile(place).write, [line] * 40))
    assert Path(place).read_text() == f"{line}\n" * 40


def test_the_bundle_s_data_says_what_else_to_mask() -> None:
    rules: Json = [{"op": "upsert", "path": "/input/run/pipeline", "value": "-"}, "/input/report/tools"]
    bundle = bundle_with({"interlock": {**Bundle.load().data["interlock"], "decision_log": {"mask": rules}}})  # type: ignore[dict-item]  # an object
    log = Log()
    logging(SaidEngine(ALLOW), log, bundle=bundle).decide(_DOCUMENT)
    (event,) = log.events
    assert event["input"]["run"]["pipeline"] == "-"
    assert (event["erased"], event["masked"]) == (["/input/report/tools"], ["/input/run/pipeline"])


def test_a_mask_that_cannot_be_read_is_said_before_anything_is_decided() -> None:
    bundle = bundle_with({"interlock": {"decision_log": {"mask": [{"op": "hide"}]}}})
    with pytest.raises(PolicyError, match=r"data\.interlock\.decision_log\.mask\[0\]"):
        DecisionLog(engine=SaidEngine(ALLOW), bundle=bundle)


def rego_mask(library: Library, tmp_path: Path, source: str) -> tuple[Decision, Log]:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "mask.rego").write_text(source)
    decide = "package interlock.decision\n\nresult := " + json.dumps(ALLOW)
    (folder / "decide.rego").write_text(decide)
    bundle, log = Bundle.load(folder), Log()
    engine = EmbeddedEngine(bundle, library=library)
    try:
        return logging(engine, log, bundle=bundle).decide(_DOCUMENT), log
    finally:
        engine.close()


SYSTEM_LOG = (
    "package system.log\n\n"
    'mask contains "/input/run/task_id" if input.input.gate == "data-validation"\n\n'
    'mask contains {"op": "upsert", "path": "/input/run/run_id", "value": x} if x := input.labels.version\n'
)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(SYSTEM_LOG, id="plain"),
        pytest.param(SYSTEM_LOG.replace("\n", "\r\n"), id="with carriage returns"),
        pytest.param(
            SYSTEM_LOG.replace("system.log", "system").replace("mask", "log.mask"), id="from the package above"
        ),
    ],
)
def test_rules_in_rego_mask_as_in_opa(source: str, library: Library, tmp_path: Path) -> None:
    decision, log = rego_mask(library, tmp_path, source)
    assert decision.verdict is Verdict.ALLOW
    (event,) = log.events
    assert "task_id" not in event["input"]["run"]
    assert event["input"]["run"]["run_id"] == "1.20.2"


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("package system.log\n\nmask := 1 / 0\n", id="an error"),
        pytest.param('package system.log\n\nmask contains "/labels"\n', id="a rule that cannot be read"),
        pytest.param("package system.log\n\nmask := true\n", id="no list"),
    ],
)
def test_rego_that_cannot_say_what_to_mask_makes_it_undecided(source: str, library: Library, tmp_path: Path) -> None:
    decision, log = rego_mask(library, tmp_path, source)
    assert decision.verdict is Verdict.UNDECIDED
    assert "the decision could not be logged" in decision.errors[0]
    assert log.lines == []


RULES: list[Any] = [
    "/input/secret",
    {"op": "upsert", "path": "/input/name", "value": "***"},
    {"op": "remove", "path": "/input/list/0"},
    {"op": "remove", "path": "/input/deep/a/0/b"},
    {"op": "upsert", "path": "/input/list/1", "value": {"x": 1}},
    {"op": "remove", "path": "/input/none"},
    "/result/hidden",
]
DOCUMENTS: list[dict[str, Any]] = [
    {"secret": "s", "name": "n", "list": [1, 2, 3], "deep": {"a": [{"b": 1, "c": 2}]}},
    {"secret": {"a": [1]}, "name": {"x": "y"}, "list": ["x"], "deep": {"a": {"0": {"b": 1}}}},
    {"name": "", "list": [], "deep": []},
    {"secret": None, "name": "n", "list": "text", "deep": {"a": []}},
]


@contextmanager
def logging_opa(folder: Path) -> Iterator[tuple[str, Path]]:
    """An OPA that writes its decision log to its console, and where that goes."""
    source = "package system.log\n\nmask contains rule if some rule in data.rules\n"
    (folder / "mask.rego").write_text(source)
    (folder / "p.rego").write_text('package p\n\nd := {"hidden": 1, "shown": 2}\n')
    (folder / "data.json").write_text(json.dumps({"rules": RULES}))
    address, console = f"127.0.0.1:{free_port()}", folder / "console"
    command = [str(opa_program()), "run", "--server", f"--addr={address}", "--skip-version-check"]
    with console.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--log-level=error", "--set=decision_logs.console=true", str(folder)],
            stdout=stream,
            stderr=stream,
        )
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://{address}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"http://{address}", console
    finally:
        process.terminate()
        process.wait(timeout=20)


@needs_opa
def test_a_real_opa_masks_the_same_and_logs_the_same_fields(tmp_path: Path) -> None:
    with logging_opa(tmp_path) as (url, console):
        for asked in DOCUMENTS:
            body = json.dumps({"input": asked}).encode()
            urllib.request.urlopen(urllib.request.Request(f"{url}/v1/data/p/d", data=body, method="POST")).close()
        events: list[Any] = []
        for _ in range(500):
            lines = console.read_text().splitlines()
            events = [json.loads(line) for line in lines if '"decision_id"' in line and line.endswith("}")]
            if len(events) == len(DOCUMENTS):
                break
            time.sleep(0.02)
    for asked, event in zip(DOCUMENTS, events, strict=True):
        given = {"input": asked, "result": {"hidden": 1, "shown": 2}}
        ours = mask(given, mask_rules(RULES, where="test"))
        assert ours.event["result"] == event["result"]
        assert ours.event["input"] == event["input"]
        assert set(ours.erased) == set(event.get("erased", []))
        assert set(event) - CONSOLE <= EVENT_V1
        for name in set(event) & set(GOLDEN):
            assert kind(event[name]) is kind(GOLDEN[name]), name
