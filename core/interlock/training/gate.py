"""The gate `training`: reports how a finished run went, over the bytes that it wrote.

It looks at the output as it was opened, so a receipt of it binds the model's bytes to the data, the code, the command
and the isolation level that they came from (SLSA provenance/v1).
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping

from interlock.gate import Coverage, Finding, Gap, Json, Level, Measure, Observation, OpenSubject, Tool, UsageError
from interlock.gate.documents import canonical_json, timestamp
from interlock.training.refusals import Kind
from interlock.training.run import FAILED_RUN, TrainingRun
from interlock.training.sandbox import Isolation, LimitHit
from interlock.training.spec import TrainingSpec

_LAST_LINES = 5
_LIMIT_WORDS = {
    LimitHit.WALL_SECONDS: "took longer than its {} seconds",
    LimitHit.CPU_SECONDS: "used more than its {} processor seconds",
    LimitHit.OUTPUT_BYTES: "wrote more than its {} bytes",
    LimitHit.OUTPUT_FILES: "wrote more than its {} files",
    LimitHit.SCRATCH_BYTES: "wrote more than its {} bytes of temporary files",
    LimitHit.PROCESSES: "started more than its {} processes and threads",
    LimitHit.DISK_RESERVE: "left less than {} bytes free on the disk",
}
_SIGNAL_ADVICE = {
    signal.SIGKILL: "; most often the machine ran out of memory",
    signal.SIGSEGV: "; a native library crashed",
    signal.SIGBUS: "; most often /dev/shm was full, see scratch_bytes",
}


class TrainingGate:
    """Reports one finished run.

    Args:
        run: How it went.
        spec: What was asked for.
    """

    def __init__(self, run: TrainingRun, spec: TrainingSpec) -> None:
        self._run = run
        self._spec = spec

    @property
    def kind(self) -> str:
        """``training``."""
        return "training"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The sandbox's and the training's software, and what the safeguards measured with."""
        further = (tool for _, part in self._run.parts for tool in part.tools)
        return tuple(dict.fromkeys((*self._run.tools, *further)))

    def configuration(self) -> Mapping[str, Json]:
        """What SLSA's build definition and run details are made of; see docs/training.md for each name."""
        run, spec = self._run, self._spec
        return {
            "command": list(run.argv),
            "command_digest": run.command_digest,
            "function": spec.function,
            "environment": dict(run.environment),
            "seed": spec.seed,
            "isolation": run.level,
            "limits": {name: getattr(spec.limits, name) for name in spec.limits.__dataclass_fields__},
            "visible": [str(path) for path in spec.visible],
            "code": {"digest": run.code.digest if run.code else "", "names": [path.name for path in spec.code]},
            "data": {"name": run.data.name, "uri": run.data.uri, "digest": run.data.digest},
            "started": timestamp(run.started),
            "finished": timestamp(run.finished),
            "safeguards": {name: dict(part.configuration) for name, part in run.parts},
        }

    def look(self, opened: OpenSubject) -> Observation:
        """Report the run, and whether the opened bytes are the ones it wrote."""
        return training_observation(self._run, self._spec, opened)


def training_observation(run: TrainingRun, spec: TrainingSpec, opened: OpenSubject) -> Observation:
    """Measures and findings of `run`; the names are in docs/training.md, because policy is written against them.

    Args:
        run: How it went.
        spec: What was asked for; its limits are named in messages.
        opened: The run's output as it is now: the whole folder, or one file of it.
    """
    known = {run.output_digest, *(file.sha256 for file in run.output)}
    changed = opened.subject.digest not in known
    findings = [
        *_isolation(run),
        *_refused(run),
        *_ending(run, spec),
        *(found for _, part in run.parts for found in part.findings),
    ]
    if run.problem:
        findings.append(_error("unusable-output", run.problem))
    if changed:
        findings.append(
            _error("output-changed", f"these are not the bytes that the training wrote ({run.output_digest})")
        )
    paths = tuple(file.path for file in run.output) or (FAILED_RUN,)
    gaps = (Gap(path=opened.subject.name, reason="other bytes than the training wrote"),)
    return Observation(
        findings=tuple(findings),
        measures=(
            Measure(name="seconds", value=round(run.seconds, 3), unit="seconds"),
            Measure(name="exit_status", value=run.exit_status),
            Measure(name="isolation_rank", value=run.isolation.rank),
            Measure(name="output_bytes", value=run.output_bytes, unit="bytes"),
            Measure(name="output_files", value=len(run.output)),
            *_refusals(run),
            *((Measure(name="unreadable_events", value=run.unreadable_events),) if run.unreadable_events else ()),
            *(measure for _, part in run.parts for measure in part.measures),
        ),
        coverage=Coverage(failed=gaps) if changed else Coverage(looked_at=paths),
        attachments=(
            *((("metrics", run.metrics),) if run.metrics else ()),
            ("log", json.dumps(run.log_tail)),
            *_refused_list(run),
            *(text for _, part in run.parts for text in part.attachments),
        ),
        facts=_facts(run),
    )


