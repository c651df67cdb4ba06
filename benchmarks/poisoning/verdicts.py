"""Records of one cell over its seeds as one line: what was reached, whether that is enough, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.poisoning.cells import Cell

Record = dict[str, Any]
UNEXPLAINED = "not explained yet"
NOT_TRAINED = "the scan was not allowed to train a model (`--with-training`)"
CANNOT_TRAIN = "this version of the scan cannot train a model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One cell over its seeds.

    Args:
        cell: What was measured.
        seeds: How many.
        tpr: Mean share of the poisoned rows that is flagged; None on clean data.
        fpr: Mean share of the others, less those that carry the trigger under their own label.
        covered: Mean share of false alarms with those.
        ranked: Mean true positives at FPR 1 % by the rows' scores; None on clean data.
        named: How often the trigger, or the pair, was named; None when none is to be.
        alarms: How often something was flagged.
        strongest: Mean strength of the strongest evidence: the margin over 0.5.
        cpu: Mean seconds.
        peers: By name, of the first seed that asked them.
        met: How often the target was reached.
        why: Reason for a miss; empty when it was always reached.
    """

    cell: Cell
    seeds: int
    tpr: float | None
    fpr: float
    covered: float
    ranked: float | None
    named: int | None
    alarms: int
    strongest: float
    cpu: float
    peers: Record
    met: int
    why: str


def line(cell: Cell, records: Sequence[Record], *, can_train: bool) -> Line:
    """The line of a cell.

    Args:
        cell: What was measured.
        records: One for each seed, at least one.
        can_train: Whether the gate could train a model if it were allowed to.
    """
    met = sum(_met(cell, one) for one in records)
    return Line(
        cell=cell,
        seeds=len(records),
        tpr=_mean([one["tpr"] for one in records]),
        fpr=_mean([one["fpr_untouched"] for one in records]) or 0.0,
        covered=_mean([one["fpr"] for one in records]) or 0.0,
        ranked=_mean([one["tpr_ranked"] for one in records]),
        named=None if records[0]["named"] is None else sum(one["named"] for one in records),
        alarms=sum(one["strongest"] >= 0.5 for one in records),
        strongest=_mean([one["strongest"] for one in records]) or 0.0,
        cpu=_mean([one["cpu"] for one in records]) or 0.0,
        peers=next((one["peers"] for one in records if one["peers"]), {}),
        met=met,
        why="" if met == len(records) else _why(cell, records, can_train=can_train),
    )


def _met(cell: Cell, one: Record) -> bool:
    goal = cell.goal
    if one["tpr"] is None:
        return bool(one["strongest"] < 0.5 and one["fpr"] == 0)
    if goal.beats:
        peer = one["peers"].get(goal.beats, {}).get("tpr_ranked")
        return bool(peer is not None and one["tpr_ranked"] > peer)
    found = one["tpr"] >= goal.tpr and one["fpr_untouched"] <= goal.fpr
    found = found or bool(goal.ranked and one["tpr_ranked"] >= goal.tpr)
    return bool(found and (not goal.named or one["named"]))


def _why(cell: Cell, records: Sequence[Record], *, can_train: bool) -> str:
    missed = [one for one in records if not _met(cell, one)]
    said = [_by_how_much(cell, missed)]
    if cell.trains and not any(one["trained"] for one in missed):
        said.append(NOT_TRAINED if can_train else CANNOT_TRAIN)
    said.append(cell.why or UNEXPLAINED)
    return "; ".join(part for part in said if part)


def _by_how_much(cell: Cell, missed: Sequence[Record]) -> str:
    if missed[0]["tpr"] is None:
        who = sorted({name for one in missed for name, said in one["detectors"].items() if said["strength"] >= 0.5})
        return f"false alarm of {', '.join(who)}"
    goal, said = cell.goal, []
    if goal.beats:
        theirs = [one["peers"].get(goal.beats, {}).get("tpr_ranked") for one in missed]
        if None in theirs:
            return f"{goal.beats} was not asked"
        gap = float(np.mean([their - one["tpr_ranked"] for their, one in zip(theirs, missed, strict=True)]))
        return f"finds {100 * gap:.1f} points less than {goal.beats}"
    silent = sum(one["strongest"] < 0.5 for one in missed)
    if silent:
        said.append(f"silent in {silent} of {len(missed)}")
    best = [max(one["tpr"], one["tpr_ranked"]) if goal.ranked else one["tpr"] for one in missed]
    short = max(goal.tpr - value for value in best)
    if short > 0:
        said.append(f"TPR short by up to {100 * short:.1f} points")
    over = max(one["fpr_untouched"] - goal.fpr for one in missed)
    if over > 0 and not goal.ranked:
        said.append(f"FPR over by up to {100 * over:.2f} points")
    if goal.named and not all(one["named"] for one in missed):
        said.append("not named")
    return ", ".join(said)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
