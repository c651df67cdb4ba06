"""Says a refusal where people look for it in Airflow: in the task's log and in its audit log.

The worker that was refused wrote nothing, because it had nothing to run. Airflow's API server shows, beside a task's
log file, all files of its own log folder whose names begin alike (the triggerer's logs are shown that way); so the
reason is put into one. Where logs are kept remotely only, or another replica of the API server is asked, the audit
log still has it.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from interlock.gate.documents import timestamp
from interlock.gate.values import utc_now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_LOG = logging.getLogger(__name__)
AUDIT_EVENT = "interlock: start refused"
ENDING = ".interlock.log"
ATTEMPTS = 8
"""How often a busy database is asked, over some 20 seconds: for the place of the log, and for the audit log."""


def note_refusal(task_instance_id: str, refusal: str) -> None:
    """Write both; never raises, because the refusal stands without. It waits for Airflow's database, again and again.

    Args:
        task_instance_id: From the request's path; untrusted.
        refusal: What is told.
    """
    from airflow.utils.retries import run_with_db_retries
    from airflow.utils.session import create_session

    try:
        identity = UUID(task_instance_id)
        _append(_log_of(identity), refusal)
        for attempt in run_with_db_retries(ATTEMPTS):
            with attempt, create_session() as session:
                _audit(identity, refusal, session)
    except Exception:  # noqa: BLE001 (the edge to Airflow: what only tells must not break anything)
        _LOG.exception("a refusal could not be shown at task instance %s", task_instance_id)


def _log_of(identity: UUID) -> Path | None:
    """Where the log of a try is: found in a loop of its own, so that asking again writes nothing again."""
    from airflow.utils.retries import run_with_db_retries
    from airflow.utils.session import create_session

    place = None
    for attempt in run_with_db_retries(ATTEMPTS):
        with attempt, create_session() as session:
            tried = _tried(identity, session)
            place = _place(tried) if tried is not None else None
    return place


def _tried(identity: UUID, session: Session) -> Any:
    """The try of that id, also when it was cleared in the meantime; None when Airflow does not know it."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory

    return session.get(TaskInstance, identity) or session.get(TaskInstanceHistory, identity)


def _audit(identity: UUID, refusal: str, session: Session) -> None:
    from airflow.models.log import Log

    tried = _tried(identity, session)
    if tried is not None:
        session.add(Log(event=AUDIT_EVENT, task_instance=tried, owner="interlock", extra=refusal))


def _append(place: Path | None, refusal: str) -> None:
    if place is None:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    line = {"timestamp": timestamp(utc_now()), "level": "error", "logger": "interlock", "event": refusal}
    with place.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _place(instance: Any) -> Path | None:
    """Beside the try's log file, or None when a hostile id leads out of the log folder."""
    from airflow.configuration import conf
    from airflow.utils.helpers import log_filename_template_renderer

    folder = Path(conf.get_mandatory_value("logging", "base_log_folder")).expanduser().resolve()
    place = (folder / (log_filename_template_renderer()(ti=instance) + ENDING)).resolve()
    return place if place.is_relative_to(folder) else None
