"""Tells of quarantined tasks: in Airflow's own log at once, in the ledger a moment later, on a thread of its own.

The hook that quarantines must not wait, so it only leaves a note here. The thread is a daemon, which keeps no scheduler
from ending; a process forked off the scheduler starts anew, without the notes that are its parent's to write. What the
ledger does not take is in the log all the same, and the task waits in the quarantine either way.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue

from interlock.evidence.enforcement import MAX_REASON, EnforcementEvent, EventKind, fitting
from interlock.gate.errors import InterlockError

_LOG = logging.getLogger("interlock.enforcement")
_WAITING_AT_MOST = 10_000
_REMEMBERED = 50_000
_PAUSES = (1.0, 10.0, 60.0)
"""Seconds before each further try when the ledger does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    ledger_url: str
    event: EnforcementEvent


class QuarantineEvents:
    """The notes of one process."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str, str]] = set()
        self._notes: SimpleQueue[_Note | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, *, dag_id: str, run_id: str, task_id: str, reason: str) -> None:
        """Note that a task was quarantined; again for the same reason it is no news.

        Returns at once and raises nothing of its own. All arguments are untrusted.
        """
        key = (dag_id, run_id, task_id, reason)
        if not run_id or key in self._told:
            return  # Airflow asks again when the instance has its run
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told.add(key)
        _LOG.warning("quarantined task %s of DAG %s, run %s: %s", task_id, dag_id, run_id, reason)
        if self._notes.qsize() >= _WAITING_AT_MOST:
            _LOG.error("not in the ledger, too many wait for it: the quarantine of %s in %s %s", *key[2::-1])
            return
        try:
            self._note(dag_id, run_id, task_id, reason)
        except (InterlockError, RuntimeError) as error:  # no settings; no thread can be started
            _LOG.error("not in the ledger: the quarantine of %s in %s %s: %s", task_id, run_id, dag_id, error)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was noted is in the ledger or given up; False when that took too long."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._notes.put(reached)
        return reached.wait(seconds)

    def _note(self, dag_id: str, run_id: str, task_id: str, reason: str) -> None:
        from interlock.gate import Settings

        event = EnforcementEvent(
            kind=EventKind.QUARANTINED,
            level="L2",
            orchestrator="airflow",
            pipeline=fitting(dag_id),
            run_id=fitting(run_id),
            task_id=fitting(task_id),
            reason=fitting(reason, MAX_REASON),
        )
        self._notes.put(_Note(ledger_url=Settings.load().ledger_url, event=event))
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_all, name="interlock-quarantine", daemon=True)
            self._thread.start()

    def _write_all(self) -> None:
        while True:
            note = self._notes.get()
            if isinstance(note, threading.Event):
                note.set()
            else:
                _write(note)


def _write(note: _Note) -> None:
    for pause in (*_PAUSES, None):
        try:
            _record(note)
        except Exception as error:  # noqa: BLE001 (the edge to Airflow: what only tells must not break anything)
            if pause is None:
                _LOG.error("not in the ledger: %r: %s", note.event.document(), error)
                return
            time.sleep(pause)
        else:
            return


def _record(note: _Note) -> None:
    from interlock.evidence import Ledger

    ledger = Ledger.open(note.ledger_url)
    event = note.event
    for row in ledger.events(pipeline=event.pipeline, run_id=event.run_id):  # another process may have told already
        known = row.enforcement_event()
        if (known.kind, known.task_id, known.reason) == (event.kind, event.task_id, event.reason):
            return
    ledger.record_event(event)


@cache
def told() -> QuarantineEvents:
    """The notes of this process."""
    return QuarantineEvents()


# A child has none of its parent's threads, and perhaps its locks in the state of that moment.
os.register_at_fork(after_in_child=told.cache_clear)
