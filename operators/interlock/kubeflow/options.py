"""Options on their way into a pod: KFP carries every number as a double and no null (protobuf's ``Struct``).

What has nulls, or numbers that a double cannot hold, travels as JSON text, in an option whose name ends in ``_json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.gate import Json


def plain(value: Json) -> Json:
    """The value as it was written, with whole numbers whole again."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def arrived(options: Mapping[str, Json]) -> dict[str, Json]:
    """The options of a step as its factory was given them.

    Args:
        options: As KFP hands them to the step.
    """
    settled: dict[str, Json] = {}
    for name, value in options.items():
        if name.endswith("_json"):
            settled[name.removesuffix("_json")] = json.loads(str(value))
        else:
            settled[name] = plain(value)
    return settled
