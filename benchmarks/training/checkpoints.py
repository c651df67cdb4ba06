"""What safe checkpoints cost: saving beside `torch.save`, resuming beside safetensors, in pairs.

    python benchmarks/training/checkpoints.py [--pairs 9] [--mib 200]

Each pair does both, in an order that changes from pair to pair. Printed are medians over the pairs of seconds and of
the ratio. `torch.save` leaves its bytes in the page cache and `SafeCheckpointer` on the disk, so both promises are
compared: bare, and with an fsync(2) after it. Loading is into a model of the same shape, once with the files in the
page cache and once without (posix_fadvise(2)); safetensors maps a file and reads what is touched, or reads it whole
into memory first, as verifying needs it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import safetensors.torch
import torch

from interlock.training.checkpoints import LineageKey, SafeCheckpointer, store

KEY = LineageKey(secret=bytes(range(32)))


def network(mib: int) -> torch.nn.Module:
    layers = [torch.nn.Linear(1024, 1280, bias=False) for _ in range(max(1, mib // 5))]
    return torch.nn.Sequential(*layers)


def forgotten(folder: Path) -> None:
    """Take the files below `folder` out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def timed(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def compare(
    name: str, pairs: int, peer: Callable[[], object], ours: Callable[[], object], before: Callable[[], object]
) -> None:
    seconds: list[tuple[float, float]] = []
    for pair in range(pairs + 1):
        found = [0.0, 0.0]
        for side in (0, 1) if pair % 2 else (1, 0):
            before()
            found[side] = timed((peer, ours)[side])
        if pair:  # the first pair warms up
            seconds.append((found[0], found[1]))
    one, other = (statistics.median(pair[side] for pair in seconds) for side in (0, 1))
    ratios = sorted(ours / peer for peer, ours in seconds)
    print(
        f"| {name} | {one:.3f} | {other:.3f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--mib", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        model, target = network(given.mib), network(given.mib)
        pickle, plain = room / "peer.pt", room / "peer.safetensors"
        safetensors.torch.save_file(model.state_dict(), plain)
        keepers = {seal: SafeCheckpointer(room / f"sealed{seal}", key=KEY, seal=seal, keep=1) for seal in (False, True)}

        def saved() -> None:
            torch.save(model.state_dict(), pickle)

        def saved_durably() -> None:
            saved()
            descriptor = os.open(pickle, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

        def loaded() -> None:
            target.load_state_dict(safetensors.torch.load_file(plain))

        def loaded_whole() -> None:
            target.load_state_dict(safetensors.torch.load(plain.read_bytes()))

        def nothing() -> None:
            return

        def cold() -> None:
            forgotten(room)

        print("| what | peer s | ours s | ratio | of single pairs |")
        print("| --- | --- | --- | --- | --- |")
        for seal, kind in ((False, "signed"), (True, "signed and sealed")):
            save = partial(keepers[seal].save, 1, model=model)
            resume = partial(keepers[seal].resume, model=target)
            compare(f"save {kind}, torch.save and fsync", given.pairs, saved_durably, save, os.sync)
            compare(f"save {kind}, torch.save", given.pairs, saved, save, os.sync)
            for before, where in ((cold, "from the disk"), (nothing, "from the page cache")):
                for peer, what in ((loaded_whole, "safetensors read whole"), (loaded, "safetensors mapped")):
                    compare(f"resume {kind} {where}, {what}", given.pairs, peer, resume, before)
        assert all(torch.equal(one, other) for one, other in zip(model.parameters(), target.parameters(), strict=True))
        assert store.complete(room / "sealedFalse")


if __name__ == "__main__":
    main()
