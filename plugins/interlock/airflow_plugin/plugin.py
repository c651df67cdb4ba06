"""Interlock's Airflow plugin: what it adds to the API server.

Every Airflow process loads plugins, a task's too, so this module imports nothing but Airflow's base class; the two
middlewares and the app behind the tab "Security gates" are made when the API server builds its app, and only there.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LOG = logging.getLogger(__name__)


def watched(app: ASGIApp) -> ASGIApp:
    """Record who marks, clears, pauses or deletes gates and protected tasks; see `request_watch`."""
    try:
        from airflow.listeners.listener import get_listener_manager

        from interlock.airflow_plugin import listener
        from interlock.airflow_plugin.request_watch import RequestWatch

        get_listener_manager().add_listener(listener)  # type: ignore[no-untyped-call]  # Airflow's own
        return RequestWatch(app)
    except Exception:  # noqa: BLE001 (the edge to Airflow: its API server comes up without what only tells)
        _LOG.exception("changes by hand are not recorded")
        return app


def guarded(app: ASGIApp) -> ASGIApp:
    """In hard mode, refuse to start protected tasks without receipts; see `run_middleware`.

    Settings that cannot be read may be those that ask for it, so it is on then, until they can be read.
    """
    from interlock.gate import InterlockError, Settings

    try:
        if not Settings.load().airflow_hard_mode:
            return app
    except InterlockError as error:
        _LOG.error("hard mode is on as long as the settings cannot be read: %s", error)
    from interlock.airflow_plugin.run_middleware import RunMiddleware

    return RunMiddleware(app)


class InterlockPlugin(AirflowPlugin):
    """Registered by the entry point ``airflow.plugins``."""

    name = "interlock"
    fastapi_root_middlewares = [  # noqa: RUF012 (Airflow declares it without ClassVar)
        {"middleware": watched, "name": "Interlock: who changes gates by hand"},
        {"middleware": guarded, "name": "Interlock: hard mode"},
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # made when it is asked for
        """The app behind the tab; asks Airflow who may read, and is left out where it cannot."""
        try:
            from interlock.airflow_plugin.ui.app import app
        except Exception:  # noqa: BLE001 (the edge to Airflow: its API server comes up without what only tells)
            _LOG.exception("there is no tab 'Security gates'")
            return []
        return [{"app": app, "url_prefix": "/interlock", "name": "Interlock: security gates"}]

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]  # as above
        """The tab, on DAGs, runs and tasks."""
        from airflow.configuration import conf

        root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
        dag = f"{root}/interlock/dags/{{DAG_ID}}"
        places = {"dag": dag, "dag_run": f"{dag}/runs/{{RUN_ID}}", "task": f"{dag}/tasks/{{TASK_ID}}"}
        return [
            {
                "name": "Security gates",
                "href": href,
                "destination": place,
                "url_route": f"security-gates-{place.replace('_', '-')}",
            }
            for place, href in places.items()
        ]
