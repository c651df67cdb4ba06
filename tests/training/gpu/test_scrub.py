"""Free memory is overwritten and read back; a dry run over ordinary memory never passes for one over a GPU's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.gate import UnavailableError
from interlock.training import BwrapSandbox, Ended, Job
from interlock.training.gpu import scrub as program
from interlock.training.gpu.scrubbing import Scrub, scrub_devices
from interlock.training.safeguards import Provision

MIB = 2**20


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


def test_ordinary_memory_is_overwritten_in_pieces_and_read_back(torch: Any) -> None:
    report = program.scrub(torch, "cpu", limit_bytes=300 * MIB)
    assert report["device"] == "cpu"
    assert report["scrubbed_bytes"] == report["free_bytes"] == 300 * MIB
    assert report["pieces"] == 2
    assert report["samples"] > 2 * program.SAMPLES - 2
    assert report["nonzero_samples"] == 0


def test_ordinary_memory_needs_a_limit(torch: Any) -> None:
    with pytest.raises(ValueError, match="limit"):
        program.scrub(torch, "cpu")


def test_a_byte_that_is_not_zero_is_met_where_it_is_read(torch: Any) -> None:
    piece = torch.zeros(1000, dtype=torch.uint8)
    assert program.sampled(torch, piece) == (1000, 0)
    piece[123] = 7
    assert program.sampled(torch, piece) == (1000, 1)


class Stingy:
    """A torch whose allocator gives nothing larger than `most` bytes and `all_` bytes together."""

    uint8 = "uint8"

    def __init__(self, most: int, all_: int) -> None:
        self.most, self.left = most, all_

    def empty(self, size: int, *, dtype: str, device: str) -> Any:
        if size > min(self.most, self.left):
            raise RuntimeError("out of memory")
        self.left -= size
        return Piece(size)


class Piece:
    def __init__(self, size: int) -> None:
        self.size = size

    def zero_(self) -> Piece:
        return self

    def numel(self) -> int:
        return self.size


def test_pieces_get_smaller_until_the_allocator_gives_nothing_more() -> None:
    allocator = Stingy(most=100 * MIB, all_=211 * MIB)
    pieces = program.zeroed_pieces(allocator, "cuda:0", 10**10)
    assert [piece.numel() // MIB for piece in pieces] == [64, 64, 64, 16, 2, 1]
    assert allocator.left < program.FLOOR_BYTES


class Says:
    """A sandbox whose program leaves `report` and ends with `status`."""

    def __init__(self, report: object, status: int = 0) -> None:
        self._report, self._status = report, status
        self.job: Job | None = None

    def inside(self, outside: Any) -> Any:
        return outside

    def run(self, job: Job, **_: Any) -> Ended:
        self.job = job
        text = self._report if isinstance(self._report, str) else json.dumps(self._report)
        (job.folders.out / "scrub.json").write_text(text)
        return Ended(exit_status=self._status, seconds=1.0, limit=None, log_tail="CUDA error", log_bytes=10)


def device(**changes: int) -> dict[str, Any]:
    return {"free_bytes": 1000, "scrubbed_bytes": 990, "nonzero_samples": 0, **changes}


def said(report: object, status: int = 0, **more: Any) -> Scrub:
    return scrub_devices(Provision(), 1, sandbox=Says(report, status), **more)  # type: ignore[arg-type]


def test_a_whole_scrub_is_done_and_says_how_much() -> None:
    found = said({"devices": [device()]})
    assert found.facts() == {
        "done": True,
        "devices": 1,
        "scrubbed_bytes": 990,
        "free_bytes": 1000,
        "problem": "",
    }


@pytest.mark.parametrize(
    ("report", "status", "problem"),
    [
        ({"devices": [device(nonzero_samples=1)]}, 1, "did not read as zeros"),
        ({"devices": [device(nonzero_samples=1)]}, 0, "did not read as zeros"),
        ({"devices": [device()]}, 137, "ended with status 137: CUDA error"),
        ({"devices": []}, 0, "0 of 1 devices"),
        ({"devices": [device(), device()]}, 0, "2 of 1 devices"),
        ({"devices": [device(scrubbed_bytes=500)]}, 0, "only 50%"),
        ({"devices": [device(free_bytes=0, scrubbed_bytes=0)]}, 0, "only 0%"),
        ({"devices": [{}]}, 0, "could not be overwritten"),
        ({"devices": 3}, 0, "could not be overwritten"),
        ("{", 0, "could not be overwritten"),
    ],
)
def test_less_than_a_whole_scrub_is_not_done(report: object, status: int, problem: str) -> None:
    found = said(report, status)
    assert problem in found.problem
    assert found.facts()["done"] is False


def test_a_dry_run_is_not_done() -> None:
    found = said({"devices": [device()]}, device="cpu", limit_bytes=1000)
    assert "dry run over cpu memory" in found.problem


def test_a_sandbox_that_cannot_be_built_is_a_problem_and_no_crash() -> None:
    class Broken(Says):
        def run(self, job: Job, **_: Any) -> Ended:
            raise UnavailableError("no sandbox")

    found = scrub_devices(Provision(), 1, sandbox=Broken({}))  # type: ignore[arg-type]
    assert "no sandbox" in found.problem


@pytest.mark.slow
def test_the_program_runs_in_the_sandbox(bwrap: BwrapSandbox, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = scrub_devices(Provision(), 1, device="cpu", limit_bytes=64 * MIB, sandbox=bwrap)
    assert (found.devices, found.scrubbed_bytes, found.free_bytes) == (1, 64 * MIB, 64 * MIB)
    assert found.problem == "a dry run over cpu memory; no GPU was touched"


@pytest.mark.slow
def test_no_gpu_in_the_sandbox_is_a_problem(bwrap: BwrapSandbox) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert "ended with status 1" in scrub_devices(Provision(), 1, sandbox=bwrap).problem
