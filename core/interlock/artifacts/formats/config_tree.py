"""Reads JSON and YAML configuration without losing a key that stands there twice, and without making any object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from interlock.artifacts.limits import LimitPassedError

LONGEST_YAML: Final = 1 << 20
_DEEPEST: Final = 200
_MOST_EVENTS: Final = 200_000
# Reading YAML takes a second for 100 KB, so only what has a word in it that is judged is read.
_WORTH_READING: Final = re.compile(
    r"!!?python|python/|_target_|auto_map|trust_remote_code|custom_pipeline|chat_template|attn_implementation"
    r"|py/\w|__\w+__|parent_library|base_model_name_or_path|(?:vocab|merges|tokenizer|spm)_file"
    # The same, written so that only a reader of YAML sees it: escapes in quotes and in tags.
    r"|\\(?:[xuU][0-9A-Fa-f]{2}|\r?\n)|!\S*%[0-9A-Fa-f]{2}"
)


class Pairs:
    """An object of a configuration with every key that it has, twice if it stands there twice.

    Args:
        items: Keys and values in order.
        tag: The YAML tag, if it is one that makes a Python object.
    """

    __slots__ = ("items", "tag")

    def __init__(self, items: list[tuple[str, Any]], tag: str = "") -> None:
        self.items = items
        self.tag = tag

    def get(self, key: str) -> Any:
        """The last value of `key`, which is the one that readers take, or None."""
        return next((value for name, value in reversed(self.items) if name == key), None)

    def keys(self) -> list[str]:
        """Its keys, as often as they are there."""
        return [key for key, _ in self.items]


class UnreadableConfigError(Exception):
    """It nests deeper than readers can follow."""


def read_json(text: str) -> object:
    """The value of a JSON text, objects as `Pairs`, or None if it is no JSON.

    Raises:
        UnreadableConfigError: It nests too deep.
    """
    try:
        return json.loads(text, object_pairs_hook=Pairs)
    except RecursionError as error:
        raise UnreadableConfigError("JSON that nests deeper than readers can follow") from error
    except ValueError:
        return None


def read_yaml(text: str) -> Iterator[object]:
    """The documents of a YAML text up to the first mistake, mappings as `Pairs`.

    A text without any of the words that are judged is not read at all.

    Raises:
        LimitPassedError: It is too long, or has too many or too deep values.
    """
    if not _WORTH_READING.search(text):
        return
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    if len(text) > LONGEST_YAML:
        if re.search(r"(?m)^\s*(?:- )?[\"']?(?:_target_|auto_map|trust_remote_code)[\"']?\s*:|!!?python/", text):
            raise LimitPassedError(f"a configuration of {len(text):,} characters, more than {LONGEST_YAML:,}")
        return
    try:
        yield from _documents(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError:
        return


def _documents(events: Iterator[Any]) -> Iterator[object]:
    """Builds values out of parser events, with a stack of its own; an alias stands for nothing."""
    stack: list[tuple[str, list[Any], str]] = []
    for count, event in enumerate(events):
        if count > _MOST_EVENTS or len(stack) > _DEEPEST:
            raise LimitPassedError(f"YAML of more than {_MOST_EVENTS:,} values or {_DEEPEST} levels")
        kind = type(event).__name__
        if kind in {"MappingStartEvent", "SequenceStartEvent"}:
            stack.append((kind, [], _python_tag(event)))
            continue
        if kind == "ScalarEvent":
            tag = _python_tag(event)
            value: object = Pairs([], tag) if tag else _scalar(event)
        elif kind == "AliasEvent":
            value = None
        elif kind in {"MappingEndEvent", "SequenceEndEvent"}:
            started, items, tag = stack.pop()
            value = _mapping(items, tag) if started == "MappingStartEvent" or tag else items
        else:
            continue
        if stack:
            stack[-1][1].append(value)
        else:
            yield value


def _mapping(items: list[Any], tag: str) -> Pairs:
    keys = [key if isinstance(key, str) else "" for key in items[::2]]
    return Pairs(list(zip(keys, items[1::2], strict=False)), tag)


def _python_tag(event: Any) -> str:
    tag = str(event.tag or "")
    return tag if "python" in tag else ""


def _scalar(event: Any) -> object:
    """Texts as texts; plain words that YAML takes for something else as that."""
    text = str(event.value)
    if event.style is None:
        if text.lower() in {"", "~", "null"}:
            return None
        if text.lower() in {"false", "no", "off"}:
            return False
        if text.lower() in {"true", "yes", "on"}:
            return True
    return text
