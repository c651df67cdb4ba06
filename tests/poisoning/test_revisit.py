"""After the scan: what is shown of flagged rows, and whose they are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from interlock.gate import Level
from interlock.poisoning import BatchStream, Block, PoisoningGate
from interlock.poisoning.batches import Columns
from interlock.poisoning.charts import charts
from interlock.poisoning.detector import Histogram, Scores, Suspicion
from interlock.poisoning.revisit import revisit
from interlock.poisoning.scan import Scan
from interlock.poisoning.survey import Survey


def stream(
    features: NDArray[np.float32], labels: list[str], sources: list[str] | None = None, step: int = 3
) -> BatchStream:
    def blocks() -> list[Block]:
        return [
            Block(
                features=features[at : at + step],
                labels=labels[at : at + step],
                sources=None if sources is None else sources[at : at + step],
            )
            for at in range(0, len(labels), step)
        ]

    return BatchStream(blocks)


LINE = np.array([[0], [1], [2], [10], [11], [50], [51]], dtype=np.float32)
LABELS = ["a", "a", "b", "b", "b", "c", "c"]


@pytest.mark.parametrize("step", [1, 3, 7])
def test_a_flagged_row_stands_beside_the_nearest_row_that_is_not_flagged(step: int) -> None:
    rows = revisit(stream(LINE, LABELS, step=step), wanted=[4, 1], lonely=[4, 1], flagged=[1, 3, 4])
    assert rows.alike == {4: 2, 1: 0}
    assert rows.features[2].tolist() == [2.0]
    assert rows.labels == {4: "b", 1: "a", 2: "b", 0: "a"}


def test_classes_and_sources_are_counted_with_their_flagged_rows() -> None:
    sources = ["x", "y", "x", "y", "y", "x", "x"]
    rows = revisit(stream(LINE, LABELS, sources), wanted=[], lonely=[], flagged=[3, 4])
    assert rows.tally.classes == {"a": (2, 0), "b": (3, 2), "c": (2, 0)}
    assert rows.tally.sources == {"x": (4, 0), "y": (3, 2)}


def test_nothing_is_read_where_nothing_is_asked() -> None:
    def broken() -> list[Block]:
        raise AssertionError("read for nothing")

    assert revisit(BatchStream(broken), wanted=[], lonely=[], flagged=[]).features == {}


def test_a_missing_value_does_not_keep_rows_from_their_likes() -> None:
    line = LINE.copy()
    line[0] = np.nan
    assert revisit(stream(line, LABELS), wanted=[3], lonely=[3], flagged=[3]).alike == {3: 4}


def test_where_all_rows_are_flagged_none_is_alike() -> None:
    assert revisit(stream(LINE, LABELS), wanted=[3], lonely=[3], flagged=range(7)).alike == {}


def test_a_histogram_counts_every_row_once_and_shows_flagged_rows_of_the_tail() -> None:
    along = np.concatenate([np.zeros(5000), [40.0, 41.0]])
    flagged = along > 1
    drawn = Histogram.of(along, flagged, axis="x", threshold=1.0)
    assert (sum(drawn.rest), sum(drawn.flagged)) == (5000, 2)
    assert (drawn.low, drawn.high) == (0.0, 41.0)


def test_a_histogram_of_equal_rows_has_a_width() -> None:
    drawn = Histogram.of(np.zeros(9), np.zeros(9, dtype=bool), axis="x")
    assert drawn.high > drawn.low
    assert sum(drawn.rest) == 9


def test_charts_hold_the_histogram_the_phrase_and_the_bars() -> None:
    source = stream(LINE, LABELS, ["x", "y", "x", "y", "y", "x", "x"])
    survey = Survey(seed=0, one_scale=True)
    profile = survey.finalize(survey.partial(next(iter(source.batches()))))
    suspicion = Suspicion(
        rule="repeated-words",
        level=Level.ERROR,
        message="m",
        title="the words cf",
        name="cf",
        rows=(3, 4),
        decades=9.0,
        evidence=json.dumps({"contexts": ["so [cf] it is", "[CF]"]}),
        histogram=Histogram.of(LINE[:, 0], np.arange(7) > 4, axis="x"),
    )
    scores = Scores(rows=np.arange(7), scores=np.zeros(7, dtype=np.float32), decades=9.0, suspicions=(suspicion,))
    found = Scan(profile=profile, lengths=(7,), scores=(("words", scores),), skipped=())
    rows = revisit(source, wanted=[], lonely=[], flagged=found.flagged)
    drawn = json.loads(charts(found, rows.tally))["charts"]
    assert [chart["kind"] for chart in drawn] == ["histogram", "quotes", "bars", "bars"]
    assert drawn[1]["lines"] == [["so ", "cf", " it is"], ["", "CF", ""]]
    assert drawn[2]["bars"] == [{"name": "b", "rows": 3, "flagged": 2}]
    assert drawn[2]["none"] == 2


def test_a_gate_that_flags_nothing_attaches_nothing() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 4)).astype(np.float32)
    seen = PoisoningGate(label="y").examine(stream(features, rng.integers(0, 2, 300).astype(str).tolist(), step=100))
    assert seen.attachments == ()
    assert Columns(label="y").image_shape is None
