"""What stands beside a training: one protocol for GPU checks, budgets, privacy, checkpoints, the watch on losses.

A safeguard says what it needs before the guard opens, gives the job what it brings, listens while the job runs, and
adds its part to the report. It measures and finds, and it may end a run; whether the run is good enough is policy's to
say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from interlock.gate import Finding, Json, Measure, Observation, Subject, Tool, UsageError
from interlock.gate.values import joined
from interlock.training.events import Event
from interlock.training.sandbox import Ended, Moment, Sandbox, Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What a safeguard wants the sandbox to give the job.

    Args:
        environment: Names and values; they stand in the receipt, so no secrets.
        devices: Nodes below ``/dev``, shown with read and write.
        visible: Further files and folders, shown read-only where they are.
        secrets: Names and bytes, each by a descriptor of its own; see `interlock.training.events.secret`.
    """

    environment: tuple[tuple[str, str], ...] = ()
    devices: tuple[Path, ...] = ()
    visible: tuple[Path, ...] = ()
    secrets: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a safeguard adds to the report of a training.

    Args:
        findings: What it found.
        measures: What it measured; nothing that could not be measured stands here as zero.
        facts: What policy reads beside the numbers, as named objects; two safeguards may add to one (``training``).
        attachments: Named JSON texts for the report page.
        configuration: How it was set; joins the training's configuration under the safeguard's name.
        materials: What else the output was made from.
        tools: What it measured with.
        problem: Why the output may not leave, when it says so.
    """

    findings: tuple[Finding, ...] = ()
    measures: tuple[Measure, ...] = ()
    facts: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    attachments: tuple[tuple[str, str], ...] = ()
    configuration: Mapping[str, Json] = field(default_factory=dict)
    materials: tuple[Subject, ...] = ()
    tools: tuple[Tool, ...] = ()
    problem: str = ""


class Safeguard(Protocol):
    """One thing that stands beside a training. Derive from `IdleSafeguard` and fill in what is needed.

    The order of calls is `requested`, `beforehand`, `around`, `provision`, then `hear` and `tick` while the job runs,
    `after`, and `close` at the end, whatever happened.
    """

    @property
    def name(self) -> str:
        """Its name in the report's configuration, unique among those of a run."""
        ...

    def requested(self) -> Mapping[str, Json]:
        """What it adds to what the step asks for (`input.requested`), for policy to judge."""
        ...

    def beforehand(self, data: Subject) -> Observation:
        """What it measures once the data is held and before policy says whether the training may start."""
        ...

    def around(self, sandbox: Sandbox) -> Sandbox:
        """The sandbox to run the job in: the given one, or one around it that runs the job otherwise."""
        ...

    def provision(self) -> Provision:
        """What the job gets; called once the guard is open.

        Raises:
            UsageError, UnavailableError: It cannot be had.
        """
        ...

    def hear(self, event: Event) -> Stop | None:
        """Take what the job says of itself, untrusted; a `Stop` ends the job."""
        ...

    def tick(self, moment: Moment) -> Stop | None:
        """Look at the running job, about ten times a second; a `Stop` ends the job."""
        ...

    def after(self, ended: Ended, out: Path) -> Part:
        """What came of it; no process of the job is alive. After a run that ended well `out` holds plain files only."""
        ...

    def close(self) -> None:
        """Let go of what `beforehand` and `provision` took."""
        ...


class IdleSafeguard:
    """Asks for nothing, gives nothing, hears nothing: what a safeguard starts from."""

    @property
    def name(self) -> str:
        """The class's name."""
        return type(self).__name__

    def requested(self) -> Mapping[str, Json]:
        """Nothing."""
        return {}

    def beforehand(self, data: Subject) -> Observation:  # noqa: ARG002
        """Nothing."""
        return Observation()

    def around(self, sandbox: Sandbox) -> Sandbox:
        """The given one."""
        return sandbox

    def provision(self) -> Provision:
        """Nothing."""
        return Provision()

    def hear(self, event: Event) -> Stop | None:  # noqa: ARG002
        """Nothing to stop for."""
        return None

    def tick(self, moment: Moment) -> Stop | None:  # noqa: ARG002
        """Nothing to stop for."""
        return None

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002
        """Nothing."""
        return Part()

    def close(self) -> None:
        """Nothing to let go of."""


class Safeguards:
    """All safeguards of one run as one: the sandbox's `Overseer`, and the sum of their parts.

    Args:
        each: The safeguards, in the order in which they are asked.

    Raises:
        UsageError: Two have one name.
    """

    def __init__(self, each: Sequence[Safeguard]) -> None:
        names = [safeguard.name for safeguard in each]
        if len(set(names)) < len(names):
            raise UsageError("two safeguards of one training have one name", where=", ".join(names))
        self._each = tuple(each)

    def __enter__(self) -> Safeguards:
        return self

    def __exit__(self, *_: object) -> None:
        # Each is closed, also when one before it fails to.
        with ExitStack() as stack:
            for safeguard in self._each:
                stack.callback(safeguard.close)

    def requested(self) -> dict[str, Json]:
        """What all of them ask for.

        Raises:
            UsageError: Two say different things of one matter.
        """
        asked: dict[str, Json] = {}
        for safeguard in self._each:
            for name, value in safeguard.requested().items():
                if name in asked and asked[name] != value:
                    raise UsageError(f"two safeguards ask for {name!r}", where=safeguard.name)
                asked[name] = value
        return asked

    def beforehand(self, data: Subject) -> Observation:
        """What all of them measured, as one observation."""
        return joined([safeguard.beforehand(data) for safeguard in self._each])

    def around(self, sandbox: Sandbox) -> Sandbox:
        """`sandbox` as each of them wants it, the first one's innermost."""
        for safeguard in self._each:
            sandbox = safeguard.around(sandbox)
        return sandbox

    def provision(self) -> Provision:
        """What all of them bring.

        Raises:
            UsageError: Two set one variable or bring one secret.
        """
        brought = [safeguard.provision() for safeguard in self._each]
        environment = tuple(pair for one in brought for pair in one.environment)
        secrets = tuple(pair for one in brought for pair in one.secrets)
        for pairs in (environment, secrets):
            names = [name for name, _ in pairs]
            if len(set(names)) < len(names):
                raise UsageError("two safeguards set one variable or secret", where=", ".join(sorted(names)))
        return Provision(
            environment=environment,
            devices=tuple(dict.fromkeys(path for one in brought for path in one.devices)),
            visible=tuple(dict.fromkeys(path for one in brought for path in one.visible)),
            secrets=secrets,
        )

    def hear(self, event: Event) -> Stop | None:
        """Let every safeguard hear it; the first reason to stop counts."""
        return _first([safeguard.hear(event) for safeguard in self._each])

    def tick(self, moment: Moment) -> Stop | None:
        """Let every safeguard look; the first reason to stop counts."""
        return _first([safeguard.tick(moment) for safeguard in self._each])

    def after(self, ended: Ended, out: Path) -> tuple[tuple[str, Part], ...]:
        """What came of it, by the names of the safeguards."""
        return tuple((safeguard.name, safeguard.after(ended, out)) for safeguard in self._each)


def _first(stops: Sequence[Stop | None]) -> Stop | None:
    return next((stop for stop in stops if stop is not None), None)
