"""Interlock's Airflow plugin: what it adds to the API server.

Every Airflow process loads plugins, a task's too, so this module imports nothing but Airflow's base class; the two
middlewares are made when the API server builds its app, and only there.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

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
