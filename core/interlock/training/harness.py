"""Calls a user's training function and writes what it returns in safe formats.

Run by path inside the sandbox, where nothing else of Interlock needs to be: it imports the standard library, and numpy,
torch and safetensors only where the user's function already made use of them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MODEL = "model.safetensors"
METRICS = "metrics.json"


class HarnessError(Exception):
    """What the user's function, its place or its answer lacks, in one sentence."""


def main(arguments: list[str]) -> int:
    """Import the function, call it with the data's and the output's path, and write its answer.

    Returns:
        0; 1 with the user's own traceback, or with one line that says what is missing.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--function", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    try:
        seed = int(os.environ.get("INTERLOCK_SEED", "0"))
        random.seed(seed)
        function = find(given.function)
        _seed_loaded(seed)
        if os.environ.get("INTERLOCK_DETERMINISTIC") == "1":
            from interlock.training.determinism import make_deterministic

            make_deterministic(seed)
        answer = _called(function, given.data, given.out)
        write(answer, given.out)
    except HarnessError as error:
        print(f"interlock: {error}", file=sys.stderr)  # noqa: T201 (this is a program)
        return 1
    return 0


def find(reference: str) -> Callable[[Path, Path], object]:
    """Import what ``module:qualified.name`` names.

    Raises:
        HarnessError: The module or a module that it imports is missing, or the name is not a function.
    """
    module, _, name = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise HarnessError(_missing(error)) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise HarnessError(f"{module} has no function {name}")
    function: Callable[[Path, Path], object] = found
    return function


def write(answer: object, out: Path) -> None:
    """Write tensors to `MODEL` and numbers, texts and truth values to `METRICS`.

    Args:
        answer: None (the function wrote its files itself), or a mapping from names to tensors and scalars.
        out: Where.

    Raises:
        HarnessError: Something that is neither, a metric that is not finite, or safetensors is not installed.
    """
    if answer is None:
        return
    if not isinstance(answer, Mapping):
        raise HarnessError(f"the function returned a {type(answer).__name__}, not a mapping of tensors and numbers")
    torch = sys.modules.get("torch")
    tensors: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    for key, value in answer.items():
        if torch is not None and isinstance(value, torch.Tensor):
            # A copy of each, because safetensors refuses tensors that share memory (tied weights).
            tensors[str(key)] = value.detach().cpu().contiguous().clone()
        else:
            metrics[str(key)] = _scalar(str(key), value)
    if tensors:
        _save(tensors, out / MODEL)
    if metrics:
        (out / METRICS).write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _scalar(key: str, value: Any) -> bool | int | float | str:
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise HarnessError(f"the metric {key!r} is {value}: the training diverged")
    if isinstance(value, bool | int | float | str):
        return value
    raise HarnessError(f"{key!r} is a {type(value).__name__}, neither a tensor nor a number")


def _save(tensors: dict[str, Any], path: Path) -> None:
    try:
        from safetensors.torch import save_file
    except ModuleNotFoundError as error:
        raise HarnessError(_missing(error)) from error
    save_file(tensors, path)


def _called(function: Callable[[Path, Path], object], data: Path, out: Path) -> object:
    try:
        return function(data, out)
    except ModuleNotFoundError as error:
        traceback.print_exc()
        raise HarnessError(_missing(error)) from error


def _missing(error: ModuleNotFoundError) -> str:
    module = (error.name or "").partition(".")[0]
    extra = f"pip install 'interlock[torch]' into {sys.prefix}" if module in {"torch", "safetensors"} else ""
    step = extra or f"install it into {sys.prefix}, or add its folder to `code`"
    return f"the training needs the module {module!r}, which the sandbox does not have. Next: {step}"


def _seed_loaded(seed: int) -> None:
    """Seed the generators of the libraries that the user's module has imported."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None:
        numpy.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)


if __name__ == "__main__":
    # Python looks beside its program first: a user's module ``run`` or ``job`` would be taken for one of Interlock's.
    sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]
    sys.exit(main(sys.argv[1:]))
