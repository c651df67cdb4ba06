"""CPython's own unpickler with everything it could reach replaced by recorders: the judge of the walk.

A program of its own: reads pickles from standard input (length, bytes), answers each with a line of JSON that says
which globals were named and which of them were called. Nothing named is ever imported.
"""

from __future__ import annotations

import copyreg
import io
import json
import pickle
import resource
import signal
import struct
import sys
from typing import Any

NAMES: list[list[str]] = []
CALLS: list[list[str]] = []
TOUCHED: list[str] = []


class Thing:
    """Stands for whatever a call gives; everything done to it is written down."""

    def __setstate__(self, state: object) -> None:
        TOUCHED.append("build")

    def append(self, item: object) -> None:
        TOUCHED.append("append")

    def extend(self, items: object) -> None:
        TOUCHED.append("extend")

    def add(self, item: object) -> None:
        TOUCHED.append("add")

    def __setitem__(self, key: object, value: object) -> None:
        TOUCHED.append("setitem")


class Recorder(type):
    """A class that stands for a global; calling it is written down."""

    path: list[str]

    def __call__(cls, *arguments: object, **keywords: object) -> Thing:
        CALLS.append(cls.path)
        return Thing()


def _new(cls: Any, *arguments: object, **keywords: object) -> Thing:
    CALLS.append(cls.path)
    return Thing()


def named(module: str, name: str) -> object:
    """What stands for a global; that it was asked for is written down."""
    NAMES.append([module, name])
    return Recorder("Global", (Thing,), {"path": [module, name], "__new__": _new})


def asked(_: object) -> Thing:
    """What stands for what a persistent id gives."""
    TOUCHED.append("persistent")
    return Thing()


class _Closed:
    """An unpickler's ways out, closed."""

    def find_class(self, module: str, name: str) -> object:
        return named(module, name)

    def persistent_load(self, pid: object) -> object:
        return asked(pid)


class Stub(_Closed, pickle.Unpickler):
    """CPython's unpickler in C, which `pickle` uses."""


class SlowStub(_Closed, pickle._Unpickler):
    """CPython's unpickler in Python, which joblib and torch inherit from, and which reads frames in another way."""


def answer(data: bytes, *, reader: type[Any] = Stub, most: int = 1, again: bool = False) -> dict[str, object]:
    """Load pickles with a stub.

    Args:
        data: They stand in it behind each other.
        reader: The stub.
        most: Pickles to load.
        again: One unpickler loads all of them, and keeps its memo.
    """
    for seen in (NAMES, CALLS, TOUCHED):
        seen.clear()
    error = ""
    file = io.BytesIO(data)
    unpickler = reader(file)
    try:
        for _ in range(most):
            unpickler.load()
            if file.tell() >= len(data) and not again:
                break
            unpickler = unpickler if again else reader(file)
    except Exception as problem:  # noqa: BLE001
        error = type(problem).__name__
    return {"names": list(NAMES), "calls": list(CALLS), "touched": list(TOUCHED), "error": error}


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    copyreg._extension_registry.clear()  # type: ignore[attr-defined]
    while header := sys.stdin.buffer.read(4):
        # Hashing a key that branches takes years and looks at no signal, so the default action has to end it.
        signal.setitimer(signal.ITIMER_REAL, 5)
        result = answer(sys.stdin.buffer.read(struct.unpack("<I", header)[0]))
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
