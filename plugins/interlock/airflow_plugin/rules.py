"""What policy says of Airflow's DAGs, read once for a process: protected steps, required gates, modes.

The lint, the cluster policy and the scheduler judge by the same values. No server is asked: of a bundle from a URL the
copy counts that this machine keeps. No engine is started: this is data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from interlock.pipeline import Enforcement, Insertion, Protection

if TYPE_CHECKING:
    from interlock.gate import Settings
    from interlock.policy import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One policy bundle's word on DAGs.

    Args:
        profile: The policy profile in force.
        protection: Which steps are protected.
        enforcement: What happens to a DAG that is not gated.
        insertion: How gates are set that are put into a DAG.
        bundle: Where all of it comes from.
    """

    profile: str
    protection: Protection
    enforcement: Enforcement
    insertion: Insertion
    bundle: Bundle

    def required(self, step: str) -> tuple[str, ...]:
        """The gate kinds that policy requires before ``training`` or ``deployment``.

        Raises:
            PolicyError: The profile names none, or `step` is another word.
        """
        from interlock.policy import required_gates

        return required_gates(self.bundle, self.profile, step)


def load_rules() -> Rules:
    """The rules of this deployment.

    Raises:
        InterlockError: The settings or the bundle cannot be read, so nobody knows what is protected.
    """
    from interlock.gate import Settings

    return _read(Settings.load())


def shipped_protection() -> Protection:
    """The rules that Interlock ships: what may be protected while the deployment's own policy cannot be read."""
    from interlock.policy import Bundle

    return Protection.from_data(Bundle.load().data)


def rules_of(settings: Settings, bundle: Bundle) -> Rules:
    """What one bundle says under the profile of these settings.

    Raises:
        PolicyError: Its data on protection, enforcement or insertion is of another shape.
    """
    return Rules(
        profile=settings.profile,
        protection=Protection.from_data(bundle.data),
        enforcement=Enforcement.from_data(bundle.data, "airflow"),
        insertion=Insertion.from_data(bundle.data, "airflow"),
        bundle=bundle,
    )


@cache
def _read(settings: Settings) -> Rules:
    """One read for a process; Airflow parses each DAG file in a process of its own, so it is never old for long."""
    from interlock.policy import load_policy

    return rules_of(settings, load_policy(settings, online=False))
