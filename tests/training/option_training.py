"""A training for the options of a step: its variable MODE says what it does, and it needs no library.

Run in the sandbox by the tests of `interlock train` and of `SecureTrainOperator`.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from interlock.training import tell
from interlock.training.checkpoints import SafeCheckpointer

STEPS = 5


def dies() -> str:
    """Counts, and dies once, in the middle, when it was not started on a checkpoint."""
    keeper = SafeCheckpointer()
    start = keeper.resume() or 0
    total = keeper.values.get("total", 0)
    for step in range(start + 1, STEPS + 1):
        total += step
        keeper.save(step, total=total)
        if step == 3 and not start:
            os._exit(7)
    return f"{start} {total}"


def differs() -> str:
    """Never the same twice."""
    return secrets.token_hex()


def same() -> str:
    """What was set for it."""
    names = ("CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "PYTHONHASHSEED", "OMP_NUM_THREADS")
    return "\n".join(f"{name}={os.environ.get(name)}" for name in names)


def private() -> str:
    """Tells, as `interlock.training.privacy.private` does, of ten steps with more than enough noise."""
    from interlock.training.privacy.accountant import Mechanism, epsilon_of

    delta = float(os.environ["INTERLOCK_DELTA"])
    steps = Mechanism(noise_multiplier=1.0, sample_rate=0.1, steps=10)
    spent = epsilon_of([steps], delta)
    told = {"process": "p", "engine": 0, "segment": 0, "spent": spent, "delta": delta, "accountant": "rdp"}
    tell("epsilon", **told, noise_multiplier=1.0, sample_rate=0.1, steps=10)
    return f"{spent} of {os.environ['INTERLOCK_EPSILON']}"


def main() -> None:
    """Do it, and write what came of it."""
    modes = {"dies": dies, "differs": differs, "same": same, "private": private}
    Path(os.environ["INTERLOCK_OUT"], "result.txt").write_text(modes[os.environ["MODE"]](), encoding="utf-8")


if __name__ == "__main__":
    main()
