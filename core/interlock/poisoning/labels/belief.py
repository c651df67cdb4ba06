"""What is believed of each row's label, once it is settled that labels are wrong: which rows to name.

Neighbours decide *whether*, as they have a null; models that are fitted on all the other rows tell better *which*. How
much a label is doubted is one less its chance out of fold (the self-confidence of Northcutt, Jiang and Chuang, 2021);
where rows are points, and not the columns of a table, their neighbours add a quarter of that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

NEIGHBOURS_SAY = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """Of each distinct row.

    Args:
        resembles: int64 array (m,): the class that it most likely is of.
        doubt: float64 array (m,): how doubtful its label is, from 0 to 1.
    """

    resembles: Codes = field(repr=False)
    doubt: Floats = field(repr=False)

    @classmethod
    def of(cls, chances: Floats, labels: Codes, own: Floats | None = None) -> Belief:
        """From chances out of fold.

        Args:
            chances: float64 array (m, classes).
            labels: int64 array (m,).
            own: float64 array (m,): share of the neighbours that carry the row's label; None when they are not asked.
        """
        import numpy as np

        believed = np.take_along_axis(chances, labels[:, None], axis=1)[:, 0]
        doubt = 1 - believed
        if own is not None:
            doubt = (doubt + NEIGHBOURS_SAY * (1 - own)) / (1 + NEIGHBOURS_SAY)
        return cls(resembles=chances.argmax(axis=1), doubt=doubt)

    def of_pair(self, labels: Codes, label: int, resembled: int) -> NDArray[np.bool_]:
        """Bool array (m,): rows of one label that are believed to be of one other class."""
        mine: NDArray[np.bool_] = (labels == label) & (self.resembles == resembled)
        return mine

    def most_doubtful(self, labels: Codes, count: int) -> NDArray[np.bool_]:
        """Bool array (m,): so many rows that are believed to be of another class; of equal doubt all or none."""
        import numpy as np

        doubted = np.where(self.resembles != labels, self.doubt, 0.0)
        least = np.partition(doubted, len(doubted) - count)[len(doubted) - count] if count else np.inf
        chosen: NDArray[np.bool_] = (doubted >= least) & (doubted > 0)
        return chosen


def issues(chances: Floats, labels: Codes) -> int | None:
    """How many labels cleanlab takes for wrong (the confident joint; classes that overlap are among them).

    Args:
        chances: float64 array (m, classes), out of fold.
        labels: int64 array (m,).

    Returns:
        None when cleanlab is not installed.
    """
    import numpy as np

    try:
        from cleanlab.count import num_label_issues  # type: ignore[import-untyped]  # no stubs are published
    except ModuleNotFoundError:
        return None
    there, codes = np.unique(labels, return_inverse=True)  # it wants every class to have rows
    shares = chances[:, there] / chances[:, there].sum(axis=1, keepdims=True)
    return int(num_label_issues(codes, shares))
