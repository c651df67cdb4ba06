"""Where the passes of a scan run: in this process, or on Ray.

An engine shows every row of a dataset to what looks at it and joins the states. The scan knows nothing else of it, so
the same detectors run anywhere and come to the same scores. ray is imported when a cluster is asked for, never before.
"""

from interlock.poisoning.engines.engine import ENGINES, Engine, Look, engine_for
from interlock.poisoning.engines.local import LocalEngine
from interlock.poisoning.engines.on_ray import RayEngine
from interlock.poisoning.engines.shares import Piece, Share, shares_of

__all__ = ["ENGINES", "Engine", "LocalEngine", "Look", "Piece", "RayEngine", "Share", "engine_for", "shares_of"]
