"""Trick 14: the DAG stands nowhere in the text: it is made by a factory and put into the module's names."""

from airflow.sdk import DAG
from tests.bypass.attack import Attack

attack = Attack(__file__)


def factory() -> DAG:
    """Make the DAG."""
    with attack.dag() as made:
        attack.train()
    return made


for number in range(1):
    globals()[f"made_{number}"] = factory()
