"""Reads policy before the DAG processor forks, so that the processes that parse DAG files find it read.

Airflow parses each DAG file in a process of its own, forked from the DAG processor. Reading settings and bundle there
would be done anew for each file and cost more than judging it.
"""

from __future__ import annotations

import contextlib
import os
import sys


def preload_before_forks() -> None:
    """In the DAG processor, and nowhere else: have the rules read when it forks, again after `policy_poll` seconds."""
    if sys.argv[1:2] == ["dag-processor"]:
        os.register_at_fork(before=preload)


def preload() -> None:
    """Read the rules; where that fails the process that parses a file says so, for that file."""
    import interlock.airflow_plugin.dag_check  # noqa: F401  (all that judging a file imports)
    from interlock.airflow_plugin.rules import load_rules
    from interlock.gate.errors import InterlockError

    with contextlib.suppress(InterlockError):
        load_rules()
