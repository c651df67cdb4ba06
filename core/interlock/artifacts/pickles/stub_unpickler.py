"""Runs inside of the sandbox, by path: unpickles with stubs for every name, and says which names were asked for.

CPython's own unpickler reads the opcodes, so there is no second model of them that could be wrong in the same way as
the walk; `find_class` imports nothing and gives classes that do nothing. Usage: ``stub_unpickler.py DATA OUT``: each
file of the folder DATA is a pickle, and OUT becomes a JSON object of their names.
"""

from __future__ import annotations

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

Names = set[tuple[str, str]]


class _Stub:
    """Takes whatever an unpickler does with an object."""

    def __new__(cls, *_: Any, **__: Any) -> _Stub:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Whatever the arguments are."""

    def __call__(self, *_: Any, **__: Any) -> _Stub:
        return _Stub()

    def __setstate__(self, _: Any) -> None:
        """Whatever the state is."""

    def __setitem__(self, _: Any, __: Any) -> None:
        """Whatever is put where."""

    def append(self, _: Any) -> None:
        """As a list."""

    def extend(self, _: Any) -> None:
        """As a list."""

    def add(self, _: Any) -> None:
        """As a set."""

    def update(self, _: Any) -> None:
        """As a set."""


class _StubUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.names: Names = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add((module, name))
        return type("_Named", (_Stub,), {})

    def persistent_load(self, _: Any) -> Any:
        return _Stub()


def names_of(content: bytes) -> Names:
    """The names that a pickle asks for, as they stand in it.

    Args:
        content: Untrusted bytes; nothing that they name is imported or called.

    Raises:
        Exception: Whatever CPython's unpickler raises.
    """
    unpickler = _StubUnpickler(content)
    unpickler.load()
    return unpickler.names


def _said(file: Path) -> dict[str, Any]:
    try:
        return {"names": sorted(names_of(file.read_bytes()))}
    except Exception as error:  # noqa: BLE001 (whatever it is, the host is told)
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    """See the module."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.write_text(json.dumps({file.name: _said(file) for file in sorted(data.iterdir())}))


if __name__ == "__main__":
    main()
