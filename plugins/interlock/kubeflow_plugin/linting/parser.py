"""Compiled pipelines, for `interlock.lint.serving`: which files are some, what is in them, what is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from interlock.gate.errors import InterlockError
from interlock.gate.values import Json, Level
from interlock.kubeflow_plugin.documents import LARGEST, UnreadableError
from interlock.kubeflow_plugin.ir_check import IrCheck, check_ir
from interlock.lint.answers import dag_answer, failed_answer, finding_answer, rule_of
from interlock.lint.finding_files import COMPILED
from interlock.lint.forked import FailedError, NoAnswerError, TooLongError
from interlock.lint.values import DagResult
from interlock.pipeline import describe

if TYPE_CHECKING:
    from interlock.lint.serving import Load
    from interlock.pipeline.rules import Rules

_LOOKS = re.compile(rb"schema_?[vV]ersion|pipeline_?[sS]pec|executor_?[lL]abel|\\[ux]")
"""Words of every compiled pipeline, or an escape that could hide them."""
_NO_LOOKS = "it does not look like a compiled Kubeflow pipeline: there is no schemaVersion in it"
_PLACEHOLDER = "interlock.invalid/"
"""Registry of the image that stands for none (`interlock.kubeflow.images`)."""


@dataclass(frozen=True, slots=True)
class KubeflowParser:
    """A `Parser` by the rules of one policy bundle."""

    rules: Rules

    @classmethod
    def ready(cls) -> Self:
        """Read the rules.

        Raises:
            InterlockError: The settings or the policy bundle cannot be read.
        """
        from interlock.pipeline.rules import load_rules

        return cls(load_rules("kubeflow"))

    def files_in(self, folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
        """See `Parser`."""
        taken: list[Path] = []
        passed: list[tuple[Path, str]] = []
        for file in sorted(_candidates(folder)):
            if _LOOKS.search(_start(file)):
                taken.append(file)
            else:
                passed.append((file, _NO_LOOKS))
        return taken, passed

    def passes_over(self, file: Path) -> str:  # noqa: ARG002  # of the protocol
        """See `Parser`: a file that somebody names is looked at, so that it is never let pass unread."""
        return ""

    def load(self, file: Path, root: Path) -> Json:  # noqa: ARG002  # of the protocol
        """See `Parser`."""
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
        try:
            checked = check_ir(text, self.rules)
        except UnreadableError as error:
            return {"dags": [], "findings": [_unreadable(error)]}
        line = next(iter(checked.lines.values()), 0)
        dag = DagResult(dag=checked.name, mode=checked.mode.value, line=line, graph=checked.graph)
        return {"dags": [dag_answer(dag)], "findings": list(_findings(checked))}

    def judge(self, load: Load) -> Json:
        """See `Parser`."""
        try:
            return load({})
        except (TooLongError, NoAnswerError, FailedError) as error:
            return {"dags": [], "findings": [failed_answer(error)]}


def _candidates(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in {"__pycache__", ".git"})
        yield from (Path(here, name) for name in names if name.endswith(COMPILED))


def _start(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST)
    except OSError:
        return b"schemaVersion"  # whoever opens it again says what is wrong


def _unreadable(error: InterlockError) -> Json:
    where = f" ({error.where})" if error.where else ""
    hints = (error.next_step,) if error.next_step else ()
    return finding_answer("lint.unreadable", f"no pipeline that can be judged: {error.what}{where}", fixes=hints)


def _findings(checked: IrCheck) -> Iterator[Json]:
    soft = f" (mode {checked.mode.value} lets it pass)" if checked.mode.lets_pass else ""
    level = Level.WARNING if checked.mode.lets_pass else Level.ERROR
    for violation in checked.violations:
        yield finding_answer(
            rule_of(violation),
            f"{describe(violation)}{soft}",
            level=level,
            dag=checked.name,
            step=violation.step_id,
            gate=violation.missing,
            line=checked.lines.get(violation.step_id, 0),
            fixes=tuple(dict.fromkeys(checked.fixes(violation))),
        )
    for problem in checked.problems:
        yield finding_answer(
            problem.rule_id,
            f"{problem.message}{soft}",
            level=level,
            dag=checked.name,
            step=problem.step_id,
            gate=problem.gate,
            line=checked.lines.get(problem.step_id, 0),
            fixes=(problem.fix,),
        )
    for step in checked.graph.steps:
        if step.image.startswith(_PLACEHOLDER):
            text = f"step {step.id!r} runs an image that stands for none: no cluster can pull {step.image!r}"
            yield finding_answer(
                "lint.placeholder-image",
                text,
                level=Level.WARNING,
                dag=checked.name,
                step=step.id,
                line=checked.lines.get(step.id, 0),
                fixes=("INTERLOCK_KUBEFLOW_IMAGE=registry/name@sha256:... as you compile, or image=... on the step",),
            )
            return
