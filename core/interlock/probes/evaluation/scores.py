"""Metrics over all rows, each class and each slice, for the new model and beside it for the accepted one.

Computed here and not by the code that predicts, with scikit-learn, over labels that this code never saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.gate import Json, SubjectError
from interlock.probes.evaluation.answers import Answers
from interlock.probes.evaluation.paired import Difference, error_drop, macro_f1_drop, right_and_wrong
from interlock.probes.evaluation.sealed import SealedSet, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Codes = NDArray[np.int64]

MAX_GROUPS = 2000
"""Classes and slices together: more are no groups that anybody could judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Some rows, and what the models came to on them.

    Args:
        kind: ``overall``, ``class`` or ``slice``.
        name: The metric, the class, or ``column=value``.
        metric: ``accuracy``, ``macro_f1``, ``recall`` or ``mae``.
        rows: How many.
        value: Of the new model.
        accepted: Of the accepted one; None where there is none.
        difference: How much worse, with its uncertainty; None where there is nothing to compare with.
    """

    kind: str
    name: str
    metric: str
    rows: int
    value: float
    accepted: float | None = None
    difference: Difference | None = None

    def document(self) -> dict[str, Json]:
        """What policy reads of it."""
        told: dict[str, Json] = {
            "kind": self.kind, "name": self.name, "metric": self.metric, "rows": self.rows, "value": self.value
        }  # fmt: skip
        if self.difference is not None:
            one = self.difference
            told |= {"accepted": self.accepted, "drop": one.drop, "low": one.low, "high": one.high, "p": one.p}
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All groups, and the metrics over all rows by name.

    Args:
        groups: Overall first, then classes, then slices.
        metrics: Of the new model.
        accepted: Of the accepted one; empty where there is none.
    """

    groups: tuple[Group, ...]
    metrics: Mapping[str, float]
    accepted: Mapping[str, float]

    def of(self, kind: str) -> tuple[Group, ...]:
        """The groups of one kind."""
        return tuple(group for group in self.groups if group.kind == kind)


def compare(sealed: SealedSet, task: Task, new: Answers, accepted: Answers | None) -> Comparison:
    """Compare what the models said with the labels.

    Args:
        sealed: The rows' labels and slices.
        task: What kind of label it is.
        new: Of the new model, a row each.
        accepted: Of the accepted one, on the same rows.

    Raises:
        SubjectError: A label or a prediction of a regression is no number, or there are too many groups.
    """
    judged = _classified(sealed, new, accepted) if task is Task.CLASSIFICATION else _measured(sealed, new, accepted)
    if len(judged.groups) > MAX_GROUPS:
        raise SubjectError(
            f"classes and slices are {len(judged.groups)} groups, more than {MAX_GROUPS}",
            where="evaluation set",
            next_step="name slices of few values, or evaluate a regression with task=regression",
        )
    return judged


def _classified(sealed: SealedSet, new: Answers, accepted: Answers | None) -> Comparison:
    import numpy as np

    from interlock.poisoning.batches import encode_labels

    rows = sealed.rows
    answers = [new, *([accepted] if accepted is not None else [])]
    codes, names = encode_labels([*sealed.labels, *(label for one in answers for label in one.labels)])
    truth, said = codes[:rows], [codes[rows * place : rows * (place + 1)] for place in range(1, len(answers) + 1)]
    classes = int(truth.max()) + 1  # labels come first, so their codes do
    right = [one == truth for one in said]
    metrics = [_class_metrics(truth, one, names[:classes], answer) for one, answer in zip(said, answers, strict=True)]
    f1 = macro_f1_drop(truth, said[0], said[1], classes) if accepted is not None else None
    groups = [
        _shared("overall", "accuracy", "accuracy", right, np.ones(rows, dtype=bool)),
        _group(
            "overall",
            "macro_f1",
            "macro_f1",
            rows=rows,
            values=[one["macro_f1"] for one in metrics],
            difference=f1,
        ),
        *(_shared("class", names[code], "recall", right, truth == code) for code in range(classes)),
        *(_shared("slice", name, "accuracy", right, chosen) for name, chosen in _slices(sealed)),
    ]
    return Comparison(groups=tuple(groups), metrics=metrics[0], accepted=metrics[1] if accepted is not None else {})


