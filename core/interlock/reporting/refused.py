"""What a training tried and was refused, as a table: from the attachment that the training gate leaves, untrusted."""

from __future__ import annotations

import json
from collections.abc import Mapping

from interlock.gate import Report
from interlock.reporting.attachments import number
from interlock.reporting.curves import TableChart

ATTACHMENT = "refused"
MAX_ROWS = 40
MAX_TEXT = 300


def refused_of(report: Report) -> tuple[TableChart, ...]:
    """The table; nothing where nothing was refused, or nobody could see it."""
    text = dict(report.observation.attachments).get(ATTACHMENT) if report.gate == "training" else None
    try:
        listed = json.loads(text) if text is not None else []
    except (ValueError, RecursionError):
        return ()
    each = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    rows = tuple(
        (str(one.get("kind", ""))[:MAX_TEXT], str(one.get("what", ""))[:MAX_TEXT], number(one.get("count")))
        for one in each[:MAX_ROWS]
    )
    if not rows:
        return ()
    more = len(each) - len(rows)
    note = f"{more} more are in the report" if more else ""
    return (TableChart(title="Refused attempts", note=note, columns=("kind", "what", "times"), rows=rows),)
