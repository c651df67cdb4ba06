"""Trick 6: a subclass that does nothing, under the name and module of the gate."""

from tests.bypass.attack import Attack

from interlock.airflow import ScanModelOperator

Twin = type(
    "ScanModelOperator",
    (ScanModelOperator,),
    {"__module__": ScanModelOperator.__module__, "execute": lambda self, context: None},
)
attack = Attack(__file__)
with attack.dag():
    Twin(task_id="gate", subject=attack.data) >> attack.train()
