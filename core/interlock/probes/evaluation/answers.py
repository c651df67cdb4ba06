"""What the code said, read back from the file that it left: untrusted JSON of a bounded size, and nothing else.

``predictions.json`` is a list of predictions, one a row in the order of the rows, or an object with ``predictions``
and, where the model gives probabilities, ``classes`` and ``scores`` (a list of one number a class for each row).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import SubjectError
from interlock.gate.documents import unambiguous_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTIONS = "predictions.json"
MAX_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one model said of each row.

    Args:
        labels: Predicted classes or numbers, (n,); None where the code gave none, which is never right.
        classes: Whose probabilities `scores` are.
        scores: float64 array (n, classes), or None.
    """

    labels: tuple[str | int | float | bool | None, ...]
    classes: tuple[Any, ...] = ()
    scores: NDArray[np.float64] | None = None


def read_answers(out: Path, rows: int) -> Answers:
    """Read what a run of the code left.

    Args:
        out: The run's output folder; its content is untrusted.
        rows: How many rows it was given.

    Raises:
        SubjectError: There is no such file, or it holds something else than an answer for each row.
    """
    path = out / PREDICTIONS
    if not path.is_file():
        raise _refused(f"the code that predicts left no {PREDICTIONS}")
    if path.stat().st_size > MAX_BYTES:
        raise _refused(f"{PREDICTIONS} is larger than {MAX_BYTES >> 20} MiB")
    try:
        document: Any = unambiguous_json(path.read_bytes())
    except ValueError as error:
        raise _refused(f"{PREDICTIONS} is no JSON: {error}") from error
    if isinstance(document, list):
        document = {"predictions": document}
    if not isinstance(document, Mapping) or not isinstance(document.get("predictions"), list):
        raise _refused(f"{PREDICTIONS} is neither a list nor an object with predictions")
    labels = document["predictions"]
    if len(labels) != rows:
        raise _refused(f"the code predicted {len(labels)} rows of {rows}")
    if not all(label is None or isinstance(label, str | int | float | bool) for label in labels):
        raise _refused("a prediction is neither text nor a number")
    return _with_scores(tuple(labels), document, rows)


def _with_scores(labels: tuple[Any, ...], document: Mapping[str, Any], rows: int) -> Answers:
    import numpy as np

    scores, classes = document.get("scores"), document.get("classes")
    if scores is None:
        return Answers(labels=labels)
    try:
        held = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _refused("scores are not a list of numbers for each row") from error
    if not isinstance(classes, list) or held.shape != (rows, len(classes)) or not np.isfinite(held).all():
        raise _refused("scores are not one number a class for each row, or classes does not name the classes")
    return Answers(labels=labels, classes=tuple(classes), scores=held)


def _refused(what: str) -> SubjectError:
    return SubjectError(what, where=PREDICTIONS, next_step="see docs/training-promotion.md for what it has to return")
