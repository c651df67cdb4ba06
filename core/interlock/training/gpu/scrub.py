"""Overwrites the free memory of accelerators with zeros. Run by path in the sandbox; imports torch and nothing of ours.

It takes what the allocator gives, in ever smaller pieces, writes zeros, and reads samples back. That is best effort:
memory that others hold, that the context keeps for itself, or that a later process gets before the driver clears it, is
not reached. With ``--device cpu`` it does the same to a bounded amount of ordinary memory, which shows that the program
works and nothing else; its report says ``cpu``.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

CHUNK_BYTES = 256 * 2**20
FLOOR_BYTES = 2**20
SAMPLES = 4096
"""How many bytes of each piece are read back."""


def main(arguments: list[str]) -> int:
    """Scrub every device that is visible, or the processor's memory, and write a report.

    Returns:
        0 when every sample was zero, 1 otherwise.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", choices=("cuda", "cpu"), required=True)
    parser.add_argument("--limit-bytes", type=int)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    import torch

    count = torch.cuda.device_count() if given.device == "cuda" else 1
    names = [f"cuda:{index}" for index in range(count)] if given.device == "cuda" else ["cpu"]
    found = [scrub(torch, name, limit_bytes=given.limit_bytes) for name in names]
    given.out.write_text(json.dumps({"torch": torch.__version__, "devices": found}), encoding="utf-8")
    return 0 if found and all(device["nonzero_samples"] == 0 for device in found) else 1


def scrub(torch: Any, device: str, *, limit_bytes: int | None = None) -> dict[str, Any]:
    """Overwrite the free memory of one device.

    Args:
        torch: The module.
        device: ``cuda:N``, or ``cpu``.
        limit_bytes: At most so much; has to be given for ``cpu``.

    Returns:
        ``device``, ``free_bytes`` before, ``scrubbed_bytes``, ``pieces``, ``samples``, ``nonzero_samples``.

    Raises:
        ValueError: ``cpu`` without a limit.
    """
    if device == "cpu":
        if limit_bytes is None:
            raise ValueError("scrubbing ordinary memory needs a limit")
        free = limit_bytes
    else:
        free = torch.cuda.mem_get_info(device)[0]
        free = free if limit_bytes is None else min(free, limit_bytes)
    pieces = zeroed_pieces(torch, device, free)
    if device != "cpu":
        torch.cuda.synchronize(device)
    read = [sampled(torch, piece) for piece in pieces]
    done = sum(piece.numel() for piece in pieces)
    report = {
        "device": device,
        "free_bytes": free,
        "scrubbed_bytes": done,
        "pieces": len(pieces),
        "samples": sum(samples for samples, _ in read),
        "nonzero_samples": sum(nonzero for _, nonzero in read),
    }
    del pieces
    if device != "cpu":
        torch.cuda.empty_cache()
    return report


def zeroed_pieces(torch: Any, device: str, free: int) -> list[Any]:
    """As many pieces as can be had, each filled with zeros; `free` bounds them together."""
    pieces: list[Any] = []
    size, left = CHUNK_BYTES, free
    while size >= FLOOR_BYTES and left >= FLOOR_BYTES:
        try:
            piece = torch.empty(min(size, left), dtype=torch.uint8, device=device)
        except (RuntimeError, MemoryError):  # torch.OutOfMemoryError is a RuntimeError
            size //= 2
            continue
        pieces.append(piece.zero_())
        left -= piece.numel()
    return pieces


def sampled(torch: Any, piece: Any) -> tuple[int, int]:
    """How many bytes of a piece were read back, and how many of them were not zero."""
    sample = piece[:: max(1, piece.numel() // SAMPLES)]
    return sample.numel(), int(torch.count_nonzero(sample))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
