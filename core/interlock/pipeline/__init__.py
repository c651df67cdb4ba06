"""The neutral pipeline graph and the chain rule on it.

It decides, for a graph that an adapter filled in, which protected steps are not held by the gates that they require,
and says why. Which steps are protected, what they require and how strictly a pipeline is treated is policy's, read here
from the bundle's data; how a fix is spelled is the adapter's.
"""

from interlock.pipeline.chain import check
from interlock.pipeline.document import graph_document, graph_from
from interlock.pipeline.enforcement import Enforcement, Mode
from interlock.pipeline.explanation import Obstacle, Violation, Why, describe
from interlock.pipeline.graph import Graph, Step
from interlock.pipeline.insertion import Insertion
from interlock.pipeline.protection import UNREADABLE, Match, Protection, Traits
from interlock.pipeline.settings import Setting, shape_of
from interlock.pipeline.subjects import named

__all__ = [
    "UNREADABLE",
    "Enforcement",
    "Graph",
    "Insertion",
    "Match",
    "Mode",
    "Obstacle",
    "Protection",
    "Setting",
    "Step",
    "Traits",
    "Violation",
    "Why",
    "check",
    "describe",
    "graph_document",
    "graph_from",
    "named",
    "shape_of",
]
