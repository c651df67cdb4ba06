"""State of a training as JSON and tensors, and back, exactly: nothing in it can run when it is read.

What JSON has no word for stands in an object with one name that says what it is: ``{"tuple": [...]}``. A value that
comes back another one than it went in is refused when it is written, never when it is needed. Decides nothing about
files; `tensorfile` lays the tensors out.
"""

from __future__ import annotations

import base64
import math
import struct
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from interlock.gate.errors import SubjectError, UsageError
from interlock.gate.values import Json

_EXACT = 2**53
"""Whole numbers up to here are the same for every reader of JSON (RFC 8259, 6)."""

_DEEPEST = 64
_TORCH_WORDS = ("size", "dtype", "device")


@dataclass(slots=True)
class Encoded:
    """One value, written down.

    Args:
        tree: The value as JSON; tensors and arrays by their names.
        tensors: torch tensors and numpy arrays by name, each piece of memory once.
        aliases: Further names under which a tensor stands in the value, to its name in `tensors`.
    """

    tree: Json = None
    tensors: dict[str, Any] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)


def encode(value: object, *, item: str) -> Encoded:
    """Write `value` down.

    Args:
        value: Numbers, texts, bytes, None, lists, tuples, dictionaries, counters, torch tensors, sizes, dtypes and
            devices, numpy arrays and numbers, and these inside of each other.
        item: What it is, for messages.

    Raises:
        UsageError: It holds something else; says where.
    """
    writer = _Writer(item)
    writer.found.tree = writer.tree(value, ())
    return writer.found


