"""Judges what plain `pickle.load` makes of a dump of joblib with an array of objects, up to where it certainly fails.

joblib begins a pickle of its own inside of the outer one, and its opcodes take strings from places of the memo that
hold others when somebody reads both as one. What joblib writes then asks for something that is no name, calls a text,
or asks any module for its ``dtype``, and the load ends there. Whatever a load could get past that is judged.
"""

from __future__ import annotations

from interlock.artifacts.pickles.judge import Judge
from interlock.artifacts.pickles.kinds import kind_of
from interlock.artifacts.pickles.text import MalformedError
from interlock.artifacts.pickles.values import LIST, UNKNOWN, DictValue

_DTYPE = "dtype"


class PlainJudge(Judge):
    """A judge that ends the walk where the loader raises, whatever is installed."""

    def find_global(self, module: str, name: str, protocol: int, at: int) -> object:
        """As `Judge.find_global`; the ``dtype`` of any module is numpy's, or is not there."""
        of_numpy = self.profile.table.get(("numpy", _DTYPE))
        return of_numpy if name == _DTYPE and of_numpy else super().find_global(module, name, protocol, at)

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
