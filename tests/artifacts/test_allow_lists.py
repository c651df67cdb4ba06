"""Keras, HDF5 and skops: what the libraries write passes, no damage and no trick does, and the tables are theirs."""

from __future__ import annotations

import copy
import io
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts import corpus_keras, corpus_skops, make_tables
from tests.artifacts.corpus import Entry, raw_zip
from tests.artifacts.looking import allowed, look, opened, record_of

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.formats.allow_lists import table
from interlock.gate import Observation

FINE = corpus_keras.model(
    corpus_keras.layer("Dense", {"units": 1, "activation": "relu", "kernel_regularizer": None}, name="dense"),
    compile_config={"loss": corpus_keras.function("builtins", "mean_squared_error"), "metrics": ["mae"]},
)
ARCHIVE = corpus_keras.keras(FINE)
LEGACY = corpus_keras.legacy(corpus_keras.without_modules(FINE), loss="mse")
EVIL = corpus_keras.legacy(corpus_keras.without_modules(corpus_keras.model(corpus_keras.LAMBDA)))
SKOPS = corpus_skops.harmless_by_hand()
MUTATED = settings(max_examples=150, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("whole", [ARCHIVE, LEGACY, SKOPS], ids=["keras", "hdf5", "skops"])
def test_whole_file_is_allowed_and_nothing_before_or_behind_it(whole: bytes) -> None:
    assert record_of(whole).clean
    assert not record_of(b"\0" + whole).clean
    assert not record_of(whole + b"\0").clean


@pytest.mark.parametrize("whole", [ARCHIVE, LEGACY, SKOPS], ids=["keras", "hdf5", "skops"])
def test_no_cut_of_a_file_is_allowed(whole: bytes) -> None:
    assert [size for size in range(3, len(whole), 7) if record_of(whole[:size]).clean] == []


@MUTATED
@given(data=st.binary(max_size=400), magic=st.booleans())
def test_no_bytes_crash_the_hdf5_reader(data: bytes, magic: bool) -> None:
    record_of(LEGACY[:8] + data if magic else LEGACY[:96] + data)


@MUTATED
@given(position=st.integers(0, len(EVIL) - 1), value=st.binary(min_size=1, max_size=8))
def test_mutated_hdf5_is_allowed_only_where_h5py_finds_no_lambda_in_it(position: int, value: bytes) -> None:
    changed = EVIL[:position] + value + EVIL[position + len(value) :]
    if record_of(changed).clean:
        assert "Lambda" not in _model_config(changed)


def _model_config(data: bytes) -> str:
    import h5py  # type: ignore[import-untyped]  # no stubs

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            return str(file.attrs.get("model_config", ""))
    except (OSError, RuntimeError, KeyError, ValueError, UnicodeDecodeError, MemoryError):
        return ""


@MUTATED
@given(data=st.data())
def test_trick_anywhere_in_a_configuration_is_refused(data: st.DataObject) -> None:
    trick = data.draw(st.sampled_from(sorted(corpus_keras.TRICKS)))
    config = _with(data, FINE, corpus_keras.TRICKS[trick])
    assert not record_of(corpus_keras.keras(config)).clean, trick
    assert not record_of(json.dumps(config).encode()).clean, trick


@MUTATED
@given(data=st.data())
def test_untrusted_type_anywhere_in_a_schema_is_refused(data: st.DataObject) -> None:
    trick = data.draw(st.sampled_from(sorted(corpus_skops.TYPES)))
    fine = corpus_skops.estimator(a=corpus_skops.several(corpus_skops.value(1)), coef_=corpus_skops.array())
    assert not record_of(corpus_skops.skops(_with(data, fine, corpus_skops.TYPES[trick]))).clean, trick


def _with(data: st.DataObject, document: dict[str, Any], trick: object) -> dict[str, Any]:
    """A copy of `document` with `trick` as the value of a new key, or as an item, somewhere in it."""
    found = copy.deepcopy(document)
    places: list[Any] = [found]
    for place in places:
        places += [
            inner
            for inner in (place.values() if isinstance(place, dict) else place)
            if inner and isinstance(inner, dict | list)
        ]
    place = data.draw(st.sampled_from(places))
    if isinstance(place, dict):
        place["x"] = trick
    else:
        place.append(trick)
    return found


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        pytest.param(Limits(text_bytes=50), ARCHIVE, "a text of", id="keras-config"),
        pytest.param(Limits(text_bytes=50), SKOPS, "a text of", id="skops-schema"),
        pytest.param(Limits(members=3), LEGACY, "more than 3 objects", id="hdf5-objects"),
        pytest.param(Limits(total_bytes=500), LEGACY, "bytes to read", id="hdf5-bytes"),
        pytest.param(Limits(seconds=1e-9), LEGACY, "time limit", id="hdf5-time"),
    ],
)
def test_limit_that_is_passed_is_a_gap_with_its_reason(limits: Limits, data: bytes, reason: str) -> None:
    assert any(reason in gap.reason for gap in record_of(data, limits=limits).failed)


