"""joblib's dumps: the walk reads arrays where joblib does, and refuses what the two readers take differently."""

from __future__ import annotations

import io
import pickle

import joblib  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_checkpoints import (
    DTYPES,
    EVIL,
    PADDED,
    WITHOUT_PADDING,
    joblib_dumps,
    wrapped,
)
from tests.artifacts.harmless_containers import dumped
from tests.artifacts.looking import record_of

from interlock.gate import Level

CASES = {case.name.removeprefix("joblib-"): case.files[""] for case in joblib_dumps()}
quick = settings(max_examples=150, derandomize=True, database=None, deadline=None)

REASONS = {
    "subclass-outside-of-the-profile": "names os.system",
    "array-of-opcodes-that-act-in-pickle-load": "act in plain pickle.load",
    "array-that-calls-what-is-known": "act in plain pickle.load",
    "array-in-the-middle-of-a-frame": "in the middle of a frame",
    "array-cut-off": "cut off",
    "array-larger-than-the-file": "cut off",
    "array-of-a-negative-size": "does not say what array follows",
    "padding-that-hides-bytes": "padding before an array",
    "padding-cut-off": "cut off",
    "wrapper-without-a-dtype": "does not say what array follows",
    "wrapper-with-a-further-field": "does not say what array follows",
    "wrapper-with-a-field-twice": "does not say what array follows",
    "wrapper-with-an-odd-order": "does not say what array follows",
    "wrapper-without-a-state": "does not say what array follows",
    "wrapper-built-twice": "does not say what array follows",
    "objects-that-may-be-mapped": "may be mapped",
    "objects-that-act": "names os.system",
    "objects-that-act-with-the-memo-of-pickle-load": "something else in plain pickle.load",
    "objects-that-are-no-array": "is no array",
    "objects-that-are-no-pickle": "no whole pickle",
    "objects-with-a-wrapper-inside": "where joblib reads no array",
    "call-behind-an-array": "names os.system",
    "bytes-behind": "bytes after STOP",
    "old-wrapper": "NDArrayWrapper",
}


@pytest.mark.parametrize("name", sorted(REASONS))
def test_trick_is_refused_for_what_it_is(name: str) -> None:
    record = record_of(CASES[name], "numpy")
    said = [finding.message for finding in record.findings if finding.level is Level.ERROR]
    assert any(REASONS[name] in message for message in said), said


@pytest.mark.parametrize(
    ("content", "value"),
    [
        pytest.param(wrapped(PADDED), b"ABCD", id="padded"),
        pytest.param(wrapped(b"ABCD", **WITHOUT_PADDING), b"ABCD", id="joblib-1.1-without-padding"),
        pytest.param(wrapped(b"ABCD", numpy_array_alignment_bytes=b""), b"ABCD", id="joblib-1.1-without-the-field"),
    ],
)
def test_handmade_dump_that_joblib_reads_is_allowed(content: bytes, value: bytes) -> None:
    assert joblib.load(io.BytesIO(content)).tobytes() == value
    assert record_of(content, "numpy").clean


def test_handmade_dump_of_objects_is_one_that_joblib_reads() -> None:
    content = wrapped(pickle.dumps(np.array([1, "x"], dtype=object)), dtype=DTYPES["O8"])
    assert joblib.load(io.BytesIO(content)).tolist() == [1, "x"]
    assert record_of(content, "numpy").clean


def test_no_cut_of_a_dump_is_allowed() -> None:
    content = dumped({"a": np.arange(20), "o": np.array([1, None], dtype=object)})
    assert record_of(content, "numpy").clean
    assert not [size for size in range(2, len(content)) if record_of(content[:size], "numpy").clean]


@quick
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_changed_byte_never_hides_a_call_behind_an_array(position: int, value: int) -> None:
    content = bytearray(wrapped(PADDED)[:-1] + b"0" + EVIL[2:])
    start = content.index(EVIL[2:])
    if position % len(content) < start:
        content[position % len(content)] = value
    assert not record_of(bytes(content), "numpy").clean


@quick
@given(
    elements=st.lists(st.floats(allow_nan=False, width=32), max_size=20),
    objects=st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=5)), max_size=5),
    form=st.sampled_from([0, ("zlib", 1), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lz4", 1)]),
    padded=st.booleans(),
)
def test_whatever_joblib_dumps_is_allowed(
    elements: list[float], objects: list[object], form: object, *, padded: bool
) -> None:
    value = [np.array(elements, dtype=np.float32), np.array([*objects, None], dtype=object), {"x": np.array(elements)}]
    content = dumped(value, compress=form)
    if not padded and form == 0:
        content = wrapped(np.array(elements, np.float32).tobytes(), **WITHOUT_PADDING,
                          shape=b"K" + bytes([4 * len(elements)]) + b"\x85")  # fmt: skip
    assert record_of(content, "numpy").clean


def test_profile_without_the_wrapper_refuses_a_dump() -> None:
    assert not record_of(dumped(np.ones(3)), "torch-checkpoint").clean


def test_warning_names_the_module_that_plain_pickle_would_look_for() -> None:
    record = record_of(dumped({"names": ["a", "b"], "y": np.array(["x"], dtype=object)}), "numpy")
    assert record.clean
    assert [finding.message for finding in record.findings if finding.level is Level.WARNING] == [
        "plain pickle.load looks for a module a, and imports it if there is one"
    ]
