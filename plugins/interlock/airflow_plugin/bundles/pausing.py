"""What becomes of the DAGs that Airflow serialized from a file before the file was refused.

The scheduler runs from the serialized DAG and never opens the file, so a refusal alone would not stop it from making
runs. Where the process may use Airflow's database (the DAG processor's manager) those DAGs are paused and taken off the
list, and Airflow's audit log says why. A paused DAG stays paused until a person unpauses it, also when its file is
good again. A worker may not use the database; there the file is not to be found, and the task fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.models.dag import DagModel

AUDIT_EVENT = "interlock_bundle_refused"


def database_allowed() -> bool:
    """Whether this process has Airflow's database: tasks, triggers and parsers are denied it by Airflow itself."""
    from airflow import settings

    try:
        return settings.engine is not None
    except AttributeError:
        return False


def pause_refused(bundle: str, refused: Mapping[str, str]) -> dict[str, str]:
    """Pause the DAGs that came from refused files of a bundle.

    Args:
        bundle: The bundle's name.
        refused: Why, by the file's path below the bundle's root; the empty path stands for every file.

    Returns:
        Why, by the id of each DAG that was not paused and off the list before.
    """
    from airflow.models.dag import DagModel
    from airflow.models.log import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if not refused:
        return {}
    paused: dict[str, str] = {}
    with create_session() as session:
        for dag in session.scalars(select(DagModel).where(DagModel.bundle_name == bundle)):
            reason = _reason_of(dag, refused)
            if not reason or (dag.is_paused and dag.is_stale):
                continue
            dag.is_paused = dag.is_stale = True
            session.add(Log(event=AUDIT_EVENT, owner="interlock", extra=reason, dag_id=dag.dag_id))
            paused[dag.dag_id] = reason
    return paused


def _reason_of(dag: DagModel, refused: Mapping[str, str]) -> str:
    return next((refused[path] for path in _places(dag.relative_fileloc or "") if path in refused), "")


def _places(fileloc: str) -> Iterable[str]:
    """A DAG's file, the archives or folders that it may lie in, and the whole bundle."""
    parts = fileloc.split("/")
    return ("/".join(parts[:length]) for length in range(len(parts), -1, -1))