def test_zip_of_another_library_is_none_of_keras_and_undecided() -> None:
    record = record_of(raw_zip([Entry(name="config.json", data=b'{"model_type": "bert"}')]))
    assert not record.clean
    assert {finding.rule_id for finding in record.findings} == {"artifact-scan.format"}


def test_weights_of_ten_gigabytes_are_judged_by_their_structure(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "large.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("last", (1,), "f4", data=[1.0])
        space = h5py.h5s.create_simple((10 << 30,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        h5py.h5d.create(file.id, b"weights", h5py.h5t.NATIVE_UINT8, space, dcpl=plist)
    assert path.stat().st_size > 10 << 30
    assert allowed(_look_at(path))
    os.truncate(path, 10 << 30)
    assert not allowed(_look_at(path))


def _look_at(path: Path) -> Observation:
    subject = opened(path.parent, {"other": b"x"})
    return ArtifactGate().look(type(subject)(subject=subject.subject, path=path, files=("",)))


def test_tables_are_bound_into_the_configuration() -> None:
    lists: Any = ArtifactGate().configuration()["allow_lists"]
    assert set(lists) == {"keras_classes", "skops_types", "sklearn_classes"}
    assert lists["keras_classes"]["made_from"]["keras"]
    assert all(len(entry["digest"]) == 64 for entry in lists.values())


def test_no_unsafe_class_is_in_the_table() -> None:
    keras = table("keras_classes")
    names = {name for group in keras["classes"].values() for name in group} | set(keras["names_without_module"])
    assert names.isdisjoint(keras["unsafe"])
    assert all(module == "keras" or module.startswith("keras.") for module in keras["classes"])
    assert not any(module.startswith(("keras.utils", "keras.saving", "keras.config")) for module in keras["classes"])
    assert all("get" not in group and "load" not in " ".join(group) for group in keras["functions"].values())


@pytest.mark.slow
def test_tables_are_what_the_script_makes_of_the_installed_packages() -> None:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, make in make_tables.TABLES:
            assert json.loads(path.read_text()) == json.loads(json.dumps(make()))


@pytest.mark.slow
@pytest.mark.parametrize("saved", ["keras", "skops"])
def test_what_the_libraries_really_save_passes(saved: str, tmp_path: Path) -> None:
    from tests.artifacts.harmless_keras import harmless_keras
    from tests.artifacts.harmless_skops import harmless_skops

    cases = harmless_keras() if saved == "keras" else harmless_skops()
    refused = {}
    for name, case in cases.items():
        seen = look(tmp_path / name, case.files, case.profile)
        if not allowed(seen):
            refused[name] = [finding.message for finding in seen.findings], seen.coverage.failed
    assert refused == {}


@pytest.mark.slow
def test_whatever_skops_would_not_trust_is_refused_here() -> None:
    """Both ways: hostile files by hand, and estimators that skops itself asks a person about."""
    from skops.io import get_untrusted_types  # type: ignore[import-untyped]  # no stubs
    from tests.artifacts.harmless_skops import asked_about

    for name, data in asked_about().items():
        assert get_untrusted_types(data=data), name
        assert not record_of(data).clean, name
    for group in corpus_skops.GROUPS:
        for case in group():
            assert not record_of(next(iter(case.files.values()))).clean, case.name
