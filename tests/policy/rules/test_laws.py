"""Laws of the shipped rules, asked of the engine itself, without the schema that stands before it.

Python refuses most of these documents before Rego sees them. The rules must hold alone, because the same bundle is
served to stock OPA by `opa run -b`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.gate import PolicyError
from interlock.policy import EmbeddedEngine

Examples = Callable[[], Mapping[str, dict[str, Any]]]
NAMES = ("validation", "poisoning", "artifact", "finished_training", "training_guard", "deployment_guard")
MEASURES = {
    "validation": ("rows", "expectations_evaluated", "expectations_failed", "expectations_errored", "required_missing"),
    "poisoning": ("rows", "flagged_rows", "flagged_fraction", "strongest", "detectors_run"),
    "artifact": ("files", "unsafe_globals"),
    "finished_training": ("exit_status", "isolation_rank", "output_bytes"),
    "training_guard": ("receipts_missing",),
    "deployment_guard": ("receipts_missing",),
}
RECEIPT = ("gate", "verdict", "profile", "issued", "expires", "dev", "same_run", "bundle_known", "exemptions")
EVERYWHERE = (
    "gate", "stage", "profile", "subject", "subject/digest", "subject/digest/sha256", "report", "report/gate",
    "report/subject", "report/subject/digest", "report/subject/digest/sha256", "report/measures", "report/coverage",
    "report/coverage/looked_at", "report/coverage/skipped", "report/coverage/failed",
)  # fmt: skip


def read_paths(name: str) -> Iterator[str]:
    """Every field of one example that some rule reads."""
    yield from EVERYWHERE
    for measure in MEASURES[name]:
        yield f"report/measures/{measure}"
        yield f"report/measures/{measure}/value"
    if name != "poisoning":
        yield "report/findings"
    if name == "artifact":
        yield from (f"report/findings/0{field}" for field in ("", "/rule_id", "/level", "/evidence"))
    if name == "finished_training":
        yield from ("requested", "requested/isolation")
    if name.endswith("_guard"):
        yield from ("now", "receipts", "receipts/0", "receipts/1")
        yield from (f"receipts/{n}/{field}" for n in (0, 1) for field in RECEIPT)


FACTS = {
    "validation": ("dataset", "dataset/sources", "dataset/licences", "dataset/pii", "dataset/region"),
    "artifact": (
        "model", "model/signature", "model/signature/verified", "model/signature/signer", "model/base_models",
        "model/bom", "model/bom/format", "model/bom/version",
    ),
    "finished_training": ("training", "training/deterministic", "gpu", "gpu/devices", "gpu/devices/0"),
    "training_guard": (
        "gpu", "gpu/devices", "gpu/devices/0", "gpu/devices/0/uuid", "gpu/devices/0/mig",
        "gpu/devices/0/ecc_uncorrected", "gpu/devices/0/retired_pages", "gpu/devices/0/foreign_processes",
        "gpu/devices/0/confidential",
    ),
}  # fmt: skip
COMPLETE_MEASURES = {
    "artifact": ("secrets", "personal_data"),
    "poisoning": (
        "classes", "smallest_class_rows", "smallest_class_fraction", "unlabelled_rows", "knn_flagged_rows",
        "knn_strength", "pattern_flagged_rows", "pattern_strength", "drift", "feature_drift", "label_drift",
        "distribution_drift", "new_source_fraction",
    ),
}  # fmt: skip
COMPLETE_OTHER = {
    "artifact": ("report/configuration", "report/configuration/profile"),
    "training_guard": ("requested", "requested/image"),
}


def strictly_read_paths(name: str) -> Iterator[str]:
    """Every field of one complete example that some rule reads under the strict profile."""
    yield from read_paths(name)
    yield from (f"report/facts/{fact}" for fact in FACTS.get(name, ()))
    yield from (f"report/measures/{m}{end}" for m in COMPLETE_MEASURES.get(name, ()) for end in ("", "/value"))
    yield from COMPLETE_OTHER.get(name, ())


def parent_of(document: Any, path: str) -> tuple[Any, Any]:
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        document = document[step]
    return document, last


def allowed(engine: EmbeddedEngine, document: Any) -> bool:
    """Whether policy lets `document` pass; an error lets nothing pass."""
    try:
        value: Any = engine.evaluate("interlock.decision.result", document).value
    except PolicyError:
        return False
    return isinstance(value, dict) and value["allow"] is True


def kind_of(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(type(value))
    return "number" if isinstance(value, int | float) else str(type(value))


@pytest.fixture(scope="session")
def complete(engine: EmbeddedEngine) -> Examples:
    """A fresh copy of the input documents with every fact in them, under the strict profile."""
    value: Any = engine.evaluate("interlock.examples_test.complete", {}).value
    judged = {name: document for name, document in value.items() if name in STRICT}
    return lambda: copy.deepcopy(judged)


STRICT = ("validation", "poisoning", "artifact", "finished_training", "training_guard")
"""Of the deployment the pack `deployment` has complete examples of its own."""


@pytest.mark.parametrize("name", STRICT)
def test_the_complete_examples_are_allowed(engine: EmbeddedEngine, complete: Examples, name: str) -> None:
    assert allowed(engine, complete()[name])


@pytest.mark.parametrize(("name", "path"), [(name, path) for name in STRICT for path in strictly_read_paths(name)])
def test_a_fact_that_rules_read_denies_when_dropped_or_null(
    engine: EmbeddedEngine, complete: Examples, name: str, path: str
) -> None:
    for change in ("drop", "null"):
        document = complete()[name]
        parent, last = parent_of(document, path)
        if change == "drop":
            del parent[last]
        else:
            parent[last] = None
        assert not allowed(engine, document), change


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_allowed(engine: EmbeddedEngine, examples: Examples, name: str) -> None:
    assert allowed(engine, examples()[name])


@pytest.mark.parametrize(("name", "path"), [(name, path) for name in NAMES for path in read_paths(name)])
def test_a_field_that_rules_read_denies_when_dropped_or_null(
    engine: EmbeddedEngine, examples: Examples, name: str, path: str
) -> None:
    for change in ("drop", "null"):
        document = examples()[name]
        parent, last = parent_of(document, path)
        if change == "drop":
            del parent[last]
        else:
            parent[last] = None
        assert not allowed(engine, document), change


NUMBERS = st.integers(-10, 10) | st.floats(allow_nan=False, allow_infinity=False)
WRONG = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
law = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@law
@given(data=st.data())
def test_a_mistyped_field_never_stays_allowed(engine: EmbeddedEngine, examples: Examples, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    document = examples()[name]
    path = data.draw(st.sampled_from(sorted(read_paths(name))))
    parent, last = parent_of(document, path)
    before = kind_of(parent[last])
    parent[last] = data.draw(WRONG.filter(lambda value: kind_of(value) != before))
    assert not allowed(engine, document)


@law
@given(data=st.data())
def test_a_mistyped_fact_never_stays_allowed(engine: EmbeddedEngine, complete: Examples, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(STRICT))
    document = complete()[name]
    path = data.draw(st.sampled_from(sorted(strictly_read_paths(name))))
    parent, last = parent_of(document, path)
    before = kind_of(parent[last])
    parent[last] = data.draw(WRONG.filter(lambda value: kind_of(value) != before))
    assert not allowed(engine, document)


@law
@given(data=st.data())
def test_an_error_finding_never_turns_deny_into_allow(
    engine: EmbeddedEngine, examples: Examples, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(NAMES))
    document = examples()[name]
    for path in data.draw(st.lists(st.sampled_from(sorted(read_paths(name))), min_size=1, max_size=2, unique=True)):
        try:
            parent, last = parent_of(document, path)
            parent[last] = data.draw(WRONG)
        except (KeyError, IndexError, TypeError):
            continue
    worse = copy.deepcopy(document)
    report = worse.get("report")
    found = report.get("findings") if isinstance(report, dict) else None
    if isinstance(found, list):
        rule = data.draw(st.sampled_from(["artifact-scan.format", "artifact-scan.unsafe-global", "x"]))
        found.append(
            {"rule_id": rule, "level": "error", "message": "", "location": {}, "evidence": '{"format": "json"}'}
        )
    if not allowed(engine, document):
        assert not allowed(engine, worse)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "poisoning"])
def test_an_error_finding_denies(engine: EmbeddedEngine, examples: Examples, name: str) -> None:
    document = examples()[name]
    document["report"]["findings"].append({"rule_id": "x.y", "level": "error", "message": "m"})
    assert not allowed(engine, document)


@law
@given(data=st.data())
def test_worse_numbers_never_turn_deny_into_allow(
    engine: EmbeddedEngine, examples: Examples, data: st.DataObject
) -> None:
    """The thresholds are monotone: more flagged rows, more failures, fewer detectors never help."""
    name = data.draw(st.sampled_from(("validation", "poisoning")))
    better_when_high = {"rows", "expectations_evaluated", "detectors_run"}
    document = examples()[name]
    measures = document["report"]["measures"]
    for measure in MEASURES[name]:
        measures[measure]["value"] = data.draw(st.floats(0, 20_000) | st.floats(0, 1))
    worse = copy.deepcopy(document)
    measure = data.draw(st.sampled_from(MEASURES[name]))
    change = data.draw(st.floats(0, 20_000))
    value = worse["report"]["measures"][measure]
    value["value"] += -change if measure in better_when_high else change
    assert allowed(engine, document) or not allowed(engine, worse)


@law
@given(order=st.permutations(range(2)), data=st.data())
def test_the_order_of_receipts_changes_nothing(
    engine: EmbeddedEngine, examples: Examples, order: list[int], data: st.DataObject
) -> None:
    document = examples()["training_guard"]
    extra = copy.deepcopy(document["receipts"][0])
    extra["verdict"] = data.draw(st.sampled_from(["ALLOW", "DENY", "UNDECIDED"]))
    extra["issued"] = data.draw(
        st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z", "2026-11-23T11:30:00Z"])
    )
    receipts = [*document["receipts"], extra]
    answers = []
    for arrangement in (receipts, [receipts[n] for n in (*order, 2)], receipts[::-1]):
        document["receipts"] = arrangement
        answers.append(engine.evaluate("interlock.decision.result", document).value)
    assert answers[0] == answers[1] == answers[2]


EXEMPTION: dict[str, Any] = {
    "id": "EX-1",
    "reason": "known watermark",
    "rules": ["dataset.poisoning-flagged"],
    "gate": "data-poisoning",
    "profiles": ["standard"],
    "issued": "2026-11-23T08:00:00Z",
    "expires": "2026-11-24T08:00:00Z",
    "by": "security",
    "keyid": "9e1d",
    "dev": False,
}
IDS = (
    "dataset.poisoning-flagged", "dataset.poisoning-evidence", "dataset.rows", "dataset.detectors",
    "gate.nothing-looked-at", "gate.coverage-failed", "gate.same-subject", "gate.profile", "gate.no-rules",
)  # fmt: skip


def exemption_for(document: Any) -> dict[str, Any]:
    return {**copy.deepcopy(EXEMPTION), "digest": {"sha256": document["subject"]["digest"]["sha256"]}}


def flagged(examples: Examples) -> dict[str, Any]:
    document = examples()["poisoning"]
    document["report"]["measures"]["flagged_rows"]["value"] = 10_001
    return document


def test_an_exemption_lets_pass_what_it_names(engine: EmbeddedEngine, examples: Examples) -> None:
    document = flagged(examples)
    assert not allowed(engine, document)
    document["exemptions"] = [exemption_for(document)]
    assert allowed(engine, document)


@law
@given(data=st.data())
def test_an_exemption_with_anything_mistyped_is_as_if_absent(
    engine: EmbeddedEngine, examples: Examples, data: st.DataObject
) -> None:
    document = flagged(examples)
    exemption = exemption_for(document)
    field = data.draw(st.sampled_from(sorted(set(exemption) - {"keyid"})))
    before = kind_of(exemption[field])
    exemption[field] = data.draw(WRONG.filter(lambda value: kind_of(value) != before))
    document["exemptions"] = [exemption]
    assert not allowed(engine, document)


HOURS = st.integers(-60 * 24, 60 * 24)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@law
@given(issued=HOURS, expires=HOURS)
def test_an_exemption_counts_only_while_it_is_in_force(
    engine: EmbeddedEngine, examples: Examples, issued: int, expires: int
) -> None:
    """Both in hours from now; the profile accepts exemptions that live 14 days."""
    document = flagged(examples)
    moments = {"issued": NOW + timedelta(hours=issued), "expires": NOW + timedelta(hours=expires)}
    times = {name: f"{moment:%Y-%m-%dT%H:%M:%SZ}" for name, moment in moments.items()}
    document["exemptions"] = [exemption_for(document) | times]
    assert allowed(engine, document) == (issued <= 0 < expires and expires - issued <= 14 * 24)


@law
@given(rules=st.lists(st.sampled_from(IDS), max_size=4), spoiled=st.lists(st.integers(0, 5), max_size=3))
def test_exemptions_open_no_more_than_the_reasons_they_name(
    engine: EmbeddedEngine, examples: Examples, rules: list[str], spoiled: list[int]
) -> None:
    """Whatever else is wrong stays, and so do the reasons that no exemption sets aside."""
    document = flagged(examples)
    report = document["report"]
    for number in spoiled:
        [
            lambda: report["measures"]["strongest"].update(value=0.9),
            lambda: report["measures"]["rows"].update(value=0),
            lambda: report["measures"]["detectors_run"].update(value=0),
            lambda: report["coverage"].update(looked_at=[]),
            lambda: report["coverage"].update(failed=[{"path": "p", "reason": "r"}]),
            lambda: report["subject"]["digest"].update(sha256="0" * 64),
        ][number]()
    plain: Any = engine.evaluate("interlock.decision.result", document).value
    document["exemptions"] = [{**exemption_for(document), "rules": rules}]
    found: Any = engine.evaluate("interlock.decision.result", document).value
    before = {reason["id"] for reason in plain["reasons"]}
    after = {reason["id"] for reason in found["reasons"]}
    gone = before - after
    assert after <= before
    assert gone == {one for one in before & set(rules) if one.startswith("dataset.")}
    assert found["exemptions"] == (["EX-1"] if gone else [])
    assert found["allow"] == (not after)
    assert {w["id"] for w in found["warnings"]} >= ({"exemption.used"} if gone else set())
