"""A DAG as it should be, for the tricks that are played on a running one."""

from pathlib import Path

from tests.bypass.attack import Attack

DATA = {"control": "good.json", "trick_10_clear": "changed.json"}
"""Data that the gate allows; for all others it is refused."""


attack = Attack(__file__, data=DATA.get(Path(__file__).stem, "bad.pkl"))
with attack.dag():
    attack.gate() >> attack.train()
