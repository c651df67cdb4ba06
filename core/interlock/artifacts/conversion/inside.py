"""What runs inside of the sandbox: writing the safetensors file, and the two readings that prove it.

Each function takes the place of the source, that of its answer, and options. A refusal is an answer: a file
`REPORT` beside the result, or the result itself, that says ``{"refused": why}``.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from interlock.artifacts.containers.zip_container import ZipStructureError
from interlock.artifacts.conversion.naming import Named, chosen, name_tensors
from interlock.artifacts.conversion.numpy_files import read_numpy, read_numpy_pickle
from interlock.artifacts.conversion.readings import Digests, numpy_digests, storage_digests, torch_digests, why
from interlock.artifacts.conversion.tensors import ConversionError, Tensor
from interlock.artifacts.conversion.torch_files import Contents, read_torch_legacy, read_torch_zip
from interlock.artifacts.conversion.writer import planned, write
from interlock.artifacts.formats.numpy_file import MalformedArrayError
from interlock.artifacts.limits import Budget, LimitPassedError, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer, open_bytes

REPORT = "report"

_REFUSALS = (ConversionError, LimitPassedError, ZipStructureError, MalformedArrayError)
_MISREAD = (
    pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError, ValueError,
)  # fmt: skip
"""What an unpickler raises on a pickle that does not fit together."""


def convert(data: Path, out: Path, options: Mapping[str, Any]) -> None:
    """Write `out`, and beside it what was left out.

    Args:
        data: The source, already scanned.
        out: Where the safetensors file goes.
        options: ``format``, ``profile``, ``key``, ``keep_duplicates`` and ``seconds``.
    """

    def converted() -> dict[str, Any]:
        with ExitStack() as stack:
            source = stack.enter_context(open_bytes(data))
            contents, found = _read(source, options, stack)
            plan = planned(
                found,
                metadata=dict(contents.metadata),
                source_bytes=len(source),
                keep_duplicates=options["keep_duplicates"],
            )
            with out.open("wb") as file:
                write(plan, contents.storages, file)
        return {
            "aliases": dict(plan.aliases),
            "left_out": found.left_out,
            "left_out_count": found.left_out_count,
        }

    said = _said(converted)
    if "refused" in said:
        out.write_bytes(b"")
    out.with_name(REPORT).write_text(json.dumps(said))


def prove(data: Path, out: Path, options: Mapping[str, Any]) -> None:
    """Read source and result by other means, and write what each tensor is.

    Args:
        data: The source, already scanned.
        out: Where the answer goes: ``source`` and ``result``, each ``{name: [dtype, shape, sha256]}``; the result only
            where safetensors is there to read it.
        options: Those of `convert`, ``by`` (``torch``, ``numpy`` or ``storages``) and ``result`` (its path).
    """

    def proven() -> dict[str, Any]:
        if options["by"] == "torch":
            return torch_digests(data, Path(options["result"]), options)
        if options["by"] == "numpy":
            return numpy_digests(data, options["key"])
        with ExitStack() as stack:
            source = stack.enter_context(open_bytes(data))
            contents, found = _read(source, options, stack)
            digests: Digests = storage_digests(found.tensors, contents.storages)
            return {"source": digests}

    out.write_text(json.dumps(_said(proven)))


def _said(answer: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return answer()
    except _REFUSALS as error:
        return {"refused": str(error)}
    except _MISREAD as error:
        return {"refused": f"it cannot be read: {why(error)}"}


def _read(data: Buffer, options: Mapping[str, Any], stack: ExitStack) -> tuple[Contents, Named[Tensor]]:
    profile, record = profile_named(options["profile"]), Record(Budget(Limits(seconds=options["seconds"])))
    if options["format"] == "torch-zip":
        contents = read_torch_zip(data, profile=profile, record=record)
    elif options["format"] == "torch-legacy":
        contents = read_torch_legacy(data, profile=profile, record=record)
    elif options["format"] == "numpy":
        contents = read_numpy(data, record=record, stack=stack)
    else:
        contents = read_numpy_pickle(data, profile=profile)
    found = name_tensors(chosen(contents.value, options["key"]), contents.tensor_of)
    if options["key"] is not None:
        found.leave_out_beside(options["key"], contents.value)
    return contents, found
