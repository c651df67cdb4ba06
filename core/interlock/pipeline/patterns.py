"""Lists of shell-style patterns in policy data."""

from __future__ import annotations

import re
from fnmatch import translate
from typing import cast

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json


def one_of(patterns: Json, where: str) -> re.Pattern[str]:
    """One expression for a list of shell-style patterns (``*``, ``?``, ``[...]``), matched in full and by case.

    Args:
        patterns: From policy data.
        where: Its path there, for the message.

    Raises:
        PolicyError: It is no list of texts, or an empty one.
    """
    if not isinstance(patterns, list) or not patterns or not all(isinstance(item, str) and item for item in patterns):
        raise PolicyError("no list of patterns", where=where, next_step='write a list such as ["gpu*"]')
    return re.compile("|".join(f"(?:{translate(cast('str', item))})" for item in patterns))
