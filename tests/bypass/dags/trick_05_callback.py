"""Trick 5: the training is code that the gate runs when it fails."""

from typing import Any

from tests.bypass.attack import Attack, mark

attack = Attack(__file__)


def train_instead(_context: Any) -> None:
    """Train, in the gate's own process."""
    mark(attack.dag_id)


with attack.dag():
    attack.gate(on_failure_callback=train_instead) >> attack.train()
