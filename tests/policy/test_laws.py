"""Laws of the shipped rules, asked of the engine itself, without the schema that stands before it.

Python refuses most of these documents before Rego sees them. The rules must hold alone, because the same bundle is
served to stock OPA by `opa run -b`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
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
RECEIPT = ("gate", "verdict", "profile", "issued", "expires", "dev", "same_run", "bundle_known")
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
