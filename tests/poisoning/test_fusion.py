"""Several detectors share one false-alarm budget."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.gate import Level
from interlock.poisoning import Scores, Suspicion
from interlock.poisoning.fusion import fused

EVIDENCE = st.lists(st.floats(0, 400), min_size=1, max_size=12)


def said(*decades: float) -> Scores:
    found = [
        Suspicion(rule="r", level=Level.ERROR, message="m", title="t", rows=(place,), decades=evidence)
        for place, evidence in enumerate(decades)
    ]
    return Scores(
        rows=np.arange(10), scores=np.zeros(10, dtype=np.float32), decades=max(decades), suspicions=tuple(found)
    )


def test_a_detector_alone_has_the_whole_budget() -> None:
    (alone,) = fused([said(3.0)])
    assert alone.alarm
    assert alone.flagged == (0,)


def test_among_eight_a_detector_needs_more_evidence() -> None:
    quiet = [said(0.0)] * 7
    assert not fused([said(3.5), *quiet])[0].alarm
    assert fused([said(4.4), *quiet])[0].alarm


def test_detectors_that_agree_lose_less() -> None:
    alone = fused([said(6.0), *[said(0.0)] * 7])[0]
    together = fused([said(6.0)] * 8)[0]
    assert together.decades > alone.decades


def test_what_falls_below_the_budget_flags_no_row() -> None:
    strong = fused([said(9.0, 3.2), said(0.0)])[0]
    assert strong.flagged == (0,)
    assert len(strong.suspicions) == 1


@settings(deadline=None)
@given(evidence=EVIDENCE)
def test_evidence_never_grows_and_keeps_its_order(evidence: list[float]) -> None:
    after = [found.decades for found in fused([said(one) for one in evidence])]
    assert all(left <= before + 1e-9 for left, before in zip(after, evidence, strict=True))
    order = np.argsort(evidence, kind="stable")
    assert (np.diff(np.array(after)[order]) >= -1e-9).all()


@settings(deadline=None)
@given(evidence=EVIDENCE, place=st.integers(0, 11), more=st.floats(0, 50))
def test_more_evidence_of_one_never_silences_another(evidence: list[float], place: int, more: float) -> None:
    before = fused([said(one) for one in evidence])
    evidence[place % len(evidence)] += more
    after = fused([said(one) for one in evidence])
    assert all(new.decades >= old.decades - 1e-9 for new, old in zip(after, before, strict=True))


@pytest.mark.parametrize("detectors", [1, 3, 8])
def test_on_clean_data_the_budget_holds_for_all_together(detectors: int) -> None:
    rng = np.random.default_rng(0)
    draws, budget = 2000, 0.1  # a coarser budget than the real one, so that so few draws can tell
    evidence = -np.log10(rng.uniform(size=(draws, detectors)))
    alarms = sum(max(found.decades for found in fused([said(one) for one in draw])) >= 1.0 for draw in evidence)
    assert alarms <= draws * budget + 3 * np.sqrt(draws * budget)


def test_a_remark_is_told_however_weak_it_is() -> None:
    remark = Suspicion(rule="r", level=Level.NOTE, message="m", title="t", rows=(), decades=0.0)
    quiet = replace(said(0.0), suspicions=(remark,))
    assert len(fused([quiet, said(0.0)])[0].suspicions) == 1


def test_nothing_that_looked_is_nothing_fused() -> None:
    assert fused([]) == ()
