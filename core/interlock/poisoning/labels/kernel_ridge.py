"""A ridge regression of the labels on a Gaussian kernel, with a sample of rows as its landmarks.

(Williams and Seeger, 2001, "Using the Nystroem method to speed up kernel machines".) It is fitted once for each fold on
the rows of the others; one Gram matrix serves all folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]

FOLDS = 5
LANDMARKS = 1024
WIDTH = 0.25
"""Of the kernel, in median squared distances."""

RIDGE = 0.1
BLOCK = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRidge:
    """The regression.

    Args:
        kernel: How alike rows are to the landmarks.
        weights: float32 tensors (landmarks + 1, classes): of each fold, fitted on the others.
    """

    kernel: _Kernel
    weights: tuple[torch.Tensor, ...]

    @classmethod
    def of(cls, points: NDArray[np.float32], labels: Codes, classes: int) -> KernelRidge:
        """Fit.

        Args:
            points: float32 array (m, p): distinct rows in an order that says nothing; the first are the landmarks.
            labels: int64 array (m,).
            classes: How many there are.
        """
        kernel = _Kernel.of(points)
        return cls(kernel=kernel, weights=_weights(kernel, points, labels, classes))

    def by_fold(self, points: NDArray[np.float32]) -> Floats:
        """What it says of the rows that it was fitted on, each without its own fold, and of more that follow them.

        Returns:
            float64 array (m, classes), about 1 for the label that is likely and 0 for the others.
        """
        import numpy as np

        said = np.empty((len(points), self.weights[0].shape[1]))
        for start in range(0, len(points), BLOCK):
            alike = self.kernel.alike(points[start : start + BLOCK])
            for fold, weights in enumerate(self.weights):
                mine = _fold(fold, start)
                said[start : start + len(alike)][mine] = (alike[mine] @ weights).numpy()
        return said

    def of_strangers(self, points: NDArray[np.float32]) -> Floats:
        """What it says of rows that it was not fitted on: float64 array (rows, classes)."""
        import numpy as np
        import torch

        weights = torch.stack(self.weights).mean(dim=0)
        said = np.empty((len(points), weights.shape[1]))
        for start in range(0, len(points), BLOCK):
            said[start : start + BLOCK] = (self.kernel.alike(points[start : start + BLOCK]) @ weights).numpy()
        return said


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


def _weights(kernel: _Kernel, points: NDArray[np.float32], labels: Codes, classes: int) -> tuple[torch.Tensor, ...]:
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
    return tuple(
        torch.from_numpy(solve((whole - gram).numpy(), (right - part).numpy(), assume_a="pos")).float()
        for gram, part in zip(grams, sums, strict=True)
    )


def _fold(fold: int, start: int) -> slice:
    """Every `FOLDS`-th row of a block that begins at row `start`."""
    return slice((fold - start) % FOLDS, None, FOLDS)
