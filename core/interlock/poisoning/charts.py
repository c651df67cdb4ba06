"""Numbers that the report draws: how a class falls apart, whose rows are flagged, and phrases where they stand.

The attachment is one JSON text, limited in size; `interlock.reporting` draws it. Its shape::

    {"charts": [{"kind": "histogram", "title", "axis", "low", "high", "threshold": number or null,
                 "rest": [counts], "flagged": [counts]}
              | {"kind": "bars", "title", "bars": [{"name", "rows", "flagged"}], "more", "none"}
              | {"kind": "quotes", "title", "lines": [[before, phrase, after]]}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from interlock.gate import Json
from interlock.gate.documents import canonical_json
from interlock.poisoning.detector import Histogram, Suspicion
from interlock.poisoning.reading.limits import short
from interlock.poisoning.revisit import Tally
from interlock.poisoning.scan import Scan

ATTACHMENT = "charts"
MAX_HISTOGRAMS = 6
MAX_QUOTED = 6
MAX_BARS = 20
MAX_NAME = 60
MAX_QUOTE = 300


def charts(found: Scan, counted: Tally) -> str:
    """The attachment, as JSON text; empty when nothing was flagged and there is nothing to draw.

    Args:
        found: The scan.
        counted: Of the same dataset.
    """
    loud = [one for _, scores in found.scores if scores.alarm for one in scores.suspicions]
    drawn: list[Json] = [*_histograms(loud), *_quotes(loud)]
    if found.flagged:
        drawn += [
            _bars(f"Flagged rows by {what}", groups)
            for what, groups in (("class", counted.classes), ("source", counted.sources))
            if groups
        ]
    return canonical_json({"charts": drawn}).decode() if drawn else ""


def _histograms(loud: Sequence[Suspicion]) -> Iterator[dict[str, Json]]:
    shown = [one for one in loud if one.histogram is not None][:MAX_HISTOGRAMS]
    for one in shown:
        assert one.histogram is not None  # noqa: S101 (chosen above)
        yield {"kind": "histogram", "title": short(one.title, MAX_NAME), **_bins(one.histogram)}


def _bins(histogram: Histogram) -> dict[str, Json]:
    return {
        "axis": histogram.axis,
        "low": histogram.low,
        "high": histogram.high,
        "threshold": histogram.threshold,
        "rest": list(histogram.rest),
        "flagged": list(histogram.flagged),
    }


def _quotes(loud: Sequence[Suspicion]) -> Iterator[dict[str, Json]]:
    """Phrases in context, as the detectors of texts leave them: ``before [phrase] after``."""
    for one in loud[:MAX_QUOTED]:
        contexts = json.loads(one.evidence).get("contexts")
        if isinstance(contexts, list) and contexts:
            lines = [_parted(str(context), one.name) for context in contexts]
            yield {"kind": "quotes", "title": short(one.title, MAX_NAME), "lines": lines}


def _parted(context: str, name: str) -> Json:
    before, found, after = context.partition(f"[{name}]")
    if not found:  # the phrase reads differently in this row
        before, _, rest = context.partition("[")
        name, _, after = rest.partition("]")
    return [before[-MAX_QUOTE:], name[:MAX_QUOTE], after[:MAX_QUOTE]]


def _bars(title: str, groups: Mapping[str, tuple[int, int]]) -> dict[str, Json]:
    """Those with the largest share of flagged rows first; those without any are only counted."""
    hit = [name for name, (_, flagged) in groups.items() if flagged]
    order = sorted(hit, key=lambda name: (-groups[name][1] / groups[name][0], -groups[name][0], name))
    bars: list[Json] = [
        {"name": short(name, MAX_NAME), "rows": groups[name][0], "flagged": groups[name][1]}
        for name in order[:MAX_BARS]
    ]
    return {
        "kind": "bars",
        "title": title,
        "bars": bars,
        "more": max(0, len(order) - MAX_BARS),
        "none": len(groups) - len(order),
    }
