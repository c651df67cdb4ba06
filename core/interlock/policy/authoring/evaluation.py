"""`interlock policy eval`: any query over any input, with the meaning that decisions have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

from interlock.gate.documents import digest_of
from interlock.gate.errors import PolicyError, UsageError
from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle
from interlock.policy.bundles.source import load_policy
from interlock.policy.engines.choose import open_engine
from interlock.policy.engines.question import SHOWN_BY_EVAL


def evaluate(
    settings: Settings, *, query: str, document: Json, policies: Sequence[Path] = (), data: Sequence[Path] = ()
) -> dict[str, Json]:
    """Evaluate `query` over `document`.

    Args:
        settings: Which engine, and which bundle when `policies` is empty.
        query: Rego, usually ``data.some.path``.
        document: What rules read as ``input``.
        policies: Bundles, folders or ``.rego`` files to use instead of the settings' bundle, joined.
        data: JSON files with more of ``data``, joined at its root.

    Returns:
        The document that ``opa eval --format json`` prints: ``{"result": [...]}``, or ``{}`` when undefined.

    Raises:
        SettingsError: A bundle is not there, or the engine is not.
        UsageError: A data file is no JSON object.
        PolicyError: The bundles cannot be used or joined, or the query cannot be evaluated.
    """
    bundle = joined_policy(settings, policies, data)
    engine = open_engine(settings, bundle, exactly=bool(policies or data))
    try:
        found = engine.query(query, document)
    except PolicyError as error:
        if error.next_step != SHOWN_BY_EVAL:
            raise
        how = "correct the query, the rules or the input; `interlock policy check` looks at the rules"
        raise PolicyError(error.what, where=error.where, next_step=how) from error
    finally:
        engine.close()
    return {"result": found} if found else {}


def joined_policy(settings: Settings, policies: Sequence[Path], data: Sequence[Path]) -> Bundle:
    """What `evaluate` evaluates; it says of its arguments and errors what there is to say."""
    bundles = [Bundle.load(path) for path in policies] or [load_policy(settings)]
    return reduce(Bundle.joined, [*bundles, *(_data_alone(path) for path in data)])


def _data_alone(path: Path) -> Bundle:
    try:
        document: Json = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the data cannot be read: {error}", where=str(path), next_step="hand over JSON") from error
    if not isinstance(document, Mapping):
        raise UsageError("the data is no JSON object", where=str(path), next_step='for example {"limits": {"rows": 5}}')
    return Bundle(digest=digest_of({"data": document}), revision="", modules=(), data=document)
