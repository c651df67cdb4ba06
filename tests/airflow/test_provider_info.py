"""What Airflow reads of Interlock through its entry point, checked with Airflow's own schema and provider manager."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import nullcontext
from importlib import import_module, resources
from importlib.util import find_spec

import jsonschema
import pytest

from interlock.airflow.get_provider_info import get_provider_info
from interlock.gate import MissingExtraError


def test_provider_info_is_valid_against_airflows_schema() -> None:
    schema = json.loads((resources.files("airflow") / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def without_provider() -> set[str]:
    """What cannot be imported where Airflow's provider for Kubernetes is not installed."""
    return set() if find_spec("airflow.providers.cncf") else {"interlock.airflow.cluster_pod"}


def test_everything_that_provider_info_names_exists() -> None:
    info = get_provider_info()
    names = [item["hook-class-name"] for item in info["connection-types"]]
    names += [item["class-name"] for item in info["task-decorators"]]
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute), name
    for part in ("operators", "hooks", "bundles"):
        for module in info[part][0]["python-modules"]:
            with pytest.raises(MissingExtraError) if module in without_provider() else nullcontext():
                import_module(module)


def test_connection_types_agree_with_their_hooks() -> None:
    from interlock.airflow import hooks

    for item in get_provider_info()["connection-types"]:
        hook = getattr(hooks, item["hook-class-name"].rpartition(".")[2])
        assert hook.conn_type == item["connection-type"]
        assert hook.hook_name == item["hook-name"]


def test_airflow_draws_both_forms() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()  # type: ignore[no-untyped-call]  # Airflow's own
    manager.initialize_providers_hooks()
    widgets = {
        name for name in manager.connection_form_widgets if name.startswith(("extra__interlock__", "extra__opa__"))
    }
    assert widgets == {
        "extra__interlock__noted_head",
        "extra__opa__ca_file",
        "extra__opa__client_cert",
        "extra__opa__client_key",
        "extra__opa__decision_path",
        "extra__opa__retries",
        "extra__opa__timeout",
    }
    assert manager.field_behaviours["interlock"]["relabeling"]["host"] == "Ledger URL"
    assert manager.field_behaviours["opa"]["relabeling"]["password"] == "Bearer token"


def test_the_decorator_is_found_under_its_name() -> None:
    from airflow.sdk import task

    from interlock.airflow.decorators import guarded_task

    assert task.guarded is guarded_task


def test_provider_info_needs_the_standard_library_only() -> None:
    program = "import sys, interlock.airflow.get_provider_info; print({'airflow', 'sqlalchemy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
