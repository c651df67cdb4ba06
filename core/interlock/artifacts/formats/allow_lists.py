"""The allow-lists of this room as data: versioned, hashed, and made from the packages by a script.

``tests/artifacts/make_tables.py`` writes them. What a table does not name is refused, so an older table refuses what
a newer package adds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from interlock.gate.documents import digest_of
from interlock.gate.values import Json

NAMES = ("keras_classes", "skops_types", "sklearn_classes")


@cache
def table(name: str) -> Mapping[str, Any]:
    """One of `NAMES`, as it was shipped."""
    from importlib.resources import files

    content: dict[str, Any] = json.loads(
        files("interlock.artifacts.formats").joinpath(f"{name}.json").read_text("utf-8")
    )
    return content


def documents() -> dict[str, Json]:
    """Name, version, origin and digest of every table, as they stand in a gate's configuration."""
    return {
        name: {
            "version": table(name)["version"],
            "made_from": dict(table(name)["made_from"]),
            "digest": digest_of(dict(table(name))),
        }
        for name in NAMES
    }
