"""Curves of a training are told by the code that was trained with: what has not their shape is not drawn."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reporting.test_charts import JSON, seen
from tests.reporting.test_reports import elements, outcome

from interlock.gate import GateOutcome, Measure
from interlock.reporting import render_html, render_png
from interlock.reporting.charts import charts_of
from interlock.reporting.curves import HEIGHT, WIDTH, CurveChart, TableChart
from interlock.reporting.meters import meters_of
from interlock.reporting.refused import refused_of

CURVE: dict[str, Any] = {
    "kind": "curve",
    "title": "Loss",
    "axis": "step",
    "unit": "",
    "points": [[0, 1.0, 2.0, 3.0], [10, 0.5, 1.0, 5.0], [20, 0.5, 0.5, 0.5]],
    "marks": [[10, 5.0]],
}
TABLE: dict[str, Any] = {
    "kind": "table",
    "title": "Epochs",
    "columns": ["epoch", "loss"],
    "rows": [[1, 0.5], [2, None]],
}


def training(*charts: object, **limits: float) -> GateOutcome:
    """An outcome of a training with these charts, limits and what was used of them."""
    made = outcome(attachments=(("training-curves", json.dumps({"charts": charts})),))
    measures = (Measure(name="seconds", value=90.0), Measure(name="output_bytes", value=2**20))
    report = dataclasses.replace(
        made.report,
        gate="training",
        observation=dataclasses.replace(made.report.observation, measures=measures),
        configuration=json.dumps({"limits": limits, "safeguards": {"budget": {"asked": {"money": 3}}}}),
    )
    return dataclasses.replace(made, report=report)


def test_a_curve_lies_between_its_ends_and_its_marks_on_it() -> None:
    (curve,) = charts_of(seen(CURVE))
    assert isinstance(curve, CurveChart)
    assert (curve.low, curve.high, curve.first, curve.last) == (0.5, 5.0, 0.0, 20.0)
    assert curve.line[0] == (0.0, round(HEIGHT * 3 / 4.5, 2))
    assert curve.marks == ((WIDTH / 2, 0.0),)
    assert curve.banded
    assert not curve.logarithmic


def test_what_spans_magnitudes_is_drawn_in_logarithmic_height_unless_it_asks_not_to_be() -> None:
    wide = {**CURVE, "points": [[0, 0.01, 0.01, 0.01], [1, 1.0, 1.0, 1.0], [2, 100.0, 100.0, 100.0]], "marks": []}
    logarithmic, linear = charts_of(seen(wide, {**wide, "linear": True}))
    assert isinstance(logarithmic, CurveChart)
    assert isinstance(linear, CurveChart)
    assert logarithmic.line[1][1] == HEIGHT / 2
    assert linear.line[1][1] > 0.9 * HEIGHT
    assert not logarithmic.banded


def test_a_page_and_a_sheet_show_curves_tables_and_what_was_used_up() -> None:
    done = training(CURVE, TABLE, {**CURVE, "title": "Gradient norm"}, wall_seconds=60.0, output_bytes=2.0**22)
    page = render_html(title="t", outcomes=[done])
    tags = [tag for tag, _ in elements(page)]
    assert tags.count("svg") == 2
    assert tags.count("path") == 2 * 3  # band, line and one mark
    assert "90 of 60 s" in page
    assert "1 of 4 MiB" in page
    assert "fill passed" in page
    assert "money" not in page  # asked for, and not measured
    assert render_png(done).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("listed", "rows"),
    [
        pytest.param([{"kind": "network", "what": "connect 10.0.0.1:443", "count": 3}], 1, id="one"),
        pytest.param([{"kind": "file", "what": "x" * 9999, "count": "y"}] * 90, 40, id="many-and-damaged"),
        pytest.param({"kind": "network"}, 0, id="no-list"),
        pytest.param([1, "x", None], 0, id="no-objects"),
    ],
)
def test_refused_attempts_are_a_table_of_bounded_size(listed: object, rows: int) -> None:
    done = training()
    seen = dataclasses.replace(done.report.observation, attachments=(("refused", json.dumps(listed)),))
    done = dataclasses.replace(done, report=dataclasses.replace(done.report, observation=seen))
    tables = refused_of(done.report)
    assert sum(len(table.rows) for table in tables) == rows
    assert ("Refused attempts" in render_html(title="t", outcomes=[done])) == bool(rows)


def test_other_gates_have_no_bars() -> None:
    assert meters_of(outcome().report) == ()


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param({**CURVE, "points": []}, id="no-points"),
        pytest.param({**CURVE, "points": "0123"}, id="text"),
        pytest.param({**CURVE, "points": [[0, 1, 2]]}, id="three-numbers"),
        pytest.param({**CURVE, "points": [[0, 1, 2, "3"]]}, id="text-for-a-number"),
        pytest.param({**CURVE, "points": [[0, 3, 2, 1]]}, id="low-above-high"),
        pytest.param({**CURVE, "points": [[5, 1, 1, 1], [0, 1, 1, 1]]}, id="steps-that-go-back"),
        pytest.param({**CURVE, "points": [[0, -1e308, 0, 1e308]]}, id="differences-that-are-no-numbers"),
        pytest.param({**CURVE, "points": [[0, 1, 1, 10**400]]}, id="beyond-any-number"),
        pytest.param({**CURVE, "points": [[n, 1, 1, 1] for n in range(9999)]}, id="too-many"),
        pytest.param({**CURVE, "marks": [[1]]}, id="mark-without-a-value"),
        pytest.param({**TABLE, "columns": []}, id="no-columns"),
        pytest.param({**TABLE, "rows": [[1]]}, id="short-row"),
        pytest.param({**TABLE, "rows": "x"}, id="rows-of-text"),
    ],
)
def test_what_is_no_curve_and_no_table_is_not_drawn(hostile: object) -> None:
    assert charts_of(seen(hostile)) == ()


def test_a_table_keeps_texts_and_what_is_not_known() -> None:
    (table,) = charts_of(seen({**TABLE, "rows": [[1, "nan"], [2, None], [True, [1]]]}))
    assert isinstance(table, TableChart)
    assert table.rows == ((1.0, "nan"), (2.0, None), (None, None))


@settings(max_examples=50)
@given(st.sampled_from([CURVE, TABLE]), st.data())
def test_no_damage_breaks_the_page_or_leaves_the_frame(chart: dict[str, object], data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(sorted(chart)))
    page = render_html(title="t", outcomes=[training({**chart, field: data.draw(JSON)})])
    for tag, attributes in elements(page):
        if tag == "path" and attributes["class"] == "mean":
            places = [pair.split() for pair in str(attributes["d"])[1:].split("L")]
            assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in places)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_hostile_names_change_no_element_of_the_page(hostile: str) -> None:
    def page(text: str) -> list[str]:
        table = {**TABLE, "title": text, "note": text, "columns": [text, text], "rows": [[text, text]]}
        curve = {**CURVE, "title": text, "axis": text, "unit": text}
        return [tag for tag, _ in elements(render_html(title="t", outcomes=[training(curve, table)]))]

    assert page(hostile) == page("a")
