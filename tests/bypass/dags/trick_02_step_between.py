"""Trick 2: between gate and training stands a step that runs whatever became of the gate."""

from airflow.providers.standard.operators.empty import EmptyOperator
from tests.bypass.attack import Attack

attack = Attack(__file__)
with attack.dag():
    attack.gate() >> EmptyOperator(task_id="between", trigger_rule="all_done") >> attack.train()
