"""What policy says of Airflow's DAGs, read once in `policy_poll` seconds: protected steps, required gates, modes.

The lint, the cluster policy and the scheduler judge by the same values. No server is asked: of a bundle from a URL the
copy counts that this machine keeps. No engine is started: this is data.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
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


_kept: dict[Settings, tuple[Rules, float]] = {}
"""The rules read last, and until when they count; a process forked from this one has them, too."""


def load_rules() -> Rules:
    """The rules of this deployment.

    Raises:
        InterlockError: The settings or the bundle cannot be read, so nobody knows what is protected.
    """
    from interlock.gate import Settings

    settings = Settings.load()
    rules, until = _kept.get(settings, (None, 0.0))
    if rules is None or time.monotonic() >= until:
        rules = read_rules(settings)
        _kept.clear()
        _kept[settings] = rules, time.monotonic() + settings.policy_poll
    return rules


def read_rules(settings: Settings) -> Rules:
    """The rules of a deployment with these settings, read now.

    Raises:
        InterlockError: As `load_rules`.
    """
    from interlock.policy import load_policy

    return rules_of(settings, load_policy(settings, online=False))


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
