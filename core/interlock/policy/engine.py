"""What every policy engine is to the rest of Interlock: one question, one answer, the same meaning everywhere.

The three engines are the same OPA in three places: a server (`interlock.policy.engines.server`), the ``opa`` program
(`interlock.policy.engines.binary`) and a helper process (`interlock.policy.engines.embedded`). All evaluate with strict
builtin errors: a builtin that errs is an error and never an undefined value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json


class EngineSilentError(PolicyError):
    """A server did not answer in time. Whoever gets this has waited a whole deadline, and asks it nothing more now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What OPA says of one document.

    Args:
        defined: Whether the document exists for this input. Undefined is not false, and never allows.
        value: The document; `None` when undefined.
        bundle_digest: The bundle that this answer was decided by; empty where the engine could not say.
        decision_id: The engine's own id for this decision, as in its decision log; empty where it gives none.
        metrics: OPA's timers in nanoseconds under OPA's names, as far as the engine says them.
    """

    defined: bool
    value: Json
    bundle_digest: str = ""
    decision_id: str = ""
    metrics: Mapping[str, int] = field(default_factory=dict)


class PolicyEngine(Protocol):
    """Evaluates a bundle. Implementations are thread safe and survive `os.fork` in their process."""

    @property
    def name(self) -> str:
        """For receipts: ``opa-embedded``, ``opa-binary`` or ``opa-server``."""
        ...

    @property
    def version(self) -> str:
        """OPA's own version; empty as long as the engine has not said it."""
        ...

    @property
    def bundle_digest(self) -> str:
        """sha256 of the bundle in use (`interlock.policy.bundles.bundle.Bundle.digest`); a server is asked for it.

        Empty where the engine cannot say; then no receipt opens a guard, and no decision is ALLOW.
        """
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

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """Evaluate any query; the result set in the form of ``opa eval`` (empty when undefined).

        Args:
            query: Rego, for example ``data.interlock.decision.result`` or ``x := input.y + 1``.
            document: What is read as ``input``.

        Raises:
            PolicyError: As `evaluate`, and for a query that uses a banned builtin.
        """
        ...

    def close(self) -> None:
        """Give back processes and connections; the next question opens them again."""
        ...
