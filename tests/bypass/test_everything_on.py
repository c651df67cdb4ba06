"""All levels at once, hard mode (L4) too: the tricks at that level, and what ordinary DAGs notice of all this."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.bypass.field import Field
from tests.bypass.ordinary import write_ordinary
from tests.bypass.play import install_all, play_all
from tests.bypass.test_tricks import cases, ends_as_the_table_says
from tests.bypass.tricks import Trick

pytestmark = [pytest.mark.slow, pytest.mark.stack]

SERIALIZE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from airflow.settings import get_policy_plugin_manager
if sys.argv[2] == "without":
    assert get_policy_plugin_manager().unregister(name="interlock")
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
print(json.dumps({dag_id: DagSerialization.to_dict(dag) for dag_id, dag in bag.dags.items()}, sort_keys=True))
"""


@pytest.fixture(scope="module")
def ordinary() -> list[str]:
    """Ids of the ordinary DAGs."""
    return []


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory, ordinary: list[str]) -> Iterator[Field]:
    """An Airflow with everything on, on which the tricks were played and the ordinary DAGs ran."""
    field = Field(tmp_path_factory.mktemp("everything"), hard_mode=True)
    field.write_data("changed.json")
    install_all(field, ("L4",))
    field.install("sound", "L4", "control")
    ordinary += write_ordinary(field.dags / "ordinary")
    field.installed += ordinary
    with field.playing():
        field.ask("POST", "/pools", {"name": "etl", "slots": 8})
        field.wait_until_loaded()
        field.wait_until_quiet()
        play_all(field, ("L4",))
        yield field


def test_a_gated_training_runs(field: Field) -> None:
    assert field.task("L4_control")["state"] == "success"
    assert field.trained("L4_control")


@pytest.mark.parametrize(("trick", "level"), cases(("L4",)))
def test_a_trick_ends_as_the_table_says(field: Field, trick: Trick, level: str) -> None:
    ends_as_the_table_says(field, trick, level)


def serialized(field: Field, how: str) -> dict[str, Any]:
    field.say(how, "-c", SERIALIZE, str(field.dags / "ordinary"), how)
    found = json.loads(field.said[how].splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_no_ordinary_dag_is_changed(field: Field, ordinary: list[str]) -> None:
    with_us = serialized(field, "with")
    assert sorted(with_us) == ordinary
    assert with_us == serialized(field, "without")


def test_all_ordinary_dags_ran_to_success_in_the_pools_that_their_authors_gave(
    field: Field, ordinary: list[str]
) -> None:
    runs = field.all_of("/dags/~/dagRuns", "dag_runs")
    states = {run["dag_id"]: run["state"] for run in runs if run["dag_id"] in ordinary}
    assert states == dict.fromkeys(ordinary, "success")
    written = serialized(field, "with")
    found = [task for dag_id in ordinary for task in tasks_of(field, dag_id)]
    assert {(task["dag_id"], task["task_id"]) for task in found} == {
        (dag_id, task["__var"]["task_id"]) for dag_id in ordinary for task in written[dag_id]["dag"]["tasks"]
    }
    pools = {
        (dag_id, task["__var"]["task_id"]): task["__var"].get("pool", "default_pool")
        for dag_id in ordinary
        for task in written[dag_id]["dag"]["tasks"]
    }
    assert {(task["dag_id"], task["task_id"]): task["pool"] for task in found} == pools
    assert {task["state"] for task in found} <= {"success", "skipped"}


def tasks_of(field: Field, dag_id: str) -> list[dict[str, Any]]:
    found = field.ask("GET", f"/dags/{dag_id}/dagRuns/{field.run_of(dag_id)}/taskInstances", limit=100)
    return list(found["task_instances"])
