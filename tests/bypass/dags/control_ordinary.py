"""No trick: an ordinary step, which the tests would see if it did not run."""

from airflow.providers.standard.operators.python import PythonOperator
from tests.bypass.attack import Attack, mark

attack = Attack(__file__)
with attack.dag():
    PythonOperator(task_id="train", python_callable=mark, op_args=[attack.dag_id])
