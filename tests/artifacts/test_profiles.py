"""Profiles of scikit-learn, pandas, XGBoost and LightGBM: what they save passes, and nothing leads out of memory."""

from __future__ import annotations

import io
import pickle
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts import corpus_checkpoints
from tests.artifacts import corpus_profiles as corpus
from tests.artifacts.corpus import broken_pickles, opcode_tricks, wrong_arguments
from tests.artifacts.corpus import gadgets as known_gadgets
from tests.artifacts.corpus_profiles import CALL, Made, Named, classifier, fine, nodes, sparse, tree, written
from tests.artifacts.looking import WITH_CONTENTS, record_of

from interlock.artifacts import Limits
from interlock.artifacts import record as rules
from interlock.artifacts.pickles import content_checks
from interlock.artifacts.pickles.profiles import PROFILES
from interlock.gate import Level

PICKLES = (known_gadgets, opcode_tricks, broken_pickles, wrong_arguments)
NAMES = ("sklearn", "pandas", "xgboost", "lightgbm")
WHOLE = {name: (written(value), profile) for name, (value, profile) in fine().items()}
BY_PANDAS = ("block", "series", "levels", "categories", "arrow", "frame", "index")
MUTATED = settings(max_examples=200, derandomize=True, database=None, deadline=None)


def own_profile(name: str) -> str:
    """The profile that is asked for such a file."""
    first = name.split("-", 1)[0]
    return first if first in ("xgboost", "lightgbm") else "pandas" if first in BY_PANDAS else "sklearn"


def said(data: bytes, profile: str) -> set[str]:
    return {finding.rule_id for finding in record_of(data, profile).findings if finding.level is Level.ERROR}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_what_the_tricks_change_is_allowed_unchanged(name: str) -> None:
    data, profile = WHOLE[name]
    record = record_of(data, profile)
    assert record.clean, record.findings


@pytest.mark.parametrize("name", sorted(corpus.out_of_memory()))
def test_index_that_leads_out_of_memory_is_refused_for_what_it_is(name: str) -> None:
    rule = {rules.UNSAFE_CONTENT, rules.UNSAFE_CALL, rules.UNSAFE_GLOBAL, rules.MALFORMED_TREES}
    assert said(written(corpus.out_of_memory()[name]), own_profile(name)) & rule


@pytest.mark.parametrize("profile", NAMES)
def test_no_gadget_is_allowed(profile: str) -> None:
    cases = {**corpus.gadgets(), **corpus.out_of_memory()}
    assert len(cases) >= 40
    assert [name for name, value in cases.items() if record_of(written(value), profile).clean] == []