class _Writer:
    def __init__(self, item: str) -> None:
        self._item = item
        self._seen: dict[tuple[object, ...], str] = {}
        self.found = Encoded()

    def tree(self, value: Any, path: tuple[str, ...]) -> Json:
        if len(path) > _DEEPEST:
            raise self._refused("nests too deep, or holds itself", path)
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return self._text(str(value), path) if kind is str else value
        if kind is int:
            return value if -_EXACT < value < _EXACT else {"int": str(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": struct.pack(">d", value).hex()}
        if kind is list:
            return self._all(value, path)
        writer = _KINDS.get(kind)
        if writer is not None:
            return writer(self, value, path)
        return self._of_library(value, path)

    def _text(self, value: str, path: tuple[str, ...]) -> Json:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self._refused("is a text that is not Unicode", path) from error
        return value

    def _all(self, values: Iterable[Any], path: tuple[str, ...]) -> list[Json]:
        return [self.tree(value, (*path, str(place))) for place, value in enumerate(values)]

    def pairs(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> list[Json]:
        """Pairs and not an object: the order counts, and so does the type of a key."""
        return [[self.tree(key, (*path, "key")), self.tree(one, (*path, str(key)))] for key, one in value.items()]

    def ordered(self, value: OrderedDict[Any, Any], path: tuple[str, ...]) -> Json:
        tree: dict[str, Json] = {"ordered": self.pairs(value, path)}
        metadata = getattr(value, "_metadata", None)  # the versions of modules, which `load_state_dict` reads
        return tree if metadata is None else {"module": [tree["ordered"], self.tree(metadata, (*path, "_metadata"))]}

    def sequence(self, value: tuple[Any, ...], path: tuple[str, ...]) -> Json:
        return {"tuple": self._all(value, path)}

    def _of_library(self, value: Any, path: tuple[str, ...]) -> Json:
        torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")
        if torch is not None:
            if isinstance(value, torch.Tensor):
                return self._tensor(torch, value, path)
            if type(value) is torch.Size:
                return {"size": list(value)}
            if isinstance(value, torch.dtype | torch.device):
                word = "dtype" if isinstance(value, torch.dtype) else "device"
                return {word: str(value).removeprefix("torch.")}
        if numpy is not None and type(value) is numpy.ndarray:
            return {"array": self._named(_array(numpy, value, self._refused, path), path)}
        if numpy is not None and isinstance(value, numpy.generic):
            return {"number": self._named(_array(numpy, numpy.asarray(value), self._refused, path), path)}
        raise self._refused(f"is a {type(value).__module__}.{type(value).__qualname__}", path)

    def _tensor(self, torch: Any, value: Any, path: tuple[str, ...]) -> Json:
        from interlock.artifacts.conversion.tensors import TORCH

        odd = ""
        if type(value) not in {torch.Tensor, torch.nn.Parameter}:
            odd = f"is a {type(value).__qualname__}, a kind of tensor of its own"
        elif value.layout != torch.strided or value.is_quantized or value.device.type == "meta":
            odd = f"is a tensor that is sparse, quantized or without bytes ({value.layout}, on {value.device})"
        elif str(value.dtype).removeprefix("torch.") not in TORCH:
            odd = f"is a tensor of {value.dtype}, which safetensors does not hold"
        if odd:
            raise self._refused(odd, path)
        value = value.detach().resolve_conj().resolve_neg()
        view = (str(value.device), value.data_ptr(), value.dtype, value.shape, value.stride())
        name = self._seen.get(view) if value.numel() else None
        if name is None:
            name = self._named(value, path)
            self._seen[view] = name
        else:
            self.found.aliases[_free(_joined(path), {**self.found.tensors, **self.found.aliases})] = name
        dense = value.is_contiguous() or not _fills_its_memory(value)
        return {"tensor": name} if dense else {"tensor": name, "strides": list(value.stride())}

    def _named(self, tensor: Any, path: tuple[str, ...]) -> str:
        name = _free(_joined(path), {**self.found.tensors, **self.found.aliases})
        self.found.tensors[name] = tensor
        return name

    def _refused(self, what: str, path: tuple[str, ...]) -> UsageError:
        return UsageError(
            f"a part of the state {what}, which a checkpoint cannot hold",
            where="/".join((self._item, *path)),
            next_step="give numbers, texts, lists, dictionaries and tensors; leave the part out or write it as these",
        )


_KINDS: dict[type, Callable[[_Writer, Any, tuple[str, ...]], Json]] = {
    tuple: _Writer.sequence,
    dict: lambda writer, value, path: {"dict": writer.pairs(value, path)},
    Counter: lambda writer, value, path: {"counter": writer.pairs(value, path)},
    OrderedDict: _Writer.ordered,
    bytes: lambda _writer, value, _path: {"bytes": base64.b64encode(value).decode()},
    complex: lambda _writer, value, _path: {"complex": struct.pack(">dd", value.real, value.imag).hex()},
}


def _joined(path: tuple[str, ...]) -> str:
    return ".".join(path) or "value"


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or one like it: the keys 1 and "1" of a dictionary have one spelling."""
    name = "_metadata_" if name == "__metadata__" else name
    while name in taken:
        name += "~"
    return name


def _fills_its_memory(value: Any) -> bool:
    """Whether the elements lie side by side in some order of the axes, as those of channels-last images do."""
    expected = 1
    for step, size in sorted(zip(value.stride(), value.shape, strict=True)):
        if size == 1:
            continue
        if step != expected:
            return False
        expected *= size
    return True


def _array(numpy: Any, value: Any, refused: Callable[[str, tuple[str, ...]], UsageError], path: tuple[str, ...]) -> Any:
    from interlock.artifacts.conversion.tensors import NUMPY

    if value.dtype.str[1:] not in NUMPY or value.dtype.byteorder == ">":
        raise refused(f"is an array of {value.dtype}, which safetensors does not hold", path)
    return numpy.ascontiguousarray(value).reshape(value.shape)


class Tensors(Protocol):
    """Where the tensors of a state are; see `tensorfile.TensorFile`."""

    def tensor(self, name: str) -> Any:
        """The torch tensor of that name, the same object each time."""
        ...

    def array(self, name: str) -> Any:
        """The numpy array of that name."""
        ...


class Decoder:
    """Makes the values again.

    Args:
        tensors: What the tree names; None when there are none.
        item: What is read, for messages.
    """

    def __init__(self, tensors: Tensors | None, *, item: str) -> None:
        self._tensors = tensors
        self._item = item

    def value(self, tree: Json) -> Any:
        """What `tree` says.

        Raises:
            SubjectError: It says nothing that `encode` writes.
        """
        try:
            return self._value(tree)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error) as error:
            raise SubjectError(f"a checkpoint's state cannot be read: {error!r}", where=self._item) from error

    def _value(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self._value(one) for one in tree]
        if not isinstance(tree, dict):
            return tree
        strides = tree.get("strides")
        ((word, said),) = ((word, said) for word, said in tree.items() if word != "strides")
        if word in {"tensor", "array", "number"}:
            return self._stored(word, said, strides)
        if word in {"dict", "ordered", "counter", "module"}:
            return self._mapping(word, said)
        if word in _TORCH_WORDS:
            return _torch_value(word, said)
        return _PLAIN[word](said) if word != "tuple" else tuple(self._value(one) for one in said)

    def _stored(self, word: str, name: str, strides: list[int] | None) -> Any:
        if self._tensors is None:
            raise KeyError(name)
        if word != "tensor":
            array = self._tensors.array(name)
            return array[()] if word == "number" else array
        stored = self._tensors.tensor(name)
        if strides is None:
            return stored
        import torch

        laid = torch.empty_strided(stored.shape, strides, dtype=stored.dtype)
        return laid.copy_(stored)

    def _mapping(self, word: str, said: Any) -> Any:
        if word == "module":
            module = OrderedDict(self._pairs(said[0]))
            module._metadata = self._value(said[1])  # type: ignore[attr-defined]  # noqa: SLF001 (torch's own name)
            return module
        if word == "ordered":
            return OrderedDict(self._pairs(said))
        return dict(self._pairs(said)) if word == "dict" else Counter(dict(self._pairs(said)))

    def _pairs(self, said: Any) -> list[tuple[Any, Any]]:
        return [(self._value(key), self._value(one)) for key, one in said]


def _torch_value(word: str, said: Any) -> Any:
    import torch

    if word == "size":
        return torch.Size(said)
    if word == "device":
        return torch.device(said)
    found = getattr(torch, said)
    if not isinstance(found, torch.dtype):
        raise TypeError(f"{said} is no dtype of torch")
    return found


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": lambda said: struct.unpack(">d", bytes.fromhex(said))[0],
    "complex": lambda said: complex(*struct.unpack(">dd", bytes.fromhex(said))),
    "bytes": lambda said: base64.b64decode(said, validate=True),
}
