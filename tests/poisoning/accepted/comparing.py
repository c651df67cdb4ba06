"""Two snapshots from arrays, one compared with the other as the gate does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interlock.gate import Subject
from interlock.poisoning import BatchStream, Block, LabelConsistency, Scan, Scores, scan
from interlock.poisoning.accepted.drift import Drift
from interlock.poisoning.accepted.snapshot import SnapshotProfile, profile_of

SUBJECT = Subject(name="monday", uri="file:///lake/monday", digest="ab" * 32)


def block(features: NDArray[Any], labels: NDArray[Any], **more: Any) -> Block:
    return Block(features=features.astype(np.float32), labels=labels.tolist(), **more)


def stream(made: Block, *, shape: Sequence[int] | None = None, texts: Sequence[str] = ()) -> BatchStream:
    return BatchStream(lambda: [made], image_shape=shape, texts=texts)


def looked_at(rows: BatchStream, accepted: SnapshotProfile | None = None, *, keep: bool = False) -> Scan:
    shape = rows.columns.image_shape
    pairs = accepted.pairs.get("knn", ()) if accepted is not None else ()
    return scan(
        rows,
        seed=0,
        detectors=lambda profile: (
            LabelConsistency(profile=profile, accepted=pairs),
            Drift(profile=profile, accepted=accepted, keep=keep, image_shape=shape),
        ),
        one_scale=shape is not None,
        quantiles=keep,
    )


def profile(rows: BatchStream) -> SnapshotProfile:
    """Of an accepted snapshot, read back from its document."""
    made = profile_of(looked_at(rows, keep=True), SUBJECT, rows.columns, seed=0)
    return SnapshotProfile.read(made.document(), where="monday.json")


def scores(found: Scan, name: str) -> Scores:
    return next(scores for one, scores in found.scores if one == name)


def rules(found: Scores) -> list[str]:
    return [one.rule for one in found.suspicions if found.alarm or one.decades == 0]
