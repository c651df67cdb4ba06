"""Reports quote untrusted content: none of it may become markup, and every format keeps its shape."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.gate.doubles import SUBJECT

from interlock.gate import (
    Coverage,
    Decision,
    Finding,
    Gap,
    GateOutcome,
    Level,
    Location,
    Measure,
    Observation,
    Reason,
    Recorded,
    Report,
    Severity,
    Tool,
    Verdict,
    utc_now,
)
from interlock.gate.documents import digest_of, report_document
from interlock.reporting import OutcomeGroup, ScenarioRow, render_html, render_json, render_sarif

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
SVG = base64.b64encode(b"<svg onload='alert(1)'/>").decode()


def outcome(text: str = "a sentence", attachments: tuple[tuple[str, str], ...] = ()) -> GateOutcome:
    """An outcome in which every free text is `text`."""
    seen = Observation(
        findings=(
            Finding(
                rule_id="data-poisoning.trigger",
                level=Level.ERROR,
                message=text,
                location=Location(path=text, row=3, column=text),
                evidence=text,
            ),
        ),
        measures=(Measure(name="rows", value=1797, unit="rows"),),
        coverage=Coverage(
            looked_at=("a",), skipped=(Gap(path=text, reason=text),), failed=(Gap(path="", reason=text),)
        ),
        attachments=attachments,
    )
    now = utc_now()
    report = Report(
        gate="data-poisoning",
        subject=SUBJECT,
        observation=seen,
        tools=(Tool(name=text, version=text),),
        configuration="{}",
        started=now,
        finished=now,
    )
    reason = Reason(id="r", title=text, severity=Severity.HIGH, message=text, remediation=text)
    decision = Decision(verdict=Verdict.DENY, reasons=(reason,), warnings=(reason,), errors=(text,))
    return GateOutcome(report=report, decision=decision, recorded=Recorded(receipt_id="R1", envelope_digest="ef" * 32))


class Seen(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def elements(page: str) -> list[tuple[str, dict[str, str | None]]]:
    seen = Seen()
    seen.feed(page)
    return seen.tags


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param("<script>alert(1)</script>", id="script"),
        pytest.param('"><img src=x onerror=alert(1)>', id="attribute-breakout"),
        pytest.param("</style><style>body{display:none}</style>", id="style"),
        pytest.param("{{ 7 * 7 }}{% include 'x' %}", id="template"),
        pytest.param("<!--", id="comment"),
        pytest.param("javascript:alert(1)", id="url"),
    ],
)
def test_hostile_text_changes_no_element_of_the_page(hostile: str) -> None:
    row = ScenarioRow(scenario=hostile, step=hostile, outcome=hostile, reason=hostile, seconds=1.0)
    page = render_html(title=hostile, rows=[row], groups=[OutcomeGroup(title=hostile, outcomes=(outcome(hostile),))])
    tame = ScenarioRow(scenario="a", step="a", outcome="a", reason="a", seconds=1.0)
    harmless = render_html(title="a", rows=[tame], groups=[OutcomeGroup(title="a", outcomes=(outcome("a"),))])
    assert [tag for tag, _ in elements(page)] == [tag for tag, _ in elements(harmless)]


def test_text_that_looks_like_a_template_is_shown_as_it_is() -> None:
    assert "{{ 7 * 7 }}" in render_html(title="{{ 7 * 7 }}")


@given(st.text(max_size=40))
def test_no_text_becomes_an_element(text: str) -> None:
    count = len(elements(render_html(title="t", outcomes=[outcome("a")])))
    assert len(elements(render_html(title="t", outcomes=[outcome(text or "a")]))) == count


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = render_html(title="t", outcomes=[outcome(attachments=(("p", gallery(PNG)),))])
    for tag, attributes in elements(page):
        assert tag not in ("script", "iframe", "link", "object", "embed")
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
    assert "default-src 'none'" in page


def gallery(png: object) -> str:
    picture = {"caption": "row 3, label 0", "png": png, "box": [0.5, 0.5, 0.25, 0.25]}
    pairs = [{"flagged": picture, "neighbour": picture}, {"flagged": picture, "neighbour": None}]
    return json.dumps({"galleries": [{"title": "Repeated pattern", "note": "", "trigger": None, "pairs": pairs}]})


@pytest.mark.parametrize(
    ("attachment", "shown"),
    [
        pytest.param(gallery(PNG), 3, id="a-png"),
        pytest.param(gallery(SVG), 0, id="an-svg-that-says-png"),
        pytest.param(gallery("not base64!"), 0, id="no-base64"),
        pytest.param(gallery(None), 0, id="null"),
        pytest.param("{", 0, id="no-json"),
        pytest.param('{"galleries": "many"}', 0, id="galleries-is-text"),
        pytest.param("[]", 0, id="an-array"),
    ],
)
def test_only_real_pictures_are_shown(attachment: str, shown: int) -> None:
    page = render_html(title="t", outcomes=[outcome(attachments=(("p", attachment),))])
    assert sum(tag == "img" for tag, _ in elements(page)) == shown


@pytest.mark.parametrize("box", [None, "top", [0, 0, 1], [0, 0, 2, 1], ["0;}", 0, 1, 1], [float("nan"), 0, 1, 1]])
def test_a_box_that_is_no_four_fractions_is_not_drawn(box: object) -> None:
    picture = {"caption": "", "png": PNG, "box": box}
    attachment = json.dumps({"galleries": [{"pairs": [{"flagged": picture, "neighbour": None}]}]})
    page = render_html(title="t", outcomes=[outcome(attachments=(("p", attachment),))])
    assert not [a for _, a in elements(page) if a.get("class") == "box"]


def test_the_json_object_has_its_published_shape() -> None:
    document = json.loads(json.dumps(render_json(outcome())))
    schema = json.loads((files("interlock.policies") / "schemas" / "gate_outcome.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(document)


def test_the_json_object_digests_the_whole_report_as_the_receipt_does() -> None:
    one = outcome(attachments=(("p", gallery(PNG)),))
    document = render_json(one)
    assert document["report_digest"] == {"sha256": digest_of(report_document(one.report))}
    assert "attachments" not in document["report"]  # type: ignore[operator]  # Json is wide; this one is a mapping


def test_sarif_names_rule_place_and_what_could_not_be_examined() -> None:
    log = json.loads(json.dumps(render_sarif(outcome("a sentence").report)))
    run = log["runs"][0]
    result = run["results"][0]
    assert log["version"] == "2.1.0"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "data-poisoning.trigger"
    assert result["level"] == "error"
    assert result["message"]["text"] == "a sentence"
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == "a sentence/row 3"
    assert run["invocations"][0]["executionSuccessful"] is False
    levels = [note["level"] for note in run["invocations"][0]["toolExecutionNotifications"]]
    assert levels == ["error", "note"]


@pytest.mark.parametrize("hostile", ["a b<c>.parquet", "../../etc/passwd", 'quote".csv', "\u2028é"])
def test_every_sarif_location_is_a_uri(hostile: str) -> None:
    log = json.loads(json.dumps(render_sarif(outcome(hostile).report)))
    uri = log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii()
    assert not set(uri) & set(' "<>')


def test_sarif_has_the_required_properties_and_no_others_where_the_standard_allows_none() -> None:
    """SARIF 2.1.0 closes these objects; a reader that validates would refuse a page of our own making."""
    log = json.loads(json.dumps(render_sarif(outcome().report)))
    (run,) = log["runs"]
    assert set(log) == {"$schema", "version", "runs"}
    assert set(run) <= {"tool", "results", "artifacts", "invocations"}
    assert {"name"} <= set(run["tool"]["driver"]) <= {"name", "version", "rules"}
    assert all({"name"} <= set(extension) <= {"name", "version"} for extension in run["tool"]["extensions"])
    for result in run["results"]:
        assert set(result) <= {"ruleId", "ruleIndex", "level", "message", "locations", "properties"}
        assert result["level"] in ("none", "note", "warning", "error")
    for invocation in run["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
    for artifact in run["artifacts"]:
        assert artifact["hashes"]["sha-256"] == SUBJECT.digest


def test_the_page_counts_verdicts_and_shows_reason_and_next_step() -> None:
    page = render_html(title="t", outcomes=[outcome("why not"), outcome("why not")])
    assert '<li class="DENY"><b>2</b>DENY</li>' in page
    assert page.count('<span class="fix">why not</span>') == 2
    assert "R1" in page
    assert SUBJECT.digest in page


def test_an_empty_page_is_a_page() -> None:
    assert "<h1>nothing ran</h1>" in render_html(title="nothing ran")


def test_texts_of_any_length_leave_a_page_that_opens() -> None:
    assert len(render_html(title="t", outcomes=[outcome("x" * 10**6)])) < 10**5
