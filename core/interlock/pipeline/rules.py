"""What policy says of an orchestrator's pipelines, read once in `policy_poll` seconds: protected steps, gates, modes.

The lint, the checks as a pipeline is loaded or compiled, and the scheduler judge by the same values. No server is
asked: of a bundle from a URL the copy counts that this machine keeps. No engine is started: this is data.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.pipeline.enforcement import Enforcement
from interlock.pipeline.insertion import Insertion
from interlock.pipeline.patterns import one_of
from interlock.pipeline.protection import Protection

if TYPE_CHECKING:
    from interlock.gate import Settings
    from interlock.policy import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One policy bundle's word on pipelines.

    Args:
        profile: The policy profile in force.
        protection: Which steps are protected.
        enforcement: What happens to a pipeline that is not gated.
        insertion: How gates are set that are put into a pipeline.
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

    def gate_images(self, image: str) -> bool:
        """Whether the profile takes `image` for gates: ``pipeline.gate_images``, shell-style patterns.

        Raises:
            PolicyError: The profile has no such list.
            SettingsError: The bundle has no such profile.
        """
        where = f"data.interlock.profiles.{self.profile}.pipeline.gate_images"
        of = self.bundle.profile(self.profile).get("pipeline")
        listed = of.get("gate_images") if isinstance(of, Mapping) else None
        if listed == []:
            return False
        return bool(one_of(listed, where).match(image))


_kept: dict[tuple[Settings, str], tuple[Rules, float]] = {}
"""The rules read last, and until when they count; a process forked from this one has them, too."""


def load_rules(orchestrator: str) -> Rules:
    """The rules of this deployment for ``airflow`` or ``kubeflow``.

    Raises:
        InterlockError: The settings or the bundle cannot be read, so nobody knows what is protected.
    """
    from interlock.gate import Settings

    settings = Settings.load()
    rules, until = _kept.get((settings, orchestrator), (None, 0.0))
    if rules is None or time.monotonic() >= until:
        rules = read_rules(settings, orchestrator)
        for known in [key for key in _kept if key[0] != settings or key[1] == orchestrator]:
            del _kept[known]
        _kept[settings, orchestrator] = rules, time.monotonic() + settings.policy_poll
    return rules


def read_rules(settings: Settings, orchestrator: str) -> Rules:
    """The rules of a deployment with these settings, read now.

    Raises:
        InterlockError: As `load_rules`.
    """
    from interlock.policy import load_policy

    return rules_of(settings, load_policy(settings, online=False), orchestrator)


def rules_of(settings: Settings, bundle: Bundle, orchestrator: str) -> Rules:
    """What one bundle says under the profile of these settings.

    Raises:
        PolicyError: Its data on protection, enforcement or insertion is of another shape.
    """
    return Rules(
        profile=settings.profile,
        protection=Protection.from_data(bundle.data),
        enforcement=Enforcement.from_data(bundle.data, orchestrator),
        insertion=Insertion.from_data(bundle.data, orchestrator),
        bundle=bundle,
    )
