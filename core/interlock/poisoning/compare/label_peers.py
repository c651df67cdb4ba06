"""cleanlab's label issues, on probabilities of a row's neighbours (Northcutt, Jiang and Chuang, 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.poisoning.compare.gathering import Gathered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEIGHBOURS = 15


def label_issues(rows: Gathered, expected: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """`find_label_issues` on out-of-fold probabilities: the labels of the nearest rows other than the row itself.

    Args:
        rows: What it looks at.
        expected: Not used: cleanlab needs to be told no share.
        seed: Not used: nothing is random.

    Returns:
        Flags, and 1 less the quality of each label.
    """
    del expected, seed
    import numpy as np
    from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]  # no stubs are published
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]  # no stubs are published

    points, classes = rows.on_axes(), len(rows.classes)
    count = min(NEIGHBOURS, len(points) - 1)
    # Asked for no points, scikit-learn gives those of every point without the point itself.
    found = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    votes = np.zeros((len(points), classes))
    np.add.at(votes, (np.arange(len(points))[:, None], rows.labels[found]), 1.0)
    probabilities = (votes + 1 / classes) / (count + 1)
    flags = find_label_issues(rows.labels, probabilities, n_jobs=1)
    quality = get_label_quality_scores(rows.labels, probabilities)
    return np.asarray(flags, dtype=bool), 1 - np.asarray(quality, dtype=np.float64)
