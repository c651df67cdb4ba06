"""What a policy may not do: reach for the network, or read the environment of the process that evaluates it.

The helper has neither network nor environment (`interlock.policy.engines.opa_worker`), but not every machine lets a
process be shut in, and a policy that needs `http.send` would decide differently on each. So such a bundle is refused
when it is loaded, on the syntax tree that OPA itself parsed: a name in a comment or a text is not a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interlock.gate.errors import PolicyError
from interlock.policy.bundles.bundle import Module

BANNED = ("http", "net", "opa")
"""First names of banned builtins: ``http.send``, ``net.*``, ``opa.runtime``."""

_MENTIONED = re.compile(rf"\b({'|'.join(BANNED)})\b")
_NEXT_STEP = "hand the fact over as data or as a measure of a gate; a variable of that name must be renamed"


def suspicious(source: str) -> bool:
    """Whether the text mentions a banned name at all; an identifier cannot be written without its letters.

    Only then is the syntax tree worth its milliseconds.
    """
    return _MENTIONED.search(source) is not None


def query_as_module(query: str) -> Module:
    """A query as a rule, to be parsed and looked through; what breaks out of the rule is no Rego and is refused."""
    return Module(path="query", source=f"package query\n\nanswer if {{\n{query}\n}}\n")


def check_parsed(tree: object, *, where: str) -> None:
    """Refuse a syntax tree that refers to a banned builtin, called or handed on.

    Args:
        tree: What ``rego.parse_module`` returned, or anything that contains it.
        where: The module's path.

    Raises:
        PolicyError: It does.
    """
    for name in banned_names(tree):
        raise PolicyError(f"policy may not use {name}", where=where, next_step=_NEXT_STEP)


def banned_names(node: object) -> Iterator[str]:
    """Every reference in the tree that starts with a banned name; iterative, for trees of any depth."""
    left = [node]
    while left:
        node = left.pop()
        if isinstance(node, list):
            left.extend(node)
        elif isinstance(node, dict):
            left.extend(node.values())
            parts = node.get("value")
            if node.get("type") == "ref" and isinstance(parts, list) and parts:
                names = [str(part.get("value")) for part in parts if isinstance(part, dict)]
                if names and names[0] in BANNED:
                    yield ".".join(names)
