"""On each Airflow that is supported, all that Interlock registers there is loaded; `.ci/airflow-versions` runs it."""

from __future__ import annotations

from importlib.metadata import EntryPoint, distribution

import pytest
from tests.airflow.versions import plugin_errors, policy_plugins

GROUPS = ("airflow.policy", "airflow.plugins", "apache_airflow_provider")
OURS = [entry for entry in distribution("interlock").entry_points if entry.group in GROUPS]


@pytest.mark.parametrize("entry", [pytest.param(entry, id=f"{entry.group}:{entry.name}") for entry in OURS])
def test_an_entry_point_loads(entry: EntryPoint) -> None:
    assert entry.load() is not None


def test_pluggy_took_every_hook_of_the_policy() -> None:
    """It refuses a hook that declares an argument that this Airflow does not know, and with it the whole process."""
    manager = policy_plugins()
    policy = manager.get_plugin("interlock")
    assert policy is not None
    written = {name for name in vars(policy) if manager.parse_hookimpl_opts(policy, name) is not None}
    taken = {caller.name for caller in manager.get_hookcallers(policy) or []}
    assert written == taken
    assert "dag_policy" in taken


def test_no_plugin_of_interlock_failed_to_load() -> None:
    assert {module: said for module, said in plugin_errors().items() if "interlock" in module} == {}
