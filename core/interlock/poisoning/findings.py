"""What detectors suspect as findings: one sentence for people, and evidence as JSON for whoever checks it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from interlock.gate import Finding, Json, Level, Location
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import BatchSource
from interlock.poisoning.bounds import strength
from interlock.poisoning.detector import LabelShift, Suspicion, Trigger
from interlock.poisoning.pictures import trigger_values
from interlock.poisoning.reading.limits import short
from interlock.poisoning.revisit import Rows
from interlock.poisoning.scan import Scan

MAX_FINDINGS = 20
MAX_ROWS_NAMED = 50
MAX_PATCH_VALUES = 256
MAX_LABEL = 60
MAX_NAME = 200


def suspicions(
    found: Scan, rows: Rows, source: BatchSource, image_shape: tuple[int, ...] | None
) -> tuple[Finding, ...]:
    """One finding per trigger, label shift and other suspicion of the detectors that raised an alarm, and all remarks.

    Args:
        found: The scan.
        rows: Rows that were read again, to give the trigger's values.
        source: The dataset, which knows where its rows are.
        image_shape: Height, width and, for colour, channels.
    """
    loud = [scores for _, scores in found.scores if scores.alarm]
    triggers = [_trigger(t, found, rows, source, image_shape) for scores in loud for t in scores.triggers]
    shifts = [_shift(s, found, source) for scores in loud for s in scores.shifts]
    named = [s for scores in loud for s in scores.suspicions if s.level is not Level.NOTE]
    remarks = [s for _, scores in found.scores for s in scores.suspicions if s.level is Level.NOTE]
    others = [_other(s, found, source) for s in (*named[:MAX_FINDINGS], *remarks[:MAX_FINDINGS])]
    return (*triggers[:MAX_FINDINGS], *others, *shifts[:MAX_FINDINGS])


def _trigger(
    trigger: Trigger, found: Scan, rows: Rows, source: BatchSource, image_shape: tuple[int, ...] | None
) -> Finding:
    message = (
        f"The same {trigger.height}x{trigger.width} pattern stands at row {trigger.top}, column {trigger.left} of "
        f"{len(trigger.rows)} images labelled {short(trigger.label, MAX_LABEL)}; without it {trigger.contradicting} of "
        f"{trigger.compared} compared look like another class"
    )
    evidence: dict[str, Json] = {
        "label": short(trigger.label, MAX_LABEL),
        "box": {"top": trigger.top, "left": trigger.left, "height": trigger.height, "width": trigger.width},
        "pixels": len(trigger.pixels),
        "patch": _patch(trigger, rows, image_shape),
        "rows": len(trigger.rows),
        "first_rows": list(trigger.rows[:MAX_ROWS_NAMED]),
        "carriers_of_any_label": trigger.carriers,
        "compared": trigger.compared,
        "contradicting": trigger.contradicting,
        "evidence_decades": round(trigger.decades, 3),
        "strength": round(strength(trigger.decades), 6),
    }
    return Finding(
        rule_id="data-poisoning.repeated-pattern",
        level=Level.ERROR,
        message=message,
        location=_location(trigger.rows, found, source),
        evidence=canonical_json(evidence).decode(),
    )


def _patch(trigger: Trigger, rows: Rows, image_shape: tuple[int, ...] | None) -> Json:
    """The rebuilt values, line by line, null where the box holds no pixel of the pattern; null when it is large."""
    if image_shape is None:
        return None
    channels = (*image_shape, 1)[2]
    if trigger.height * trigger.width * channels > MAX_PATCH_VALUES:
        return None
    values = trigger_values(trigger, rows)
    lines: list[Json] = []
    for down in range(trigger.top, trigger.top + trigger.height):
        start = (down * image_shape[1] + trigger.left) * channels
        places = range(start, start + trigger.width * channels)
        lines.append([round(values[place], 4) if place in values else None for place in places])
    return lines


def _shift(shift: LabelShift, found: Scan, source: BatchSource) -> Finding:
    who = f"labelled {short(shift.label, MAX_LABEL)}" if shift.label else "of any label"
    among = f"rows of {short(shift.resembles, MAX_LABEL)}" if shift.resembles else "rows of other classes"
    message = (
        f"{len(shift.rows)} rows {who} lie among {among}; classes that overlap explain at most {shift.expected:.1f}"
    )
    evidence: dict[str, Json] = {
        "label": short(shift.label, MAX_LABEL) or None,
        "resembles": short(shift.resembles, MAX_LABEL) or None,
        "rows": len(shift.rows),
        "first_rows": list(shift.rows[:MAX_ROWS_NAMED]),
        "explained_by_overlap": round(shift.expected, 3),
        "evidence_decades": round(shift.decades, 3),
        "strength": round(strength(shift.decades), 6),
    }
    return Finding(
        rule_id="data-poisoning.label-inconsistency",
        level=Level.WARNING,
        message=message,
        location=_location(shift.rows, found, source),
        evidence=canonical_json(evidence).decode(),
    )


def _other(suspicion: Suspicion, found: Scan, source: BatchSource) -> Finding:
    evidence: dict[str, Json] = {
        **json.loads(suspicion.evidence),
        "label": short(suspicion.label, MAX_LABEL) or None,
        "name": suspicion.name[:MAX_NAME] or None,
        "rows": len(suspicion.rows),
        "first_rows": list(suspicion.rows[:MAX_ROWS_NAMED]),
        "evidence_decades": round(suspicion.decades, 3),
        "strength": round(strength(suspicion.decades), 6),
    }
    return Finding(
        rule_id=f"data-poisoning.{suspicion.rule}",
        level=suspicion.level,
        message=suspicion.message,
        location=_location(suspicion.rows, found, source),
        evidence=canonical_json(evidence).decode(),
    )


def _location(rows: Sequence[int], found: Scan, source: BatchSource) -> Location:
    """The first of the rows, in its own file."""
    if not rows:
        return Location()
    return source.where(*found.place(rows[0]))
