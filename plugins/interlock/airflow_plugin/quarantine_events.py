"""Tells of quarantined tasks: in Airflow's own log at once, in the ledger a moment later.

The hook that quarantines is asked again and again for the same task, so what was told is remembered. What the ledger
does not take is in the log all the same, and the task waits in the quarantine either way.
"""

from __future__ import annotations

import logging
import os
from functools import cache

from interlock.airflow_plugin.event_writer import event_writer
from interlock.evidence.enforcement import MAX_REASON, EnforcementEvent, EventKind, fitting

_LOG = logging.getLogger("interlock.enforcement")
_REMEMBERED = 50_000


class QuarantineEvents:
    """What this process has told."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str, str]] = set()

    def tell(self, *, dag_id: str, run_id: str, task_id: str, reason: str) -> None:
        """Say that a task was quarantined; again for the same reason it is no news.

        Returns at once and raises nothing of its own. All arguments are untrusted.
        """
        key = (dag_id, run_id, task_id, reason)
        if not run_id or key in self._told:
            return  # Airflow asks again when the instance has its run
        if len(self._told) >= _REMEMBERED:
            self._told.clear()
        self._told.add(key)
        _LOG.warning("quarantined task %s of DAG %s, run %s: %s", task_id, dag_id, run_id, reason)
        event = EnforcementEvent(
            kind=EventKind.QUARANTINED,
            level="L2",
            orchestrator="airflow",
            pipeline=fitting(dag_id),
            run_id=fitting(run_id),
            task_id=fitting(task_id),
            reason=fitting(reason, MAX_REASON),
        )
        event_writer(once=True).write([event])

    def flush(self, seconds: float) -> bool:
        """Wait until all that was told is in the ledger or given up; False when that took too long."""
        return event_writer(once=True).flush(seconds)


@cache
def told() -> QuarantineEvents:
    """What this process has told."""
    return QuarantineEvents()


os.register_at_fork(after_in_child=told.cache_clear)
