"""Gives a training its folder of checkpoints and its key, and says in the report what it went on from and left behind.

What the job says of its checkpoints is its own word. So a checkpoint counts as what the run went on from only if its
signature held before the run began, and what lies in the folder afterwards is verified again, every byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import Finding, Json, Level, Measure, Subject, UsageError
from interlock.gate.values import Location
from interlock.training.checkpoints import store
from interlock.training.checkpoints.keys import LineageKey
from interlock.training.checkpoints.restarting import Invocation, Restarting
from interlock.training.checkpoints.store import Checkpoint
from interlock.training.events import Event
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended, Moment, Sandbox, Stop
from interlock.training.spec import Limits
from interlock.training.watch import over_output

SECRET = "CHECKPOINT"  # noqa: S105 (a name, not a secret)
_WORST = 20
"""Findings of one kind that are told one by one; a job can make any number of folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What lies in a folder of checkpoints.

    Args:
        good: The checkpoints that hold, the newest first.
        damaged: Names of those that do not, with the reason.
    """

    good: tuple[Checkpoint, ...]
    damaged: tuple[tuple[str, str], ...]

    @property
    def newest(self) -> int:
        """The highest number of one that holds; 0 when there is none."""
        return max((one.manifest.sequence for one in self.good), default=0)


def survey(folder: Path, key: LineageKey, *, whole: bool) -> Survey:
    """Look at every checkpoint of a folder that nobody writes to now.

    Args:
        folder: Untrusted.
        key: The lineage's.
        whole: Verify every byte; else the signatures only, as is enough for who verifies again before opening.
    """
    good: list[Checkpoint] = []
    damaged: list[tuple[str, str]] = []
    for place in store.complete(folder):
        try:
            good.append(store.verify(place, key) if whole else store.look(place, key))
        except store.DAMAGE as error:
            damaged.append((place.name, error.what))
    return Survey(good=tuple(good), damaged=tuple(damaged))


class CheckpointSafeguard(IdleSafeguard):
    """Stands beside a training that keeps checkpoints; give `run_training` the same folder.

    Args:
        folder: Outlives the run; made when it is not there. Nothing else lies in it.
        key: The lineage's, of which the job gets a copy by descriptor.
        limits: Bytes and files of the folder, as `Limits` counts an output's.
        restarts: How often a run that died is started again, from a checkpoint that it left; then the sandbox of
            `around` has to be the one that runs it.
    """

    def __init__(self, folder: Path, key: LineageKey, *, limits: Limits | None = None, restarts: int = 0) -> None:
        self.folder = folder
        self._key = key
        self._restarts = restarts
        self._again: Restarting | None = None
        self._started_on = ""
        self._newest = 0
        self._limits = limits or Limits()
        self._before = Survey(good=(), damaged=())
        self._there: frozenset[str] = frozenset()
        self._claimed: str | None = None
        self._first: str | None = None

    @property
    def name(self) -> str:
        """``checkpoints``."""
        return "checkpoints"

    def around(self, sandbox: Sandbox) -> Sandbox:
        """The same sandbox, which starts a run again where that is wanted."""
        if not self._restarts:
            return sandbox
        self._again = Restarting(sandbox, self, most=self._restarts)
        return self._again

    def left_behind(self) -> str:
        """The newest checkpoint that holds, every byte, if the run that died wrote it; the next one goes on from it."""
        try:
            now = survey(self.folder, self._key, whole=True)
        except OSError:
            return ""
        if now.newest <= self._newest:
            return ""
        self._newest, self._claimed = now.newest, None
        self._started_on = now.good[0].digest
        return self._started_on

    def provision(self) -> Provision:
        """The key; the folder is the run's to show.

        Raises:
            UsageError: The folder cannot be made or read.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._there = frozenset(place.name for place in store.complete(self.folder))
            self._before = survey(self.folder, self._key, whole=False)
            self._newest = self._before.newest
        except OSError as error:
            raise UsageError(
                f"the folder of checkpoints cannot be used: {error.strerror}",
                where=str(self.folder),
                next_step="name a folder that this user may write",
            ) from error
        return Provision(secrets=((SECRET, self._key.secret),))

    def hear(self, event: Event) -> Stop | None:
        """Keep what the job says it went on from; the first word counts, for it went on from one."""
        digest = event.fields.get("digest")
        if event.kind != "resumed" or self._claimed is not None:
            return None
        self._claimed = digest if isinstance(digest, str) else ""
        if not self._started_on:
            self._first = self._claimed
        elif self._claimed != self._started_on:
            message = "started again, it went on from another checkpoint than it left"
            return Stop(rule="checkpoint-unknown", message=message)
        return None

    def tick(self, moment: Moment) -> Stop | None:  # noqa: ARG002
        """End a run whose checkpoints are too many or too large."""
        if over_output(self.folder, self._limits) is None:
            return None
        most = f"{self._limits.output_bytes} bytes and {self._limits.output_files} files"
        return Stop(rule="checkpoint-limit", message=f"the folder of checkpoints is more than {most}")

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002
        """Verify what is there now, and tell it from what was there before."""
        try:
            now = survey(self.folder, self._key, whole=True)
        except OSError as error:
            return Part(findings=(_finding("unreadable", Level.ERROR, f"the folder cannot be read: {error}"),))
        resumed = next((one for one in self._before.good if one.digest == self._first), None)
        return Part(
            findings=self._findings(now, resumed),
            measures=(
                Measure(name="checkpoints", value=len(now.good)),
                Measure(name="checkpoints_written", value=max(0, now.newest - self._before.newest)),
                Measure(name="checkpoint_bytes", value=sum(one.manifest.size for one in now.good), unit="bytes"),
                *(() if resumed is None else (Measure(name="resumed_step", value=resumed.step),)),
                *(() if self._again is None else (Measure(name="started_again", value=len(self._runs) - 1),)),
            ),
            facts={} if resumed is None else {"training": {"resumed_from": resumed.digest}},
            configuration={
                "before": [_described(one) for one in self._before.good],
                "after": [_described(one) for one in now.good],
                "keyid": self._key.signer.keyid,
                "invocations": [one.document() for one in self._runs],
            },
            materials=() if resumed is None else (_material(resumed),),
        )

    @property
    def _runs(self) -> tuple[Invocation, ...]:
        return () if self._again is None else self._again.invocations

    def _findings(self, now: Survey, resumed: Checkpoint | None) -> tuple[Finding, ...]:
        found: list[Finding] = []
        if len(self._runs) > 1:
            died = ", ".join(str(one.exit_status) for one in self._runs[:-1])
            message = f"it died {len(self._runs) - 1} times (status {died}) and went on from its own checkpoints"
            found.append(_finding("restarted", Level.WARNING, message))
        for name, why in now.damaged[:_WORST]:
            level = Level.WARNING if name in self._there else Level.ERROR
            found.append(_finding("damaged", level, f"it does not hold: {why}", path=name))
        if len(now.damaged) > _WORST:
            found.append(_finding("damaged", Level.ERROR, f"{len(now.damaged)} checkpoints do not hold"))
        if resumed is not None:
            newest = resumed.digest == self._before.good[0].digest
            message = f"it went on from step {resumed.step}, the {'newest' if newest else 'not newest'} checkpoint"
            clean = newest and not self._before.damaged
            found.append(_finding("resumed", Level.NOTE if clean else Level.WARNING, message, path=resumed.place.name))
        elif self._first is not None:
            found.append(_finding("unknown", Level.ERROR, "it went on from a checkpoint that was not there before"))
        return tuple(found)


def _described(one: Checkpoint) -> Json:
    return {"digest": one.digest, "name": one.place.name, "step": one.step}


def _material(one: Checkpoint) -> Subject:
    return Subject(name=f"checkpoint {one.place.name}", uri=one.place.absolute().as_uri(), digest=one.digest)


def _finding(rule: str, level: Level, message: str, *, path: str = "") -> Finding:
    evidence = json.dumps({"checkpoint": path}) if path else ""
    return Finding(
        rule_id=f"training.checkpoint-{rule}",
        level=level,
        message=message,
        location=Location(path=path),
        evidence=evidence,
    )
