"""PyOD's outlier detectors, class by class (Zhao, Nasrullah and Li, 2019, "PyOD")."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from interlock.poisoning.compare.gathering import Gathered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 40
"""Rows of a class that is looked at; of fewer, nobody is flagged."""

MODELS = {"ecod": "ECOD", "iforest": "IForest", "knn": "KNN", "lof": "LOF"}
LEAST_SHARE, MOST_SHARE = 1e-4, 0.5
"""What PyOD allows as `contamination`."""


def of_each_class(
    name: str, rows: Gathered, expected: float, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """One detector on every class, each flagging the expected share of it.

    Args:
        name: One of `MODELS`.
        rows: What it looks at.
        expected: The share of poison.
        seed: Of what is random in it.

    Returns:
        Flags, and the ranks of a row's score in its class from 0 to 1: scores of two classes cannot be compared.
    """
    import numpy as np

    flags, ranks = np.zeros(len(rows.rows), dtype=bool), np.zeros(len(rows.rows))
    points = rows.on_axes().astype(np.float64)
    for label in range(len(rows.classes)):
        places = np.flatnonzero(rows.labels == label)
        if len(places) < MIN_ROWS:
            continue
        model = _model(name, min(MOST_SHARE, max(LEAST_SHARE, expected)), seed)
        model.fit(points[places])
        flags[places] = model.labels_ == 1
        ranks[places] = model.decision_scores_.argsort().argsort() / len(places)
    return flags, ranks


def _model(name: str, share: float, seed: int) -> Any:
    kind = getattr(import_module(f"pyod.models.{name}"), MODELS[name])
    return kind(contamination=share, random_state=seed % 2**32) if name == "iforest" else kind(contamination=share)
