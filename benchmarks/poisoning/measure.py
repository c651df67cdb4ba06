"""One cell, measured: the whole gate as a user runs it, and the peers on the same rows in the same process."""

from __future__ import annotations

import gc
import inspect
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from benchmarks.poisoning.cells import Cell, Made
from numpy.typing import NDArray

from interlock.gate import Finding, Level, Observation
from interlock.poisoning import PoisoningGate
from interlock.poisoning.batches import BatchSource
from interlock.poisoning.compare import PEERS, Gathered, compared, gathered
from interlock.poisoning.scan import Scan

Record = dict[str, Any]
RANKED_AT = 0.01
"""Share of false alarms at which rankings are compared."""

TRAINING_OPTION = "with_training"


class WatchedGate(PoisoningGate):
    """The gate, which keeps what it flagged: a user reads the rows from the file of ``--flagged``."""

    def __init__(self, **options: Any) -> None:
        super().__init__("label", **options)
        self.scans: list[Scan] = []

    def _scanned(self, source: BatchSource) -> tuple[Observation, Scan]:
        seen, found = super()._scanned(source)
        self.scans.append(found)
        return seen, found


def can_train() -> bool:
    """Whether this version of the gate can train a model on the rows."""
    return TRAINING_OPTION in inspect.signature(PoisoningGate.__init__).parameters


def measured(cell: Cell, seed: int, *, train: bool, with_peers: bool) -> Record:
    """What the gate and the peers say of one dataset.

    Args:
        cell: What is measured.
        seed: Of the attack; the gate's own stays 0.
        train: Let the gate train a model, where it can and the cell allows it.
        with_peers: Ask the peers too.
    """
    made = cell.make(seed)
    trains = train and cell.trains and can_train()
    gate = WatchedGate(**({TRAINING_OPTION: True} if trains else {}))
    began = time.process_time()
    seen = gate.examine(made.source)
    seconds = time.process_time() - began
    found = gate.scans[-1]
    record: Record = {
        "cell": cell.key,
        "seed": seed,
        "rows": made.rows,
        "poisoned": len(made.poisoned),
        "trained": trains,
        "cpu": seconds,
        "strongest": max((scores.strength for _, scores in found.scores), default=0.0),
        "named": _named(made, seen.findings),
        "rules": sorted({f.rule_id.split(".")[1] for f in seen.findings if f.level is not Level.NOTE}),
        "detectors": {name: _detector(scores, made) for name, scores in found.scores},
        "skipped": [name for name, _ in found.skipped],
        "peers": _peers(cell, made, found) if with_peers and cell.peers else {},
    }
    record |= _rates(found.flagged, made)
    record["tpr_ranked"] = _ranked(_highest(found, made.rows), made)
    del gate, found, seen
    gc.collect()
    return record


def _rates(flagged: Sequence[int], made: Made) -> Record:
    """True and false positives; false ones also without rows that carry the trigger under their own label."""
    flags = np.zeros(made.rows, dtype=bool)
    flags[list(flagged)] = True
    poisoned, touched = (np.isin(np.arange(made.rows), rows) for rows in (made.poisoned, made.touched))
    return {
        "tpr": float(flags[poisoned].mean()) if poisoned.any() else None,
        "fpr": float(flags[~poisoned].mean()),
        "fpr_untouched": float(flags[~touched].mean()),
    }


def _detector(scores: Any, made: Made) -> Record:
    return {"strength": scores.strength, "decades": float(scores.decades), **_rates(scores.flagged, made)}


def _highest(found: Scan, rows: int) -> NDArray[np.float64]:
    """Each row's highest score by any detector; what is flagged goes before what is not."""
    ranks = np.zeros(rows)
    for _, scores in found.scores:
        ranks[scores.rows] = np.maximum(ranks[scores.rows], scores.scores)
    ranks[list(found.flagged)] += 1
    return ranks


def _ranked(scores: NDArray[np.float64], made: Made) -> float | None:
    """True positives where `RANKED_AT` of the others are flagged; of rows with one score, the share that is drawn."""
    poisoned = np.isin(np.arange(made.rows), made.poisoned)
    if not poisoned.any():
        return None
    right, wrong = scores[poisoned], scores[~poisoned]
    room = RANKED_AT * len(wrong)
    cut = np.sort(wrong)[::-1][int(room)]
    above, level = (wrong > cut).sum(), (wrong == cut).sum()
    drawn = min(1.0, (room - above) / level)
    return float((right > cut).mean() + drawn * (right == cut).mean())


def _named(made: Made, findings: Sequence[Finding]) -> bool | None:
    """Whether a finding names the trigger or the pair of classes; None when none is to be named."""
    loud = [finding for finding in findings if finding.level is not Level.NOTE]
    if made.name:
        return any(made.name in f"{finding.message} {finding.evidence}".lower() for finding in loud)
    if made.pair:
        said = [json.loads(finding.evidence) for finding in loud if finding.rule_id.endswith("label-inconsistency")]
        return any((one.get("label"), one.get("resembles")) == made.pair for one in said)
    return None


def _peers(cell: Cell, made: Made, found: Scan) -> Record:
    """Each peer, told the true share of poison: more than a user knows."""
    began = time.process_time()
    rows: Gathered = gathered(made.source, found.profile)
    reading = time.process_time() - began
    expected = max(0.001, len(made.poisoned) / made.rows) if len(made.poisoned) else 0.05
    said: Record = {}
    for name in cell.peers:
        began = time.process_time()
        one = compared(PEERS[name], rows, expected=expected)
        seconds = time.process_time() - began + reading
        said[name] = {"cpu": seconds, "failed": one.failed}
        if not one.failed:
            said[name] |= _rates(one.rows, made)
            if one.scores is not None and not one.left_out:
                scores = np.zeros(made.rows)
                scores[one.looked] = one.scores
                said[name]["tpr_ranked"] = _ranked(scores, made)
    return said
