"""One spelling for one thing, and what was made from what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate.values import GATE_KINDS
from interlock.pipeline import Graph, Step, named
from interlock.pipeline.subjects import ANYTHING, TRACED, UNBOUND, Subjects


@pytest.mark.parametrize(
    ("text", "name"),
    [
        pytest.param("/data/train/", "/data/train", id="slash-at-the-end"),
        pytest.param("file:///data/train", "/data/train", id="file-url"),
        pytest.param("file://host/data", "file://host/data", id="file-url-of-another-machine"),
        pytest.param("s3://lake/train/", "s3://lake/train", id="bucket"),
        pytest.param("s3://lake/{{ds}}/", "s3://lake/{{ ds }}", id="template-without-spaces"),
        pytest.param("{{  ti.xcom_pull( 'a' )\n}}", "{{ ti.xcom_pull( 'a' ) }}", id="template-over-lines"),
        pytest.param("  data.csv ", "data.csv", id="spaces-around"),
        pytest.param("/", "/", id="root"),
        pytest.param("///", "/", id="root-thrice"),
        pytest.param("file:///", "/", id="root-as-url"),
        pytest.param("", "", id="nothing"),
        pytest.param(" ", "", id="a-space"),
    ],
)
def test_one_thing_has_one_name(text: str, name: str) -> None:
    assert named(text) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("s3://lake/train", "s3://lake/Train", id="letters"),
        pytest.param("s3://lake/{{ ds }}", "s3://lake/{{ ts }}", id="templates"),
        pytest.param("s3://lake/a b", "s3://lake/ab", id="spaces-inside"),
        pytest.param("s3://lake/train", "s3://lake/train/part-0", id="a-part"),
        pytest.param("s3://lake/train", "gs://lake/train", id="schemes"),
        pytest.param("/data/../train", "/train", id="a-path-that-is-the-same-only-without-links"),
    ],
)
def test_two_things_keep_two_names(one: str, other: str) -> None:
    assert named(one) != named(other)


@given(st.text(alphabet="ab/ {}:.\n'", max_size=30))
def test_naming_twice_is_naming_once(text: str) -> None:
    assert named(named(text)) == named(text)


def test_the_sorts_of_kinds_are_of_known_kinds_and_apart() -> None:
    assert set(GATE_KINDS) >= UNBOUND | TRACED
    assert not UNBOUND & TRACED


def gate_of(kind: str, subject: str) -> Step:
    return Step(id=f"{kind} {subject}", gate=kind, subject=subject)


def test_a_data_gate_may_look_at_what_an_input_was_made_from_and_a_scan_may_not() -> None:
    data, model = gate_of("data-poisoning", "raw"), gate_of("artifact-scan", "raw")
    clean = Step(id="clean", inputs=("raw",), outputs=("data",))
    train = Step(id="train", protects="training", inputs=("data",))
    subjects = Subjects(Graph(steps=(data, model, clean, train)))
    assert subjects.accepted(train, "data-poisoning") == (subjects.looks_at(data),)
    assert subjects.accepted(train, "artifact-scan") == (0,)


def test_a_step_that_uses_nothing_is_fitted_by_no_gate_and_an_unnamed_subject_fits_none() -> None:
    unnamed = gate_of("data-poisoning", "")
    step = Step(id="train", protects="training", inputs=("",))
    subjects = Subjects(Graph(steps=(unnamed, step)))
    assert subjects.looks_at(unnamed) == 0
    assert subjects.accepted(step, "data-poisoning") == (0,)


@pytest.mark.parametrize("kind", sorted(UNBOUND))
def test_what_an_unbound_gate_looks_at_fits_every_step(kind: str) -> None:
    gate, step = gate_of(kind, "anything"), Step(id="up", protects="deployment")
    subjects = Subjects(Graph(steps=(gate, step)))
    assert (subjects.looks_at(gate), subjects.accepted(step, kind)) == (ANYTHING, (ANYTHING,))