@pytest.mark.parametrize("profile", WITH_CONTENTS)
def test_no_hostile_pickle_of_the_others_is_allowed(profile: str) -> None:
    cases = [case for group in (*PICKLES, corpus_checkpoints.joblib_dumps) for case in group()]
    assert [case.name for case in cases if record_of(case.files[""], profile).clean] == []


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("trick", [corpus.objects(1, 9), corpus.objects(0, 1), corpus.objects_of_before()])
def test_array_of_more_objects_than_its_list_is_refused_everywhere(profile: str, trick: object) -> None:
    assert not record_of(written(trick), profile).clean
    assert record_of(written(corpus.objects(3, 3)), "numpy").clean


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_no_cut_of_a_pickle_is_allowed(name: str) -> None:
    data, profile = WHOLE[name]
    step = max(1, len(data) // 60)
    assert [size for size in range(2, len(data), step) if record_of(data[:size], profile).clean] == []


@MUTATED
@given(name=st.sampled_from(sorted(WHOLE)), place=st.integers(0, 1 << 16), piece=st.binary(min_size=1, max_size=4))
def test_no_mutation_crashes_the_checks(name: str, place: int, piece: bytes) -> None:
    data, profile = WHOLE[name]
    place %= len(data)
    record_of(data[:place] + piece + data[place + len(piece) :], profile)


@MUTATED
@given(name=st.sampled_from(sorted(fine())), data=st.data())
def test_call_anywhere_in_an_object_is_refused(name: str, data: st.DataObject) -> None:
    value, profile = fine()[name]
    assert not record_of(written(_with(data, value)), profile).clean


def _with(data: st.DataObject, value: object) -> object:
    """`value` with a call in the place of a part of it."""
    if isinstance(value, Made):
        part = data.draw(st.sampled_from(["whole", "argument", "state"]))
        if part == "argument" and value.arguments:
            place = data.draw(st.integers(0, len(value.arguments) - 1))
            inner = list(value.arguments)
            inner[place] = _with(data, inner[place])
            return Made(value.call, tuple(inner), value.states, value.new)
        if part == "state" and value.states:
            return Made(value.call, value.arguments, (_with(data, value.states[0]), *value.states[1:]), value.new)
    elif isinstance(value, dict) and value:
        key = data.draw(st.sampled_from(sorted(value)))
        return value | {key: _with(data, value[key])}
    elif isinstance(value, list | tuple) and value:
        place = data.draw(st.integers(0, len(value) - 1))
        return type(value)([*value[:place], _with(data, value[place]), *value[place + 1 :]])
    return CALL


SMALL = st.integers(-3, 5)
ROW = st.lists(SMALL, min_size=3, max_size=3)


@MUTATED
@given(left=ROW, right=ROW, feature=ROW)
def test_allowed_tree_leads_to_leaves_inside_of_it(left: list[int], right: list[int], feature: list[int]) -> None:
    given = nodes(left_child=left, right_child=right, feature=feature)
    if record_of(written(classifier(tree_=tree(nodes=given))), "sklearn").clean:
        open_nodes, steps = [0], 0
        while open_nodes:
            node = open_nodes.pop()
            steps += 1
            assert 0 <= node < 3
            assert steps <= 7
            if left[node] != -1:
                assert 0 <= feature[node] < 4
                open_nodes += [left[node], right[node]]


@MUTATED
@given(
    pointers=st.lists(st.integers(-1, 3), min_size=3, max_size=3),
    columns=st.lists(st.integers(-1, 3), min_size=0, max_size=3),
    order=st.sampled_from(["<i4", ">i4", "<i8"]),
)
def test_sparse_matrix_is_allowed_where_scipy_finds_it_whole(
    pointers: list[int], columns: list[int], order: str
) -> None:
    starts, indices = np.array(pointers, order), np.array(columns, order)
    value = sparse(indptr=starts, indices=indices, data=np.ones(len(columns)))
    whole = (
        pointers == sorted(pointers)
        and pointers[0] == 0
        and pointers[-1] <= len(columns)
        and all(0 <= column < 3 for column in columns)
    )
    assert record_of(written(value), "sklearn").clean == whole


@MUTATED
@given(codes=ROW, order=st.sampled_from(["i1", ">i2", "<i8"]))
def test_codes_are_allowed_where_they_are_in_their_level(codes: list[int], order: str) -> None:
    whole = all(-1 <= code < 3 for code in codes)
    given = np.array(codes, order)
    assert record_of(written(corpus.levels(given)), "pandas").clean == whole
    assert record_of(written(corpus.series(corpus.categories(given))), "pandas").clean == whole


@MUTATED
@given(offsets=st.lists(st.integers(-1, 5), min_size=0, max_size=6), length=st.integers(0, 4))
def test_arrow_text_is_allowed_where_its_offsets_lie_inside(offsets: list[int], length: int) -> None:
    used = offsets[: length + 1]
    whole = len(used) == length + 1 and used == sorted(used) and used[0] >= 0 and used[-1] <= 3
    value = corpus.series(corpus.arrow(offsets, length=length), rows=length)
    assert record_of(written(value), "pandas").clean == (whole or (not length and not offsets))


@MUTATED
@given(start=st.integers(-2, 4), stop=st.integers(-2, 4), step=st.integers(-1, 2))
def test_block_is_allowed_only_where_it_fills_its_axis(start: int, stop: int, step: int) -> None:
    value = corpus.frame(corpus.block(np.zeros((2, 3)), corpus.place(start, stop, step)), columns=corpus.span(2))
    if record_of(written(value), "pandas").clean:
        assert list(range(start, stop, step)) == [0, 1]


def test_limits_end_in_a_gap() -> None:
    data = written(corpus.forest(*(classifier() for _ in range(20))))
    assert "values" in record_of(data, "sklearn", Limits(values=200)).failed[0].reason
    assert "time limit" in record_of(data, "sklearn", Limits(seconds=1e-9)).failed[0].reason


def test_profiles_are_named_versioned_and_hashed() -> None:
    assert {PROFILES[name].version for name in NAMES} == {"1"}
    assert len({PROFILES[name].digest for name in PROFILES}) == len(PROFILES)
    for name in NAMES:
        assert len(PROFILES[name].table) == len(PROFILES[name].rules), name


def test_no_rule_lets_a_pickle_call_a_function_of_python_code() -> None:
    """What a call may name beside classes: the few functions that pickles of these libraries are written with."""
    called = {
        rule.path for name in NAMES for rule in PROFILES[name].rules if rule.calls and rule.name.lower() == rule.name
    }
    allowed = ("numpy", "pandas._libs", "pandas.core.indexes", "pyarrow.lib", "sklearn._loss", "builtins", "datetime")
    others = {path for path in called if not path.startswith(allowed)}
    dateutil = {f"dateutil.tz.tz.{name}" for name in ("_ttinfo", "tzfile", "tzutc")}
    assert others <= {"_codecs.encode", "collections.defaultdict", "functools.partial", "pytz._p", *dateutil}
    assert not any(rule.kind == "named-function" and (rule.calls or rule.new) for rule in PROFILES["xgboost"].rules)


@pytest.mark.slow
def test_what_the_libraries_really_save_passes() -> None:
    from tests.artifacts.harmless_profiles import harmless_profiles

    cases = harmless_profiles()
    assert len(cases) > 250
    refused = {}
    for name, (data, profile) in cases.items():
        record = record_of(data, profile)
        if not record.clean:
            refused[name] = [finding.message for finding in record.findings], record.failed
    assert refused == {}


UNREAD = {"SplineTransformer"}  # its splines are scipy's, which nobody checks


@pytest.mark.slow
def test_every_estimator_that_can_be_fitted_passes() -> None:
    from sklearn.utils import all_estimators  # type: ignore[import-untyped]  # no stubs

    features, labels = np.abs(np.random.default_rng(0).random((30, 4))), np.arange(30) % 2
    refused, seen = set(), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, kind in all_estimators():
            try:
                data = pickle.dumps(kind().fit(features, labels), 5)
            except (TypeError, ValueError, AttributeError, ImportError):
                continue  # asks for arguments, or for other data
            seen += 1
            if not record_of(data, "sklearn").clean:
                refused.add(name)
    assert refused <= UNREAD
    assert seen > 120


@pytest.mark.slow
def test_handmade_pickles_are_ones_that_the_libraries_load() -> None:
    import pandas as pd
    from sklearn.tree import DecisionTreeClassifier  # type: ignore[import-untyped]  # no stubs

    made = {name: data for name, (data, _) in WHOLE.items() if name not in HELD}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some do not say the version that they are of
        loaded: dict[str, Any] = {name: pickle.loads(data) for name, data in made.items()}
    assert isinstance(loaded["tree"], DecisionTreeClassifier)
    assert loaded["csr"].toarray().tolist() == [[1, 0, 0], [0, 1, 0]]
    assert loaded["random-state"].random_sample() >= 0
    assert loaded["neighbours"].query(np.zeros((1, 4)))[0] == 0
    pd.testing.assert_series_equal(loaded["series"], pd.Series(np.zeros(3)))
    assert loaded["frame"].shape == (3, 1)
    assert loaded["arrow"].tolist() == list("abc")
    assert loaded["categories"].tolist()[:2] == [0, 2]
    assert len(loaded["levels"]) == 3


HELD = {"xgboost", "lightgbm"}
"""Models of their tests, which hold no more than is read."""


def test_pandas_zip_is_read_under_its_profile_only() -> None:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("frame.pkl", WHOLE["frame"][0])
    assert record_of(out.getvalue(), "pandas").clean
    assert not record_of(out.getvalue(), "sklearn").clean
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("other.pkl", written(Named("os", "system")))
    assert not record_of(out.getvalue(), "pandas").clean


def test_every_check_is_found_by_its_name_and_no_name_is_of_none() -> None:
    for module, names in content_checks.PLACES.items():
        loaded = import_module(f"interlock.artifacts.pickles.{module}")
        tables = [getattr(loaded, table, {}) for table in ("BUILDS", "CALLS", "MODELS")]
        assert {name for table in tables for name in table} == set(names), module


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_rules_whose_checks_look_into_arrays_are_only_where_the_walk_keeps_them(profile: str) -> None:
    checked = {name for names in content_checks.PLACES.values() for name in names}
    used = {name for rule in PROFILES[profile].rules for name in (rule.build, rule.result)}
    assert PROFILES[profile].contents or used.isdisjoint(checked)
