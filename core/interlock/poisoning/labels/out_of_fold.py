"""The chance of every label for every row, from models that did not see the row.

Label errors are found by what a model says of rows that it was not fitted on (Northcutt, Jiang and Chuang, 2021,
"Confident learning"). Here several cheap models speak and a last one weighs them:

- a ridge regression of the labels on a Gaussian kernel with a sample of rows as its landmarks (Williams and Seeger,
  2001, "Using the Nystroem method to speed up kernel machines"); one Gram matrix serves all folds;
- the labels of the nearest rows, 20 and 7 of them;
- for tables of few classes, boosted trees on the columns as they are, categories among them (scikit-learn's
  HistGradientBoosting, after Ke et al., 2017, "LightGBM");
- a multinomial logistic regression on what those say, fitted on one half of the rows and read on the other, which makes
  chances of it (stacking: Wolpert, 1992).

Cost: rows * landmarks * (axes + classes) and one Gram matrix of at most 16,384 rows, with trees `FOLDS` * `TREES` trees
of at most 32,768 rows for each class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]

FOLDS = 5
LANDMARKS = 1024
FITTED = 2**14
"""Rows that the kernel and the last model are fitted on; all are read."""

FITTED_TREES = 2**15
TREES = 40
WIDTH = 0.25
"""Of the kernel, in median squared distances."""

RIDGE = 0.1
NEAREST = 7
MAX_CLASSES = 64
"""More classes are left to the neighbours: their chances would fill the memory."""

MAX_TREE_CLASSES = 8
MIN_TREE_ROWS = 2000
BLOCK = 8192
STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of a table.

    Args:
        values: float32 array (m, q): numbers, and codes from 0 to 254 for texts; NaN where nothing is.
        texts: bool array (q,): which columns are texts.
    """

    values: NDArray[np.float32]
    texts: NDArray[np.bool_]


def chances(
    points: NDArray[np.float32], neighbours: Codes, labels: Codes, classes: int, table: Columns | None = None
) -> Floats:
    """The chance of each label.

    Args:
        points: float32 array (m, p): distinct rows in an order that says nothing.
        neighbours: int64 array (m, k): labels of each row's nearest rows, nearest first.
        labels: int64 array (m,).
        classes: How many there are; at most `MAX_CLASSES`.
        table: The columns as they are; None for what is no table.

    Returns:
        float64 array (m, classes); every line sums to 1.
    """
    import numpy as np

    voices = [_kernel_ridge(points, labels, classes)]
    voices += [np.log(_votes(neighbours[:, :count], classes) + 0.5) for count in (neighbours.shape[1], NEAREST)]
    if table is not None and classes <= MAX_TREE_CLASSES and len(labels) >= MIN_TREE_ROWS:
        voices.append(_trees(table, labels, classes))
    return _weighed(np.concatenate(voices, axis=1), labels, classes)


