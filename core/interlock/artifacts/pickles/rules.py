"""What an allow-list is made of: a rule for one global, and a named, versioned and hashed set of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from types import MappingProxyType

from interlock.gate.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalRule:
    """One global that a pickle may name.

    Args:
        module: Module as CPython would import it, after the Python 2 names are mapped.
        name: Name in that module; compared whole, so that dotted paths never reach further.
        kind: What it is as a value, see `interlock.artifacts.pickles.kinds`.
        size: Bytes of one element, for storages and dtypes.
        calls: Signatures that REDUCE may call it with; each a tuple of kinds, ``?`` after a kind means optional.
        new: Signatures for NEWOBJ; none of INST, OBJ and NEWOBJ_EX is ever allowed.
        result: Name of the function in `interlock.artifacts.pickles.kinds.RESULTS` that gives the call's value.
        build: Kind of state that BUILD may set on a result.
        items: SETITEM and SETITEMS may fill a result.
    """

    module: str
    name: str
    kind: str = "function"
    size: int = 0
    calls: tuple[tuple[str, ...], ...] = ()
    new: tuple[tuple[str, ...], ...] = ()
    result: str = ""
    build: str = ""
    items: bool = False

    @property
    def path(self) -> str:
        """Dotted name for people."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named, versioned and hashed allow-list.

    Args:
        name: Under which users ask for it.
        version: Changes with any rule.
        purpose: One line for people.
        rules: The globals.
        contents: The walk keeps the items of lists and dicts and knows where the bytes of arrays stand, so that rules
            may look into them.
    """

    name: str
    version: str
    purpose: str
    rules: tuple[GlobalRule, ...]
    contents: bool = False
    table: Mapping[tuple[str, str], GlobalRule] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = {(rule.module, rule.name): rule for rule in self.rules}
        object.__setattr__(self, "table", MappingProxyType(table))

    @property
    def digest(self) -> str:
        """Of every rule; made when it is asked for, because importing the profiles has to be cheap."""
        return _digest_of(self)


@cache
def _digest_of(profile: Profile) -> str:
    from interlock.gate.documents import digest_of

    rules: list[Json] = [asdict(rule) for rule in sorted(profile.rules, key=lambda rule: rule.path)]
    document: dict[str, Json] = {"name": profile.name, "version": profile.version, "rules": rules}
    return digest_of(document | ({"contents": True} if profile.contents else {}))
