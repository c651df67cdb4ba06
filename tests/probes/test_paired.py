"""What is chance and what is not, against other ways to say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.probes.evaluation.paired import error_drop, macro_f1_drop, right_and_wrong

FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


def split(pairs: list[tuple[bool, bool]]) -> tuple[np.ndarray, np.ndarray]:
    both = np.array(pairs, dtype=bool)
    return both[:, 0], both[:, 1]


@given(FLAGS)
def test_the_exact_test_is_scipys(pairs: list[tuple[bool, bool]]) -> None:
    from scipy.stats import binomtest  # type: ignore[import-untyped]  # no stubs are published

    new, accepted = split(pairs)
    lost, won = int((accepted & ~new).sum()), int((new & ~accepted).sum())
    found = right_and_wrong(new, accepted)
    if lost + won:
        assert found.p == pytest.approx(binomtest(lost, lost + won, alternative="greater").pvalue)
    else:
        assert found.p == 1
    assert found.drop == pytest.approx(accepted.mean() - new.mean())


@given(FLAGS)
def test_a_difference_turned_round_is_its_own_opposite(pairs: list[tuple[bool, bool]]) -> None:
    one, other = right_and_wrong(*split(pairs)), right_and_wrong(*reversed(split(pairs)))
    assert one.drop == pytest.approx(-other.drop)
    assert one.low == pytest.approx(-other.high)
    assert -1 <= one.low <= one.high <= 1


def test_few_rows_without_a_difference_are_not_certain() -> None:
    same = np.ones(5, dtype=bool)
    found = right_and_wrong(same, same)
    assert found.drop == 0
    assert found.low < -0.2
    assert found.high > 0.2


def test_the_drop_of_macro_f1_is_scikit_learns_and_comes_out_the_same_each_time() -> None:
    from sklearn.metrics import f1_score  # type: ignore[import-untyped]  # no stubs are published

    draw = np.random.default_rng(7)
    truth = draw.integers(4, size=500)
    accepted = np.where(draw.random(500) < 0.9, truth, 3)
    new = np.where(draw.random(500) < 0.6, truth, 9)  # 9 is no class: never right
    found = macro_f1_drop(truth, new, accepted, 4)
    each = [0, 1, 2, 3]
    expected = [f1_score(truth, said, labels=each, average="macro", zero_division=0) for said in (accepted, new)]
    assert found.drop == pytest.approx(expected[0] - expected[1])
    assert found.low < found.drop < found.high
    assert found.p == pytest.approx(1 / 1001)
    assert macro_f1_drop(truth, new, accepted, 4) == found


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(11)
    held = 0
    for _ in range(300):
        accepted = draw.random(80) < 0.9
        new = np.where(draw.random(80) < 0.15, draw.random(80) < 0.5, accepted)  # worse by 0.15 * (0.9 - 0.5)
        found = right_and_wrong(new.astype(bool), accepted)
        held += found.low <= 0.06 <= found.high
    assert 0.90 <= held / 300 <= 1


def test_errors_are_compared_in_parts_of_what_they_were() -> None:
    accepted = np.linspace(0.5, 1.5, 200)
    found = error_drop(accepted * 1.2, accepted)
    assert found.drop == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2)
    assert error_drop(accepted, np.zeros(200)).drop == 1e6
    assert error_drop(np.zeros(200), np.zeros(200)).drop == 0
