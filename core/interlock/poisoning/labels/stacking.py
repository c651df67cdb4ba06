"""What several models say of a row, weighed into the chance of every label.

A multinomial logistic regression of the labels on what they say, fitted on one half of the rows and read on the other
(stacking: Wolpert, 1992, "Stacked generalization").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from interlock.poisoning.labels.kernel_ridge import FOLDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]

STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacked:
    """The regression, once for each half of the rows.

    Args:
        mean: float64 array (voices,).
        spread: Likewise; infinite for a voice that says the same of all rows.
        weights: For each half float64 array (voices + 1, classes), fitted on the other half.
    """

    mean: Floats
    spread: Floats
    weights: tuple[Floats, Floats]

    @classmethod
    def of(cls, voices: Floats, labels: Codes, classes: int) -> Stacked:
        """Fit.

        Args:
            voices: float64 array (m, voices): what the models say of each row, in an order that says nothing.
            labels: int64 array (m,).
            classes: How many there are.
        """
        import numpy as np

        spread = voices.std(axis=0)
        mean, spread = voices.mean(axis=0), np.where(spread > 1e-9, spread, np.inf)
        half_of, scaled = _halves(len(labels)), (voices - mean) / spread
        first, second = (_logistic(scaled[half_of != half], labels[half_of != half], classes) for half in (0, 1))
        return cls(mean=mean, spread=spread, weights=(first, second))

    def chances(self, voices: Floats) -> Floats:
        """Of the rows that it was fitted on, and of more that follow them: float64 array (m, classes)."""
        import numpy as np

        said = np.empty((len(voices), self.weights[0].shape[1]))
        half_of = _halves(len(voices))
        for half in (0, 1):
            said[half_of == half] = self._said(voices[half_of == half], half)
        return said

    def of_strangers(self, voices: Floats) -> Floats:
        """Of rows that neither half holds: float64 array (rows, classes)."""
        return (self._said(voices, 0) + self._said(voices, 1)) / 2

    def _said(self, voices: Floats, half: int) -> Floats:
        import numpy as np

        weights = self.weights[half]
        scores = (voices - self.mean) / self.spread @ weights[:-1] + weights[-1]
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        said: Floats = np.maximum(scores / scores.sum(axis=1, keepdims=True), 1e-12)
        return said


def _halves(rows: int) -> Codes:
    import numpy as np

    return (np.arange(rows) // FOLDS) % 2


def _logistic(voices: Floats, labels: Codes, classes: int) -> Floats:
    """Weights of a multinomial regression with a Gaussian prior of variance 1; the last line holds the offsets."""
    import numpy as np
    import torch
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # no stubs are published

    inputs = torch.from_numpy(np.concatenate([voices, np.ones((len(voices), 1))], axis=1))
    carried = torch.from_numpy(labels)[:, None]
    shape = (inputs.shape[1], classes)

    def misfit(flat: Floats) -> tuple[float, Floats]:
        weights = torch.from_numpy(flat.reshape(shape))
        logarithms = torch.log_softmax(inputs @ weights, dim=1)
        total = float((weights[:-1] ** 2).sum() / 2 - logarithms.gather(1, carried).sum())
        slope = inputs.T @ logarithms.exp_().scatter_add_(1, carried, torch.full_like(logarithms[:, :1], -1))
        slope[:-1] += weights[:-1]
        return total, slope.numpy().ravel()

    best = minimize(misfit, np.zeros(shape[0] * classes), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    found: Floats = best.x.reshape(shape)
    return found
