"""Asking OPA: engines, bundles, and the one decider that fails closed.

Bundles are here at once, because DAG parsing asks them; what starts processes is imported when it is first named.
"""

from typing import TYPE_CHECKING

from interlock.policy.bundle import Bundle, Module, required_gates

if TYPE_CHECKING:
    from interlock.policy.bundle_layers import layered
    from interlock.policy.bundle_source import load_policy
    from interlock.policy.choose import open_engine
    from interlock.policy.decider import DECISION_PATH, PolicyDecider, open_decider
    from interlock.policy.embedded import EmbeddedEngine
    from interlock.policy.engine import Answer, PolicyEngine
    from interlock.policy.evaluation import evaluate
    from interlock.policy.install import EngineMissingError, Library, install_engine, locate

__all__ = [
    "DECISION_PATH",
    "Answer",
    "Bundle",
    "EmbeddedEngine",
    "EngineMissingError",
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
    "DECISION_PATH": "decider",
    "EmbeddedEngine": "embedded",
    "EngineMissingError": "install",
    "Library": "install",
    "PolicyDecider": "decider",
    "PolicyEngine": "engine",
    "evaluate": "evaluation",
    "install_engine": "install",
    "layered": "bundle_layers",
    "load_policy": "bundle_source",
    "locate": "install",
    "open_decider": "decider",
    "open_engine": "choose",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
