"""One training from start to checked output: hold the code, run it in the sandbox, look at what it wrote.

What comes out is a `TrainingRun`, whatever happened inside; an error leaves here only when nothing could be run.
Whether the run is good enough is not decided here: `interlock.training.gate` reports it, and policy decides.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from interlock.gate import Json, OpenSubject, Subject, Tool, UnavailableError, UsageError, utc_now
from interlock.gate.documents import canonical_json, digest_of, timestamp
from interlock.training.code import HeldCode, hold_code
from interlock.training.images import HeldImage
from interlock.training.job import job_of
from interlock.training.output import check_output
from interlock.training.refusals import Refusal
from interlock.training.safeguards import Part, Safeguards
from interlock.training.sandbox import PACKAGE, Ended, Folders, Isolation, Job, LimitHit, Sandbox, Stop, best_sandbox
from interlock.training.spec import Limits, TrainingSpec

FAILED_RUN = "failed-run.json"
"""The only file of a failed run's output folder: what the receipt of its refusal is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """One file of the output: relative path, sha256, bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """How one training went, and what came out.

    Args:
        isolation: The sandbox's level.
        argv: What was run, as the sandbox saw it.
        environment: Everything that was set, seeds included; nothing else was.
        data: The dataset that was read.
        code: The code that was run, by the digest of its held copy; None when it is all installed software.
        exit_status: As a shell counts: 128 and the signal's number when a signal ended it.
        limit: The limit that ended it, when one did.
        problem: Why its output may not leave; empty when it may, or when the run failed before.
        output: The files, empty for a failed run.
        output_digest: What `interlock.evidence` will find the output folder's digest to be.
        output_bytes: Bytes the code wrote, those of a failed run included.
        metrics: Content of ``metrics.json`` when it is JSON and small; unverified.
        log_tail: The end of what it printed; unverified.
        log_bytes: How much it printed.
        seconds: Wall clock of the sandbox.
        started: UTC.
        finished: UTC.
        tools: The sandbox's and the training's software, with versions.
        stop: Why a safeguard ended it early, when one did.
        unreadable_events: How many lines in its channel were no events.
        parts: What each safeguard adds to the report, by its name.
        image: The image that it ran in; None where it ran on this machine's own files.
        refused: What it tried and was refused, as far as that shows; unverified.
        unwatched: Why nobody could see what it was refused; empty when it was seen.
    """

    isolation: Isolation
    argv: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    data: Subject
    code: Subject | None
    exit_status: int
    limit: LimitHit | None
    problem: str
    output: tuple[OutputFile, ...]
    output_digest: str
    output_bytes: int
    metrics: str
    log_tail: str
    log_bytes: int
    seconds: float
    started: datetime
    finished: datetime
    tools: tuple[Tool, ...]
    stop: Stop | None = None
    unreadable_events: int = 0
    parts: tuple[tuple[str, Part], ...] = ()
    image: Subject | None = None
    refused: tuple[Refusal, ...] = ()
    unwatched: str = ""

    @property
    def level(self) -> str:
        """The isolation level by the name that policy reads."""
        return self.isolation.value

    @property
    def failed(self) -> bool:
        """Whether it ended badly or its output may not leave."""
        return self.exit_status != 0 or self.limit is not None or self.stop is not None or bool(self.problem)

    @property
    def timed_out(self) -> bool:
        """Whether it was ended because of its wall-clock limit."""
        return self.limit is LimitHit.WALL_SECONDS

    @property
    def command_digest(self) -> str:
        """sha256 over what was run and with which environment."""
        return digest_of({"argv": list(self.argv), "environment": dict(self.environment)})

    @property
    def materials(self) -> tuple[Subject, ...]:
        """What the output was made from: SLSA's ``resolvedDependencies``."""
        further = tuple(material for _, part in self.parts for material in part.materials)
        own = (material for material in (self.code, self.image) if material is not None)
        return (self.data, *own, *further)


