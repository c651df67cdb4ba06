"""Asking OPA: engines, bundles, and the one decider that fails closed.

Bundles are here at once, because DAG parsing asks them; what starts processes is imported when it is first named.
"""

from typing import TYPE_CHECKING

from interlock.policy.bundles.bundle import Bundle, Module, required_gates

if TYPE_CHECKING:
    from interlock.policy.authoring.evaluation import evaluate
    from interlock.policy.bundles.layers import layered
    from interlock.policy.bundles.source import load_policy
    from interlock.policy.decisions.decider import DECISION_PATH, PolicyDecider
    from interlock.policy.decisions.following import FollowingDecider, open_decider
    from interlock.policy.engine import Answer, PolicyEngine
    from interlock.policy.engines.choose import open_engine
    from interlock.policy.engines.embedded import EmbeddedEngine
    from interlock.policy.engines.install import EngineMissingError, Library, install_engine, locate

__all__ = [
    "DECISION_PATH",
    "Answer",
    "Bundle",
    "EmbeddedEngine",
    "EngineMissingError",
    "FollowingDecider",
    "Library",
    "Module",
    "PolicyDecider",
    "PolicyEngine",
    "evaluate",
    "install_engine",
    "layered",
    "load_policy",
    "locate",
    "open_decider",
    "open_engine",
    "required_gates",
]

_LAZY = {
    "Answer": "engine",
    "DECISION_PATH": "decisions.decider",
    "EmbeddedEngine": "engines.embedded",
    "EngineMissingError": "engines.install",
    "FollowingDecider": "decisions.following",
    "Library": "engines.install",
    "PolicyDecider": "decisions.decider",
    "PolicyEngine": "engine",
    "evaluate": "authoring.evaluation",
    "install_engine": "engines.install",
    "layered": "bundles.layers",
    "load_policy": "bundles.source",
    "locate": "engines.install",
    "open_decider": "decisions.following",
    "open_engine": "engines.choose",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
