"""The graph as a document: what a `pipeline` gate puts into ``report.facts.pipeline`` for policy to read.

The form is published as ``policies/schemas/pipeline_graph.json``. Every field is always there, so that a rule never has
to guess what a missing one would have said.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, cast

from interlock.gate.errors import SubjectError
from interlock.gate.values import Json
from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.settings import Setting

_NEXT_STEP = "make it with interlock.pipeline.graph_document; see policies/schemas/pipeline_graph.json"


def graph_document(graph: Graph) -> dict[str, Json]:
    """Write `graph` down; `graph_from` reads it back."""
    steps = [asdict(step) for step in graph.steps]
    return cast("dict[str, Json]", json.loads(json.dumps({"steps": steps, "edges": graph.edges})))


def graph_from(document: Json) -> Graph:
    """Read a graph back.

    Args:
        document: Parsed JSON; untrusted.

    Raises:
        SubjectError: It is not what the schema says.
        UsageError: Two steps share an id, or an edge names a step that is not there.
    """
    from interlock.policy.schemas import graph_problems

    problems = graph_problems(document)
    if problems:
        raise SubjectError(f"no pipeline graph: {'; '.join(problems)}", where="pipeline graph", next_step=_NEXT_STEP)
    checked = cast("dict[str, Any]", document)
    return Graph(
        steps=tuple(_step(step) for step in checked["steps"]),
        edges=tuple((upper, lower) for upper, lower in checked["edges"]),
    )


def _step(document: dict[str, Any]) -> Step:
    texts = (
        "overrides", "requires", "inputs", "outputs", "starts", "foreign_receipts", "installs", "secrets", "mounts",
    )  # fmt: skip
    lists = {
        **{name: tuple(document[name]) for name in texts},
        "settings": tuple(Setting(**setting) for setting in document["settings"]),
    }
    return Step(**(document | lists))
