"""What policy says of Airflow's DAGs: `interlock.pipeline.rules` for this orchestrator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.pipeline import Protection, rules
from interlock.pipeline.rules import Rules

if TYPE_CHECKING:
    from interlock.gate import Settings
    from interlock.policy import Bundle

__all__ = ["Rules", "load_rules", "read_rules", "rules_of", "shipped_protection"]

_ORCHESTRATOR = "airflow"


def load_rules() -> Rules:
    """See `interlock.pipeline.rules.load_rules`."""
    return rules.load_rules(_ORCHESTRATOR)


def read_rules(settings: Settings) -> Rules:
    """See `interlock.pipeline.rules.read_rules`."""
    return rules.read_rules(settings, _ORCHESTRATOR)


def rules_of(settings: Settings, bundle: Bundle) -> Rules:
    """See `interlock.pipeline.rules.rules_of`."""
    return rules.rules_of(settings, bundle, _ORCHESTRATOR)


def shipped_protection() -> Protection:
    """The rules that Interlock ships: what may be protected while the deployment's own policy cannot be read."""
    from interlock.policy import Bundle

    return Protection.from_data(Bundle.load().data)
