"""Starts a training that died again, where it left a checkpoint that holds and that was not there before.

A run that ended by a limit or because a safeguard stopped it is not started again: somebody meant that. One that made
no progress since its start is not either, for it would die at the same place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from interlock.gate import Json
from interlock.training.around import Around, Later, emptied
from interlock.training.refusals import Refusal
from interlock.training.sandbox import Ended, Job, Overseer, Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One run of a training's process.

    Args:
        exit_status: As a shell counts.
        seconds: Wall clock.
        continues: The checkpoint that it was started on, by digest; empty for the first run.
    """

    exit_status: int
    seconds: float
    continues: str

    def document(self) -> dict[str, Json]:
        """For the report's configuration."""
        return {"exit_status": self.exit_status, "seconds": round(self.seconds, 3), "continues": self.continues}


class Progress(Protocol):
    """Who knows what a run left behind."""

    def left_behind(self) -> str:
        """Digest of the newest checkpoint that holds, if it is newer than at the last question; else empty."""
        ...


class Restarting(Around):
    """A sandbox that runs a job again after it died.

    Args:
        sandbox: Runs it.
        progress: Says whether there is something to go on from.
        most: How often at most.
    """

    def __init__(self, sandbox: Sandbox, progress: Progress, *, most: int) -> None:
        super().__init__(sandbox)
        self._progress = progress
        self._most = most
        self.invocations: tuple[Invocation, ...] = ()

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job`, and again from its newest checkpoint as often as it dies; see `Sandbox.run`.

        Returns:
            How the last run ended, with the time of all of them.
        """
        spent, unreadable, continues = 0.0, 0, ""
        refused: tuple[Refusal, ...] = ()
        unwatched = ""
        while True:
            left = replace(job.limits, wall_seconds=job.limits.wall_seconds - spent)
            ended = self._sandbox.run(
                replace(job, limits=left), on_line=on_line, overseer=Later(overseer, spent) if spent else overseer
            )
            spent += ended.seconds
            unreadable += ended.unreadable_events
            refused, unwatched = (*refused, *ended.refused), unwatched or ended.unwatched
            once = Invocation(exit_status=ended.exit_status, seconds=ended.seconds, continues=continues)
            self.invocations = (*self.invocations, once)
            died = ended.exit_status != 0 and ended.limit is None and ended.stop is None
            if not died or len(self.invocations) > self._most or spent >= job.limits.wall_seconds:
                break
            continues = self._progress.left_behind()
            if not continues:
                break
            if on_line is not None:
                on_line(f"interlock: status {ended.exit_status}; started again from its newest checkpoint")
            for folder in (job.folders.out, job.folders.scratch):
                emptied(folder)
        return replace(ended, seconds=spent, unreadable_events=unreadable, refused=refused, unwatched=unwatched)
