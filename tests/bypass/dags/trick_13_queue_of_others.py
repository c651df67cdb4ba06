"""Trick 13: a shell command on a queue whose workers do not have Interlock."""

from airflow.providers.standard.operators.bash import BashOperator
from tests.bypass.attack import FIELD, Attack

from interlock.airflow import protect

attack = Attack(__file__)
with attack.dag():
    command = f"touch {FIELD / 'marks' / attack.dag_id}"
    protect(BashOperator(task_id="train", bash_command=command, queue="gpu-unguarded"), subject=attack.data)