def _votes(neighbours: Codes, classes: int) -> Floats:
    import numpy as np

    lines = np.arange(len(neighbours))[:, None] * classes
    counts = np.bincount((lines + neighbours).ravel(), minlength=len(neighbours) * classes)
    return counts.reshape(-1, classes).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kernel:
    """How alike rows are to the landmarks.

    Args:
        there: float32 tensor (l, p).
        norms: float32 tensor (l,): their square norms.
        width: Square distance at which likeness is 1 / e.
    """

    there: torch.Tensor
    norms: torch.Tensor
    width: float

    @classmethod
    def of(cls, points: NDArray[np.float32]) -> _Kernel:
        """With the first rows as landmarks."""
        import numpy as np
        import torch

        there = torch.from_numpy(np.ascontiguousarray(points[: max(16, min(LANDMARKS, len(points) // 4))]))
        norms = (there * there).sum(dim=1)
        apart = torch.addmm(norms[:, None] + norms, there, there.T, alpha=-2)
        return cls(there=there, norms=norms, width=WIDTH * max(float(apart.median()), 1e-12))

    def alike(self, points: NDArray[np.float32]) -> torch.Tensor:
        """float32 tensor (rows, l + 1), the last column for the offset."""
        import numpy as np
        import torch

        block = torch.from_numpy(np.ascontiguousarray(points))
        own = (block * block).sum(dim=1)[:, None]
        squares = torch.addmm(own + self.norms, block, self.there.T, alpha=-2)
        alike = squares.clamp_(min=0).mul_(-1 / self.width).exp_()
        return torch.cat([alike, torch.ones(len(block), 1)], dim=1)


def _kernel_ridge(points: NDArray[np.float32], labels: Codes, classes: int) -> Floats:
    import numpy as np

    kernel = _Kernel.of(points)
    weights = _ridge_weights(kernel, points[:FITTED], labels[:FITTED], classes)
    said = np.empty((len(points), classes))
    for start in range(0, len(points), BLOCK):
        alike = kernel.alike(points[start : start + BLOCK])
        for fold in range(FOLDS):
            mine = _fold(fold, start)
            said[start : start + len(alike)][mine] = (alike[mine] @ weights[fold]).numpy()
    return said


def _ridge_weights(kernel: _Kernel, points: NDArray[np.float32], labels: Codes, classes: int) -> list[torch.Tensor]:
    """For each fold, fitted on the others; one Gram matrix per fold is summed, and taken off the sum of all."""
    import torch
    from scipy.linalg import solve  # type: ignore[import-untyped]  # no stubs are published

    size = len(kernel.there) + 1
    grams = torch.zeros(FOLDS, size, size, dtype=torch.float64)
    sums = torch.zeros(FOLDS, size, classes, dtype=torch.float64)
    codes = torch.from_numpy(labels)
    for start in range(0, len(points), BLOCK):
        alike = kernel.alike(points[start : start + BLOCK])
        carried = torch.nn.functional.one_hot(codes[start : start + len(alike)], classes).float()
        for fold in range(FOLDS):
            mine = _fold(fold, start)
            grams[fold] += (alike[mine].T @ alike[mine]).double()
            sums[fold] += (alike[mine].T @ carried[mine]).double()
    whole = grams.sum(dim=0) + RIDGE * torch.eye(size, dtype=torch.float64)
    right = sums.sum(dim=0)
    # Not by torch, whose batched solver failed on two threads beside faiss ("Pivots given to lu_solve ...").
    return [
        torch.from_numpy(solve((whole - gram).numpy(), (right - part).numpy(), assume_a="pos")).float()
        for gram, part in zip(grams, sums, strict=True)
    ]


def _fold(fold: int, start: int) -> slice:
    """Every `FOLDS`-th row of a block that begins at row `start`."""
    return slice((fold - start) % FOLDS, None, FOLDS)


def _trees(table: Columns, labels: Codes, classes: int) -> Floats:
    """Logarithms of the chances that boosted trees give."""
    import numpy as np
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]  # no stubs

    options: dict[str, Any] = {"max_iter": TREES, "early_stopping": False, "random_state": 0}
    options["categorical_features"] = table.texts
    said = np.full((len(labels), classes), 1e-3)
    fold_of = np.arange(len(labels)) % FOLDS
    for fold in range(FOLDS):
        others = np.flatnonzero(fold_of != fold)[:FITTED_TREES]
        model: Any = HistGradientBoostingClassifier(**options)
        if len(np.unique(labels[others])) < 2:
            continue
        model.fit(table.values[others], labels[others])
        said[np.ix_(fold_of == fold, model.classes_)] = model.predict_proba(table.values[fold_of == fold])
    logarithms: Floats = np.log(np.clip(said, 1e-3, 1))
    return logarithms


def _weighed(voices: Floats, labels: Codes, classes: int) -> Floats:
    import numpy as np

    spread = voices.std(axis=0)
    voices = np.divide(voices - voices.mean(axis=0), spread, out=np.zeros_like(voices), where=spread > 1e-9)
    said = np.empty((len(labels), classes))
    half_of = (np.arange(len(labels)) // FOLDS) % 2
    for half in (0, 1):
        there = np.flatnonzero(half_of != half)[:FITTED]
        weights = _logistic(voices[there], labels[there], classes)
        scores = voices[half_of == half] @ weights[:-1] + weights[-1]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        said[half_of == half] = scores / scores.sum(axis=1, keepdims=True)
    return np.maximum(said, 1e-12)


def _logistic(voices: Floats, labels: Codes, classes: int) -> Floats:
    """Weights of a multinomial regression with a Gaussian prior of variance 1; the last line holds the offsets."""
    import numpy as np
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # no stubs are published

    inputs = np.concatenate([voices, np.ones((len(voices), 1))], axis=1)
    lines, shape = np.arange(len(labels)), (inputs.shape[1], classes)

    def misfit(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        scores = inputs @ weights
        scores -= scores.max(axis=1, keepdims=True)
        chances = np.exp(scores)
        sums = chances.sum(axis=1)
        total = float(np.log(sums).sum() - scores[lines, labels].sum() + (weights[:-1] ** 2).sum() / 2)
        chances /= sums[:, None]
        chances[lines, labels] -= 1
        slope = inputs.T @ chances
        slope[:-1] += weights[:-1]
        return total, slope.ravel()

    best = minimize(misfit, np.zeros(shape[0] * classes), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    found: Floats = best.x.reshape(shape)
    return found
