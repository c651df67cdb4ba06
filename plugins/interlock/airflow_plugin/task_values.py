"""Values of a task's arguments, whether the task is plain or mapped, live or read back from the database.

All of it is the author's, so nothing here calls what it finds, except that a template reference is asked for its own
text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from interlock.pipeline import named


def value_of(task: Any, name: str, default: object = None) -> object:
    """An argument as the task was given it; of a mapped task also what it is expanded over, as a text."""
    partial = getattr(task, "partial_kwargs", None)
    if partial is not None:
        if name in partial:
            return partial[name]
        expanded = _expanded(task)
        if name in expanded:
            return f"expand({_text(expanded[name])})"
        if "*" in expanded:
            return f"expand_kwargs({_text(expanded['*'])})[{name}]"
    return getattr(task, name, default)


def name_of(task: Any, argument: str) -> str:
    """What an argument names, in one spelling; empty when it names nothing."""
    value = value_of(task, argument)
    return named(_text(value)) if value is not None else ""


def texts_of(task: Any, argument: str) -> tuple[str, ...]:
    """An argument that is one text or several."""
    value = value_of(task, argument)
    if isinstance(value, str):
        return (value,) if value else ()
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(item for item in value if isinstance(item, str))
    return ()


def uris_of(task: Any, argument: str) -> tuple[str, ...]:
    """The URIs of `inlets` or `outlets`: of assets, references to assets, and plain texts."""
    value = value_of(task, argument)
    return tuple(_uris(value if isinstance(value, list | tuple) else [value]))


def _uris(items: list[Any] | tuple[Any, ...]) -> Iterator[str]:
    for item in items:
        uri = item if isinstance(item, str) else getattr(item, "uri", None)
        if isinstance(item, Mapping):
            inner = item.get("__var", item)  # as Airflow leaves assets in the arguments of a mapped task
            uri = inner.get("uri") if isinstance(inner, Mapping) else None
        if isinstance(uri, str) and uri:
            yield uri


def _expanded(task: Any) -> Mapping[str, object]:
    """What a mapped task is expanded over, by argument; ``*`` when every argument may come from there.

    What `@task` functions are expanded over are arguments of the function, not of the task.
    """
    value = getattr(getattr(task, "expand_input", None), "value", None)
    if isinstance(value, Mapping):
        return {str(name): item for name, item in value.items()}
    if isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value):
        return {str(name): [item[name] for item in value if name in item] for each in value for name in each}
    return {"*": value} if value else {}


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_text(value[key])}" for key in sorted(value, key=str)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_text, value)) + "]"
    return str(value)
