"""Models with weights, honest and not, and what the gate says of them."""

from __future__ import annotations

import io
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_safetensors
from tests.artifacts.harmless import saved
from tests.artifacts.looking import opened

from interlock.artifacts import ArtifactGate
from interlock.artifacts.limits import Budget, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.weights.holders import WholeFile
from interlock.artifacts.weights.listing import listed
from interlock.artifacts.weights.tensor import Listing
from interlock.gate import Finding, Level, Observation

TEXT = b"".join(path.read_bytes() for path in sorted((Path(__file__).parents[2] / "docs").rglob("*.md")))
"""A payload that anybody can read; 300 KB and more."""

Weights = dict[str, torch.Tensor]
Save = Callable[[Weights], bytes]
SAVERS: Mapping[str, Save] = {"safetensors": save_safetensors, "torch-zip": saved}


@cache
def _trained() -> dict[str, Any]:
    torch.manual_seed(0)
    rows = torch.randn(512, 64)
    labels = (rows[:, 0] > 0).long()
    net = torch.nn.Sequential(
        torch.nn.Linear(64, 512),
        torch.nn.BatchNorm1d(512),
        torch.nn.ReLU(),
        torch.nn.Linear(512, 256),
        torch.nn.LayerNorm(256),
        torch.nn.Linear(256, 2),
    )
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(100 * rows), labels).backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict()}


def trained() -> Weights:
    """Weights that a short training really left, to be changed at will."""
    return {name: tensor.clone() for name, tensor in _trained()["model"].items()}


def checkpoint() -> dict[str, Any]:
    """The same with the state of the optimizer."""
    return _trained()


def with_low_bytes(tensor: torch.Tensor, payload: bytes, *, count: int = 1) -> torch.Tensor:
    """A copy whose `count` lowest bytes of each element hold the payload, as EvilModel writes it."""
    raw = np.array(tensor.numpy().reshape(-1).view(np.uint8)).reshape(-1, tensor.element_size())
    elements = min(len(payload) // count, len(raw))
    raw[:elements, :count] = np.frombuffer(payload[: elements * count], np.uint8).reshape(-1, count)
    return torch.from_numpy(raw.reshape(-1).view(np.float32).reshape(tensor.shape).copy())


def with_lowest_bits(tensor: torch.Tensor, payload: bytes) -> torch.Tensor:
    """A copy whose elements each hold one bit of the payload."""
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))[: tensor.numel()]
    raw: NDArray[np.uint32] = np.array(tensor.numpy().reshape(-1).view(np.uint32))
    raw[: len(bits)] = (raw[: len(bits)] & ~np.uint32(1)) | bits
    return torch.from_numpy(raw.view(np.float32).reshape(tensor.shape))


def seen(folder: Path, content: bytes, profile: str = "torch-checkpoint") -> Observation:
    """What the gate sees of one file."""
    return ArtifactGate(profile=profile, weights=True).look(opened(folder, {"": content}))


def measures(observation: Observation) -> dict[str, float]:
    return {measure.name: measure.value for measure in observation.measures}


def said(observation: Observation, rule: str) -> list[Finding]:
    return [finding for finding in observation.findings if finding.rule_id == f"artifact-scan.{rule}"]


def warnings(observation: Observation) -> list[str]:
    return [finding.message for finding in observation.findings if finding.level is not Level.NOTE]


def listing(folder: Path, content: bytes, use: Callable[[Listing], Any], profile: str = "torch-checkpoint") -> Any:
    """What `use` makes of the tensors in a file."""
    folder.joinpath("model").write_bytes(content)
    record = Record(Budget(Limits()))
    holder = WholeFile(folder / "model")
    with holder.opened() as data:
        found = listed(data, holder, "model", profile=profile_named(profile), record=record)
    return use(found)


def npz(save: Callable[..., None], **arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    save(out, **arrays)
    return out.getvalue()


@contextmanager
def few_files() -> Iterator[None]:
    """Lets this process have only 16 more files open than it has."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
