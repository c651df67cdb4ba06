"""Makes a training repeatable from inside: seeds, deterministic kernels, data loaders. For training code.

What has to be set before Python starts (hash seed, cuBLAS workspace, number of threads) the launcher sets. Whether the
training really is repeatable is not decided here: `interlock.training.repeat` runs it twice and compares. Imports the
standard library only; torch and numpy are set up when the training loads them.

Run as a program it does this for a script that knows nothing of it:
``python -m interlock.training.determinism train.py ...``.
"""

from __future__ import annotations

import importlib.util
import os
import random
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

SWITCH = "INTERLOCK_DETERMINISTIC"
"""The variable that asks for a repeatable training."""

WORKSPACE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""With which cuBLAS gives the same sums each time (cuBLAS library, 2.1.4, Results Reproducibility)."""


def make_deterministic(seed: int | None = None) -> int:
    """Seed every generator, and let torch use deterministic algorithms only.

    Libraries that are not loaded yet are set up at the moment when the training loads them.

    Args:
        seed: From 0 to 2**32 - 1; ``INTERLOCK_SEED`` when not given.

    Returns:
        The seed.
    """
    chosen = int(os.environ.get("INTERLOCK_SEED", "0")) if seed is None else seed
    os.environ.setdefault(*WORKSPACE)
    random.seed(chosen)
    for name, set_up in (("numpy", _numpy), ("torch", _torch)):
        module = sys.modules.get(name)
        if module is not None:
            set_up(module, chosen)
        else:
            sys.meta_path.insert(0, _WhenLoaded(name, set_up, chosen))
    return chosen


def loader_options(seed: int | None = None) -> dict[str, Any]:
    """``generator`` and ``worker_init_fn`` for a `torch.utils.data.DataLoader`, so that order and workers repeat.

    Args:
        seed: As in `make_deterministic`.
    """
    import torch

    chosen = int(os.environ.get("INTERLOCK_SEED", "0")) if seed is None else seed
    return {"generator": torch.Generator().manual_seed(chosen), "worker_init_fn": seed_worker}


def seed_worker(_worker: int) -> None:
    """Seed Python and numpy in a data-loader worker out of torch's seed for it, which is another one each epoch."""
    import torch

    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed)


def _numpy(numpy: Any, seed: int) -> None:
    numpy.random.seed(seed)


def _torch(torch: Any, seed: int) -> None:
    torch.manual_seed(seed)  # of CUDA's devices, too
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class _WhenLoaded:
    """Sets a library up right after it was loaded; for nothing else is anything changed."""

    def __init__(self, name: str, set_up: Callable[[Any, int], None], seed: int) -> None:
        self._name = name
        self._set_up = set_up
        self._seed = seed

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 (the protocol of importlib)
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The library's own spec, with `_set_up` after its loading."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def loaded(module: ModuleType) -> None:
            load(module)
            self._set_up(module, self._seed)

        spec.loader.exec_module = loaded  # type: ignore[method-assign]
        return spec


def main(arguments: list[str]) -> None:
    """Run a script as ``python SCRIPT ...`` would, repeatable.

    Args:
        arguments: The script's path, then its own arguments.
    """
    if not arguments:
        raise SystemExit("python -m interlock.training.determinism SCRIPT ...")
    make_deterministic()
    sys.argv = arguments
    sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))  # noqa: PTH100, PTH120 (as Python itself does it)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
