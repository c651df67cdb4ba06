"""The symbolic machine against CPython's: what the stub would do outside of the profile is never allowed."""

from __future__ import annotations

import json
import pickle
import pickletools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import SYSTEM, broken_pickles, global_, opcode_tricks
from tests.artifacts.corpus_readers import with_tensors
from tests.artifacts.fuzz.fragments import FRAGMENTS
from tests.artifacts.looking import PROFILES, WITH_CONTENTS, record_of
from tests.artifacts.oracle_client import Oracle, refused_by_law

from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.file import probe_pickle, scan_pickle
from interlock.artifacts.pickles.opcodes import HANDLERS
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    running = Oracle()
    yield running
    running.close()


def walked(data: bytes, profile: str) -> Record:
    record = Record(Budget(Limits()))
    scan_pickle(data, path="p", profile=profile_named(profile), record=record)
    return record


SEEDS = tuple(
    case.files[""] for case in (*opcode_tricks(), *broken_pickles()) if len(case.files[""]) < 200
) + tuple(
    pickle.dumps({"a": [1, (2, 3)], "b": {"c": {4}}, "d": b"x", "e": frozenset("f"), "g": 1.5}, protocol)
    for protocol in range(6)
)  # fmt: skip

EDITS = st.lists(
    st.tuples(st.integers(0, 399), st.integers(0, 6), st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=2))),
    min_size=1,
    max_size=6,
)
FUZZ = settings(
    max_examples=1_500,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutated(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """`seed` with stretches replaced by fragments."""
    for position, removed, fragment in edits:
        at = position % (len(seed) + 1)
        seed = seed[:at] + fragment + seed[at + removed :]
    return seed


def check(data: bytes, oracle: Oracle) -> None:
    answer = oracle.ask(data)
    for profile in (*PROFILES, *WITH_CONTENTS):
        if refused_by_law(answer, profile):
            assert not walked(data, profile).clean, (data, answer)
            if answer["calls"]:
                assert not record_of(data, profile).clean, (data, answer)


@pytest.mark.slow
@FUZZ
@given(seed=st.sampled_from(SEEDS), edits=EDITS)
def test_mutated_pickle_that_would_act_is_never_allowed(
    oracle: Oracle, seed: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    check(mutated(seed, edits), oracle)


@pytest.mark.slow
@FUZZ
@given(
    start=st.sampled_from((b"", b"\x80\x02", b"\x80\x04", b"I0x1\n0", b"S'\\q'\n0")),
    program=st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=16),
)
def test_made_up_program_that_would_act_is_never_allowed(oracle: Oracle, start: bytes, program: list[bytes]) -> None:
    check(start + b"".join(program) + b".", oracle)


def test_oracle_sees_what_the_corpus_would_do(oracle: Oracle) -> None:
    """The law above is empty if the stub never gets as far as a call."""
    answers = {case.name: oracle.ask(case.files[""]) for case in opcode_tricks()}
    acting = [name for name, answer in answers.items() if answer["calls"] or answer["names"]]
    assert len(acting) >= 30
    assert ["os", "system"] in answers["memo-overwritten-names"]["calls"]


def test_every_opcode_of_every_protocol_is_modelled() -> None:
    assert set(HANDLERS) == {ord(opcode.code) for opcode in pickletools.opcodes}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
    | st.sets(st.integers()) | st.frozensets(st.text()) | st.builds(bytearray, st.binary()),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(value=PLAIN, protocol=st.integers(0, 5))
def test_whatever_plain_value_a_pickler_writes_is_allowed(value: object, protocol: int) -> None:
    record = walked(pickle.dumps(value, protocol), "torch-checkpoint")
    assert record.clean, record.findings


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_end_in_a_finding_or_a_gap_but_never_in_a_crash(data: bytes) -> None:
    walked(data, "numpy")
    record_of(data)


def test_offset_of_a_finding_is_that_of_its_opcode() -> None:
    data = b"\x80\x02K\x01K\x020" + SYSTEM + b"."
    finding = walked(data, "numpy").findings[0]
    assert finding.location.offset == data.index(b"c")
    assert json.loads(finding.evidence) == {"module": "os", "name": "system"}


def test_walk_goes_on_after_a_refusal_and_shows_all_that_a_file_would_do() -> None:
    record = walked(b"\x80\x02" + SYSTEM + b")R0" + global_("shutil", "rmtree") + b")R.", "numpy")
    assert record.unsafe_globals == {"os.system", "shutil.rmtree"}


def test_safetensors_around_the_programs_of_the_corpus_is_allowed_by_itself() -> None:
    assert record_of(with_tensors(b"N0N.")).clean


@pytest.mark.parametrize(
    ("start", "undecided"),
    [
        pytest.param(b"I", True, id="blanks-for-ever"),
        pytest.param(b"I1\0", True, id="number-that-ends-at-a-nul"),
        pytest.param(b"ca", True, id="name-for-ever"),
        pytest.param(b"I\2\0", False, id="no-number"),
        pytest.param(b"c\xff\0", False, id="no-name"),
    ],
)
def test_line_longer_than_a_text_is_a_gap_where_a_loader_would_go_on(start: bytes, undecided: bool) -> None:
    record = Record(Budget(Limits(text_bytes=20_000)))
    probe = probe_pickle(start + b" " * 30_000 + b"\n", path="p", profile=profile_named("numpy"), record=record)
    assert bool(probe.gap) is undecided
