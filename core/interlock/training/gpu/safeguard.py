"""The safeguard `gpu`: takes the devices, measures them before, during and after a training, and reports.

It decides nothing: policy reads the facts (``training.gpu-*``). It refuses only what cannot be had at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from interlock.gate import Finding, Json, Level, Measure, Observation, Subject, Tool, UnavailableError
from interlock.gate.documents import canonical_json
from interlock.training.gpu.attestation import Attestation
from interlock.training.gpu.attester import Attester
from interlock.training.gpu.choice import Assigned, GpuLocks, GpuRequest, choose, places_of
from interlock.training.gpu.driver import DriverPlaces, provision_of
from interlock.training.gpu.probe import GpuProbe
from interlock.training.gpu.report import (
    counts_own_processes,
    device_facts,
    energy_kwh,
    error_findings,
    foreign,
    foreign_finding,
    machine_facts,
    own_processes,
    shares_by_mps,
    state_findings,
)
from interlock.training.gpu.scrubbing import Scrub, scrub_devices
from interlock.training.gpu.state import GpuProcess, GpuState
from interlock.training.safeguards import IdleSafeguard, Part, Provision
from interlock.training.sandbox import Ended, Moment, Sandbox, Stop

_LOOK_SECONDS = 1.0
_RECORDED = "a recorded state has no devices"


@dataclass(slots=True)
class _Company:
    """Who was seen on one device, over all looks."""

    foreign: dict[int, GpuProcess] = field(default_factory=dict)
    mps: bool = False
    unknown: bool = False


class NoGpus(IdleSafeguard):
    """Beside a training that says that it wants none: it gets none."""

    models: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """``gpu``."""
        return "gpu"

    def requested(self) -> Mapping[str, Json]:
        """None, said out loud: a step that says nothing is another thing to policy."""
        return {"gpus": 0}

    def provision(self) -> Provision:
        """At the levels that show all of ``/dev``, at least CUDA is told to look at none."""
        return Provision(environment=(("CUDA_VISIBLE_DEVICES", ""),))


class GpuSafeguard(IdleSafeguard):
    """Beside one training.

    Args:
        request: What it asks for.
        probe: Who is asked for the state.
        attester: How the deployment attests its GPUs; None where it does not.
        locks: Where the devices' locks lie; replaced in tests.
        places: Where the driver's parts lie; replaced in tests.
        sandbox: Where memory is scrubbed; the best one of this machine when not given.
    """

    def __init__(
        self,
        request: GpuRequest,
        probe: GpuProbe,
        *,
        attester: Attester | None = None,
        locks: GpuLocks | None = None,
        places: DriverPlaces | None = None,
        sandbox: Sandbox | None = None,
    ) -> None:
        self._request = request
        self._probe = probe
        self._attester = attester
        self._locks = locks or GpuLocks()
        self._places = places
        self._sandbox = sandbox
        self._assigned: tuple[Assigned, ...] = ()
        self._company: dict[str, _Company] = {}
        self._scrubbed: dict[str, Scrub] = {}
        self._attestation: Attestation | None = None
        self._looked = 0.0
        self._comparable = counts_own_processes()

    @property
    def name(self) -> str:
        """``gpu``."""
        return "gpu"

    @property
    def models(self) -> tuple[tuple[str, str], ...]:
        """UUID and product of what it got, for those that account for it; empty before `beforehand`."""
        return tuple((place.uuid, place.device.name or "") for place in self._assigned)

    def requested(self) -> Mapping[str, Json]:
        """How many GPUs, and whether they have to be confidential."""
        return {"gpus": self._request.wanted} | ({"confidential": True} if self._request.confidential else {})

    def beforehand(self, data: Subject) -> Observation:  # noqa: ARG002
        """Take the devices, attest and scrub them where that is wanted, then measure them.

        Raises:
            UsageError, UnavailableError: The devices cannot be had.
        """
        self._assigned = choose(self._request, self._probe.state(), self._locks)
        self._company = {place.uuid: _Company() for place in self._assigned}
        state = self._probe.state()
        if self._attester is not None:
            self._attestation = self._attester.attest(state, self._assigned)
        self._scrub("before")
        state, self._assigned = self._now()
        self._meet(self._assigned)
        findings = [*state_findings(self._assigned, recorded=self._probe.recorded), *self._process_findings()]
        findings += [*self._scrub_findings("before"), *self._attestation_findings()]
        return Observation(
            findings=tuple(findings),
            measures=(Measure(name="gpus", value=len(self._assigned)),),
            facts=(("gpu", canonical_json(self._facts(state)).decode()),),
        )

    def provision(self) -> Provision:
        """Their nodes and the driver's libraries; nothing of a recorded state, so that the job finds no GPU."""
        return Provision() if self._probe.recorded else provision_of(self._assigned, self._places)

    def tick(self, moment: Moment) -> Stop | None:
        """Look once a second at who is on the devices; what is seen is for the report."""
        if moment.seconds - self._looked >= _LOOK_SECONDS and self._comparable:
            self._looked = moment.seconds
            for uuid, company in self._company.items():
                self._look(company, self._processes_twice(uuid))
        return None

    def after(self, ended: Ended, out: Path) -> Part:  # noqa: ARG002
        """Measure once more, scrub, and say what changed and who was there."""
        before = self._assigned
        try:
            state, self._assigned = self._now()
        except UnavailableError as error:
            message = f"the GPUs could not be measured after the training: {error}"
            return Part(
                findings=(Finding(rule_id="training.gpu-lost", level=Level.ERROR, message=message),),
                configuration=self._configuration(),
                tools=self._probe.tools,
            )
        self._meet(self._assigned)
        used = energy_kwh(before, self._assigned)
        self._scrub("after")
        findings = [*state_findings(self._assigned, recorded=self._probe.recorded), *self._process_findings()]
        findings += [*error_findings(before, self._assigned), *self._scrub_findings("after")]
        return Part(
            findings=tuple(findings),
            measures=() if used is None else (Measure(name="gpu_energy_kwh", value=used, unit="kWh"),),
            facts={"gpu": self._facts(state)},
            configuration=self._configuration(),
            tools=self._tools(state),
        )

    def close(self) -> None:
        """Unlock the devices and let go of the driver."""
        self._locks.release()
        self._probe.close()

    def _now(self) -> tuple[GpuState, tuple[Assigned, ...]]:
        """The state, and our devices as they are in it.

        Raises:
            UnavailableError: One of them is not there any more.
        """
        state = self._probe.state()
        places = {place.uuid: place for place in places_of(state)}
        gone = [place.uuid for place in self._assigned if place.uuid not in places]
        if gone:
            raise UnavailableError("a GPU of this training does not answer any more", where=", ".join(gone))
        return state, tuple(places[place.uuid] for place in self._assigned)

    def _meet(self, assigned: tuple[Assigned, ...]) -> None:
        """Note who is on the devices while no process of the job is."""
        for place in assigned:
            self._look(self._company[place.uuid], place.processes)

    def _look(self, company: _Company, processes: tuple[GpuProcess, ...] | None) -> None:
        if processes is None:
            company.unknown = True
            return
        company.mps = company.mps or shares_by_mps(processes)
        company.foreign.update({process.pid: process for process in foreign(processes, own_processes())})

    def _processes_twice(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """Who was there in two looks, if anybody is foreign in the first.

        A process of the job that ended between NVML's answer and the walk over processes looks foreign once.
        """
        first = self._probe.processes(uuid)
        if first is None or not foreign(first, own_processes()):
            return first
        second = self._probe.processes(uuid)
        return None if second is None else tuple(one for one in second if one.pid in {other.pid for other in first})

    def _scrub(self, when: str) -> None:
        if self._request.scrub and self._probe.recorded:
            self._scrubbed[when] = Scrub(problem=_RECORDED)
        elif self._request.scrub:
            try:
                provision = provision_of(self._assigned, self._places)
            except UnavailableError as error:
                self._scrubbed[when] = Scrub(problem=str(error))
            else:
                self._scrubbed[when] = scrub_devices(provision, len(self._assigned), sandbox=self._sandbox)

    def _facts(self, state: GpuState) -> dict[str, Json]:
        scrub: dict[str, Json] = {when: found.facts() for when, found in self._scrubbed.items()}
        return {
            "devices": [self._device(state, place) for place in self._assigned],
            **machine_facts(state, recorded=self._probe.recorded),
            **({"scrub": scrub} if scrub else {}),
            **({"attestation": self._attestation.facts()} if self._attestation is not None else {}),
        }

    def _device(self, state: GpuState, place: Assigned) -> dict[str, Json]:
        company = self._company[place.uuid]
        others = None if company.unknown else len(company.foreign)
        return device_facts(state, place, others, mps=company.mps or (None if company.unknown else False))

    def _process_findings(self) -> list[Finding]:
        found = foreign_finding({uuid: tuple(seen.foreign.values()) for uuid, seen in self._company.items()})
        if not self._comparable:
            message = "process ids are those of a container, so others were looked for before and after only"
            found.append(Finding(rule_id="training.gpu-container", level=Level.NOTE, message=message))
        return found

    def _scrub_findings(self, when: str) -> list[Finding]:
        scrub = self._scrubbed.get(when)
        if scrub is None:
            return []
        if scrub.problem:
            message = f"the GPUs' free memory was not overwritten {when} the training: {scrub.problem}"
            return [Finding(rule_id="training.gpu-unscrubbed", level=Level.WARNING, message=message)]
        message = (
            f"{scrub.scrubbed_bytes} of {scrub.free_bytes} free bytes were overwritten with zeros {when} the training, "
            "as best effort"
        )
        return [Finding(rule_id="training.gpu-scrubbed", level=Level.NOTE, message=message)]

    def _attestation_findings(self) -> list[Finding]:
        if self._attestation is None or self._attestation.verified:
            return []
        message = "the GPUs' attestation does not hold: " + "; ".join(self._attestation.problems[:5])
        return [Finding(rule_id="training.gpu-attestation", level=Level.ERROR, message=message)]

    def _configuration(self) -> Mapping[str, Json]:
        return {
            "asked": list(self._request.names) or self._request.count,
            "confidential": self._request.confidential,
            "scrub": self._request.scrub,
            "attested": self._attester is not None,
            "devices": [place.uuid for place in self._assigned],
        }

    def _tools(self, state: GpuState) -> tuple[Tool, ...]:
        return (*self._probe.tools, *(() if self._probe.recorded else state.tools))
