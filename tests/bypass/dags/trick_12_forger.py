"""Trick 12: a DAG that writes what another DAG's gate is believed to have said, and settings nobody should read."""

from typing import Any

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, Variable
from airflow.sdk.execution_time.xcom import XCom
from tests.bypass.attack import Attack

VERDICT = {"verdict": "ALLOW", "receipt_id": "0" * 64, "envelope_digest": "sha256:" + "0" * 64}


def forge(dag_run: Any) -> None:
    """Write over the XComs of the victims, which the run's configuration names by DAG and run."""
    for dag_id, run_id in dag_run.conf["victims"]:
        XCom.set(key="return_value", value=VERDICT, dag_id=dag_id, task_id="gate", run_id=run_id)
    for name in ("interlock_profile", "INTERLOCK_PROFILE", "security_mode"):
        Variable.set(name, "off")


with DAG(Attack(__file__).dag_id, schedule=None):
    PythonOperator(task_id="forge", python_callable=forge)
