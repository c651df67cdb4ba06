"""Trick 3: the gate is skipped before it looks, and the training takes a skipped gate for a passed one."""

from typing import Any

from airflow.providers.common.compat.sdk import AirflowSkipException
from tests.bypass.attack import Attack


def skip(_context: Any) -> None:
    """Keep the gate from looking."""
    raise AirflowSkipException("not today")


attack = Attack(__file__)
with attack.dag():
    attack.gate(pre_execute=skip) >> attack.train(trigger_rule="none_failed")
