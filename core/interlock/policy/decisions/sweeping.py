"""Finding secrets by their look, and what was hidden in one place wherever else it is repeated.

Credentials are recognised by the name of their member, by standing in an environment, or by their own shape; the
password and the query of a URL are taken out of it. None of that is complete: a secret that looks like any other word
is kept unless a rule names its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

from interlock.gate.values import Json

PLACEHOLDER: Final = "(masked)"

SHORTEST: Final = 4
"""Hidden texts with fewer characters are not looked for elsewhere: they would be found in every word."""

Path = tuple[str | int, ...]
Found = tuple[Path, Json, list[str]]

_SECRET_NAME = re.compile(
    r"(passw(or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key([_-]?id)?|secret[_-]?key"
    r"|authorization|credentials?|connection[_-]?string|cookie)\Z",
    re.IGNORECASE,
)
_ENVIRONMENT = frozenset({"env", "environment"})
_SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-|sk-)[A-Za-z0-9_-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}",
    re.DOTALL,
)
_ARGUMENT = re.compile(r"(--?[\w-]*(?:password|passwd|token|secret|api[_-]?key|credentials?)[= ])(\S+)", re.IGNORECASE)
_URL_USER = re.compile(r"(?<=://)[^/?#\s]*(?=@)")
_URL_QUERY = re.compile(r"(?<=[?&;])([^=&;#\s]+=)([^&;#\s]+)")

_STRUCTURE = frozenset(
    {"gate", "stage", "profile", "verdict", "level", "severity", "sha256", "keyid", "now", "started", "finished"}
    | {"issued", "expires", "rule_id", "id", "step", "role", "bundle_digest", "receipt_id", "orchestrator", "framework"}
)
"""Members that Interlock or the policy itself wrote: a word of the data that equals one of them hides nothing."""

_FREE = frozenset({"facts", "requested", "configuration"})
"""Members whose content comes from the subject or the pipeline, names of members included."""

_PROSE = frozenset({"message", "title", "remediation"})


class Secrets:
    """What was taken out of an event.

    `whole` texts are looked for everywhere. The parts of a hidden JSON text (`parts`) are mostly harmless words, so
    they are looked for in sentences only, and only if they stand nowhere else in the open.
    """

    def __init__(self) -> None:
        self.whole: set[str] = set()
        self.parts: set[str] = set()

    def add(self, value: Any) -> None:
        """Everything textual below `value`."""
        for text in _texts(value):
            self.whole.add(text)
            self._add_parts(text)

    def add_each(self, texts: Iterable[str]) -> None:
        """Texts as they are."""
        self.whole.update(texts)

    def _add_parts(self, text: str) -> None:
        if text[:1] not in '{["':
            return
        try:
            self.parts.update(_texts(json.loads(text)))
        except (ValueError, RecursionError):
            return


def credentials(event: dict[str, Any]) -> Iterator[Found]:
    """Texts of an event that look like credentials: where, what to put there, and what that hides."""
    yield from _credentials(event, (), named=False)


def sweep(event: dict[str, Any], secrets: Secrets) -> tuple[dict[str, Any], list[Path]]:
    """Replace what was hidden wherever a text of the event repeats it.

    Returns:
        The event, and the places that changed.
    """
    readable = list(_readable(event, free=False))
    texts = {text for text, _ in readable}
    everywhere = _repeated(secrets.whole, texts)
    sentences = _repeated(secrets.parts - texts, {text for text, prose in readable if prose})
    changed: list[Path] = []
    if everywhere or sentences:
        event = _swept(event, (), _longest_first(everywhere), _longest_first(everywhere | sentences), changed)
    return event, changed


def cleaned(texts: Iterable[str], secrets: Secrets) -> dict[str, str]:
    """Each text without what was hidden."""
    unique = set(texts)
    hidden = _longest_first(_repeated(secrets.whole, unique))
    return {text: _clean(text, (), hidden, []) for text in unique}


def _credentials(node: Any, at: Path, *, named: bool) -> Iterator[Found]:
    if isinstance(node, dict):
        environment = bool(at) and at[-1] in _ENVIRONMENT
        for key, value in node.items():
            yield from _credentials(value, (*at, key), named=named or environment or _is_secret(key, at))
    elif isinstance(node, list):
        listed = bool(at) and at[-1] in _ENVIRONMENT  # "NAME=value", as containers take them
        for index, value in enumerate(node):
            yield from _credentials(value, (*at, index), named=named or (listed and isinstance(value, str)))
    elif isinstance(node, str) and node and node != PLACEHOLDER:
        if named:
            yield at, PLACEHOLDER, [node]
        else:
            clean, hidden = _without_credentials(node)
            if hidden:
                yield at, clean, hidden


def _is_secret(key: str, at: Path) -> bool:
    """By its name, or as the value of an entry in a list of environment variables."""
    in_list = len(at) >= 2 and at[-2] in _ENVIRONMENT and isinstance(at[-1], int)
    return bool(_SECRET_NAME.search(key)) or (in_list and key == "value")


def _without_credentials(text: str) -> tuple[str, list[str]]:
    hidden: list[str] = []

    def hide(match: re.Match[str]) -> str:
        hidden.append(match[0])
        hidden.extend(part for part in match[0].split(":") if part)
        return PLACEHOLDER

    def hide_value(match: re.Match[str]) -> str:
        hidden.append(match[2])
        return f"{match[1]}{PLACEHOLDER}"

    clean = _ARGUMENT.sub(hide_value, _SHAPES.sub(hide, text))
    if "://" in clean:
        clean = _URL_QUERY.sub(hide_value, _URL_USER.sub(hide, clean))
    return clean, hidden if clean != text else []


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000_000:
        yield str(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _readable(node: Any, *, free: bool) -> Iterator[tuple[str, bool]]:
    """Every text that may be swept, names of members in free content included; and whether it is a sentence."""
    if isinstance(node, list):
        for value in node:
            if isinstance(value, str):
                yield value, False
            else:
                yield from _readable(value, free=free)
    elif isinstance(node, dict):
        for key, value in node.items():
            inside = free or key in _FREE
            if free:
                yield key, False
            if not isinstance(value, str):
                yield from _readable(value, free=inside)
            elif inside or key not in _STRUCTURE:
                yield value, key in _PROSE


def _repeated(hidden: Iterable[str], texts: Collection[str]) -> set[str]:
    """Those of `hidden`, in their spellings, that are somewhere in `texts`."""
    everything = "\0".join(texts)
    longest = max(map(len, texts), default=0)
    spellings = {spelling for text in hidden if len(text) <= longest for spelling in _spellings(text)}
    return {spelling for spelling in spellings if spelling in everything}


def _spellings(text: str) -> set[str]:
    if len(text) < SHORTEST or text in PLACEHOLDER:
        return set()
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}


def _longest_first(hidden: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(hidden, key=lambda text: (-len(text), text)))


def _swept(
    node: Any,
    at: Path,
    everywhere: tuple[str, ...],
    sentences: tuple[str, ...],
    changed: list[Path],
    *,
    free: bool = False,
) -> Any:
    if isinstance(node, list):
        return [
            _clean(value, (*at, index), everywhere, changed)
            if isinstance(value, str)
            else _swept(value, (*at, index), everywhere, sentences, changed, free=free)
            for index, value in enumerate(node)
        ]
    if not isinstance(node, dict):
        return node
    result: dict[str, Any] = {}
    for key, value in node.items():
        name, inside, there = key, free or key in _FREE, (*at, key)
        if free:
            name = _clean(key, at, everywhere, changed)
        while name in result:
            name += "'"
        if not isinstance(value, str):
            result[name] = _swept(value, there, everywhere, sentences, changed, free=inside)
        elif inside or key not in _STRUCTURE:
            result[name] = _clean(value, there, sentences if key in _PROSE else everywhere, changed)
        else:
            result[name] = value
    return result


def _clean(text: str, at: Path, hidden: tuple[str, ...], changed: list[Path]) -> str:
    clean = text
    for secret in hidden:
        clean = clean.replace(secret, PLACEHOLDER)
    if clean != text:
        changed.append(at)
    return clean
