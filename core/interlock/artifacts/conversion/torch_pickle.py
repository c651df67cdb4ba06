"""Unpickles what torch saved, without torch: tensors become views of storages, all else stays what it is or nothing.

CPython's own unpickler reads the opcodes; `find_class` imports nothing and knows the names of the scanner's profile
only. Runs inside of the sandbox, on what the scan found harmless. Sources: ``torch._utils`` and
``torch.serialization`` of torch 2.13.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

from interlock.artifacts.conversion.naming import Opaque
from interlock.artifacts.conversion.tensors import ELSEWHERE, TORCH, ConversionError, Tensor, view
from interlock.artifacts.layout import TORCH_STORAGES
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import shown


@dataclass(frozen=True, slots=True)
class StorageKind:
    """A storage class: torch's name of its elements' dtype, and their bytes."""

    dtype: str
    itemsize: int


@dataclass(frozen=True, slots=True)
class TorchDtype:
    """A dtype by torch's name."""

    name: str
    itemsize: int


@dataclass(frozen=True, slots=True)
class Storage:
    """What a persistent id gives: the key, the bytes, and what the bytes are."""

    key: str
    size: int
    kind: StorageKind


class Dictionary(dict[object, object]):
    """Stands for `OrderedDict`, `Counter` and `defaultdict`; drops torch's ``_metadata``."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(one for one in arguments if isinstance(one, dict | list)))

    def __setstate__(self, _: object) -> None:
        """The versions of modules, which safetensors does not hold either."""


class TorchUnpickler(pickle.Unpickler):
    """Reads one pickle of a torch file.

    Args:
        file: At its first byte; read no further than its end.
        profile: Whose names it may use.
        size_of: Gives the bytes of the storage with a key; raises `ConversionError` where there is none.
    """

    def __init__(self, file: IO[bytes], profile: Profile, size_of: Callable[[str, int], int]) -> None:
        super().__init__(file, encoding="utf-8")
        self._profile = profile
        self._size_of = size_of

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; nothing is imported."""
        if (module, name) not in self._profile.table:
            raise ConversionError(f"it names {shown(f'{module}.{name}')}, which {self._profile.name} does not know")
        if (module, name) in _STAND_INS:
            return _STAND_INS[module, name]
        rule = self._profile.table[module, name]
        if rule.kind == "storage-type":
            return StorageKind(TORCH_STORAGES[name], rule.size)
        if rule.kind == "torch-dtype":
            return TorchDtype(name, rule.size)
        return type("_Named", (Opaque,), {"path": rule.path})

    def persistent_load(self, identity: Any) -> Storage:
        """A storage: ``("storage", class, key, location, elements[, view])``."""
        match identity:
            case ("storage", StorageKind() as kind, str(key), str(), int(count), *rest) if rest in ([], [None]):
                size = count * kind.itemsize
            case _:
                raise ConversionError("it asks for something that is no storage of this file")
        if count < 0 or size != self._size_of(key, size):
            raise ConversionError(f"the storage {shown(key)!r} does not have the {size:,} bytes that are asked for")
        return Storage(key, size, kind)


def _rebuild_v2(*arguments: Any) -> Tensor:
    storage, offset, shape, strides, _grad, _hooks, *metadata = arguments
    kind: StorageKind = storage.kind
    return _rebuilt(storage, (offset, shape, strides), TorchDtype(kind.dtype, kind.itemsize), *metadata)


def _rebuild_v3(*arguments: Any) -> Tensor:
    storage, offset, shape, strides, _grad, _hooks, dtype, *metadata = arguments
    return _rebuilt(storage, (offset, shape, strides), dtype, *metadata)


def _rebuilt(storage: Storage, place: tuple[Any, Any, Any], dtype: TorchDtype, metadata: object = None) -> Tensor:
    offset, shape, strides = place
    oddity = "" if dtype.name in TORCH else f"has the dtype {dtype.name}, {ELSEWHERE}"
    lazy = [str(one) for one, is_set in metadata.items() if is_set] if isinstance(metadata, Mapping) else []
    if lazy:
        oddity = f"is a lazy view ({shown(', '.join(lazy))}): save it with .resolve_conj() and .resolve_neg()"
    return view(
        storage.size,
        storage=storage.key,
        dtype=TORCH.get(dtype.name, ""),
        itemsize=dtype.itemsize,
        offset=offset,
        shape=tuple(shape),
        strides=tuple(strides),
        oddity=oddity,
    )


_STAND_INS: Final[Mapping[tuple[str, str], object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_v2,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_v3,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, _grad, _hooks: tensor,
    ("torch", "Size"): tuple,
    ("torch.storage", "UntypedStorage"): StorageKind("uint8", 1),
    ("collections", "OrderedDict"): Dictionary,
    ("collections", "Counter"): Dictionary,
    ("collections", "defaultdict"): Dictionary,
}
