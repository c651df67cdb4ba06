"""A whole run: find the files, have each looked at, put the answers together."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate.errors import InterlockError
from interlock.gate.values import Json, Level
from interlock.lint.answers import read_answer
from interlock.lint.baseline import Baseline
from interlock.lint.finding_files import Found, find_files, require_there
from interlock.lint.policy_pack import with_policy
from interlock.lint.values import FileResult, LintFinding, LintResult
from interlock.lint.workers import Crew, Worker, WorkerError

if TYPE_CHECKING:
    from interlock.gate.settings import Settings

_LOADS = 10
"""Times that a worker may load one file, each within the time limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LintRequest:
    """What to lint, and how.

    Args:
        paths: Files and folders.
        root: The folder from which pipelines import modules; see `interlock.lint.finding_files`.
        seconds: That one file may take to load.
        jobs: Worker processes; 0 means one for each processor.
        strict: What policy's modes ``warn`` and ``audit`` let pass counts, too.
        every_module: Look at Python modules that hold no pipeline, too, because each needs a receipt.
        baseline: What is accepted.
        today: For the last days of the baseline's entries.
    """

    paths: Sequence[str]
    root: str = ""
    seconds: float = 30.0
    jobs: int = 0
    strict: bool = False
    every_module: bool = False
    baseline: Baseline | None = None
    today: date | None = None


def lint(
    request: LintRequest, settings: Settings, *, on_file: Callable[[FileResult], None] = lambda _file: None
) -> LintResult:
    """Look at all files.

    Args:
        request: What to lint.
        settings: Name the policy and the profile.
        on_file: Told of each file as it is done, from another thread.

    Raises:
        SubjectNotFoundError: Nothing is at one of the paths.
        SettingsError: The settings, or the orchestrator of the files, cannot be used.
        PolicyError, UnavailableError: The policy cannot be had.
    """
    from interlock.policy import load_policy

    require_there(request.paths)
    digest = load_policy(settings).digest  # asks its server, which no worker does
    environ = {"INTERLOCK_PROFILE": settings.profile}
    with Crew(environ) as crew:
        found, passed = find_files(request.paths, crew.of, root=request.root, every_module=request.every_module)
        files = _look_at_all(found, request, environ, crew, on_file)
    judged = LintResult(profile=settings.profile, bundle_digest=digest, files=tuple(files))
    files = list(with_policy(judged, settings).files)
    if request.strict:
        files = [replace(file, findings=tuple(map(_strict, file.findings))) for file in files]
    said = _about_starts(files)
    files = [replace(file, findings=(*file.findings, *said.get(file.path, ()))) for file in files]
    more: list[LintFinding] = []
    if request.baseline is not None:
        today = request.today or datetime.now(UTC).date()
        accepted, more = request.baseline.apply(files, today=today)
        files = list(accepted)
    if not files and any(Path(path).is_dir() for path in request.paths):
        more.append(_nothing(request.paths))
    return LintResult(
        profile=settings.profile,
        bundle_digest=digest,
        files=tuple(files),
        passed=tuple(passed),
        findings=tuple(more),
    )


def _look_at_all(
    found: Sequence[Found],
    request: LintRequest,
    environ: Mapping[str, str],
    first: Crew,
    on_file: Callable[[FileResult], None],
) -> list[FileResult]:
    """Share the files among workers, those of one crew driven by a thread of its own."""
    waiting: queue.SimpleQueue[Found] = queue.SimpleQueue()
    for one in found:
        waiting.put(one)
    done: dict[str, FileResult] = {}
    failed: list[BaseException] = []

    def drive(crew: Crew | None) -> None:
        try:
            with nullcontext(crew) if crew is not None else Crew(environ) as own:
                for result in _work_off(waiting, request, own):
                    done[result.path] = result
                    on_file(result)
        except BaseException as error:  # noqa: BLE001  # raised again where the run was asked for
            failed.append(error)
            while not waiting.empty():  # nobody else begins another file
                with suppress(queue.Empty):
                    waiting.get_nowait()

    # The first crew's thread is this one: a worker ends with the thread that started it.
    jobs = min(request.jobs or os.cpu_count() or 1, -(-len(found) // 4))
    threads = [threading.Thread(target=drive, args=(None,)) for _ in range(jobs - 1)]
    for thread in threads:
        thread.start()
    drive(first)
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return [done[one.path] for one in found]


def _work_off(waiting: queue.SimpleQueue[Found], request: LintRequest, crew: Crew) -> Iterator[FileResult]:
    while True:
        try:
            one = waiting.get_nowait()
        except queue.Empty:
            return
        worker = crew.of(one.kind)
        try:
            yield _look_at(one, worker, request.seconds)
        except WorkerError as error:
            yield _unanswered(one, error)
            crew.dismiss(one.kind)


def _look_at(one: Found, worker: Worker, seconds: float) -> FileResult:
    before = _digest(one.path)
    asked: dict[str, Json] = {"file": one.absolute, "root": one.root, "seconds": seconds}
    try:
        answer = worker.ask(asked, seconds=seconds * _LOADS)
        dags, findings = read_answer(answer, one.path)
    except WorkerError:
        raise
    except InterlockError as error:
        return _unanswered(one, error)
    if not before or _digest(one.path) != before:
        text = "the file changed while it was looked at, or cannot be read"
        changed = LintFinding(rule_id="lint.changed", level=Level.ERROR, message=text, path=one.path)
        return FileResult(path=one.path, digest="", dags=dags, findings=(*findings, changed))
    return FileResult(path=one.path, digest=before, dags=dags, findings=findings)


def _unanswered(one: Found, error: InterlockError) -> FileResult:
    finding = LintFinding(
        rule_id="lint.no-answer",
        level=Level.ERROR,
        message=f"the file cannot be judged: {error.what}",
        path=one.path,
        fixes=(error.next_step,) if error.next_step else (),
    )
    return FileResult(path=one.path, digest=_digest(one.path), findings=(finding,))


def _digest(path: str) -> str:
    """sha256 of the file's bytes; empty when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _strict(finding: LintFinding) -> LintFinding:
    counts = finding.level is Level.WARNING and bool(finding.gate)
    return replace(finding, level=Level.ERROR) if counts else finding


def _about_starts(files: Sequence[FileResult]) -> dict[str, list[LintFinding]]:
    """Pipelines with protected steps that another one starts: its gates do not count, anybody can start them alone."""
    protected = {dag.dag: dag for file in files for dag in file.dags if dag.protected}
    said: dict[str, list[LintFinding]] = {}
    for file in files:
        for dag in file.dags:
            for step in dag.graph.steps if dag.graph is not None else ():
                for target in step.starts:
                    if target in protected and target != dag.dag:
                        finding = LintFinding(
                            rule_id="lint.started-by",
                            level=Level.NOTE,
                            message=f"step {step.id!r} starts {target!r}, which has protected steps: no gate of"
                            f" {dag.dag!r} counts there, because {target!r} can be started alone",
                            path=file.path,
                            line=dag.line,
                            dag=dag.dag,
                            step=step.id,
                        )
                        said.setdefault(file.path, []).append(finding)
    return said


def _nothing(paths: Sequence[str]) -> LintFinding:
    return LintFinding(
        rule_id="lint.nothing",
        level=Level.ERROR,
        message="no file of a pipeline was found, so nothing was looked at",
        path=paths[0],
    )
