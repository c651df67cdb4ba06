"""Spectral signatures, as starts of the search: which rows of a class stick out along its own spectrum.

Centred spectral signatures (Tran, Li and Madry, 2018, "Spectral signatures in backdoor attacks", algorithm 1: the
square of the *centred* row along the first singular vector) and SPECTRE's quantum entropy score (Hayase et al., 2021,
"SPECTRE: defending against backdoor attacks using robust statistics", section 3.2), after whitening by the rows that
stick out least. Both papers flag a quota of the rows. Here the rows on top are a group like any other, which has to
prove itself to what judges them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

QUE_AXES = 32
QUE_ALPHA = 4.0
"""Hayase et al., section 3.2: between the largest eigenvalue (infinity) and the norm (0)."""

TRIMMED = 0.25
"""Share of the rows, those furthest out, that the robust covariance is measured without."""

RIDGE = 1e-3


def proposals(rows: torch.Tensor) -> list[NDArray[np.bool_]]:
    """Groups on top of the two scores.

    Args:
        rows: float32 tensor (n, w): of one class, around its mean.

    Returns:
        bool arrays (n,).
    """
    return [_top(score) for score in (centred_spectral(rows), quantum_entropy(rows))]


def centred_spectral(rows: torch.Tensor) -> NDArray[np.float64]:
    """float64 array (n,): each row's square along the direction of most variance.

    Args:
        rows: float32 tensor (n, w).
    """
    import numpy as np
    import torch

    centred = (rows - rows.mean(dim=0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return np.asarray((centred @ vectors[:, -1]).square().cpu().numpy())


def quantum_entropy(rows: torch.Tensor) -> NDArray[np.float64]:
    """float64 array (n,): how much each row sticks out along all directions in which the class varies too much.

    Args:
        rows: float32 tensor (n, w).
    """
    import numpy as np
    import torch

    centred = (rows - rows.mean(dim=0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    kept = centred @ vectors[:, -QUE_AXES:]
    for _ in range(2):  # the first rounds' inliers are measured by everybody
        far = (kept - kept.mean(dim=0)).square().sum(dim=1)
        inliers = kept[far.argsort(stable=True)[: max(2, int((1 - TRIMMED) * len(kept)))]]
        kept = kept - inliers.mean(dim=0)
        values, axes = torch.linalg.eigh(inliers.T @ inliers / len(inliers))
        kept = kept @ (axes / (values.clamp(min=0) + RIDGE * values.mean().clamp(min=1e-12)).sqrt())
    covariance = kept.T @ kept / len(kept)
    values, axes = torch.linalg.eigh(covariance)
    excess = QUE_ALPHA * (values - 1) / (values[-1] - 1).abs().clamp(min=1e-12)
    weights = (excess - excess.max()).exp()
    return np.asarray(((kept @ axes).square() @ weights).cpu().numpy())


def _top(score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The upper part of the best cut in two (by least squares) of the logarithm."""
    import numpy as np

    along = np.log(np.maximum(score, 1e-12))
    threshold = float(np.quantile(along, 0.9))
    for _ in range(32):
        above = along > threshold
        if not above.any() or above.all():
            break
        following = float(along[above].mean() + along[~above].mean()) / 2
        if following == threshold:
            break
        threshold = following
    return np.asarray(along > threshold)
