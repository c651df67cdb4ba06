"""Runs inside of the sandbox, by path: unpickles with stubs for every name, and says which names were asked for.

CPython's own unpickler reads the opcodes, so there is no second model of them that could be wrong in the same way as
the walk; `find_class` imports nothing and gives classes that do nothing. Usage: ``stub_unpickler.py DATA OUT``: each
file of the folder DATA is a pickle, and OUT becomes a JSON object of their names.

What this program imports is most of what a scan of a small model takes. `_pickle` is where `pickle` has its unpickler
from, and `_json` where `json` has its texts from; neither needs regular expressions, as the modules around them do.
"""

# ruff: noqa: PTH118, PTH123, PTH208 (pathlib takes as long to import as the rest of this program)
from __future__ import annotations

import io
import os
import sys
from _json import encode_basestring_ascii as quoted
from _pickle import Unpickler

TYPE_CHECKING = False
if TYPE_CHECKING:
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


class _StubUnpickler(Unpickler):
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


def _said(file: str) -> str:
    """A JSON object."""
    try:
        with open(file, "rb") as opened:
            names = sorted(names_of(opened.read()))
    except Exception as error:  # noqa: BLE001 (whatever it is, the host is told)
        return f'{{"error": {quoted(f"{type(error).__name__}: {error}"[:300])}}}'
    return '{"names": [' + ", ".join(f"[{quoted(module)}, {quoted(name)}]" for module, name in names) + "]}"


def main() -> None:
    """See the module."""
    data, out = sys.argv[1:3]
    said = (f"{quoted(name)}: {_said(os.path.join(data, name))}" for name in sorted(os.listdir(data)))
    with open(out, "w", encoding="ascii") as opened:
        opened.write("{" + ", ".join(said) + "}")


if __name__ == "__main__":
    main()
