"""The neutral pipeline graph and the chain rule on it.

It decides, for a graph that an adapter filled in, which protected steps are not held by the gates that they require,
and says why. Which steps are protected and what they require is policy's; how a fix is spelled is the adapter's.
"""

from interlock.pipeline.chain import Obstacle, Violation, Why, check, describe
from interlock.pipeline.document import graph_document, graph_from
from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.settings import Setting, shape_of

__all__ = [
    "Graph",
    "Obstacle",
    "Setting",
    "Step",
    "Violation",
    "Why",
    "check",
    "describe",
    "graph_document",
    "graph_from",
    "shape_of",
]
