"""Trick 6: Interlock's own class is patched in the DAG file, which no check in that process can see."""

from tests.bypass.attack import Attack

from interlock.airflow import ScanModelOperator

ScanModelOperator.execute = lambda self, context: {}  # type: ignore[method-assign]  # the trick
attack = Attack(__file__)
with attack.dag():
    attack.gate() >> attack.train()
