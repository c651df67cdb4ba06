"""Reports for people and machines: one JSON object, SARIF 2.1.0, one HTML page, and one PNG sheet.

Everything in a report is untrusted: it quotes the dataset or the model that was examined. The page therefore escapes
all of it, loads nothing and runs nothing.
"""

from interlock.reporting.machine import render_json, render_sarif
from interlock.reporting.page import OutcomeGroup, ScenarioRow, render_html
from interlock.reporting.sheet import render_png
from interlock.reporting.writing import write_whole

__all__ = ["OutcomeGroup", "ScenarioRow", "render_html", "render_json", "render_png", "render_sarif", "write_whole"]
