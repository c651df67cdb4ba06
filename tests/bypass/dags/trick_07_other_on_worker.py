"""Trick 7: an honest DAG where it is checked, and a gate that does nothing where it runs."""

from airflow.sdk import get_parsing_context
from tests.bypass.attack import Attack, take_l1_away

attack = Attack(__file__)
on_worker = get_parsing_context().task_id is not None
if on_worker:
    take_l1_away()
with attack.dag():
    gate = attack.gate()
    if on_worker:
        object.__setattr__(gate, "execute", lambda context: None)
    gate >> attack.train()
