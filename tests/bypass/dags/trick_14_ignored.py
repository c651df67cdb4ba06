"""Trick 14: a file that `.airflowignore` names."""

from tests.bypass.attack import Attack

attack = Attack(__file__)
with attack.dag():
    attack.train()
