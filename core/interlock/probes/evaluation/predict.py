"""Lets the user's code predict in the sandbox: it sees the model, the rows without labels, itself, and nothing else."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import Json, OpenSubject, SubjectError, UsageError
from interlock.probes.evaluation.answers import MAX_BYTES, Answers, read_answers

if TYPE_CHECKING:
    from interlock.training import Sandbox, TrainingRun, TrainingSpec

_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
_INSIDE = "interlock.probes.evaluation.inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """The user's code that predicts.

    Args:
        predict: ``module:name`` of a function ``f(model: Path, rows: Path)``, or a command, in which ``{model}``,
            ``{data}`` and ``{out}`` become paths inside the sandbox.
        code: Files and folders that it may read besides Python itself.
        wall_clock: Seconds that it may take for one model.
    """

    predict: str | tuple[str, ...]
    code: tuple[str, ...] = ()
    wall_clock: float = 600.0
    _spec: TrainingSpec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_spec", self.spec("{model}"))

    @property
    def function(self) -> str:
        """The function; empty for a command."""
        return self.predict if isinstance(self.predict, str) and _FUNCTION.match(self.predict) else ""

    @property
    def command(self) -> tuple[str, ...]:
        """The command, with places; empty for a function."""
        if self.function:
            return ()
        return tuple(shlex.split(self.predict)) if isinstance(self.predict, str) else tuple(self.predict)

    def spec(self, model: str, visible: Sequence[Path] = ()) -> TrainingSpec:
        """What runs for the model at `model`.

        Raises:
            UsageError: The code is not there, or nothing is to be run.
        """
        from interlock.training import Limits, training_spec

        words = self.command
        if self.function:
            words = ("python", "-m", _INSIDE, "--function", self.function)
            words += ("--model", "{model}", "--rows", "{data}", "--out", "{out}")
        if not words:
            raise UsageError("no code that predicts is named", where="predict", next_step="name a function or command")
        return training_spec(
            command=[word.replace("{model}", model) for word in words],
            code=self.code,
            visible=visible,
            limits=Limits(wall_seconds=self.wall_clock, output_bytes=MAX_BYTES, output_files=100),
        )

    def refuse_shown(self, evaluation: str) -> None:
        """Refuse an evaluation set that lies in a part of the code, which would be shown with its labels.

        Args:
            evaluation: Path or URL of the set.

        Raises:
            UsageError: It does.
        """
        from interlock.evidence.sources import local_path

        place = local_path(evaluation)
        held = [Path(os.path.realpath(path)) for path in self._spec.code]
        if place is not None and any(Path(os.path.realpath(place)).is_relative_to(folder) for folder in held):
            raise UsageError(
                "the evaluation set lies among the code that predicts, which would see its labels",
                where=evaluation,
                next_step="keep the set where no pipeline reads, or name narrower folders in `code`",
            )

    def configuration(self) -> dict[str, Json]:
        """How it is set."""
        return {
            "function": self.function,
            "command": list(self.command),
            "code": [path.name for path in self._spec.code],
            "wall_clock": self.wall_clock,
        }

    def run(
        self, model: OpenSubject, rows: OpenSubject, count: int, room: Path, sandbox: Sandbox
    ) -> tuple[Answers, TrainingRun]:
        """Predict with one model.

        Args:
            model: Held.
            rows: The rows without labels, held.
            count: How many they are.
            room: Private, empty folder.
            sandbox: Where to run it.

        Raises:
            SubjectError: The code failed, passed a limit, or left something else than an answer for each row.
            UsageError: The command does not exist.
            UnavailableError: The sandbox could not be built.
        """
        from interlock.training import run_training

        out = room / "out"
        run = run_training(self.spec(os.fspath(model.path), [model.path]), rows, out, sandbox=sandbox)
        if run.failed:
            last = run.log_tail.strip().splitlines()[-1:] or ["it printed nothing"]
            how = f"passed its limit {run.limit.value}" if run.limit else f"ended with status {run.exit_status}"
            raise SubjectError(
                f"the code that predicts {run.problem or how}: {last[0][:300]}",
                where=model.subject.uri,
                next_step="try it on rows without labels; a module that it lacks goes into `code`",
            )
        return read_answers(out, count), run
