"""A sandbox around a sandbox: what a safeguard derives from to run a job more than once.

Decides nothing; when a job runs again is the safeguard's to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from interlock.training.events import Event
from interlock.training.sandbox import Availability, Ended, Folders, Isolation, Job, Moment, Overseer, Sandbox, Stop


class Around:
    """The same sandbox; derive from it and replace `run`.

    Args:
        sandbox: The one that runs jobs.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    @property
    def isolation(self) -> Isolation:
        """The sandbox's own."""
        return self._sandbox.isolation

    @property
    def level(self) -> str:
        """The sandbox's own."""
        return self._sandbox.level

    @property
    def harness(self) -> Path:
        """The sandbox's own."""
        return self._sandbox.harness

    def probe(self) -> Availability:
        """Whether the sandbox works here."""
        return self._sandbox.probe()

    def inside(self, outside: Folders) -> Folders:
        """The sandbox's own."""
        return self._sandbox.inside(outside)

    def run(self, job: Job, *, on_line: Callable[[str], None] | None = None, overseer: Overseer | None = None) -> Ended:
        """Run `job`; see `Sandbox.run`."""
        return self._sandbox.run(job, on_line=on_line, overseer=overseer)


class Later:
    """Watches a further run of a job, with the time since the start of the first.

    Args:
        overseer: Who watches.
        seconds: How long the runs before took.
        deaf: Whether what the job says of itself was heard in a run before.
    """

    def __init__(self, overseer: Overseer | None, seconds: float, *, deaf: bool = False) -> None:
        self._overseer = overseer
        self._seconds = seconds
        self._deaf = deaf

    def hear(self, event: Event) -> Stop | None:
        """Pass on what the job says, or nothing."""
        return None if self._overseer is None or self._deaf else self._overseer.hear(event)

    def tick(self, moment: Moment) -> Stop | None:
        """Look, with the time since the start of the first run."""
        if self._overseer is None:
            return None
        return self._overseer.tick(replace(moment, seconds=moment.seconds + self._seconds))


def removed(path: Path) -> None:
    """Take a file or a folder away with all that is in it, never through a link."""
    from interlock.evidence.claims import remove_tree

    remove_tree(path)


def emptied(folder: Path) -> None:
    """Take away all that is in a folder of a job that has ended."""
    for path in folder.iterdir():
        removed(path)
