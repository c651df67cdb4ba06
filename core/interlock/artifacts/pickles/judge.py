"""Says what a pickle may do: the permission half of the walk (`walk` is the semantics half).

Every opcode that makes the loader import, call or set something is asked for here. The answer is a symbolic value;
what the profile does not allow is recorded as an error finding and stands as `UNKNOWN` from then on, so that one
walk shows everything that a file would do.
"""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping, Sequence

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.content_checks import build_check, call_check, model_check
from interlock.artifacts.pickles.contents import ContentError
from interlock.artifacts.pickles.fields import STORAGE_INFO
from interlock.artifacts.pickles.kinds import (
    Instance,
    is_device,
    is_size,
    kind_of,
    matches,
    result_of,
    state_allowed,
    tensor_fits,
)
from interlock.artifacts.pickles.rules import GlobalRule, Profile
from interlock.artifacts.pickles.values import UNKNOWN, DictValue, ListValue, Value, preview
from interlock.artifacts.record import Record, shown
from interlock.gate.values import Json

UNKNOWN_SIZE = -1
"""Size of a storage that stands in the archive without its bytes."""
_DEEPEST_KEY = 100
_MOST_VISITS = 10_000


class Judge:
    """Applies one profile to one pickle.

    Args:
        profile: What is allowed; everything else is not.
        record: Where findings go.
        path: File or member, for the findings.
        storages: Storage members of the torch archive around this pickle, key to size in bytes; None outside of
            one, where no persistent id is allowed.
    """

    naming = False
    """Whether `filled` is told what containers hold, which only somebody who looks for names needs."""

    def __init__(
        self, profile: Profile, record: Record, path: str, *, storages: Mapping[str, int] | None = None
    ) -> None:
        self.profile = profile
        self.record = record
        self.path = path
        self.storages = storages
        self.storages_used: set[str] = set()
        self.names: set[tuple[str, str]] = set()
        self.interleaved = False
        self.named_a_global = False
        self.called = False
        self.misused = False
        self.refusals = 0
        self.held = 0

    @property
    def acts(self) -> bool:
        """Something was named and called, or what the profile allows was used in a way that it does not."""
        return self.called and (self.named_a_global or self.misused)

    def find_global(self, module: str, name: str, protocol: int, at: int) -> object:
        """GLOBAL and STACK_GLOBAL, as CPython's ``Unpickler.find_class`` resolves them.

        Args:
            module: As it stands in the pickle.
            name: As it stands in the pickle; dotted below protocol 4 means an attribute with a dot in its name.
            protocol: What the last PROTO said; below 3 the Python 2 names are mapped.
            at: Offset of the opcode.
        """
        # What Python could import; tensor data and text rarely spell one by accident.
        self.named_a_global |= bool(module) and module.isprintable() and " " not in module
        named = module, name
        if protocol < 3:
            module, name = _renamed(module, name)
        rule = self.profile.table.get((module, name))
        if rule is not None:
            self.names.add(named)
            return rule
        text = shown(f"{module}.{name}")
        self.record.unsafe_global(text)
        self._error(
            rules.UNSAFE_GLOBAL,
            f"names {text}, which the profile {self.profile.name} does not allow",
            at,
            module=shown(module),
            name=shown(name),
        )
        return UNKNOWN

    def unresolved_global(self, module: object, name: object, at: int) -> object:
        """STACK_GLOBAL whose names were computed or are no strings."""
        self.named_a_global = True
        self.record.unsafe_global(f"unresolved at {at}")
        self._error(
            rules.UNSAFE_GLOBAL,
            "names a global by something that is no constant text, so nobody can tell which",
            at,
            module=shown(preview(module)),
            name=shown(preview(name)),
        )
        return UNKNOWN

    def reduce(self, function: object, arguments: object, at: int) -> object:
        """REDUCE: ``function(*arguments)``."""
        self.called = True
        if isinstance(function, GlobalRule) and isinstance(arguments, tuple):
            if any(matches(arguments, signature) for signature in function.calls):
                if tensor_fits(function, arguments):
                    return self._made(function, arguments, at)
                return self._refuse("rebuilds a tensor that is larger than its storage", function, arguments, at)
            return self._refuse(f"calls {function.path} with arguments it may not have", function, arguments, at)
        return self._refuse("calls something that the profile does not allow", function, arguments, at)

    def new_object(self, kind: object, arguments: object, at: int) -> object:
        """NEWOBJ: ``kind.__new__(kind, *arguments)``."""
        self.called = True
        if isinstance(kind, GlobalRule) and isinstance(arguments, tuple):
            if any(matches(arguments, signature) for signature in kind.new):
                return self._made(kind, arguments, at)
            return self._refuse(f"makes a {kind.path}, which the profile does not allow", kind, arguments, at)
        return self._refuse("makes an object of something that the profile does not allow", kind, arguments, at)

    def never(self, opcode: str, kind: object, arguments: object, at: int) -> object:
        """INST, OBJ and NEWOBJ_EX: no profile allows them, for nothing that is allowed is written with them."""
        self.called = True
        return self._refuse(f"uses {opcode}, which no profile allows", kind, arguments, at)

    def build(self, instance: object, state: object, at: int) -> bool:
        """BUILD: ``instance.__setstate__(state)``, or attributes set from `state`; whether that is allowed."""
        self.called = True
        if isinstance(instance, Instance) and self._fits(instance, state, at):
            instance.built = True
            instance.state = state
            if instance.rule.build == STORAGE_INFO and isinstance(state, DictValue):
                self.record.add_slice(self.path, state.known or {})
            return True
        if instance is not UNKNOWN:
            self._refuse("sets a state that the profile does not allow", instance, state, at)
        return False

    def append(self, target: object, items: Sequence[object], at: int) -> None:
        """APPEND and APPENDS on anything but a list that nobody looks into: calls its ``extend`` or ``append``."""
        if type(target) is ListValue:
            self.hold(target.extend(items))
            if target.frozen:
                self._error(rules.UNSAFE_CONTENT, "appends to a list whose items were looked at already", at)
            return
        self.called = True
        if target is not UNKNOWN:
            self._refuse("appends to something that is no list", target, (), at)

    def hold(self, count: int) -> None:
        """Account for `count` values that are kept beyond the stack and the memo.

        Raises:
            LimitPassedError: That is more than one pickle may hold.
        """
        self.held += count
        if self.held > self.record.budget.limits.values:
            raise LimitPassedError(f"a pickle of more than {self.record.budget.limits.values:,} values to look into")

    def add(self, target: object, at: int) -> None:
        """ADDITEMS on anything but a set: calls its ``add``."""
        self.called = True
        if target is not UNKNOWN:
            self._refuse("adds to something that is no set", target, (), at)

    def set_items(self, target: object, keys: list[object], at: int) -> None:
        """SETITEM and SETITEMS."""
        self.check_hashed(keys, at)
        if type(target) is DictValue:
            target.add(keys)
            return
        if isinstance(target, Instance) and target.rule.items:
            return
        self.called = True
        if target is not UNKNOWN:
            self._refuse("sets items of something that is no dict", target, (), at)

    def filled(self, target: object, items: Sequence[object]) -> None:
        """SETITEM, SETITEMS and DICT filled `target` with keys and values, which alternate; see `naming`."""

    def check_hashed(self, items: list[object], at: int) -> None:
        """Keys of a dict and items of a set: the loader hashes them.

        Hashing a tuple recurses in C without a guard and visits shared parts again, so deep or branching keys crash
        or stop the loader.
        """
        if tuple not in map(type, items):
            return
        left = [(item, 0) for item in items if type(item) is tuple]
        visits = _MOST_VISITS + len(left)
        while left:
            item, depth = left.pop()
            visits -= 1
            if depth > _DEEPEST_KEY or visits < 0:
                self._error(rules.MALFORMED_PICKLE, "a dict key or set item nests too deep", at)
                return
            left += [(part, depth + 1) for part in item if isinstance(part, tuple)]

    def persistent_id(self, identity: object, at: int) -> object:
        """BINPERSID: only a storage of the torch archive around this pickle.

        torch writes ``("storage", type, key, location, number of elements)`` (torch.serialization._save).
        """
        problem = self._storage_problem(identity)
        if not problem and isinstance(identity, tuple):
            _, kind, key, _, count = identity
            self.storages_used.add(key)
            return Value("storage", fact=(count, kind.size))
        self._error(rules.UNSAFE_PERSISTENT_ID, problem, at, identity=shown(preview(identity), limit=400))
        return UNKNOWN

    def persistent_text(self, identity: str, at: int) -> object:
        """PERSID: protocol 0 only; torch never writes it."""
        self._error(
            rules.UNSAFE_PERSISTENT_ID,
            "asks the loader for an object by a text id, which no profile allows",
            at,
            identity=shown(identity),
        )
        return UNKNOWN

    def extension(self, code: int, at: int) -> object:
        """EXT1, EXT2, EXT4: a global by its number in a registry of the loading process."""
        self.named_a_global = True
        self.record.unsafe_global(f"extension {code}")
        self._error(
            rules.UNSAFE_EXTENSION,
            "names a global by a number of the loading process's extension registry, so nobody can tell which",
            at,
            code=code,
        )
        return UNKNOWN

    def buffer(self, opcode: str, at: int) -> object:
        """NEXT_BUFFER and READONLY_BUFFER: bytes that are not in this file."""
        self._error(rules.UNSAFE_PERSISTENT_ID, f"uses {opcode}: takes bytes that are not in this file", at)
        return UNKNOWN

    def _storage_problem(self, identity: object) -> str:
        if self.storages is None:
            return "asks the loader for an object by an id, outside of a torch archive"
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            return "asks the loader for something that is no storage of this archive"
        _, kind, key, location, count = identity
        if kind_of(kind) not in {"storage-type", "untyped-storage-type"} or not isinstance(kind, GlobalRule):
            return "asks for a storage of a type that the profile does not allow"
        held = self.storages.get(key) if isinstance(key, str) else None
        if held is None or not is_device(location) or not is_size(count):
            return "asks for a storage that is not in this archive, at an odd location or of an odd size"
        if held != UNKNOWN_SIZE and count * kind.size != held:
            return f"asks for {count} elements of {kind.size} bytes where the archive holds {held} bytes"
        return ""

    def _made(self, rule: GlobalRule, arguments: tuple[object, ...], at: int) -> object:
        """What an allowed call gives, unless the library would take what it is given for more than it is."""
        made = result_of(rule, arguments)
        check = call_check(rule.result)
        if check is not None and isinstance(made, Instance):
            try:
                check(made, arguments)
            except ContentError as error:
                self._content(rule, error, at)
                return UNKNOWN
        return made

    def _fits(self, instance: Instance, state: object, at: int) -> bool:
        kind = instance.rule.build
        check, model = build_check(kind), model_check(kind)
        if check is None and model is None:
            return state_allowed(instance, state)
        self.record.budget.check_time()
        try:
            if check is not None:
                check(instance, state)
            if model is not None:
                model(instance, state, self.record, self.path)
        except ContentError as error:
            self._content(instance.rule, error, at)
            return False
        return True

    def _content(self, rule: GlobalRule, error: ContentError, at: int) -> None:
        self.misused = True
        self._error(rules.UNSAFE_CONTENT, f"{rule.path} {error}", at, callable=shown(rule.path))

    def _error(self, rule: str, message: str, at: int, **evidence: Json) -> None:
        self.refusals += 1
        self.record.error(rule, message, self.path, at, **evidence)

    def _refuse(self, what: str, function: object, arguments: object, at: int) -> object:
        name = function.path if isinstance(function, GlobalRule) else preview(function)
        self.misused |= isinstance(function, GlobalRule | Instance)
        self._error(rules.UNSAFE_CALL, what, at, callable=shown(name), arguments=shown(preview(arguments), limit=400))
        return UNKNOWN


def _renamed(module: str, name: str) -> tuple[str, str]:
    # CPython, Unpickler.find_class with fix_imports: whole names first, then modules.
    if (module, name) in NAME_MAPPING:
        return NAME_MAPPING[module, name]
    return IMPORT_MAPPING.get(module, module), name
