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
from interlock.training.run import FAILED_RUN, TrainingRun
from interlock.training.sandbox import Isolation, LimitHit
from interlock.training.spec import TrainingSpec

_LAST_LINES = 5
_LIMIT_WORDS = {
    LimitHit.WALL_SECONDS: "took longer than its {} seconds",
    LimitHit.CPU_SECONDS: "used more than its {} processor seconds",
    LimitHit.OUTPUT_BYTES: "wrote more than its {} bytes",
    LimitHit.OUTPUT_FILES: "wrote more than its {} files",
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
    findings = [*_isolation(run), *_ending(run, spec), *(found for _, part in run.parts for found in part.findings)]
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
            *((Measure(name="unreadable_events", value=run.unreadable_events),) if run.unreadable_events else ()),
            *(measure for _, part in run.parts for measure in part.measures),
        ),
        coverage=Coverage(failed=gaps) if changed else Coverage(looked_at=paths),
        attachments=(
            *((("metrics", run.metrics),) if run.metrics else ()),
            ("log", json.dumps(run.log_tail)),
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


def _isolation(run: TrainingRun) -> tuple[Finding, ...]:
    if run.isolation is Isolation.BWRAP:
        message = "the code had no network and saw its data, its code and its output folder only"
        return (Finding(rule_id="training.isolation", level=Level.NOTE, message=message),)
    message = "neither the network nor other files of this user were kept from the code (level rlimits)"
    return (Finding(rule_id="training.isolation", level=Level.WARNING, message=message),)


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
