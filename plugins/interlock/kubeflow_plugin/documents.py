"""The documents of a YAML file that an attacker may have written, as plain values, with limits, and nothing guessed.

KFP's compiler writes a small part of YAML. Whatever lies outside of it is refused, because another reader (the Go
program in the cluster) could take it for something else: anchors and aliases, tags, merge keys, keys that stand twice
or are no text, words such as ``yes`` that are a truth value for some. Values are built out of parser events with a
stack of its own, so that depth costs no recursion, and an end is made at the limits before anything large is built.
JSON is read by the same reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from interlock.gate.errors import SubjectError
from interlock.gate.values import Json

LARGEST = 16 << 20
"""Bytes of one file; the database of KFP takes less."""
_MOST_EVENTS = 200_000
_DEEPEST = 64
_MOST_DOCUMENTS = 8
_LINED = 5
"""Levels of keys whose lines are kept: ``components.<name>.dag.tasks.<task>``."""
_PLAIN = {"tag:yaml.org,2002:" + name for name in ("str", "null", "bool", "int", "float")}
_NEXT_STEP = "compile the pipeline again with kfp, and lint what it writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document.

    Args:
        value: Made of dicts with texts as keys, lists, texts, numbers, truth values and None; untrusted.
        lines: Path of keys to the line on which the last of them stands, one-based.
    """

    value: Json
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)


class UnreadableError(SubjectError):
    """The text is no pipeline that can be judged; never a reason to let it pass."""


def read_documents(text: bytes | str) -> tuple[Document, ...]:
    """Read every document of a file.

    Args:
        text: UTF-8; untrusted.

    Raises:
        UnreadableError: It is too large, too deep, no YAML, or YAML that KFP's compiler does not write.
    """
    import yaml  # type: ignore[import-untyped]  # it publishes no types

    if len(text) > LARGEST:
        raise UnreadableError(f"the file is larger than {LARGEST:,} bytes", next_step=_NEXT_STEP)
    try:
        whole = text.decode("utf-8") if isinstance(text, bytes) else text
        events = yaml.parse(whole, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return tuple(_Builder().documents(events))
    except UnicodeDecodeError as error:
        raise UnreadableError(f"the file is no UTF-8: {error}", next_step=_NEXT_STEP) from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        said = " ".join(str(error).split())[:300]
        raise UnreadableError(f"the file is no YAML: {said}", next_step=_NEXT_STEP) from error


class _Open:
    """A mapping or a list whose end has not come yet."""

    __slots__ = ("items", "key", "path")

    def __init__(self, items: Any, path: tuple[str, ...]) -> None:
        self.items = items
        self.path = path
        self.key: str | None = None


class _Builder:
    """Values out of events."""

    def __init__(self) -> None:
        import yaml

        self._resolver = yaml.SafeLoader("")
        self._scalar_node = yaml.ScalarNode
        self._stack: list[_Open] = []
        self._lines: dict[tuple[str, ...], int] = {}

    def documents(self, events: Iterator[Any]) -> Iterator[Document]:
        """Each document as it ends."""
        found = 0
        for count, event in enumerate(events):
            if count > _MOST_EVENTS:
                raise UnreadableError(f"the file has more than {_MOST_EVENTS:,} values", next_step=_NEXT_STEP)
            kind = type(event).__name__
            if kind in {"StreamStartEvent", "StreamEndEvent", "DocumentStartEvent", "DocumentEndEvent"}:
                continue
            done, value = self._take(kind, event)
            if done:
                found += 1
                if found > _MOST_DOCUMENTS:
                    raise UnreadableError(f"the file has more than {_MOST_DOCUMENTS} documents", next_step=_NEXT_STEP)
                yield Document(value=value, lines=self._lines)
                self._lines = {}

    def _take(self, kind: str, event: Any) -> tuple[bool, Any]:
        """Whether a whole document has ended, and its value."""
        line = event.start_mark.line + 1
        if kind == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise _refused("an anchor or alias", line)
        if kind in {"MappingStartEvent", "SequenceStartEvent"}:
            if event.tag is not None:
                raise _refused(f"the tag {event.tag!r}", line)
            if len(self._stack) >= _DEEPEST:
                raise UnreadableError(f"the file nests deeper than {_DEEPEST} levels", where=f"line {line}")
            self._stack.append(_Open({} if kind == "MappingStartEvent" else [], self._path(line)))
            return False, None
        if kind in {"MappingEndEvent", "SequenceEndEvent"}:
            value: Any = self._stack.pop().items
        else:
            value = self._scalar(event, line)
            top = self._stack[-1] if self._stack else None
            if top is not None and isinstance(top.items, dict) and top.key is None:
                self._key(top, value, line)
                return False, None
        return self._put(value)

    def _path(self, line: int) -> tuple[str, ...]:
        if not self._stack:
            return ()
        top = self._stack[-1]
        if isinstance(top.items, list):
            return (*top.path, "-")
        if top.key is None:
            raise _refused("a key that is no text", line)
        return (*top.path, top.key)

    def _key(self, top: _Open, key: Any, line: int) -> None:
        if not isinstance(key, str):
            raise _refused("a key that is no text", line)
        if key in top.items:
            raise _refused(f"the key {key!r} twice in one place", line)
        top.key = key
        if len(top.path) < _LINED:
            self._lines[*top.path, key] = line

    def _put(self, value: Any) -> tuple[bool, Any]:
        if not self._stack:
            return True, value
        top = self._stack[-1]
        if isinstance(top.items, list):
            top.items.append(value)
        else:
            top.items[top.key] = value
            top.key = None
        return False, None

    def _scalar(self, event: Any, line: int) -> Json:
        if event.tag is not None:
            raise _refused(f"the tag {event.tag!r}", line)
        text = str(event.value)
        if not event.implicit[0]:
            return text
        tag = self._resolver.resolve(self._scalar_node, text, event.implicit)
        if tag not in _PLAIN:
            raise _refused(f"the word {text[:40]!r}, which readers take for different things; quote it", line)
        return _plain(tag.rpartition(":")[2], text, line)


def _plain(tag: str, text: str, line: int) -> Json:
    """A word without quotes, where every reader agrees on what it is."""
    if tag == "null":
        return None
    if tag == "bool" and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if tag == "int" and text.lstrip("-").isdecimal() and (text.lstrip("-")[0] != "0" or text in {"0", "-0"}):
        return int(text)
    if tag == "float" and ":" not in text and "_" not in text:
        return float(text.replace(".inf", "inf").replace(".nan", "nan").replace(".Inf", "inf").replace(".NaN", "nan"))
    if tag == "str":
        return text
    raise _refused(f"the word {text[:40]!r}, which readers take for different things; quote it", line)


def _refused(what: str, line: int) -> UnreadableError:
    return UnreadableError(f"the file holds {what}, which KFP's compiler never writes", where=f"line {line}")
