"""Asking OPA: engines, bundles, and the one decider that fails closed."""
