"""Graphs without a magic number are recognised in one pass that sees what one pass for each place would see."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_onnx import graph, model, node
from tests.artifacts.looking import record_of
from tests.artifacts.wire import field, message, varint

from interlock.artifacts.formats.graph_file import graph_formats
from interlock.artifacts.formats.protobuf import BYTES, MalformedMessageError, fields, held, planted
from interlock.artifacts.limits import Budget, Limits

PLACES = {"a": (1, 2), "b": (1, 2, 3), "c": (1,), "d": (2, 1), "e": (3, 1, 1)}
TREE = planted(PLACES.items())


def by_itself(data: bytes, start: int, end: int, path: Sequence[int]) -> bool:
    """Whether a reader would find a field at `path`, by a pass for this place alone."""
    found = False
    try:
        for number, wire, first, last in fields(data, start, end, Budget(Limits()), strict=False):
            if wire == BYTES and number == path[0]:
                found = found or len(path) == 1 or by_itself(data, first, last, path[1:])
    except MalformedMessageError:
        return False
    return found


leaves = st.one_of(st.integers(0, 300), st.binary(max_size=6))
messages = st.recursive(
    st.lists(st.tuples(st.integers(1, 4), leaves), max_size=4).map(lambda parts: message(*parts)),
    lambda inner: st.lists(st.tuples(st.integers(1, 4), inner), max_size=4).map(lambda parts: message(*parts)),
    max_leaves=12,
)


@settings(max_examples=250, derandomize=True, database=None, deadline=None)
@given(data=messages, cut=st.integers(0, 3), left=st.sets(st.sampled_from(sorted(PLACES))))
def test_one_pass_sees_what_a_pass_for_each_place_sees(data: bytes, cut: int, left: set[str]) -> None:
    data = data[: len(data) - cut]
    found = held(data, 0, len(data), TREE, Budget(Limits()), left=left)
    assert found == {name for name in left if by_itself(data, 0, len(data), PLACES[name])}


TEXT_THAT_IS_A_MESSAGE = b"\x0a\x01x" * 5_000
HOSTILE = {
    "a-text": b'"""""""""""""""""""""""""""""""""""' * 400,
    "many-small-fields": TEXT_THAT_IS_A_MESSAGE,
    "broken-at-its-end": TEXT_THAT_IS_A_MESSAGE + b"\x0a\x7f",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_no_stretch_is_read_more_often_than_messages_may_lie_in_it(data: bytes) -> None:
    """A message of tiny fields, each of which could be a node: twice the fields, not a pass for each of 17 places."""
    spent = Budget(Limits(fields=2 * len(data) // 3 + 200))
    graph_formats(data, spent)


@pytest.mark.parametrize(
    ("data", "formats"),
    [
        pytest.param(model(graph(node("Relu"))), ["onnx"], id="onnx"),
        pytest.param(field(1, message((1, "a"), (2, "Const"))), ["tensorflow"], id="graph-def"),
        pytest.param(field(2, field(1, message((1, "a"), (2, "Const")))), ["tensorflow"], id="meta-graph"),
        pytest.param(field(2, field(2, field(1, message((1, "a"), (2, "Const"))))), ["tensorflow"], id="saved-model"),
        pytest.param(
            field(2, field(1, field(3, message((1, "a"), (2, "Const"))))), ["tensorflow"], id="only-in-a-function"
        ),
        pytest.param(field(1, message((1, "a"), (2, "no name!"))), [], id="no-operator"),
        pytest.param(field(1, message((4, "layer"), (5, "{}"))), ["keras-metadata"], id="keras"),
        pytest.param(
            field(1, message((4, "layer"))) + field(1, message((5, "{}"))), ["keras-metadata"], id="keras-apart"
        ),
        pytest.param(field(1, message((4, "layer"))), [], id="half-of-keras"),
        pytest.param(message((1, 7), (2, 8)), ["tensorflow-fingerprint"], id="fingerprint"),
        pytest.param(bytes(40) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", ["tensorflow-checkpoint"], id="index"),
        pytest.param(
            model(graph(node("Relu"))) + field(1, message((1, "a"), (2, "Const"))), ["onnx", "tensorflow"], id="both"
        ),
    ],
)
def test_format_is_told_by_what_a_loader_would_find(data: bytes, formats: list[str]) -> None:
    assert graph_formats(data, Budget(Limits())) == formats


def test_number_that_is_written_long_hides_nothing() -> None:
    inside = message((1, "a"), (2, "Const"))
    wide = varint(1 << 3 | 2, width=5) + varint(len(inside), width=5) + inside
    assert graph_formats(wide, Budget(Limits())) == ["tensorflow"]
    assert not record_of(wide).clean
