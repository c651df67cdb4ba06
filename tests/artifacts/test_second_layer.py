"""The second layer: CPython's unpickler with stubs names what the walk names, and a difference is DENY."""

from __future__ import annotations

import _pickle
import pickle
from collections import OrderedDict
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import CALL, GADGETS, called
from tests.artifacts.looking import allowed, errors, look, record_of

from interlock.artifacts.boxed import likely_sandbox, sandbox_here
from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.second_layer import SecondLayer
from interlock.artifacts.pickles.stub_unpickler import names_of
from interlock.artifacts.record import SECOND_LAYER, Record
from interlock.artifacts.source import Buffer
from interlock.gate import UsageError
from interlock.training.bwrap import BwrapSandbox
from interlock.training.rlimits import RlimitsSandbox
from interlock.training.sandbox import Sandbox

PLAIN = pickle.dumps(OrderedDict(a=[1, 2, {"b"}], c=(None, b"d")), 4)
ODICT = frozenset({("collections", "OrderedDict")})


def judged(content: bytes, names: frozenset[tuple[str, str]], limits: Limits | None = None) -> Record:
    record = Record(Budget(limits or Limits()))
    with SecondLayer() as layer:
        layer.add(content, 0, len(content), path="m", names=names)
        layer.judge(record)
    return record


def messages(record: Record) -> list[str]:
    assert {finding.rule_id for finding in record.findings} <= {SECOND_LAYER}
    return [finding.message for finding in record.findings]


def test_a_pickle_that_both_read_alike_passes() -> None:
    record = judged(PLAIN, ODICT)
    assert messages(record) == []
    assert not record.failed


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (frozenset(), "disagree on what it names: collections.OrderedDict"),
        (ODICT | {("torch", "Size")}, "disagree on what it names: torch.Size"),
    ],
    ids=["the walk missed one", "the walk saw one too many"],
)
def test_a_disagreement_is_an_error(names: frozenset[tuple[str, str]], said: str) -> None:
    record = judged(PLAIN, names)
    assert said in messages(record)[0]
    assert record.refused


BROKEN = {"cut": PLAIN[:-1], "no-memo": b"\x80\x04h\x07.", "numbers": b"\x80\x04K\x01K\x02\x93.", "empty": b""}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_the_unpickler_cannot_read_is_an_error(content: bytes) -> None:
    assert "CPython's unpickler does not" in messages(judged(content, frozenset()))[0]


def test_what_takes_too_long_is_left_open() -> None:
    # The hash of a tuple of twice the same tuple, sixty times: no parser minds, and no unpickler comes to an end.
    content = b"\x80\x04})" + b"2\x86" * 60 + b"Ns."
    record = judged(content, frozenset(), Limits(seconds=2))
    assert messages(record) == []
    assert "did not end well" in record.failed[0].reason


def test_without_any_sandbox_it_is_left_open() -> None:
    def none() -> Sandbox:
        raise UsageError("no sandbox works on this machine")

    record = Record(Budget(Limits()))
    with SecondLayer(none) as layer:
        layer.add(PLAIN, 0, len(PLAIN), path="m", names=ODICT)
        layer.judge(record)
    assert "no sandbox works" in record.failed[0].reason


def test_where_the_strongest_sandbox_cannot_be_built_the_best_that_works_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandbox_here.cache_clear()
    monkeypatch.setattr("interlock.training.bwrap.BwrapSandbox", partial(BwrapSandbox, "/bin/false"))
    monkeypatch.setattr("interlock.training.sandbox.sandboxes", lambda: (RlimitsSandbox(),))
    try:
        assert likely_sandbox().level == "bwrap"
        assert not judged(PLAIN, ODICT).failed
        assert likely_sandbox().level == "rlimits"
        assert "disagree" in messages(judged(PLAIN, frozenset()))[0]
    finally:
        sandbox_here.cache_clear()


def test_where_no_sandbox_works_it_is_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox_here.cache_clear()
    none = partial(BwrapSandbox, "/no/such/program")
    monkeypatch.setattr("interlock.training.bwrap.BwrapSandbox", none)
    monkeypatch.setattr("interlock.training.sandbox.sandboxes", lambda: (none(),))
    record = judged(PLAIN, ODICT)
    assert "no sandbox works" in record.failed[0].reason
    assert messages(record) == []


def test_more_than_fits_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.artifacts.pickles.second_layer.LARGEST", 10)
    assert "not unpickled with stubs" in messages(judged(PLAIN, ODICT))[0]


@pytest.mark.parametrize("gadget", sorted(GADGETS))
def test_stubs_execute_nothing(gadget: str) -> None:
    assert names_of(called(*GADGETS[gadget])) == {GADGETS[gadget]}


def test_names_that_json_has_to_quote_come_through() -> None:
    names = {('a"b\\', "é\n\ud800"), ("m", "\0")}
    content = b"\x80\x04" + b"".join(
        b"".join(b"\x8c" + bytes([len(raw)]) + raw for raw in (part.encode("utf-8", "surrogatepass") for part in pair))
        + b"\x93"
        for pair in sorted(names)
    )
    assert messages(judged(content + b"\x86.", frozenset(names))) == []


def test_the_unpickler_of_its_c_module_is_the_one_of_pickle() -> None:
    assert _pickle.Unpickler is pickle.Unpickler


def test_a_call_with_a_trace_leaves_none(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = b"cbuiltins\nopen\n(S'" + str(trace).encode() + b"'\nS'w'\ntR."
    assert names_of(content) == {("builtins", "open")}
    assert names_of(CALL) == {("os", "system")}
    assert not trace.exists()


def test_the_gate_looks_twice_at_what_it_would_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed(look(tmp_path / "a", {"": PLAIN}))
    # The walk is made blind to one name: that alone would have been an ALLOW.
    seen = SecondLayer.add

    def blind(layer: SecondLayer, *data: object, path: str, names: frozenset[tuple[str, str]]) -> None:
        seen(layer, *data, path=path, names=names - ODICT)  # type: ignore[arg-type]

    monkeypatch.setattr(SecondLayer, "add", blind)
    assert errors(look(tmp_path / "b", {"": PLAIN})) == {SECOND_LAYER}


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_what_the_walk_finds_harmless_the_unpickler_reads_with_the_same_names(data: st.DataObject) -> None:
    protocol = data.draw(st.integers(0, 5))
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
                | st.tuples(inner, inner)
            ),
            max_leaves=8,
        )
    )
    content = bytearray(pickle.dumps(value, protocol))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not content:
            return
    kept: list[frozenset[tuple[str, str]]] = []

    class Kept(SecondLayer):
        def add(self, data: Buffer, start: int, end: int, *, path: str, names: frozenset[tuple[str, str]]) -> None:
            kept.append(names)

    found = record_of(bytes(content), layer=Kept())
    if not found.refused and not found.failed and kept:
        assert names_of(bytes(content)) == kept[0]
