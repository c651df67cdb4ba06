"""What every policy engine is to the rest of Interlock: one question, one answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from interlock.gate.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What OPA says of one document.

    Args:
        defined: Whether the document exists for this input. Undefined is not false, and never allows.
        value: The document; `None` when undefined.
    """

    defined: bool
    value: Json


class PolicyEngine(Protocol):
    """Evaluates a bundle. Implementations are thread safe and survive `os.fork` in their process."""

    @property
    def name(self) -> str:
        """For receipts, for example ``opa-embedded``."""
        ...

    @property
    def version(self) -> str:
        """OPA's own version; empty as long as the engine has not said it."""
        ...

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """Ask for the document at ``data.<path>``.

        Args:
            path: Dotted, with or without ``data.`` in front.
            document: What the rules read as ``input``.

        Raises:
            PolicyError: No usable answer: the bundle does not compile, an error of a builtin, a conflict, the
                deadline, or the engine cannot be reached.
        """
        ...

    def close(self) -> None:
        """Give back processes and connections; the next question opens them again."""
        ...
