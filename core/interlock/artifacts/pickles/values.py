"""What stands on the stack of the symbolic pickle machine.

Constants stand for themselves: ``None``, `bool`, `int`, `float`, short `str` and `bytes`, and `tuple` of values. All
else is one of the classes here. The contents of lists and sets are not kept where nothing that a profile allows
depends on them; so a harmless pickle of millions of opcodes needs no memory for them. A profile whose rules look into
arrays and lists (`Profile.contents`) has lists kept as `ListValue`, and long constants as a value that says where
their bytes stand (`Span`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interlock.artifacts.source import Buffer

LONGEST_TEXT = 256
"""Characters or bytes of a string constant that are kept; longer ones become `TEXT` or `DATA`."""

MOST_KEYS = 64
"""Keys of one dict that are kept; with more, nothing that has to know all keys is allowed."""

MOST_ITEMS = 20_000
"""Items of one list that are kept under a profile that looks into lists."""


class Value:
    """A value of which only the kind is known.

    Args:
        kind: One of the kinds that signatures name, see `interlock.artifacts.pickles.kinds`.
        fact: What later checks need to know of it, for example a storage's size.
    """

    __slots__ = ("fact", "kind")

    def __init__(self, kind: str, fact: object = None) -> None:
        self.kind = kind
        self.fact = fact

    def __repr__(self) -> str:
        return f"<{self.kind}>"


@dataclass(frozen=True, slots=True)
class Span:
    """Where the bytes of a long constant stand.

    Args:
        data: The file, unverified.
        start: Offset of its first byte.
        size: How many bytes.
        latin1: They are UTF-8 of a text that stands for bytes, one character each (protocols 0 to 2).
    """

    data: Buffer
    start: int
    size: int
    latin1: bool = False

    def read(self) -> bytes:
        """The bytes; what cannot be decoded raises in the loader, and is empty here."""
        raw = self.data[self.start : self.start + self.size]
        return raw.decode("utf-8", "replace").encode("latin-1", "replace") if self.latin1 else bytes(raw)


class ListValue(Value):
    """A list whose length is known, and its first items where a rule may ask for them.

    Args:
        kept: Keep items, at most `MOST_ITEMS`.

    `frozen` after a rule has looked at its items: what it found would no longer hold if more were appended.
    """

    __slots__ = ("count", "frozen", "items", "kept")

    def __init__(self, *, kept: bool) -> None:
        super().__init__("list")
        self.items: list[object] = []
        self.count = 0
        self.kept = kept
        self.frozen = False

    def extend(self, items: Sequence[object]) -> int:
        """Note items that are appended; how many of them are kept."""
        self.count += len(items)
        kept = items[: MOST_ITEMS - len(self.items)] if self.kept else ()
        self.items += kept
        return len(kept)


class DictValue:
    """A dict, of which the first keys are known.

    Args:
        keys: The first `MOST_KEYS` keys.
        more: There are further ones.
        known: The values too, for the few dicts that are to be the state of an object whose fields are looked at.
    """

    __slots__ = ("keys", "known", "more")

    def __init__(self) -> None:
        self.keys: Sequence[object] = ()
        self.more = False
        self.known: dict[str, object] | None = None

    def keep(self, items: Sequence[object]) -> None:
        """Keep keys and values, which alternate; a key that is no text is left out, and then the numbers differ."""
        if self.more:
            return
        known = self.known = self.known or {}
        known.update((key, value) for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, str))

    def add(self, keys: Sequence[object]) -> None:
        """Note keys that are set."""
        # The first lot is kept as it is: a large pickle is mostly dicts that are filled once.
        if self.keys:
            keys = (*self.keys, *keys) if len(self.keys) + len(keys) <= MOST_KEYS else self.keys
            self.more |= keys is self.keys
        elif len(keys) > MOST_KEYS:
            keys = keys[:MOST_KEYS]
            self.more = True
        self.keys = keys

    def __repr__(self) -> str:
        return "<dict>"


LIST = Value("list")
SET = Value("set")
FROZENSET = Value("frozenset")
BYTEARRAY = Value("bytearray")
"""One whose bytes nobody asks for."""
TEXT = Value("str")
DATA = Value("bytes")
INTEGER = Value("int")
UNKNOWN = Value("unknown")
"""What a refused opcode leaves behind; the refusal has been recorded."""


def preview(value: object, depth: int = 3) -> str:
    """A short text of a value for evidence, bounded in depth and length whatever the value is."""
    if isinstance(value, tuple):
        if depth == 0:
            return "(...)"
        inner = ", ".join(preview(item, depth - 1) for item in value[:5])
        return f"({inner}{', ...' if len(value) > 5 else ''})"
    if isinstance(value, int) and abs(value) >= 1 << 128:
        return "<int>"
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
