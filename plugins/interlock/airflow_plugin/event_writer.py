"""Writes enforcement events into the ledger, on a thread of its own. It tells, never stops anything, and never waits.

The scheduler's hook and the API server's middleware must not wait for a ledger, so they only leave events here. The
thread is a daemon, which keeps no process from ending; what still waits then is written within `LAST_SECONDS`. A
process forked off starts anew, without the events that are its parent's to write. What the ledger does not take in
several tries is in the process's log.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Sequence
from functools import cache
from queue import SimpleQueue

from interlock.evidence.enforcement import EnforcementEvent

_LOG = logging.getLogger("interlock.enforcement")
_WAITING_AT_MOST = 10_000
"""Events that may wait for a ledger that does not answer; later ones are only logged."""

_PAUSES = (1.0, 10.0, 60.0)
"""Seconds before each further try when the ledger does not answer."""

LAST_SECONDS = 5.0
"""How long a process that ends is kept for what still waits."""


class EventWriter:
    """One thread that writes events in the order in which they came.

    Args:
        once: Leave out an event that the ledger has already, of the same run, task and reason: several processes may
            see what happened.
    """

    def __init__(self, *, once: bool = False) -> None:
        self._once = once
        self._waiting: SimpleQueue[EnforcementEvent | threading.Event] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def write(self, events: Sequence[EnforcementEvent]) -> None:
        """Take events to be written soon; returns at once and never raises."""
        if self._waiting.qsize() + len(events) > _WAITING_AT_MOST:
            _log_lost(events, "too many wait for the ledger")
            return
        try:
            self._start()
        except RuntimeError as error:  # no thread can be started
            _log_lost(events, str(error))
            return
        for event in events:
            self._waiting.put(event)

    def flush(self, seconds: float) -> bool:
        """Wait until all that was taken is in the ledger or given up; False when that took too long."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._waiting.put(reached)
        return reached.wait(seconds)

    def end(self) -> None:
        """The process ends: no more pauses, and a little time for what still waits."""
        self._ending.set()
        self.flush(LAST_SECONDS)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._write_all, name="interlock-events", daemon=True)
                thread.start()
                self._thread = thread

    def _write_all(self) -> None:
        while True:
            one = self._waiting.get()
            if isinstance(one, threading.Event):
                one.set()
            else:
                self._write(one)

    def _write(self, event: EnforcementEvent) -> None:
        for pause in (*_PAUSES, None):
            try:
                _record(event, once=self._once)
            except Exception as error:  # noqa: BLE001 (the edge to Airflow: what only tells must not break anything)
                if pause is None or self._ending.wait(pause):
                    _log_lost([event], str(error))
                    return
            else:
                return


def _record(event: EnforcementEvent, *, once: bool) -> None:
    from contextlib import closing

    from interlock.evidence import Ledger
    from interlock.gate import Settings

    with closing(Ledger.open(Settings.load().ledger_url)) as ledger:
        told = ledger.events(pipeline=event.pipeline, run_id=event.run_id) if once else ()
        for row in told:
            known = row.enforcement_event()
            if (known.kind, known.task_id, known.reason) == (event.kind, event.task_id, event.reason):
                return
        ledger.record_event(event)


def _log_lost(events: Sequence[EnforcementEvent], why: str) -> None:
    for event in events:
        _LOG.error("an enforcement event could not be written to the ledger (%s): %r", why, event.document())


@cache
def event_writer(*, once: bool = False) -> EventWriter:
    """The writer of this process, or the one that tells each thing `once`."""
    writer = EventWriter(once=once)
    atexit.register(writer.end)
    return writer


# A child has none of its parent's threads, and perhaps its locks in the state of that moment.
os.register_at_fork(after_in_child=event_writer.cache_clear)
