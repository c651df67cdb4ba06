"""Reports for people and machines: one JSON object, SARIF 2.1.0, one HTML page, and one PNG sheet.

Everything in a report is untrusted: it quotes the dataset or the model that was examined. The page therefore escapes
all of it, loads nothing and runs nothing. Names are loaded when they are first used: who writes JSON draws nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlock.reporting.machine import render_json, render_sarif
    from interlock.reporting.page import OutcomeGroup, ScenarioRow, render_html
    from interlock.reporting.sheet import render_png
    from interlock.reporting.telling import tell
    from interlock.reporting.writing import write_whole

_PLACES = {
    "OutcomeGroup": "page",
    "ScenarioRow": "page",
    "render_html": "page",
    "render_json": "machine",
    "render_png": "sheet",
    "render_sarif": "machine",
    "tell": "telling",
    "write_whole": "writing",
}

__all__ = [
    "OutcomeGroup",
    "ScenarioRow",
    "render_html",
    "render_json",
    "render_png",
    "render_sarif",
    "tell",
    "write_whole",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
