"""The published JSON Schemas, compiled once for each process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from interlock.gate.values import Json
from interlock.policy.bundles.bundle import packaged_folder

_SHOWN = 5


def input_problems(document: Json) -> tuple[str, ...]:
    """Where `document` differs from ``decision_input.json``; empty when it is valid."""
    return _problems("decision_input.json", document)


def decision_problems(answer: Json) -> tuple[str, ...]:
    """Where a policy's answer differs from ``decision.json``; empty when it is valid."""
    return _problems("decision.json", answer)


def report_problems(document: Json) -> tuple[str, ...]:
    """Where a report document differs from ``report.json``; empty when it is valid."""
    return _problems("report.json", document)


def graph_problems(document: Json) -> tuple[str, ...]:
    """Where the document of a pipeline's graph differs from ``pipeline_graph.json``; empty when it is valid."""
    return _problems("pipeline_graph.json", document)


def admission_problems(document: Json) -> tuple[str, ...]:
    """Where an AdmissionReview differs from ``admission_review.json``; empty when it is valid."""
    return _problems("admission_review.json", document)


def prices_problems(document: Json) -> tuple[str, ...]:
    """Where a price table differs from ``prices.json``; empty when it is valid."""
    return _problems("prices.json", document)


def schema(name: str) -> dict[str, Json]:
    """One published schema by file name."""
    text = (packaged_folder() / "schemas" / name).read_text(encoding="utf-8")
    return cast("dict[str, Json]", json.loads(text))


def _problems(name: str, document: Json) -> tuple[str, ...]:
    problems = _checker(name)(document)
    more = (f"and {len(problems) - _SHOWN} more",) if len(problems) > _SHOWN else ()
    return (*problems[:_SHOWN], *more)


def _without_references(node: Json, definitions: Json) -> Any:
    """Put each definition where it is referred to: looking references up is most of the time of a check.

    Our schemas do not refer to themselves, so this ends.
    """
    if isinstance(node, list):
        return [_without_references(item, definitions) for item in node]
    if not isinstance(node, Mapping) or not isinstance(definitions, Mapping):
        return node
    target = node.get("$ref")
    if isinstance(target, str):
        return _without_references(definitions[target.removeprefix("#/$defs/")], definitions)
    return {key: _without_references(value, definitions) for key, value in node.items() if key != "$defs"}


@cache
def _checker(name: str) -> Callable[[Json], list[str]]:
    from jsonschema import Draft202012Validator

    loaded = schema(name)
    validator = Draft202012Validator(_without_references(loaded, loaded["$defs"]))

    def check(document: Json) -> list[str]:
        return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)]

    return check
