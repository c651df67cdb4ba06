"""`interlock policy eval`: any query over any input, with the meaning that decisions have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundle import Bundle
from interlock.policy.bundle_source import load_policy
from interlock.policy.choose import open_engine


def evaluate(settings: Settings, *, query: str, document: Json, policies: Sequence[Path] = ()) -> dict[str, Json]:
    """Evaluate `query` over `document`.

    Args:
        settings: Which engine, and which bundle when `policies` is empty.
        query: Rego, usually ``data.some.path``.
        document: What rules read as ``input``.
        policies: Bundles, folders or ``.rego`` files to use instead of the settings' bundle, joined.

    Returns:
        The document that ``opa eval --format json`` prints: ``{"result": [...]}``, or ``{}`` when undefined.

    Raises:
        SettingsError: A bundle is not there, or the engine is not.
        PolicyError: The bundles cannot be used or joined, or the query cannot be evaluated.
    """
    bundles = [Bundle.load(path) for path in policies] or [load_policy(settings)]
    engine = open_engine(settings, reduce(Bundle.joined, bundles), exactly=bool(policies))
    try:
        found = engine.query(query, document)
    finally:
        engine.close()
    return {"result": found} if found else {}
