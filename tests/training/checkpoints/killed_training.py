"""A small training that saves a checkpoint each step, killed where it is told to; run as a program by `test_kill`.

torch is imported once; each training is a fork of this process that has not started a thread yet.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from interlock.training.checkpoints import LineageKey, SafeCheckpointer

KEY = LineageKey(secret=bytes(range(32)))
STEPS = 6
CALLS = ("mkdir", "write", "fsync", "rename", "unlink", "rmdir")


class Saboteur:
    """Counts the calls that change a disk, and kills this process in front of one of them.

    A write is cut in the middle: half of its bytes are there.
    """

    def __init__(self, moment: int | None) -> None:
        self.moment = moment
        self.seen: list[str] = []
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))

    def step(self) -> None:
        self._count("step", ())

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            self._count(name, arguments, real)
            return real(*arguments, **more)

        return call

    def _count(self, name: str, arguments: tuple[Any, ...], real: Callable[..., Any] | None = None) -> None:
        self.seen.append(name)
        if len(self.seen) - 1 != self.moment:
            return
        if name == "write" and real is not None:
            real(arguments[0], memoryview(arguments[1])[: len(arguments[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)


def train(folder: Path, saboteur: Saboteur, *, seal: bool) -> str:
    """Train to the end, from the newest checkpoint if there is one; sha256 of the final weights."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    torch.use_deterministic_algorithms(True)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.BatchNorm1d(16), torch.nn.Dropout(0.2), torch.nn.Linear(16, 2)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS)
    keeper = SafeCheckpointer(folder, key=KEY, seal=seal)
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    done = keeper.resume(**parts) or 0
    for step in range(done, STEPS):
        saboteur.step()
        rows = torch.randn(16, 8) + random.random() + float(np.random.rand())
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(model(rows), torch.randint(2, (16,))))
        optimizer.step()
        scheduler.step()
        keeper.save(step + 1, **parts)
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def forked(folder: Path, moment: int | None, *, seal: bool) -> dict[str, Any]:
    """Train in a fork; what came of it, and which calls it made."""
    answer = folder.with_name(folder.name + ".answer")
    answer.unlink(missing_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            saboteur = Saboteur(moment)
            final = train(folder, saboteur, seal=seal)
            answer.write_text(json.dumps({"final": final, "calls": saboteur.seen}))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    found = json.loads(answer.read_text()) if code == 0 else {}
    return {"status": code, **found}


def warmed_up(room: Path) -> None:
    """Load here what each fork would load by itself; nothing that starts autograd, which a fork does not survive."""
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    optimizer = torch.optim.AdamW([weight])
    optimizer.step()
    keeper = SafeCheckpointer(room, key=KEY, seal=True)
    keeper.save(0, optimizer=optimizer)
    keeper.resume(optimizer=optimizer)


def main(cases: int, seed: int) -> None:
    torch.set_num_threads(1)
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as room:
        warmed_up(Path(room, "warm"))
        whole = forked(Path(room, "whole"), None, seal=False)
        calls = whole["calls"]
        kinds = sorted(set(calls))
        results = []
        for case in range(cases):
            # Each kind of call in turn, so that none is left to luck.
            kind = kinds[case % len(kinds)]
            moments = [place for place, name in enumerate(calls) if name == kind]
            folder, seal = Path(room, f"case{case}"), case % 2 == 1
            first = draw.choice(moments)
            killed = [forked(folder, moment, seal=seal)["status"] for moment in (first, draw.randrange(1, 40))]
            left = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
            ended = forked(folder, None, seal=seal)
            results.append({"kind": kind, "first": first, "killed": killed, "left": left, **ended})
    print(json.dumps({"final": whole["final"], "kinds": kinds, "results": results}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
