"""Airflow's files, for `interlock.lint.serving`: which there are, what is in them, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from interlock.airflow_plugin.linting import listing
from interlock.airflow_plugin.linting.bag import load
from interlock.airflow_plugin.linting.judging import Judged
from interlock.airflow_plugin.linting.tampering import policy_manager
from interlock.gate.errors import InterlockError
from interlock.gate.values import Json, Level
from interlock.lint.answers import dag_answer, failed_answer, failed_rule, finding_answer
from interlock.lint.forked import FailedError, NoAnswerError, TooLongError
from interlock.lint.values import DagResult

if TYPE_CHECKING:
    from interlock.airflow_plugin.rules import Rules
    from interlock.lint.serving import Load

_AS_A_WORKER = ("_AIRFLOW_PARSING_CONTEXT_DAG_ID", "_AIRFLOW_PARSING_CONTEXT_TASK_ID")
"""What a worker sets when it loads a file for one task (`airflow.sdk.get_parsing_context`)."""
_MOST = 8
"""Tasks of a DAG for which the file is loaded as a worker loads it."""
_NOT_THERE = re.compile(
    r"VARIABLE_NOT_FOUND|CONNECTION_NOT_FOUND|no such table|Variable .{1,200} does not exist|The conn_id `"
)
_NO_DATABASE = (
    "lint has no Airflow database: read Variables and Connections inside a task, or give lint AIRFLOW_VAR_<NAME> and"
    " AIRFLOW_CONN_<NAME>"
)


@dataclass(frozen=True, slots=True)
class AirflowParser:
    """A `Parser` by the rules of one policy bundle."""

    rules: Rules

    @classmethod
    def ready(cls) -> Self:
        """Read the rules, and take Interlock's own cluster policy out: it would only say again what is judged here.

        What stands in its place has its name, so that a file which unregisters it goes on and is found out.

        Raises:
            InterlockError: The settings or the policy bundle cannot be read.
        """
        import interlock.airflow
        import interlock.airflow_plugin.policy as ours
        from interlock.airflow_plugin.rules import load_rules

        for name in interlock.airflow.__all__:
            getattr(interlock.airflow, name)  # what is not there yet could not be seen to change
        manager = policy_manager()
        registered = manager.get_name(ours)
        if registered is not None:
            manager.unregister(name=registered)
            manager.register(object(), name=registered)
        return cls(load_rules())

    def files_in(self, folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
        """See `Parser`."""
        return listing.files_in(folder)

    def passes_over(self, file: Path) -> str:
        """See `Parser`."""
        return listing.passes_over(file)

    def load(self, file: Path, root: Path) -> Json:
        """See `Parser`."""
        return load(file, root, self.rules)

    def judge(self, load: Load) -> Json:
        """See `Parser`."""
        findings: list[Json] = []
        dags: list[Json] = []
        try:
            seen = _read(load({}))
            judged = [Judged(said, self.rules) for said in seen["dags"]]
        except (TooLongError, NoAnswerError, FailedError) as error:
            findings.append(failed_answer(error))
        else:
            findings += _of_the_file(seen)
            for dag in judged:
                findings += dag.findings()
                findings += self._as_a_worker(dag, load)
                dags.append(dag_answer(DagResult(dag=dag.dag, mode=dag.mode.value, line=dag.line, graph=dag.graph)))
        return {"dags": dags, "findings": findings}

    def _as_a_worker(self, dag: Judged, load: Load) -> Iterator[Json]:
        """A file may say one thing to the DAG processor and another to a worker."""
        known = set(dag.violations())
        for step in dag.steps[:_MOST] if dag.protects else ():
            where = f"as a worker loads it for task {step!r}: "
            try:
                seen = _read(load(dict(zip(_AS_A_WORKER, (dag.dag, step), strict=True))))
                there = [Judged(said, self.rules) for said in seen["dags"] if said.get("dag") == dag.dag]
            except InterlockError as error:
                yield finding_answer(failed_rule(error), f"{where}{error.what}", dag=dag.dag, step=step, line=dag.line)
                return
            for again in there:
                for key, violation in again.violations().items():
                    if key not in known:
                        known.add(key)
                        yield again.finding(violation, where)


def _read(seen: Json) -> dict[str, Any]:
    """Raises: InterlockError: The file's process says something of another shape."""
    said: Any = seen
    if (
        not isinstance(said, dict)
        or not all(isinstance(said.get(key), list) for key in ("dags", "errors", "tampered"))
        or not all(isinstance(dag, Mapping) for dag in said["dags"])
    ):
        raise InterlockError("the file's process says something of another shape")
    return said


def _of_the_file(seen: Mapping[str, Any]) -> Iterator[Json]:
    if seen["tampered"]:
        names = ", ".join(map(str, seen["tampered"][:5]))
        yield finding_answer("lint.tampering", f"the file changes {names}")
    for trace in seen["errors"]:
        yield _import_error(str(trace))
    if not seen["dags"] and not seen["errors"]:
        yield finding_answer("lint.no-dags", "the file defines no DAG", level=Level.NOTE)


def _import_error(trace: str) -> Json:
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    text = lines[-1] if lines else "no reason was given"
    hints = (_NO_DATABASE,) if _NOT_THERE.search(text) else ()
    return finding_answer("lint.import-error", f"the file cannot be imported: {text}", fixes=hints)
