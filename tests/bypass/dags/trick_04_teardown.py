"""Trick 4: the training says that it is a teardown, which runs after a failure."""

from tests.bypass.attack import Attack

attack = Attack(__file__)
with attack.dag():
    attack.gate() >> attack.train().as_teardown()