def _class_metrics(truth: Codes, said: Codes, names: Sequence[str], answers: Answers) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics import accuracy_score, f1_score, recall_score  # type: ignore[import-untyped]  # no stubs

    each = list(range(len(names)))
    recalls = recall_score(truth, said, labels=each, average=None, zero_division=0)  # pyright: ignore[reportArgumentType]  # no stubs
    found = {
        "accuracy": float(accuracy_score(truth, said)),
        "macro_f1": float(f1_score(truth, said, labels=each, average="macro", zero_division=0)),  # pyright: ignore[reportArgumentType]  # no stubs
        "worst_class_recall": float(np.min(recalls)),
    }
    return found | _score_metrics(truth, names, answers)


def _score_metrics(truth: Codes, names: Sequence[str], answers: Answers) -> dict[str, float]:
    """Log loss and AUROC (macro, one against the rest), where probabilities of exactly these classes were given."""
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    from interlock.poisoning.batches import label_text

    given = [label_text(name) for name in answers.classes]
    if answers.scores is None or len(names) < 2 or sorted(map(str, given)) != sorted(names):
        return {}
    scores = answers.scores[:, [given.index(name) for name in names]]
    if (scores < 0).any() or not np.allclose(scores.sum(axis=1), 1.0, atol=1e-3):
        return {}
    each = list(range(len(names)))
    scores = scores / scores.sum(axis=1, keepdims=True)
    two = len(names) == 2
    area = roc_auc_score(truth, scores[:, 1] if two else scores, labels=None if two else each, multi_class="ovr")
    return {"log_loss": float(log_loss(truth, scores, labels=each)), "auroc": float(area)}


def _measured(sealed: SealedSet, new: Answers, accepted: Answers | None) -> Comparison:
    import numpy as np

    truth = _numbers(sealed.labels, "a label")
    answers = [new, *([accepted] if accepted is not None else [])]
    errors = [np.abs(_numbers(one.labels, "a prediction") - truth) for one in answers]
    metrics = [
        {"mae": float(one.mean()), "rmse": math.sqrt(float((one**2).mean()))} for one in errors
    ]  # fmt: skip
    everything = ("overall", "mae", np.ones(len(truth), dtype=bool))
    parts = [everything, *(("slice", name, chosen) for name, chosen in _slices(sealed))]
    groups = []
    for kind, name, chosen in parts:
        here = [one[chosen] for one in errors]
        drop = error_drop(here[0], here[1]) if accepted is not None else None
        groups.append(
            _group(kind, name, "mae", rows=len(here[0]), values=[float(one.mean()) for one in here], difference=drop)
        )
    return Comparison(groups=tuple(groups), metrics=metrics[0], accepted=metrics[1] if accepted is not None else {})


def _numbers(values: Sequence[Any], what: str) -> Floats:
    import numpy as np

    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if numbers.ndim != 1 or not np.isfinite(numbers).all() or (np.abs(numbers) > 1e150).any():
        raise SubjectError(f"{what} of a regression is no number that can be compared", where="evaluation")
    return numbers


def _slices(sealed: SealedSet) -> Iterator[tuple[str, Flags]]:
    import numpy as np

    for column, values in sealed.slices.items():
        held = np.asarray(values, dtype=object)
        for value in sorted(set(values)):
            yield f"{column}={value}", held == value


def _shared(kind: str, name: str, metric: str, right: Sequence[Flags], chosen: Flags) -> Group:
    """A group whose metric is the share of its rows that were got right."""
    here = [one[chosen] for one in right]
    difference = right_and_wrong(here[0], here[1]) if len(here) == 2 else None
    values = [float(one.mean()) for one in here]
    return _group(kind, name, metric, rows=len(here[0]), values=values, difference=difference)


def _group(
    kind: str, name: str, metric: str, *, rows: int, values: Sequence[float], difference: Difference | None
) -> Group:
    return Group(
        kind=kind,
        name=name,
        metric=metric,
        rows=rows,
        value=values[0],
        accepted=values[1] if len(values) == 2 else None,
        difference=difference,
    )
