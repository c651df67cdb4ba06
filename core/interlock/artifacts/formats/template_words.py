"""The words that a chat template may use: what Jinja and transformers offer, less what reaches Python behind it.

Taken from the templates of well-known models and from ``transformers.utils.chat_template_utils``, whose environment
adds ``tojson``, ``raise_exception``, ``strftime_now``, loop controls and the tag ``generation``. A word that is not
here is refused.
"""

from __future__ import annotations

import re
from typing import Final

DUNDER: Final = re.compile(r"__[A-Za-z]|[A-Za-z]__")
"""What the name of a Python internal has, whole or in pieces."""

FUNCTIONS: Final = frozenset(
    {"caller", "cycler", "dict", "joiner", "namespace", "raise_exception", "range", "strftime_now"}
)
MADE_BY_JINJA: Final = FUNCTIONS | {"kwargs", "loop", "varargs"}
"""Names that stand for objects of Jinja itself, or for arguments that nobody declared."""

CHANGES: Final = frozenset({"append", "extend", "insert", "remove", "setdefault", "update"})
"""Methods that put an argument into something that has another name as well."""

METHODS: Final = frozenset({
    "append", "capitalize", "casefold", "clear", "copy", "count", "endswith", "extend", "find", "get", "index",
    "insert", "isalnum", "isalpha", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "isupper", "items",
    "join", "keys", "lower", "lstrip", "next", "partition", "pop", "remove", "removeprefix", "removesuffix", "replace",
    "reset", "reverse", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "setdefault", "sort", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "update", "upper", "values",
})  # fmt: skip
LOOP: Final = frozenset({
    "changed", "cycle", "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
    "revindex", "revindex0",
})  # fmt: skip
LOOP_COUNTS: Final = LOOP - {"changed", "cycle", "nextitem", "previtem"}
FILTERS: Final = frozenset({
    "abs", "batch", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "forceescape",
    "indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr",
    "replace", "reverse", "round", "safe", "select", "selectattr", "slice", "sort", "string", "striptags", "sum",
    "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode", "wordcount",
})  # fmt: skip
TESTS: Final = frozenset({
    "!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped",
    "even", "false", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt",
    "mapping", "ne", "none", "number", "odd", "sameas", "sequence", "string", "true", "undefined", "upper",
})  # fmt: skip

TAKES_ATTRIBUTE: Final = frozenset(
    {"join", "map", "max", "min", "reject", "rejectattr", "select", "selectattr", "sort", "sum", "unique"}
)
"""Filters that read an attribute, or apply a filter or test, which an argument names."""

UNSAFE_NAMES: Final = frozenset(
    {"app", "config", "current_app", "g", "get_flashed_messages", "lipsum", "request", "self", "session", "super",
     "url_for"}
)  # fmt: skip
"""Names that Jinja itself or a web framework puts in front of the objects behind a template."""

UNSAFE_ATTRIBUTE: Final = re.compile(r"_|(?:func|im|gi|cr|ag|tb|co|f)_[a-z]+\Z|mro\Z")
"""What `jinja2.sandbox.is_internal_attribute` knows, and everything with an underscore in front."""

COUNTS: Final = frozenset({"abs", "count", "float", "int", "length", "round", "wordcount"})
"""Filters whose result is a number."""

KEEPS: Final = frozenset({
    "capitalize", "d", "default", "dictsort", "first", "items", "last", "list", "lower", "map", "reject", "rejectattr",
    "select", "selectattr", "sort", "title", "trim", "unique", "upper",
})  # fmt: skip
"""Filters that put no text together: what comes out was in what went in."""

KEEPS_TOO: Final = frozenset({
    "capitalize", "copy", "get", "items", "keys", "lower", "lstrip", "pop", "removeprefix", "removesuffix", "rsplit",
    "rstrip", "split", "splitlines", "strip", "title", "upper", "values",
})  # fmt: skip
"""Methods of which the same is true."""
