"""Judges what plain `pickle.load` makes of a dump of joblib with an array of objects, up to where it certainly fails.

joblib begins a pickle of its own inside of the outer one, and its opcodes take strings from places of the memo that
hold others when somebody reads both as one. What joblib writes then asks for something that is no name, calls a text,
or asks some module for its ``dtype``, and the load ends there. Whatever a load could get past that is judged, and so is
the import of that module.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING
from pathlib import PurePosixPath
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.pickles.fields import ARRAY_WRAPPER, FIELDS
from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import kind_of
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.pickles.values import LIST, UNKNOWN, DictValue
from interlock.artifacts.record import shown

_DTYPE = "dtype"
_IMPORTED: Final = frozenset({".py", ".pyc", ".pyd", ".so"})
_WORDS: Final = frozenset({"NumpyArrayWrapper", *(field.rstrip("?") for field in FIELDS[ARRAY_WRAPPER])})
"""What joblib itself writes before an array, and so what harmless dumps ask for most often."""


class PlainJudge(Judge):
    """A judge that ends the walk where the loader raises, whatever is installed."""

    def find_global(self, module: str, name: str, protocol: int, at: int) -> object:
        """As `Judge.find_global`; the ``dtype`` of any module is numpy's, or is not there, but the module is imported.

        Which module that is, the outer pickle says: the key of a dict by chance, or whatever somebody put there.
        """
        of_numpy = self.profile.table.get(("numpy", _DTYPE))
        if name != _DTYPE or of_numpy is None or self._runs(module):
            return super().find_global(module, name, protocol, at)
        if module not in _WORDS and not self._known(module):
            what = f"plain pickle.load looks for a module {shown(module)}, and imports it if there is one"
            self.record.warning(rules.UNSAFE_GLOBAL, what, self.path, at, module=shown(module))
        return of_numpy

    def _known(self, module: str) -> bool:
        return any(module == known for known, _ in self.profile.table)

    def _runs(self, module: str) -> bool:
        """Whether somebody can say that importing it runs code that the profile does not name."""
        if self._known(module):
            return False
        files = [PurePosixPath(path) for path in self.record.sizes]
        beside = {path.name.partition(".")[0] for path in files if path.suffix in _IMPORTED}
        beside.update(part for path in files for part in path.parent.parts)
        return "." in module or module in sys.stdlib_module_names | IMPORT_MAPPING.keys() | beside

    def unresolved_global(self, module: object, name: object, at: int) -> object:
        """As `Judge.unresolved_global`, unless one of the two is no text: then the loader raises."""
        for part in (module, name):
            if type(part) is not str and part is not UNKNOWN and kind_of(part) != "str":
                raise MalformedError("names a global by something that is no text")
        return super().unresolved_global(module, name, at)

    def reduce(self, function: object, arguments: object, at: int) -> object:
        """As `Judge.reduce`."""
        _check_callable(function)
        return super().reduce(function, arguments, at)

    def new_object(self, kind: object, arguments: object, at: int) -> object:
        """As `Judge.new_object`."""
        _check_callable(kind)
        return super().new_object(kind, arguments, at)


def _check_callable(function: object) -> None:
    constant = function is None or isinstance(function, bool | int | float | str | bytes | tuple | DictValue)
    if constant or function is LIST:
        raise MalformedError("calls a constant")
