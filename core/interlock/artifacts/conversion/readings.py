"""The readings that prove a conversion: what each tensor is, by somebody else than the writer.

A reading gives the dtype as safetensors names it, the shape, and the sha256 of the elements' bytes in order, so NaN
payloads and the sign of zero count.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from interlock.artifacts.conversion.naming import ALONE, chosen, name_tensors
from interlock.artifacts.conversion.tensors import NUMPY, TORCH, ConversionError, Stored, Tensor
from interlock.artifacts.pickles.profiles import profile_named

Digests: TypeAlias = dict[str, tuple[str, list[int], str]]
"""dtype, shape and sha256 by name."""

_END_OF_SENTENCE = r"\.\s|\n"
_BEYOND_TORCH = frozenset({"numpy", "argparse", "_codecs"})


def torch_digests(source: Path, result: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Let torch read the source, and safetensors the result.

    Args:
        source: Loaded with ``weights_only``.
        result: Opened with `safetensors.safe_open`.
        options: ``format``, ``profile`` and ``key``.

    Raises:
        ConversionError: torch does not load the source, or the part is not there.
    """
    import torch
    from safetensors import safe_open

    torch.set_num_threads(1)
    allowed = _allowed_globals(options["profile"])
    try:
        with torch.serialization.safe_globals(allowed):
            value = torch.load(
                source, map_location="cpu", weights_only=True, mmap=True if options["format"] == "torch-zip" else None
            )
    except Exception as error:
        # The plug-in boundary: whatever torch raises on a file that the scan and the writer can read.
        raise ConversionError(f"torch does not load the source: {why(error)}") from error
    found = name_tensors(
        chosen(value, options["key"]), lambda one: one if isinstance(one, torch.Tensor) else None
    ).tensors
    seen: dict[str, Any] = {"source": {name: _of_torch(tensor) for name, tensor in found.items()}}
    with safe_open(result, framework="pt") as opened:
        seen["result"] = {name: _of_torch(opened.get_tensor(name)) for name in opened.keys()}  # noqa: SIM118 (no dict)
    return seen


def why(error: Exception) -> str:
    """The first sentence of an error about the source, without torch's advice to load it unsafely."""
    said = str(error)
    said = said.partition("WeightsUnpickler error: ")[2] or said
    return f"{type(error).__name__}: {re.split(_END_OF_SENTENCE, said, maxsplit=1)[0]}"[:500]


def _allowed_globals(profile: str) -> list[Any]:
    """What the profile lets pass beyond what torch itself does: numpy's arrays, `argparse.Namespace`."""
    names = [rule for rule in profile_named(profile).rules if rule.module.split(".")[0] in _BEYOND_TORCH]
    if not names:
        return []
    import numpy as np

    allowed: list[Any] = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core is an old name
        for rule in names:
            with suppress(ImportError, AttributeError):
                allowed.append((getattr(importlib.import_module(rule.module), rule.name), rule.path))
    return allowed


def _of_torch(tensor: Any) -> tuple[str, list[int], str]:
    import torch

    name = str(tensor.dtype).removeprefix("torch.")
    # An axis of one element may have any stride in a contiguous tensor, but not to be viewed as bytes.
    plain = tensor.detach().contiguous().as_strided((tensor.numel(),), (1,))
    digest = hashlib.sha256(plain.view(torch.uint8).numpy() if plain.numel() else b"")
    return TORCH.get(name, name), list(tensor.shape), digest.hexdigest()


def numpy_digests(source: Path, key: str | None) -> dict[str, Any]:
    """Let numpy read the source, without pickles.

    Args:
        source: A ``.npz`` or ``.npy``.
        key: Of one array, None for all.

    Raises:
        ConversionError: The part is not there.
        ValueError: numpy does not load it.
    """
    import numpy as np

    def is_array(value: object) -> Any:
        return value if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" else None

    loaded: Any = np.load(source, allow_pickle=False, mmap_mode="r")
    if isinstance(loaded, np.ndarray):
        return {"source": {name: _of_numpy(array) for name, array in name_tensors(loaded, is_array).tensors.items()}}
    if key is not None:
        return {"source": {ALONE: _of_numpy(loaded[key])}}
    digests = {}
    for name in loaded.files:
        with suppress(ValueError):  # an array of objects, which the writer has left out
            if is_array(array := loaded[name]) is not None:
                digests[name] = _of_numpy(array)
    return {"source": digests}


def storage_digests(tensors: Mapping[str, Tensor], storages: Mapping[str, Stored]) -> Digests:
    """Let numpy take the elements of each view, whole, out of the storages that the source's pickle names.

    Args:
        tensors: Of the source.
        storages: Of the source.
    """
    import numpy as np

    digests = {}
    for name, tensor in tensors.items():
        stored = storages[tensor.storage]
        taken = np.ndarray(
            tensor.shape,
            np.dtype((np.void, tensor.itemsize)),
            buffer=stored.data,
            offset=stored.start + tensor.start,
            strides=tuple(step * tensor.itemsize for step in tensor.strides),
        )
        digests[name] = (tensor.dtype, list(tensor.shape), hashlib.sha256(taken.tobytes()).hexdigest())
    return digests


def _of_numpy(array: Any) -> tuple[str, list[int], str]:
    import numpy as np

    kind = array.dtype.str[1:]
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes())
    return NUMPY.get(kind, kind), list(array.shape), digest.hexdigest()
