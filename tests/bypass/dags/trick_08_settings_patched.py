"""Trick 8: the DAG file patches what calls the policies, and has no gate at all."""

from airflow import settings
from tests.bypass.attack import Attack

settings.dag_policy = lambda dag: None
attack = Attack(__file__)
with attack.dag():
    attack.train()
