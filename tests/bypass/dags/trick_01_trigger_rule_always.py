"""Trick 1: the training runs whatever became of its gate."""

from tests.bypass.attack import Attack

attack = Attack(__file__)
with attack.dag():
    attack.gate() >> attack.train(trigger_rule="always")
