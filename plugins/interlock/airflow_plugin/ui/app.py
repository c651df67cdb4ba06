"""The web app behind the tab "Security gates", mounted by Airflow's API server under ``/interlock``.

Airflow does not ask who calls a plugin's app, so each route here asks Airflow's own auth manager whether the caller may
read the DAG, its runs or its tasks; nothing answers without it, not even with the app's own description. Where Airflow
cannot be asked that way this module cannot be imported, and there is no tab.
"""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException, Path
from fastapi.responses import HTMLResponse

from interlock.airflow_plugin.ui.page import render
from interlock.airflow_plugin.ui.view import view_of

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The page runs and loads nothing, and says what only its reader may know."""

Id = Annotated[str, Path(max_length=250)]

_dag = Depends(requires_access_dag("GET"))
_runs = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
_tasks = Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))

app = FastAPI(title="Interlock", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/dags/{dag_id}", dependencies=[_dag, _tasks])
def gates_of_dag(dag_id: Id) -> HTMLResponse:
    """The protected steps of a DAG as Airflow has it now, and what waits of all its runs."""
    return _answer(dag_id)


@app.get("/dags/{dag_id}/runs/{run_id}", dependencies=[_dag, _runs, _tasks])
def gates_of_run(dag_id: Id, run_id: Id) -> HTMLResponse:
    """The same for one run, by the version of the DAG that it has, with its receipts."""
    return _answer(dag_id, run_id=run_id)


@app.get("/dags/{dag_id}/tasks/{task_id}", dependencies=[_dag, _tasks])
def gates_of_task(dag_id: Id, task_id: Id) -> HTMLResponse:
    """One task of the DAG."""
    return _answer(dag_id, task_id=task_id)


def _answer(dag_id: str, *, run_id: str = "", task_id: str = "") -> HTMLResponse:
    with create_session() as session:
        view = view_of(session, dag_id, run_id=run_id, task_id=task_id)
    if view is None:
        raise HTTPException(404, "no such DAG, run or task", headers=HEADERS)
    return HTMLResponse(render(view), headers=HEADERS)
