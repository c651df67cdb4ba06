"""Looks at bytes as the gate does, for the tests of this room."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.limits import Budget
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.pickles.second_layer import SecondLayer
from interlock.artifacts.record import Record
from interlock.artifacts.scan import scan_bytes
from interlock.gate import Level, Observation, OpenSubject, Subject

PROFILES = ("torch-state-dict", "torch-checkpoint", "torch-dcp", "numpy")
WITH_CONTENTS = ("pandas", "xgboost", "lightgbm")
"""Profiles whose rules look into arrays; what `sklearn` allows, `xgboost` does."""


def record_of(
    data: bytes, profile: str = "torch-checkpoint", limits: Limits | None = None, layer: SecondLayer | None = None
) -> Record:
    """What a scan of `data` recorded."""
    record = Record(Budget(limits or Limits()))
    record.second_layer = layer
    scan_bytes(data, "model", profile=profile_named(profile), record=record)
    return record


def opened(folder: Path, files: Mapping[str, bytes]) -> OpenSubject:
    """A subject of these files; one named ``""`` is a subject of a single file."""
    for name, content in files.items():
        target = folder / name if name else folder / "model"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    single = "" in files
    return OpenSubject(
        subject=Subject(name="model", uri=folder.as_uri(), digest=hashlib.sha256(repr(files).encode()).hexdigest()),
        path=folder / "model" if single else folder,
        files=("",) if single else tuple(sorted(files)),
    )


def look(folder: Path, files: Mapping[str, bytes], profile: str = "torch-checkpoint") -> Observation:
    """What the gate sees of these files."""
    return ArtifactGate(profile=profile).look(opened(folder, files))


def errors(observation: Observation) -> set[str]:
    """Rule ids of the error findings."""
    return {finding.rule_id for finding in observation.findings if finding.level is Level.ERROR}


def allowed(observation: Observation) -> bool:
    """Nothing speaks against it and everything was looked at."""
    return not errors(observation) and not observation.coverage.failed and bool(observation.coverage.looked_at)
