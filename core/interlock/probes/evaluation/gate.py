"""The gate ``model-probe``: evaluates a model on the sealed set beside the model that was accepted last.

It measures how much worse the new model is, with its uncertainty, over all rows, for each class and for each slice.
How much worse is too much, whether the set is the sealed one, and what becomes of what nobody can tell, policy says
(`policies/interlock/model/evaluation`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from interlock.gate import (
    InterlockError,
    Json,
    Observation,
    OpenSubject,
    References,
    Subject,
    Tool,
    UsageError,
)
from interlock.probes.evaluation.exposure import exposure_of
from interlock.probes.evaluation.history import History, held_accepted, why_not
from interlock.probes.evaluation.predict import Predictor
from interlock.probes.evaluation.report import Seen, observation_of
from interlock.probes.evaluation.scores import compare
from interlock.probes.evaluation.sealed import Plan, SealedSet, Task, open_set

if TYPE_CHECKING:
    from interlock.probes.evaluation.answers import Answers
    from interlock.training import Sandbox

_COMPUTING = ("numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


class EvaluationGate:
    """Evaluates one model; see docs/training-promotion.md for what it measures and finds.

    Args:
        evaluation: Path or URL of the evaluation set: Parquet or CSV, a file or a folder. Policy says by digest which
            set it has to be.
        label: Column of what is predicted; the code that predicts never sees it.
        predict: ``module:name`` of a function ``f(model: Path, rows: Path)``, or a command, in which ``{model}``,
            ``{data}`` and ``{out}`` become paths inside the sandbox.
        code: Files and folders that the code that predicts may read besides Python itself.
        name: Of the evaluation, as policy data has it: a model is compared with the one that this evaluation accepted
            last. The name of the set, without its ending, when not given.
        slices: Columns whose values split the rows into groups that are judged apart.
        features: Columns that the code gets; all but the label and the slices when not given.
        task: ``classification`` or ``regression``.
        accepted: Where the model that was accepted last lies now; where its receipt says it lay when not given.
        wall_clock: Seconds that predicting with one model may take.
        sandbox: Where the code runs; the best one of this machine when not given.

    Raises:
        UsageError: A column is named for two things, the code is not there, or there is no such task.
    """

    kind = "model-probe"

    def __init__(
        self,
        *,
        evaluation: str,
        label: str,
        predict: str | Sequence[str],
        code: Sequence[str] = (),
        name: str | None = None,
        slices: Sequence[str] = (),
        features: Sequence[str] | None = None,
        task: str = "classification",
        accepted: str | None = None,
        wall_clock: float = 600.0,
        sandbox: Sandbox | None = None,
    ) -> None:
        if not isinstance(evaluation, str) or not evaluation:
            raise UsageError(f"the evaluation set is a path or a URL, not {evaluation!r}", where="evaluation")
        if accepted is not None and (not isinstance(accepted, str) or not accepted):
            raise UsageError(f"accepted is a path or a URL, not {accepted!r}", where="accepted")
        if task not in {one.value for one in Task}:
            raise UsageError(f"no task {task!r}", where="task", next_step="use classification or regression")
        self.evaluation = evaluation
        self.name = name or PurePosixPath(evaluation.rstrip("/")).stem
        self.plan = Plan(
            label=label,
            slices=tuple(dict.fromkeys(slices)),
            features=None if features is None else tuple(features),
            task=Task(task),
        )
        words = predict if isinstance(predict, str) else tuple(predict)
        self.predictor = Predictor(predict=words, code=tuple(code), wall_clock=wall_clock)
        self.predictor.refuse_shown(evaluation)
        self.accepted = accepted
        self._sandbox = sandbox
        self._references: References | None = None
        self._used: tuple[Subject, ...] = ()

    def refer(self, references: References) -> None:
        """Take what holds the set and the accepted model, and knows receipts."""
        self._references = references

    def used(self) -> tuple[Subject, ...]:
        """The evaluation set under the evaluation's name, then the accepted model and the code, as far as looked at."""
        return self._used

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What computes, and what keeps the code apart."""
        computing = (Tool(name=name, version=metadata.version(name)) for name in _COMPUTING)
        return (*computing, *self._place.probe().tools)

    @property
    def _place(self) -> Sandbox:
        if self._sandbox is None:
            from interlock.training import best_sandbox

            self._sandbox = best_sandbox()
        return self._sandbox

    def configuration(self) -> Mapping[str, Json]:
        """What was evaluated with, on which columns."""
        return {
            "evaluation": self.evaluation,
            "name": self.name,
            "label": self.plan.label,
            "slices": list(self.plan.slices),
            "features": None if self.plan.features is None else list(self.plan.features),
            "task": self.plan.task.value,
            "accepted": self.accepted,
            "predict": self.predictor.configuration(),
            "isolation": self._place.level,
        }

    def look(self, opened: OpenSubject) -> Observation:
        """Predict with both models on the same rows, and compare.

        Raises:
            SubjectError: The set or the predictions of the new model cannot be read, or its code failed.
            UsageError: Nobody here knows any receipts, or the code that predicts cannot be run.
            UnavailableError: Storage, ledger or sandbox did not answer; try again.
        """
        self._used = ()
        references = self._references
        if references is None:
            raise UsageError(
                "without a runner nobody holds other bytes still, or knows which model was accepted",
                where="evaluation",
                next_step="use `interlock gate model-probe` or interlock.runner.LocalRunner",
            )
        with references.open(self.evaluation) as held:
            named = Subject(name=self.name, uri=held.subject.uri, digest=held.subject.digest)
            self._used = (named,)
            sealed = open_set(held, self.plan)
            history = History.of(
                references.evaluated(self.name), model=opened.subject.digest, evaluation=held.subject.digest
            )
            exposure = exposure_of(opened.subject, held, sealed, references)
            with tempfile.TemporaryDirectory(prefix="interlock-evaluation-") as room:
                new, accepted, problem = self._answers(opened, sealed, history, Path(room), references)
        comparison = compare(sealed, self.plan.task, new, accepted)
        seen = Seen(
            set=named,
            plan=self.plan,
            sealed=sealed,
            isolation=self._place.level,
            history=history,
            problem=problem,
            exposure=exposure,
            comparison=comparison,
        )
        return observation_of(seen, opened)

    def _answers(
        self, opened: OpenSubject, sealed: SealedSet, history: History, room: Path, references: References
    ) -> tuple[Answers, Answers | None, str]:
        """What both models say, and why the accepted one says nothing when it should."""
        for name in ("rows", "new", "accepted"):
            (room / name).mkdir()
        rows = sealed.write(room / "rows")
        new, run = self.predictor.run(opened, rows, sealed.rows, room / "new", self._place)
        if run.code is not None:
            self._used += (run.code,)
        if history.accepted is None:
            return new, None, ""
        try:
            with held_accepted(history, self.accepted, references) as before:
                self._used += (before.subject,)
                return new, self.predictor.run(before, rows, sealed.rows, room / "accepted", self._place)[0], ""
        except InterlockError as error:
            return new, None, why_not(error)