def _facts(run: TrainingRun) -> tuple[tuple[str, str], ...]:
    """What the safeguards established, one object a name.

    Raises:
        UsageError: Two say different things of one matter.
    """
    joined: dict[str, dict[str, Json]] = {}
    for name, fact in ((name, fact) for _, part in run.parts for name, fact in part.facts.items()):
        known = joined.setdefault(name, {})
        for field, value in fact.items():
            if field in known and known[field] != value:
                raise UsageError(f"two safeguards say different things of {name}.{field}", where="safeguards")
            known[field] = value
    return tuple((name, canonical_json(fact).decode()) for name, fact in joined.items())


_ISOLATION = {
    Isolation.BWRAP: (Level.NOTE, "the code had no network and saw its data, its code and its output folder only"),
    Isolation.LANDLOCK: (
        Level.WARNING,
        "the code had no network and could open its data, its code and its output folder only, but ran among the"
        " machine's other processes and on its file system (level landlock+seccomp)",
    ),
    Isolation.RLIMITS: (
        Level.WARNING,
        "neither the network nor other files of this user were kept from the code (level rlimits)",
    ),
}


def _isolation(run: TrainingRun) -> tuple[Finding, ...]:
    level, message = _ISOLATION[run.isolation]
    return (Finding(rule_id="training.isolation", level=level, message=message),)


_ATTEMPTS = {
    Kind.NETWORK: "at the network",
    Kind.FILE: "to change files",
    Kind.PROCESS: "at other processes or namespaces",
    Kind.KERNEL: "at the kernel",
}


def _refused(run: TrainingRun) -> tuple[Finding, ...]:
    """What the code tried: writing where it may not is often a cache, the rest is not what training needs."""
    if run.unwatched:
        message = f"what the code was refused is not known: {run.unwatched}"
        return (Finding(rule_id="training.refused", level=Level.NOTE, message=message),)
    if not run.refused:
        return ()
    counts = _counted(run)
    level = Level.NOTE if set(counts) == {Kind.FILE} else Level.WARNING
    told = ", ".join(f"{count} {_ATTEMPTS[kind]}" for kind, count in counts.items())
    evidence = json.dumps({kind.value: count for kind, count in counts.items()}, sort_keys=True)
    message = f"the code was refused attempts: {told}; the first is {run.refused[0].what!r}"
    return (Finding(rule_id="training.refused", level=level, message=message, evidence=evidence),)


def _counted(run: TrainingRun) -> dict[Kind, int]:
    counts: dict[Kind, int] = {}
    for refusal in run.refused:
        counts[refusal.kind] = counts.get(refusal.kind, 0) + refusal.count
    return counts


def _refusals(run: TrainingRun) -> tuple[Measure, ...]:
    """How often, for each kind; nothing where nobody could see it."""
    if run.unwatched:
        return ()
    counts = _counted(run)
    return tuple(Measure(name=f"refused_{kind.value}", value=counts.get(kind, 0)) for kind in Kind)


def _refused_list(run: TrainingRun) -> tuple[tuple[str, str], ...]:
    if run.unwatched or not run.refused:
        return ()
    each: list[Json] = [{"kind": one.kind.value, "what": one.what, "count": one.count} for one in run.refused]
    return (("refused", canonical_json(each).decode()),)


def _ending(run: TrainingRun, spec: TrainingSpec) -> tuple[Finding, ...]:
    last = "\n".join(run.log_tail.splitlines()[-_LAST_LINES:])
    if run.stop is not None:
        return (_error(run.stop.rule, run.stop.message, log=last),)
    if run.limit is not None:
        rule = "timeout" if run.timed_out else "limit"
        words = _LIMIT_WORDS[run.limit].format(getattr(spec.limits, run.limit.value))
        return (_error(rule, f"the training {words} and was ended", limit=run.limit.value, log=last),)
    if run.exit_status == 0:
        return ()
    name = _signal_name(run.exit_status)
    if name is not None:
        advice = _SIGNAL_ADVICE.get(name, "")
        return (_error("killed", f"the training was ended by {name.name}{advice}", log=last),)
    said = f": {run.log_tail.splitlines()[-1]}" if run.log_tail else ", and it printed nothing"
    if "ModuleNotFoundError: " in said:
        said += f"; install it into {sys.prefix}, or add its folder to the training's code"
    return (_error("failed", f"the training ended with status {run.exit_status}{said}", log=last),)


def _signal_name(status: int) -> signal.Signals | None:
    try:
        return signal.Signals(status - 128) if status > 128 else None
    except ValueError:
        return None


def _error(rule: str, message: str, **evidence: str) -> Finding:
    return Finding(
        rule_id=f"training.{rule}",
        level=Level.ERROR,
        message=message,
        evidence=json.dumps(evidence, sort_keys=True) if evidence else "",
    )
