"""Trick 8: the DAG file unregisters the policy, and has no gate at all."""

from tests.bypass.attack import Attack, take_l1_away

attack = Attack(__file__)
take_l1_away()
with attack.dag():
    attack.train()
