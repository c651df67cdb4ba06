"""What every engine makes of a question and of what OPA said, so that the three of them mean the same.

A path is dotted ASCII names, an input is JSON without NaN, and an answer is JSON of OPA's result-set shape. What is
none of these is an error here, before or after it reaches an engine, and never a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from interlock.gate.documents import canonical_json
from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.engine import Answer

INPUT_LIMIT = 64 * 1024 * 1024
"""Bytes that an input document may have."""

ANSWER_LIMIT = 8 * 1024 * 1024
"""Bytes that one answer may have."""

_PATH = re.compile(r"(data\.)?([A-Za-z_]\w*(\.[A-Za-z_]\w*)*)\Z", re.ASCII)


def dotted_path(path: str) -> str:
    """The path without ``data.`` in front.

    Raises:
        PolicyError: It is not dotted names.
    """
    found = _PATH.match(path)
    if found is None:
        raise PolicyError("a decision path is dotted names", where=repr(path), next_step="for example data.a.b")
    return found.group(2)


def only_path(query: str) -> str | None:
    """The path that a query asks for when it is nothing but ``data.`` and a path; `None` for any other query."""
    found = _PATH.match(query.strip())
    return found.group(2) if found is not None and found.group(1) else None


def encoded(document: Json) -> bytes:
    """The document as JSON, within limits.

    Raises:
        PolicyError: It is no JSON (NaN, bytes, a lone surrogate), nested too deeply, or larger than `INPUT_LIMIT`.
    """
    try:
        body = canonical_json(document)
    except (TypeError, ValueError, RecursionError) as error:  # NaN and lone surrogates are ValueErrors
        raise PolicyError(f"the input document cannot be written as JSON: {error}") from error
    if len(body) > INPUT_LIMIT:
        raise PolicyError(f"the input document is larger than {INPUT_LIMIT} bytes")
    return body


def decoded(raw: bytes) -> Json:
    """What an engine said, unverified bytes, as JSON.

    Raises:
        PolicyError: It is no JSON, has NaN in it, or nests without end.
    """
    try:
        answer: Json = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"the policy engine's answer is no JSON: {error}", where=shown(raw)) from error
    return answer


def rows_of(found: Json) -> list[dict[str, Any]]:
    """OPA's result set: rows that each hold at least one expression with its value; nothing means undefined.

    Raises:
        PolicyError: It has another shape.
    """
    if found is None:
        return []
    if not isinstance(found, list) or not all(_is_row(row) for row in found):
        raise PolicyError("the policy engine answered in another shape", where=str(found)[:200])
    return cast("list[dict[str, Any]]", found)


def answer_of(rows: list[dict[str, Any]], *, bundle_digest: str, metrics: Mapping[str, int] | None = None) -> Answer:
    """The one value of a question for a path; undefined when there are no rows."""
    value = rows[0]["expressions"][0]["value"] if rows else None
    return Answer(defined=bool(rows), value=value, bundle_digest=bundle_digest, metrics=metrics or {})


def row_of(query: str, value: Json) -> dict[str, Any]:
    """One row as ``opa eval`` prints it for a query that is one path."""
    return {"expressions": [{"value": value, "text": query, "location": {"row": 1, "col": 1}}]}


SHOWN_BY_EVAL = "`interlock policy eval` shows it for one input"
"""What to do about an error of a policy, for all but those who just did it."""


def refusal(message: object, *, where: str = "") -> PolicyError:
    """What OPA says against the bundle, the query or this input, as every engine raises it."""
    return PolicyError(
        f"policy cannot be evaluated: {message}",
        where=where,
        next_step=SHOWN_BY_EVAL,
    )


def shown(text: bytes) -> str:
    """The end of what a program said, for people."""
    return text[-200:].decode("utf-8", "replace").strip()


def _is_row(row: Json) -> bool:
    if not isinstance(row, Mapping):
        return False
    expressions = row.get("expressions")
    return (
        isinstance(expressions, list)
        and len(expressions) > 0
        and all(isinstance(expression, Mapping) and "value" in expression for expression in expressions)
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
