"""Writes enforcement events from the API server, on a thread of its own. It tells and never stops anything."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from interlock.evidence.enforcement import EnforcementEvent

_LOG = logging.getLogger(__name__)
_WAITING_AT_MOST = 10_000
"""Events that may wait for a ledger that does not answer; later ones are only logged."""


class EventWriter:
    """One thread that writes events in the order in which they came."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="interlock-events")
        self._waiting = 0

    def write(self, events: Sequence[EnforcementEvent]) -> None:
        """Take events to be written soon; returns at once and never raises."""
        if self._waiting + len(events) > _WAITING_AT_MOST:
            _log_lost(events, "too many wait for the ledger")
            return
        self._waiting += len(events)
        self._thread.submit(self._write, events)

    def _write(self, events: Sequence[EnforcementEvent]) -> None:
        left = list(events)
        try:
            from interlock.evidence import Ledger
            from interlock.gate import Settings

            ledger = Ledger.open(Settings.load().ledger_url)
            while left:
                ledger.record_event(left[0])
                left.pop(0)
        except Exception as error:  # noqa: BLE001 (the edge to Airflow: what only tells must not break anything)
            _log_lost(left, str(error))
        finally:
            self._waiting -= len(events)


@cache
def event_writer() -> EventWriter:
    """The writer of this process."""
    return EventWriter()


def _log_lost(events: Sequence[EnforcementEvent], why: str) -> None:
    for event in events:
        _LOG.error("an enforcement event could not be written to the ledger (%s): %r", why, event.document())