def run_training(
    spec: TrainingSpec,
    data: OpenSubject,
    out: Path,
    *,
    sandbox: Sandbox | None = None,
    safeguards: Safeguards | None = None,
    checkpoints: Path | None = None,
    image: HeldImage | None = None,
    on_line: Callable[[str], None] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> TrainingRun:
    """Run `spec` on `data` and leave its checked, durable output in `out`.

    After a run that failed, `out` holds `FAILED_RUN` and nothing else.

    Args:
        spec: What to run.
        data: The held dataset, as the guard opened it; the sandbox shows exactly these bytes, read-only.
        out: Private empty folder, made when it is not there (see `interlock.training.staging_for`).
        sandbox: Where to run it; the best one of this machine when not given.
        safeguards: What stands beside it; the caller opens and closes them.
        checkpoints: Folder for what has to outlive a run that fails; the job may write it.
        image: What `spec.image` names, held; see `interlock.training.images`.
        on_line: Called with each line that the code prints; an exception from it ends the run.
        clock: UTC now; replaced in tests.

    Raises:
        UsageError: The command does not exist, `out` is not empty, or no sandbox works here.
        SubjectError: The code cannot be read or held.
        UnavailableError: The sandbox could not be built, what a safeguard brings cannot be had, or the disk is nearly
            full.
    """
    beside = safeguards or Safeguards(())
    sandbox = beside.around(sandbox or best_sandbox())
    _check_image(spec, image, sandbox)
    _prepare(out, spec.limits)
    brought = beside.provision()
    started = clock()
    with tempfile.TemporaryDirectory(prefix=".work-", dir=out.parent) as work:
        outside = _folders(Path(work), data.path, out, checkpoints)
        code = hold_code(spec.code, outside.code)
        job = job_of(spec, outside, sandbox, code=code, brought=brought, image=image)
        ended = sandbox.run(job, on_line=on_line, overseer=beside)
    problem = "" if ended.failed else check_output(out, spec.limits)
    # After the check, so that a safeguard meets plain files only; what one writes there is checked again.
    parts = beside.after(ended, out)
    problem = problem or next((part.problem for _, part in parts if part.problem), "")
    if parts and not problem and not ended.failed:
        problem = check_output(out, spec.limits)
    when = (started, clock())
    return _finished(data, job, ended, problem=problem, code=code, image=image, sandbox=sandbox, parts=parts, when=when)


def _folders(work: Path, data: Path, out: Path, checkpoints: Path | None) -> Folders:
    """Make what the run needs beside its data and its output."""
    code, scratch, library = work / "code", work / "tmp", work / "lib"
    for folder in (code, scratch, library):
        folder.mkdir()
    (library / PACKAGE.name).symlink_to(PACKAGE)
    events = work / "events"
    os.mkfifo(events, 0o600)
    return Folders(
        data=data, code=code, out=out, scratch=scratch, library=library, events=events, checkpoints=checkpoints
    )


def _prepare(out: Path, limits: Limits) -> None:
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError("the training's output folder is not empty", where=str(out))
        disk = os.statvfs(out)
    except OSError as error:
        raise UsageError(f"the training's output folder cannot be used: {error.strerror}", where=str(out)) from error
    if disk.f_bavail * disk.f_frsize < limits.disk_reserve_bytes:
        raise UnavailableError("the disk is nearly full", where=str(out), next_step="make room, then run again")


def _check_image(spec: TrainingSpec, image: HeldImage | None, sandbox: Sandbox) -> None:
    """Refuse an image that is not held, another one than the spec names, and a level that has no root of its own."""
    held = image.reference if image is not None else ""
    if held != spec.image:
        raise UsageError(f"the training's image is {spec.image or 'none'}, and {held or 'none'} is held", where="image")
    if image is not None and sandbox.isolation is not Isolation.BWRAP:
        raise UsageError(
            "an image is a root file system, for which it takes namespaces: level bwrap",
            where=f"this machine has level {sandbox.level}",
            next_step="apt-get install bubblewrap; interlock doctor says what else is in the way",
        )


def _finished(
    data: OpenSubject,
    job: Job,
    ended: Ended,
    *,
    problem: str,
    code: HeldCode,
    image: HeldImage | None,
    sandbox: Sandbox,
    parts: tuple[tuple[str, Part], ...],
    when: tuple[datetime, datetime],
) -> TrainingRun:
    from interlock.evidence.claims import remove_tree
    from interlock.evidence.snapshot import take_snapshot

    out = job.folders.out
    written = sum(path.lstat().st_size for path in out.rglob("*") if path.is_file() and not path.is_symlink())
    failed = bool(problem) or ended.failed
    metrics = "" if failed else _metrics(out)
    if failed:
        for path in out.iterdir():
            remove_tree(path)
        record = _failure_record(job, ended, problem, data.subject, finished=when[1])
        (out / FAILED_RUN).write_bytes(canonical_json(record))
    snapshot = take_snapshot(os.fspath(out))
    held = Subject(name="code", uri=code.sources[0].as_uri(), digest=code.digest) if code.digest else None
    return TrainingRun(
        isolation=sandbox.isolation,
        argv=job.argv,
        environment=job.environment,
        data=data.subject,
        code=held,
        exit_status=ended.exit_status,
        limit=ended.limit,
        problem=problem,
        output=()
        if failed
        else tuple(OutputFile(path=file.path, sha256=file.sha256, size=file.size) for file in snapshot.files),
        output_digest=snapshot.digest,
        output_bytes=written,
        metrics=metrics,
        log_tail=ended.log_tail,
        log_bytes=ended.log_bytes,
        seconds=ended.seconds,
        started=when[0],
        finished=when[1],
        tools=(*sandbox.probe().tools, *(image.tools if image is not None else ()), *_software(job)),
        image=image.subject if image is not None else None,
        stop=ended.stop,
        unreadable_events=ended.unreadable_events,
        parts=parts,
        refused=ended.refused,
        unwatched=ended.unwatched,
    )


def _failure_record(job: Job, ended: Ended, problem: str, data: Subject, *, finished: datetime) -> dict[str, Json]:
    return {
        "argv": list(job.argv),
        "data": data.digest,
        "exit_status": ended.exit_status,
        "finished": timestamp(finished),
        "limit": ended.limit.value if ended.limit else "",
        "log": ended.log_tail,
        "problem": problem,
        "stopped": ended.stop.message if ended.stop else "",
    }


def _metrics(out: Path) -> str:
    path = out / "metrics.json"
    if not path.is_file() or path.stat().st_size > 1 << 16:
        return ""
    try:
        return canonical_json(json.loads(path.read_bytes())).decode()
    except (ValueError, RecursionError):
        return ""


def _software(job: Job) -> tuple[Tool, ...]:
    """Versions of what trained, where it is this Python's; another interpreter's are not known here."""
    if job.argv[0] != sys.executable:
        return ()
    tools = [Tool(name="python", version=sys.version.partition(" ")[0])]
    for name in ("torch", "safetensors", "numpy", "scikit-learn"):
        try:
            tools.append(Tool(name=name, version=version(name)))
        except PackageNotFoundError:
            continue
    return tuple(tools)
