"""Charts quote what was examined: what has not their shape is not drawn, and what has stays inside the picture."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reporting.test_reports import elements, outcome

from interlock.gate import Observation
from interlock.reporting import render_html
from interlock.reporting.charts import BarChart, HistogramChart, QuoteChart, charts_of

HISTOGRAM = {
    "kind": "histogram",
    "title": "a faint pattern",
    "axis": "along it",
    "low": -1.0,
    "high": 3.0,
    "threshold": 1.0,
    "rest": [0, 9, 4, 0],
    "flagged": [0, 0, 0, 7],
}
BARS = {
    "kind": "bars",
    "title": "by class",
    "bars": [{"name": "cat", "rows": 10, "flagged": 5}, {"name": "dog", "rows": 20, "flagged": 1}],
    "more": 2,
    "none": 7,
}
QUOTES = {"kind": "quotes", "title": "words", "lines": [["so ", "cf", " it is"]]}


def seen(*charts: object) -> Observation:
    return outcome(attachments=(("charts", json.dumps({"charts": charts})),)).report.observation


def test_each_kind_of_chart_is_read_with_its_numbers() -> None:
    histogram, bars, quotes = charts_of(seen(HISTOGRAM, BARS, QUOTES))
    assert isinstance(histogram, HistogramChart)
    assert (histogram.rest, histogram.flagged, histogram.most, histogram.threshold) == (13, 7, 9, 0.5)
    assert isinstance(bars, BarChart)
    assert [(bar.name, bar.share, bar.length) for bar in bars.bars] == [("cat", 0.5, 1.0), ("dog", 0.05, 0.1)]
    assert (bars.more, bars.none) == (2, 7)
    assert isinstance(quotes, QuoteChart)
    assert quotes.lines == (("so ", "cf", " it is"),)


def test_a_page_draws_every_chart() -> None:
    page = render_html(
        title="t", outcomes=[outcome(attachments=(("c", json.dumps({"charts": [HISTOGRAM, BARS, QUOTES]})),))]
    )
    tags = [tag for tag, _ in elements(page)]
    assert tags.count("rect") == 3  # of four bins one is empty
    assert tags.count("line") == 1
    assert tags.count("mark") == 1
    assert "5 of 10" in page
    assert "2 more with smaller shares; 7 others without any" in page


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param([], id="no-mapping"),
        pytest.param({"kind": "pie"}, id="unknown-kind"),
        pytest.param({**HISTOGRAM, "rest": [1, 2]}, id="bins-of-two-lengths"),
        pytest.param({**HISTOGRAM, "rest": [0, -9, 4, 0]}, id="negative-count"),
        pytest.param({**HISTOGRAM, "rest": [0, 9.5, 4, 0]}, id="count-that-is-no-whole-number"),
        pytest.param({**HISTOGRAM, "rest": [0, 10**400, 4, 0]}, id="count-beyond-any-dataset"),
        pytest.param({**HISTOGRAM, "rest": [0] * 9999, "flagged": [1] * 9999}, id="too-many-bins"),
        pytest.param({**HISTOGRAM, "high": -1.0}, id="no-width"),
        pytest.param({**HISTOGRAM, "high": 10**400}, id="infinite-end"),
        pytest.param({**HISTOGRAM, "low": "0 } body { display: none"}, id="text-for-a-number"),
        pytest.param({**HISTOGRAM, "rest": [0] * 4, "flagged": [0] * 4}, id="nothing-counted"),
        pytest.param({**BARS, "bars": "cat"}, id="bars-that-are-text"),
        pytest.param({**BARS, "bars": [{"name": "cat", "rows": 1, "flagged": 2}]}, id="more-flagged-than-rows"),
        pytest.param({**BARS, "bars": [{"name": "cat", "rows": 0, "flagged": 0}]}, id="no-rows"),
        pytest.param({**QUOTES, "lines": [["a", "b"]]}, id="line-without-an-end"),
        pytest.param({**QUOTES, "lines": [["a", 1, "b"]]}, id="phrase-that-is-a-number"),
    ],
)
def test_what_is_no_chart_is_not_drawn(hostile: object) -> None:
    assert charts_of(seen(hostile)) == ()


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([HISTOGRAM, BARS, QUOTES]), st.data())
def test_no_damage_to_a_chart_breaks_the_page_or_leaves_its_frame(
    chart: dict[str, object], data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(chart)))
    damaged = {**chart, field: data.draw(JSON)}
    text = json.dumps({"charts": [damaged]})
    page = render_html(title="t", outcomes=[outcome(attachments=(("charts", text),))])
    for tag, attributes in elements(page):
        if tag == "rect":
            top, height = float(attributes["y"] or "nan"), float(attributes["height"] or "nan")
            assert -0.02 <= top <= 100
            assert 0 <= height <= 100.02


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'])
def test_hostile_names_in_charts_change_no_element_of_the_page(hostile: str) -> None:
    def page(text: str) -> list[str]:
        charts = [
            {**HISTOGRAM, "title": text, "axis": text},
            {**BARS, "title": text, "bars": [{"name": text, "rows": 10, "flagged": 5}]},
            {**QUOTES, "title": text, "lines": [[text, text, text]]},
        ]
        attachments = (("charts", json.dumps({"charts": charts})),)
        return [tag for tag, _ in elements(render_html(title="t", outcomes=[outcome(attachments=attachments)]))]

    assert page(hostile) == page("a")
