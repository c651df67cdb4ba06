"""One turn at the ledger for each start of a training, shared by all safeguards that account for something."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.evidence import Ledger

_NAME = "training start"


class StartTurn:
    """From reading an account to the guard's receipt nobody else reads one: two starts cannot both spend the rest.

    Args:
        ledger: Whose accounts are read.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: ExitStack | None = None

    def take(self) -> None:
        """Wait for it, unless it is held already.

        Raises:
            UnavailableError: Another kept it for ten minutes.
        """
        if self._held is None:
            with ExitStack() as stack:
                stack.enter_context(self._ledger.turn(_NAME))
                self._held = stack.pop_all()

    def leave(self) -> None:
        """Let the next one have it; nothing happens when it is not held."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
