"""The chance of every label for every row, from models that did not see the row.

Label errors are found by what a model says of rows that it was not fitted on (Northcutt, Jiang and Chuang, 2021,
"Confident learning"). Here several cheap models speak and a last one weighs them:

- a ridge regression of the labels on a Gaussian kernel (`interlock.poisoning.labels.kernel_ridge`);
- the labels of the nearest rows, 20 and 7 of them;
- for tables of few classes, boosted trees on the columns as they are, categories among them (scikit-learn's
  HistGradientBoosting, after Ke et al., 2017, "LightGBM");
- a multinomial regression on what those say, which makes chances of it (`interlock.poisoning.labels.stacking`).

All are fitted on the first `FITTED` rows, and read on as many as are asked for; those that came later none of them saw.

Cost: rows * landmarks * (axes + classes) and one Gram matrix of at most 16,384 rows, with trees `FOLDS` * `TREES` trees
of at most 32,768 rows for each class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from interlock.poisoning.labels.kernel_ridge import FOLDS, KernelRidge
from interlock.poisoning.labels.stacking import Stacked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]

FITTED = 2**14
"""Rows that the kernel and the last model are fitted on."""

FITTED_TREES = 2**15
TREES = 40
NEAREST = 7
MAX_CLASSES = 64
"""More classes are left to the neighbours: their chances would fill the memory."""

MAX_TREE_CLASSES = 8
MIN_TREE_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Rows of a table.

    Args:
        values: float32 array (m, q): numbers, and codes from 0 to 254 for texts; NaN where nothing is.
        texts: bool array (q,): which columns are texts.
    """

    values: NDArray[np.float32]
    texts: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What was learned from rows whose order says nothing.

    Args:
        ridge: On the kernel.
        last: What makes chances of all that the others say.
    """

    ridge: KernelRidge
    last: Stacked

    @classmethod
    def of(cls, points: NDArray[np.float32], neighbours: Codes, labels: Codes, classes: int) -> Models:
        """Learn from the first `FITTED` rows.

        Args:
            points: float32 array (m, p): distinct rows.
            neighbours: int64 array (m, k): labels of each row's nearest rows, nearest first.
            labels: int64 array (m,).
            classes: How many there are; at most `MAX_CLASSES`.
        """
        points, neighbours, labels = points[:FITTED], neighbours[:FITTED], labels[:FITTED]
        ridge = KernelRidge.of(points, labels, classes)
        return cls(ridge=ridge, last=Stacked.of(_voices(ridge.by_fold(points), neighbours), labels, classes))

    def chances(self, points: NDArray[np.float32], neighbours: Codes) -> Floats:
        """The chance of each label for the rows that were learned from, and for more that follow them.

        Returns:
            float64 array (m, classes); every line sums to 1.
        """
        return self.last.chances(_voices(self.ridge.by_fold(points), neighbours))

    def chances_beside(self, points: NDArray[np.float32], neighbours: Codes, labels: Codes, table: Columns) -> Floats:
        """The same, with trees on the columns of a table where these can be grown.

        Args:
            points: float32 array (m, p).
            neighbours: int64 array (m, k).
            labels: int64 array (m,).
            table: The columns as they are.
        """
        import numpy as np

        classes = self.ridge.weights[0].shape[1]
        if classes > MAX_TREE_CLASSES or len(labels) < MIN_TREE_ROWS:
            return self.chances(points, neighbours)
        voices = np.concatenate(
            [_voices(self.ridge.by_fold(points), neighbours), _trees(table, labels, classes)], axis=1
        )
        return Stacked.of(voices[:FITTED], labels[:FITTED], classes).chances(voices)

    def of_strangers(self, first_words: Floats, neighbours: Codes) -> Floats:
        """The chance of each label for rows that nothing was learned from.

        Args:
            first_words: float64 array (rows, classes): what the ridge says of them.
            neighbours: int64 array (rows, k): labels of each one's nearest rows.

        Returns:
            float64 array (rows, classes); every line sums to 1.
        """
        return self.last.of_strangers(_voices(first_words, neighbours))


def _voices(ridge: Floats, neighbours: Codes) -> Floats:
    import numpy as np

    classes = ridge.shape[1]
    counted = [np.log(_votes(neighbours[:, :count], classes) + 0.5) for count in (neighbours.shape[1], NEAREST)]
    return np.concatenate([ridge, *counted], axis=1)


def _votes(neighbours: Codes, classes: int) -> Floats:
    import numpy as np

    lines = np.arange(len(neighbours))[:, None] * classes
    counts = np.bincount((lines + neighbours).ravel(), minlength=len(neighbours) * classes)
    return counts.reshape(-1, classes).astype(np.float64)


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
