"""Asking OPA: engines, bundles, and the one decider that fails closed."""

from interlock.policy.bundle import Bundle, Module, required_gates
from interlock.policy.decider import DECISION_PATH, PolicyDecider, open_decider, open_engine
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
    "locate",
    "open_decider",
    "open_engine",
    "required_gates",
]
