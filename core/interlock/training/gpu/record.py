"""A recorded state of GPUs: written on a machine that has them, played back on one that has none.

It is for tests, for writing policy and for looking into a case afterwards. A record says nothing of the machine that
reads it, so whoever reports from one says so: `RecordedProbe.recorded` is true, and its tool is named for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_origin, get_type_hints

from interlock.gate import Json, Tool, UsageError
from interlock.gate.documents import moment_of, timestamp, unambiguous_json
from interlock.training.gpu.state import GpuProcess, GpuState

RECORD_FORMAT = "interlock-gpu-record/v1"
_MAXIMUM_BYTES = 4 * 2**20
_NEXT_STEP = "make one with `interlock gpu record` on a machine with GPUs"


class RecordedProbe:
    """Answers from a record.

    Args:
        path: The record.

    Raises:
        UsageError: It is missing, too large, or no record of this version.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                raw = stream.read(_MAXIMUM_BYTES + 1)
        except OSError as error:
            raise UsageError(f"the GPU record cannot be read: {error.strerror}", where=str(path)) from error
        if len(raw) > _MAXIMUM_BYTES:
            raise UsageError("the GPU record is too large", where=str(path), next_step=_NEXT_STEP)
        try:
            self._state, self.taken = read_record(raw)
        except ValueError as error:
            raise UsageError(f"no GPU record: {error}", where=str(path), next_step=_NEXT_STEP) from error

    @property
    def recorded(self) -> bool:
        """True, always."""
        return True

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Named for what it is, so that no report can be read as one of real devices."""
        return (Tool(name="interlock-gpu-record", version=timestamp(self.taken)),)

    def state(self) -> GpuState:
        """The state that was recorded."""
        return self._state

    def processes(self, uuid: str) -> tuple[GpuProcess, ...] | None:
        """The processes that were recorded; None for a device that was not."""
        place = self._state.place(uuid)
        return None if place is None else place.processes

    def close(self) -> None:
        """Nothing is held."""


def written_record(state: GpuState, *, taken: datetime) -> str:
    """The JSON text of a record.

    Args:
        state: As it was.
        taken: When, UTC.
    """
    document = {"format": RECORD_FORMAT, "taken": timestamp(taken), "state": plain(state)}
    return json.dumps(document, indent=2) + "\n"


def plain(value: Any) -> Json:
    """A value of `interlock.training.gpu.state` as JSON: enums by their names in records, tuples as arrays."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(part) for name, part in asdict(value).items()}
    if isinstance(value, Enum):
        return cast("Json", value.value)
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(part) for part in value]
    return cast("Json", value)


def read_record(raw: str | bytes) -> tuple[GpuState, datetime]:
    """The reverse of `written_record`.

    Args:
        raw: Unverified.

    Raises:
        ValueError: It is no record of this version; says where it differs.
    """
    document = unambiguous_json(raw)
    if not isinstance(document, Mapping) or document.get("format") != RECORD_FORMAT:
        raise ValueError(f"its format is not {RECORD_FORMAT}")
    if document.keys() != {"format", "taken", "state"}:
        raise ValueError("it holds other parts than format, taken and state")
    taken = document["taken"]
    if not isinstance(taken, str):
        raise ValueError("taken is no text")  # noqa: TRY004 (what is wrong is the document)
    return cast("GpuState", _read(GpuState, document["state"], "state")), moment_of(taken)


def _read(kind: Any, value: Json, where: str) -> Any:
    """`value` as a `kind` that `state` is made of, nothing converted and nothing left out."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else _read(next(part for part in inner if part is not NoneType), value, where)
    if origin is tuple:
        return _read_tuple(inner, value, where)
    if is_dataclass(kind):
        return _read_object(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        if value not in {member.value for member in kind}:
            raise ValueError(f"{where} is none of {', '.join(str(member.value) for member in kind)}")
        return kind(value)
    if type(value) is not kind:
        raise ValueError(f"{where} is no {kind.__name__}")
    if kind is int and cast("int", value) < 0:
        raise ValueError(f"{where} is negative")
    return value


def _read_tuple(inner: tuple[Any, ...], value: Json, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is no array")  # noqa: TRY004 (what is wrong is the document)
    if inner[-1] is Ellipsis:
        return tuple(_read(inner[0], part, f"{where}[{index}]") for index, part in enumerate(value))
    if len(value) != len(inner):
        raise ValueError(f"{where} has not {len(inner)} parts")
    return tuple(
        _read(kind, part, f"{where}[{index}]") for index, (kind, part) in enumerate(zip(inner, value, strict=True))
    )


def _read_object(kind: Any, value: Json, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")  # noqa: TRY004 (what is wrong is the document)
    names = {field.name for field in fields(kind)}
    if value.keys() != names:
        wrong = ", ".join(sorted(value.keys() ^ names)[:5])
        raise ValueError(f"{where} lacks, or should not have: {wrong}")
    hints = get_type_hints(kind)
    return kind(**{name: _read(hints[name], part, f"{where}.{name}") for name, part in value.items()})
