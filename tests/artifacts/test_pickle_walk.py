"""The symbolic machine against CPython's: what the stub would do outside of the profile is never allowed."""

from __future__ import annotations

import json
import pickle
import pickletools
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import ODICT, SYSTEM, broken_pickles, global_, opcode_tricks, stack_global, text
from tests.artifacts.looking import PROFILES, WITH_CONTENTS, record_of

from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.file import scan_pickle
from interlock.artifacts.pickles.opcodes import HANDLERS
from interlock.artifacts.pickles.profiles import PROFILES as KNOWN
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record


class Oracle:
    """The stub machine in a process of its own."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("oracle.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the machine complains about its own input
        )

    def ask(self, data: bytes) -> dict[str, Any]:
        """What loading `data` would name and call; nothing if that kills the machine."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(struct.pack("<I", len(data)) + data)
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        self.start()
        return {"names": [], "calls": [], "touched": [], "error": "killed"}

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()
        self.process.wait()


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    running = Oracle()
    yield running
    running.close()


def walked(data: bytes, profile: str) -> Record:
    record = Record(Budget(Limits()))
    scan_pickle(data, path="p", profile=profile_named(profile), record=record)
    return record


def outside(names: list[list[str]], profile: str) -> list[list[str]]:
    """Globals that the profile does not know, under their Python 2 name or their Python 3 name."""
    from interlock.artifacts.pickles.judge import _renamed

    table = KNOWN[profile].table
    return [pair for pair in names if tuple(pair) not in table and _renamed(*pair) not in table]


def refused_by_law(answer: dict[str, Any], profile: str) -> bool:
    """Whether the stub did something that the profile does not allow."""
    table = KNOWN[profile].table
    never_called = [
        pair for pair in answer["calls"] if (rule := table.get(tuple(pair))) and not (rule.calls or rule.new)
    ]
    touched = {"append", "extend", "add", "persistent"}.intersection(answer["touched"])
    return bool(outside(answer["names"], profile) or never_called or touched)


DTYPE = global_("numpy", "dtype") + b"U\x02f8\x89\x88\x87R"
FRAGMENTS = (
    b"(", b")", b"]", b"}", b"\x8f", b"N", b"\x88", b"K\x01", b"I1\n", b"I01\n", b"U\x02os", b"C\x01b", b"0", b"1",
    b"2", b"t", b"l", b"d", b"\x85", b"\x86", b"\x87", b"R", b"b", b"o", b"\x81", b"\x92", b"\x93", b"a", b"e", b"s",
    b"u", b"\x90", b"\x91", b"\x94", b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"p0\n", b"g0\n", b"r\x02\0\0\0",
    b"j\x02\0\0\0", b"Q", b"P1\n", b".", b"\x80\x02", b"\x80\x04", b"\x95\x02\0\0\0\0\0\0\0", b"\x82\x01",
    b"\x96\x01\0\0\0\0\0\0\0x",
    b"\x97", b"\x98", b"S'os'\n", b"Vsystem\n", b"L1L\n", b"F1.5\n", b"\x8a\x01\x05", b"ios\nsystem\n", SYSTEM, ODICT,
    DTYPE, text("os"), text("system"), text("collections"), text("OrderedDict"), global_("collections", "OrderedDict"),
    global_("_codecs", "encode"), global_("torch._utils", "_rebuild_tensor_v2"), global_("__builtin__", "set"),
    SYSTEM + b")R", SYSTEM + b"U\x02id\x85R",
    stack_global("os", "system") + b"K\x01\x85R",
    b"(" + SYSTEM + b"No",
    global_("os", "system") + b")\x81", b"}" + SYSTEM + b"b", stack_global("argparse", "Namespace"),
    stack_global("builtins", "eval"),
    global_("numpy._core.multiarray", "_reconstruct") + global_("numpy", "ndarray"),
    global_("sklearn.svm._classes", "SVC") + b")\x81", global_("builtins", "getattr"), global_("builtins", "slice"),
    global_("functools", "partial") + global_("sklearn.utils.validation", "check_array") + b"\x85R",
    global_("pandas.core.indexes.base", "_new_Index") + global_("pandas", "Index"), global_("numpy", "mean"),
)  # fmt: skip
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


@FUZZ
@given(seed=st.sampled_from(SEEDS), edits=EDITS)
def test_mutated_pickle_that_would_act_is_never_allowed(
    oracle: Oracle, seed: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    check(mutated(seed, edits), oracle)


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
