"""One meaning: every case has the same answer in the library, in the program and on a server."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.conformance.conftest import CASES, Evaluate, Packages

from interlock.gate import Json, PolicyError


def numbered(*kinds: str) -> list[Any]:
    return [pytest.param(n, id=case["id"]) for n, case in enumerate(CASES) if any(kind in case for kind in kinds)]


def exactly(value: Json) -> Json:
    """The value with its types, so that `true` is not 1; in JSON 1 and 1.0 are one number."""
    if isinstance(value, list):
        return [exactly(each) for each in value]
    if isinstance(value, dict):
        return {key: exactly(each) for key, each in value.items()}
    return [type(value).__name__, value] if isinstance(value, bool) else value


def test_there_are_cases_enough_and_each_says_what_it_expects() -> None:
    assert len(CASES) >= 80
    assert len({case["id"] for case in CASES}) == len(CASES)
    outcomes = ("value", "undefined", "error", "refused")
    assert all(sum(outcome in case for outcome in outcomes) == 1 for case in CASES)
    assert {key for case in CASES for key in case} <= {"id", "rego", "input", "data", *outcomes}


@pytest.mark.parametrize("number", numbered("value"))
def test_the_value_is_the_same(evaluate: Evaluate, packages: Packages, number: int) -> None:
    case = CASES[number]
    answer = evaluate(packages.path(number), case.get("input", {}))
    assert answer.defined
    assert exactly(answer.value) == exactly(case["value"])


@pytest.mark.parametrize("number", numbered("undefined"))
def test_undefined_is_the_same(evaluate: Evaluate, packages: Packages, number: int) -> None:
    answer = evaluate(packages.path(number), CASES[number].get("input", {}))
    assert (answer.defined, answer.value) == (False, None)


@pytest.mark.parametrize("number", numbered("error"))
def test_an_error_is_the_same(evaluate: Evaluate, packages: Packages, number: int) -> None:
    case = CASES[number]
    with pytest.raises(PolicyError, match=case["error"]):
        evaluate(packages.path(number), case.get("input", {}))


@pytest.mark.parametrize("number", numbered("refused"))
def test_a_module_that_does_not_compile_is_refused(
    refuses: Callable[[int, Path], str], tmp_path: Path, number: int
) -> None:
    assert re.search(CASES[number]["refused"], refuses(number, tmp_path))
