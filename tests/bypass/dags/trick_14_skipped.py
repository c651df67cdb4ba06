"""Trick 14: a policy of the author's own has the DAG dropped without a word."""

from airflow.exceptions import AirflowClusterPolicySkipDag
from airflow.policies import hookimpl
from airflow.sdk import DAG
from airflow.settings import get_policy_plugin_manager
from tests.bypass.attack import Attack


class Silence:
    """Asked before Interlock is: the last that is registered comes first."""

    @hookimpl
    def dag_policy(self, dag: DAG) -> None:
        """Drop it."""
        raise AirflowClusterPolicySkipDag(dag.dag_id)


get_policy_plugin_manager().register(Silence())
attack = Attack(__file__)
with attack.dag():
    attack.train()
