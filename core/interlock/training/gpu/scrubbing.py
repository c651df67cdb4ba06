"""Runs `scrub` in the sandbox and says what came of it: best effort, and never more than was read back."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from interlock.gate import InterlockError, Json
from interlock.training.safeguards import Provision
from interlock.training.sandbox import Folders, Job, Sandbox, best_sandbox
from interlock.training.spec import Limits

PROGRAM = Path(__file__).with_name("scrub.py")
ENOUGH = 0.9
"""The part of a device's free memory that has to be overwritten; the rest is fragments that no allocator gives."""

_REPORT = "scrub.json"
_WALL_SECONDS = 300.0
_OUTPUT_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """What came of overwriting the free memory.

    Args:
        devices: How many were overwritten.
        scrubbed_bytes: Overwritten, of all devices together.
        free_bytes: What was free, of all devices together.
        problem: Why it is not enough; empty when it is.
    """

    devices: int = 0
    scrubbed_bytes: int = 0
    free_bytes: int = 0
    problem: str = ""

    @property
    def fraction(self) -> float:
        """The part of the free memory that was overwritten."""
        return self.scrubbed_bytes / self.free_bytes if self.free_bytes else 0.0

    def facts(self) -> dict[str, Json]:
        """What policy reads as ``report.facts.gpu.scrub.before`` and ``.after``."""
        return {
            "done": not self.problem,
            "devices": self.devices,
            "scrubbed_bytes": self.scrubbed_bytes,
            "free_bytes": self.free_bytes,
            "problem": self.problem,
        }


def scrub_devices(
    provision: Provision,
    wanted: int,
    *,
    device: str = "cuda",
    limit_bytes: int | None = None,
    sandbox: Sandbox | None = None,
) -> Scrub:
    """Overwrite the free memory of the devices that a job with this `provision` would see.

    Args:
        provision: Devices, libraries and environment.
        wanted: How many devices have to be met.
        device: ``cuda``; ``cpu`` is a dry run over ordinary memory, and its result says so by its problem.
        limit_bytes: At most so much of each.
        sandbox: Where the program runs; the best one of this machine when not given.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="interlock-scrub-") as work:
            said = _run(sandbox or best_sandbox(), Path(work), provision, device=device, limit_bytes=limit_bytes)
            return _judged(said, wanted, device)
    except (InterlockError, OSError, ValueError, KeyError, TypeError) as error:
        return Scrub(problem=f"the free memory could not be overwritten: {error}")


def _run(
    sandbox: Sandbox, work: Path, provision: Provision, *, device: str, limit_bytes: int | None
) -> tuple[int, str, Mapping[str, Json]]:
    """Exit status, the end of what the program printed, and its report."""
    outside = Folders(data=work / "data", code=work / "code", out=work / "out", scratch=work / "tmp")
    for folder in (outside.data, outside.code, outside.out, outside.scratch):
        folder.mkdir()
    shutil.copyfile(PROGRAM, outside.code / PROGRAM.name)
    inside = sandbox.inside(outside)
    words = [sys.executable, os.fspath(inside.code / PROGRAM.name), "--device", device]
    words += ["--out", os.fspath(inside.out / _REPORT)]
    words += [] if limit_bytes is None else ["--limit-bytes", str(limit_bytes)]
    environment = {
        "HOME": os.fspath(inside.scratch),
        "TMPDIR": os.fspath(inside.scratch),
        **dict(provision.environment),
    }
    job = Job(
        argv=tuple(words),
        environment=tuple(sorted(environment.items())),
        folders=outside,
        visible=provision.visible,
        limits=Limits(wall_seconds=_WALL_SECONDS, output_bytes=_OUTPUT_BYTES),
        working_folder=inside.scratch,
        devices=provision.devices,
    )
    ended = sandbox.run(job)
    report = outside.out / _REPORT
    text = report.read_text(encoding="utf-8") if report.is_file() and not report.is_symlink() else "{}"
    status = ended.exit_status if ended.limit is None else 124
    return status, ended.log_tail, cast("Mapping[str, Json]", json.loads(text))


def _judged(said: tuple[int, str, Mapping[str, Json]], wanted: int, device: str) -> Scrub:
    status, log, report = said
    listed = cast("list[Mapping[str, int]]", report.get("devices", []))
    found = Scrub(
        devices=len(listed),
        scrubbed_bytes=sum(one["scrubbed_bytes"] for one in listed),
        free_bytes=sum(one["free_bytes"] for one in listed),
    )
    least = min((one["scrubbed_bytes"] / max(1, one["free_bytes"]) for one in listed), default=0.0)
    last = log.strip().splitlines()[-1][:300] if log.strip() else "it printed nothing"
    problem = ""
    if any(one["nonzero_samples"] for one in listed):
        problem = "memory that was overwritten with zeros did not read as zeros"
    elif status != 0:
        problem = f"the scrub program ended with status {status}: {last}"
    elif device != "cuda":
        problem = f"a dry run over {device} memory; no GPU was touched"
    elif len(listed) != wanted:
        problem = f"{len(listed)} of {wanted} devices were overwritten"
    elif least < ENOUGH:
        problem = f"only {least:.0%} of a device's free memory could be overwritten"
    return Scrub(
        devices=found.devices, scrubbed_bytes=found.scrubbed_bytes, free_bytes=found.free_bytes, problem=problem
    )
