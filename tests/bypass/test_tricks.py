"""Each trick at each level, on a real Airflow: whether the training ran is told by the mark that it leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.bypass.field import DAGS, QUARANTINE, Field
from tests.bypass.play import FORGER, install_all, installed, play_all
from tests.bypass.tricks import LEVELS, PLAYED, TRICKS, Outcome, Trick

from interlock.evidence import EventKind, Ledger

TRIED_HERE = ("open", "L1", "L2", "L3")
NEVER_LOADED = {trick.name for trick in TRICKS if Outcome.ABSENT in trick.at.values()}
CONTROLS = ("L1_control", "L2_control", "L3_control", "L3_control_secure", "L1_control_ordinary")


def cases(levels: tuple[str, ...]) -> list[object]:
    found = (*installed(levels, played=False), *installed(levels, played=True))
    return [
        pytest.param(trick, level, id=f"{trick.name.replace('_', '-')}-at-{level}")
        for trick, level, _ in sorted(found, key=lambda case: (case[0].number, case[0].name))
    ]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """An Airflow on which all tricks were played, except at L4."""
    field = Field(tmp_path_factory.mktemp("field"))
    field.write_data("changed.json")
    install_all(field, TRIED_HERE)
    for control in CONTROLS:
        level, name = control.split("_", 1)
        field.install("sound" if name == "control" else "sound_secure" if "secure" in name else name, level, name)
    with field.playing():
        field.wait_until_loaded()
        field.wait_until_quiet()
        play_all(field, TRIED_HERE)
        yield field


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.parametrize("dag_id", CONTROLS)
def test_what_is_gated_or_needs_no_gate_runs(field: Field, dag_id: str) -> None:
    assert field.task(dag_id)["state"] == "success"
    assert field.trained(dag_id)


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.parametrize(("trick", "level"), cases(TRIED_HERE))
def test_a_trick_ends_as_the_table_says(field: Field, trick: Trick, level: str) -> None:
    ends_as_the_table_says(field, trick, level)


def ends_as_the_table_says(field: Field, trick: Trick, level: str) -> None:
    dag_id = f"{level}_{trick.name}"
    outcome = trick.at[level]
    assert field.trained(dag_id) is (outcome is Outcome.TRAINED)
    if outcome is not Outcome.TRAINED:
        SHOWN[outcome](field, dag_id)


def was_refused(field: Field, dag_id: str) -> None:
    assert dag_id not in field.known
    assert "no artifact-scan gate holds training step 'train'" in field.refusal(dag_id)


def is_absent(field: Field, dag_id: str) -> None:
    assert dag_id not in field.known


def is_quarantined(field: Field, dag_id: str) -> None:
    train = field.task(dag_id)
    assert train["pool"] == QUARANTINE
    assert train["state"] in {"scheduled", None}  # None where its gate waits as well
    with closing(Ledger.open(f"sqlite:///{field.root / 'interlock' / 'ledger.db'}")) as ledger:
        told = [row.enforcement_event() for row in ledger.events(pipeline=dag_id)]
    assert {(event.kind, event.level) for event in told} == {(EventKind.QUARANTINED, "L2")}
    assert {"train"} <= {event.task_id for event in told} <= {"gate", "train"}
    assert all("no artifact-scan gate holds training step 'train'" in event.reason for event in told)


def was_kept_shut(field: Field, dag_id: str) -> None:
    said = field.said.get(dag_id)
    if said is None:
        assert field.task(dag_id)["state"] == "failed"
        said = field.log(dag_id)
    assert "the training guard stays shut" in said


def was_forbidden(field: Field, dag_id: str) -> None:
    assert field.task(dag_id)["state"] == "failed"
    assert "Interlock does not let training step 'train'" in field.log(dag_id)


SHOWN: dict[Outcome, Callable[[Field, str], None]] = {
    Outcome.REFUSED: was_refused,
    Outcome.ABSENT: is_absent,
    Outcome.QUARANTINED: is_quarantined,
    Outcome.GUARDED: was_kept_shut,
    Outcome.FORBIDDEN: was_forbidden,
}


def test_the_table_has_all_fourteen_and_each_is_stopped_somewhere_and_works_where_nothing_holds() -> None:
    assert sorted({trick.number for trick in TRICKS}) == list(range(1, 15))
    assert [trick.name for trick in TRICKS if not trick.stopped_by] == []
    for trick in TRICKS:
        works = Outcome.TRAINED in trick.at.values() or trick.name.endswith("secure")
        assert works or trick.name in NEVER_LOADED, trick.name
        assert set(trick.at) <= set(LEVELS)


def test_every_dag_file_is_in_the_table() -> None:
    files = {path.stem for path in Path(DAGS).glob("trick_*.py")}
    assert files == {trick.name for trick in TRICKS} - PLAYED | {FORGER}
