"""What these tests use of Airflow and what moved between 3.1 and 3.3, under one name each."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG
    from airflow.serialization.definitions.dag import SerializedDAG
    from pluggy import PluginManager


def dag_bag(folder: str = os.devnull) -> DagBag:
    """A bag of the DAGs in `folder`, loaded as the DAG processor loads them; empty by default.

    Import it only where Airflow's environment is set, which `conftest.py` does.
    """
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ModuleNotFoundError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # where 3.1 has it
    return DagBag(dag_folder=folder, collect_dags=folder != os.devnull)


def policy_plugins() -> PluginManager:
    """The manager that Airflow's cluster policies are registered with."""
    from airflow import settings

    before_3_2: PluginManager | None = getattr(settings, "POLICY_PLUGIN_MANAGER", None)
    return before_3_2 or settings.get_policy_plugin_manager()


def plugin_errors() -> dict[str, str]:
    """What of the plugins could not be loaded, by module, once all were asked for."""
    from airflow import plugins_manager

    plugins_manager.ensure_plugins_loaded()
    before_3_2: dict[str, str] | None = getattr(plugins_manager, "import_errors", None)
    return dict(plugins_manager.get_import_errors() if before_3_2 is None else before_3_2)


def as_the_scheduler_has_it(dag: DAG) -> SerializedDAG:
    """`dag` as Airflow writes it to its database and reads it back: JSON in between, and no author's code after."""
    from airflow.serialization import serialized_objects

    name = "DagSerialization" if hasattr(serialized_objects, "DagSerialization") else "SerializedDAG"  # before 3.2
    serializer: Any = getattr(serialized_objects, name)
    read: SerializedDAG = serializer.from_dict(json.loads(json.dumps(serializer.to_dict(dag))))
    return read
