"""CatBoost: what it saved passes, and nothing leads its compiled code out of the model."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_catboost import FINE, JSON_LIES, LIES, saved, wide_tree
from tests.artifacts.flat import Field, Many, Number, Vector, flat
from tests.artifacts.looking import record_of

from interlock.artifacts import Limits
from interlock.artifacts.formats.catboost_json import scan_catboost_json
from interlock.artifacts.formats.catboost_trees import COUNTER, Ctr, CtrBase, Features, Position, check_features
from interlock.artifacts.formats.flatbuffers import FlatBuffer, MalformedBufferError, Table
from interlock.artifacts.formats.trees import MalformedTreesError
from interlock.artifacts.limits import Budget, LimitPassedError
from interlock.artifacts.record import Record
from interlock.gate import Level

SAVED = {name: data for name, data in saved().items() if not name.startswith(("text", "embedding"))}
NOT_READ = sorted(saved().keys() - SAVED.keys())
ALL_LIES = {**LIES, **{f"json-{name}": case for name, case in JSON_LIES.items()}}
MUTATED = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("data", [*SAVED.values(), *FINE.values()], ids=[*SAVED, *FINE])
def test_what_catboost_saves_is_allowed(data: bytes) -> None:
    record = record_of(data)
    assert record.clean, (record.findings, record.failed)
    assert record.formats["model"] == "catboost"


@pytest.mark.parametrize("name", NOT_READ)
def test_parts_for_texts_and_embeddings_are_left_open(name: str) -> None:
    record = record_of(saved()[name])
    assert not record.refused
    assert "is not read here" in record.failed[0].reason


@pytest.mark.parametrize("case", ALL_LIES.values(), ids=ALL_LIES)
def test_lie_is_refused_for_what_it_is(case: tuple[str, bytes]) -> None:
    why, data = case
    said = [finding.message for finding in record_of(data).findings if finding.level is Level.ERROR]
    assert any(why in message for message in said), said


@pytest.mark.parametrize("name", ["tables.cbm", "lossguide.cbm"])
def test_no_cut_of_a_model_is_allowed(name: str) -> None:
    data = SAVED[name]
    assert [size for size in range(0, len(data), 23) if record_of(data[:size]).clean] == []


@MUTATED
@given(name=st.sampled_from(sorted(SAVED)), place=st.integers(0, 1 << 15), piece=st.binary(min_size=1, max_size=8))
def test_no_mutation_crashes_the_readers(name: str, place: int, piece: bytes) -> None:
    data = SAVED[name]
    place %= len(data)
    record_of(data[:place] + piece + data[place + len(piece) :])


def test_more_features_than_the_library_can_number_are_refused() -> None:
    positions = tuple(Position(index=number, flat=number, used=True) for number in range(65_536))
    features = Features(floats=positions, borders=((0.5,),) * 65_536, categories=(), one_hots=(), ctrs=())
    with pytest.raises(MalformedTreesError, match="more features"):
        check_features(features, {}, Budget(Limits()))


def test_time_is_asked_for_while_features_are_checked() -> None:
    base = CtrBase(categories=(), floats=(), one_hots=(), kind=COUNTER)
    ctrs = (Ctr(base=base, target_border=0, borders=1),) * 3_000
    features = Features(floats=(), borders=(), categories=(), one_hots=(), ctrs=ctrs)
    with pytest.raises(LimitPassedError, match="time limit"):
        check_features(features, {base: 2}, Budget(Limits(seconds=1.5), clock=count().__next__))


NO_MODELS = {
    "null": {"trees": [None]},
    "numbers": {"trees": [[1]]},
    "leaf-of-nothing": {"trees": [{"value": []}]},
    "texts": {"trees": ["oak"]},
}


@pytest.mark.parametrize("model", NO_MODELS.values(), ids=NO_MODELS)
def test_list_of_which_the_library_would_make_trees_is_refused(model: object) -> None:
    assert record_of(json.dumps(model).encode()).refused


@pytest.mark.parametrize("trees", [100, "oak", {"oak": 1}, [], None], ids=str)
def test_setting_that_is_called_trees_is_allowed(trees: object) -> None:
    assert record_of(json.dumps({"trees": trees, "depth": 6}).encode()).clean


def test_step_that_does_not_fit_is_refused() -> None:
    record = Record(Budget(Limits()))
    scan_catboost_json(wide_tree(), path="model", record=record)
    assert "more nodes than a step can cross" in record.findings[0].message


def test_time_is_limited() -> None:
    record = record_of(SAVED["lossguide.cbm"], limits=Limits(seconds=1e-9))
    assert not record.clean


def _field(code: str) -> st.SearchStrategy[Field]:
    """A field whose numbers are of this kind."""
    whole = st.integers(-5, 100) if code == "i" else st.integers(0, 255)
    return st.one_of(
        whole.map(lambda value: Number(code, value)),
        st.binary(max_size=9),
        st.lists(whole, max_size=5).map(lambda values: Vector(code, values)),
        st.lists(st.binary(max_size=3), max_size=3).map(Many),
    )


FIELDS = st.dictionaries(st.integers(0, 12), st.sampled_from("BHiI").flatmap(_field), max_size=6)


@MUTATED
@given(fields=FIELDS)
def test_numbers_and_texts_come_back_as_they_were_written(fields: dict[int, Field]) -> None:
    made = flat(fields)
    root = FlatBuffer(made, 0, len(made), Budget(Limits())).root()
    for number, value in fields.items():
        if isinstance(value, Number):
            assert root.scalar(number, value.code) == value.value
        elif isinstance(value, Vector):
            assert list(root.numbers(number, value.code)) == list(value.values)
        elif isinstance(value, Many):
            assert root.texts(number) == value.values
        else:
            assert root.text(number) == value
    assert root.text(20) is None


def _shared(part: bytes | Mapping[int, Field]) -> Table:
    """A root whose first field is a vector of 51 references to one part, and nothing else."""
    made = bytearray(flat({0: Many([part, *[b""] * 50])}))
    first = made.index(struct.pack("<I", 51)) + 4
    at, second = (place + struct.unpack_from("<I", made, place)[0] for place in (first, first + 4))
    del made[second:]
    for place in range(first, first + 4 * 51, 4):
        struct.pack_into("<I", made, place, at - place)
    return FlatBuffer(bytes(made), 0, len(made), Budget(Limits())).root()


READ: Mapping[str, tuple[bytes | Mapping[int, Field], Callable[[Table], object]]] = {
    "texts": (bytes(200), lambda root: root.texts(0)),
    "tables": ({}, lambda root: root.tables(0)),
    "vectors": ({1: Vector("d", [0.0] * 20)}, lambda root: [table.raw(1, 8) for table in root.tables(0)]),
}


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_part_that_many_references_share_is_refused(
    case: tuple[bytes | Mapping[int, Field], Callable[[Table], object]],
) -> None:
    part, read = case
    root = _shared(part)
    with pytest.raises(MalformedBufferError, match="parts that overlap"):
        read(root)


@MUTATED
@given(data=st.binary(max_size=120))
def test_no_bytes_lead_out_of_a_buffer(data: bytes) -> None:
    try:
        root = FlatBuffer(data, 0, len(data), Budget(Limits())).root()
        for field in range(8):
            root.text(field)
            root.numbers(field, "d")
            root.tables(field)
    except MalformedBufferError:
        pass
