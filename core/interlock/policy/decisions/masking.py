"""What the decision log does not keep: values of the data, and secrets.

Rules have the form of OPA's ``system.log.mask``: ``{"op": "remove" | "upsert", "path": "/input/..", "value": ..}`` or a
path alone, which removes. A ``*`` in a path stands for every element or member, which OPA's do not know. What was taken
out is listed in the event as OPA lists it: ``erased`` and ``masked``. A rule masks what is there and adds nothing.

Hiding a value in its place is not enough when another text repeats it, so everything that was taken out is then looked
for in the rest of the event (`interlock.policy.decisions.sweeping`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.decisions.sweeping import PLACEHOLDER, Path, Secrets, cleaned, credentials, sweep

EVERY: Final = "*"
PARTS: Final = frozenset({"input", "result", "nd_builtin_cache"})
"""Where OPA lets a mask reach."""

_NEXT = 'write {"op": "remove", "path": "/input/..."} or {"op": "upsert", "path": "/input/...", "value": ...}'


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """One rule.

    Args:
        op: ``remove`` takes the member out; ``upsert`` puts `value` in its place.
        path: Steps below the event; ``*`` is every element or member.
        value: Only for ``upsert``.
        keep: Texts that need no masking; none of OPA's, only of the rules here.
    """

    op: Literal["remove", "upsert"]
    path: tuple[str, ...]
    value: Json = None
    keep: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """An event without what must not be kept.

    Args:
        event: A copy; the given one is untouched.
        erased: JSON pointers of what was removed, as OPA writes them.
        masked: JSON pointers of what was replaced.
    """

    event: dict[str, Any]
    erased: tuple[str, ...]
    masked: tuple[str, ...]


def _upsert(path: str, *, keep: re.Pattern[str] | None = None) -> MaskRule:
    return MaskRule(op="upsert", path=tuple(path.strip("/").split("/")), value=PLACEHOLDER, keep=keep)


_FORMAT = re.compile(r"""\{"format": ?"[a-z0-9][a-z0-9-]{0,31}"\}\Z""")
"""The artifact scan's word for what a file is: no value of the data, and `model.formats` judges by it."""


DEFAULTS: Final = (
    _upsert("/input/report/findings/*/message"),
    _upsert("/input/report/findings/*/evidence", keep=_FORMAT),
    _upsert("/input/report/coverage/skipped/*/reason"),
    _upsert("/input/report/coverage/failed/*/reason"),
    _upsert("/input/requested/command/*"),
    MaskRule(op="remove", path=("input", "report", "attachments")),
)
"""What quotes data or may hold secrets in a document of the right shape. The shape stays, so that it can be replayed;
passwords, tokens, environments and the secret parts of URLs are found wherever they are."""


def mask_rules(value: Json, *, where: str) -> tuple[MaskRule, ...]:
    """Read rules from a bundle's data, or from what ``data.system.log.mask`` says.

    Raises:
        PolicyError: One of them cannot be read; then nothing may be logged, as nobody knows what it was to hide.
    """
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise PolicyError("the decision log's mask is no list of rules", where=where, next_step=_NEXT)
    return tuple(_rule(one, f"{where}[{place}]") for place, one in enumerate(value))


def mask(event: Mapping[str, Json], rules: Iterable[MaskRule]) -> Masked:
    """Apply the rules, find credentials, and sweep what was taken out from the rest.

    Args:
        event: ``input``, ``result`` and ``error`` of an event, plain JSON.
        rules: Applied in this order.
    """
    working: dict[str, Any] = copy.deepcopy(dict(event))
    secrets = Secrets()
    erased: list[Path] = []
    masked: list[Path] = []
    for rule in rules:
        places = list(_places(working, rule.path))
        for path in reversed(places) if rule.op == "remove" else places:
            if _apply(working, path, rule, secrets):
                (erased if rule.op == "remove" else masked).append(path)
    for path, replacement, hidden in list(credentials(working)):
        _parent(working, path)[path[-1]] = replacement
        secrets.add_each(hidden)
        masked.append(path)
    working, swept = sweep(working, secrets)
    return Masked(event=working, erased=_pointers(erased, secrets), masked=_pointers([*masked, *swept], secrets))


def _rule(value: Json, where: str) -> MaskRule:
    said: Mapping[str, Json] = {"op": "remove", "path": value} if isinstance(value, str) else {}
    if isinstance(value, Mapping):
        said = value
    op, path = said.get("op"), said.get("path")
    if op not in {"remove", "upsert"} or not isinstance(path, str) or set(said) - {"op", "path", "value"}:
        raise PolicyError("a rule of the decision log's mask cannot be read", where=where, next_step=_NEXT)
    steps = tuple(path.split("/"))
    if steps[0] or len(steps) < 2 or steps[1] not in PARTS or "" in steps[1:]:
        raise PolicyError(
            f"a mask reaches {', '.join(f'/{part}' for part in sorted(PARTS))} and below",
            where=f"{where}: {path!r}",
            next_step=_NEXT,
        )
    return MaskRule(op="remove" if op == "remove" else "upsert", path=steps[1:], value=said.get("value"))


def _places(node: Any, path: tuple[str, ...], at: Path = ()) -> Iterator[Path]:
    """The places in the document that a rule's path names."""
    if not path:
        yield at
        return
    step, rest = path[0], path[1:]
    if isinstance(node, dict):
        for key in list(node) if step == EVERY else [step] if step in node else []:
            yield from _places(node[key], rest, (*at, key))
    elif isinstance(node, list):
        chosen = range(len(node)) if step == EVERY else [int(step)] if step.isascii() and step.isdigit() else []
        for index in chosen:
            if index < len(node):
                yield from _places(node[index], rest, (*at, index))


def _apply(working: dict[str, Any], path: Path, rule: MaskRule, secrets: Secrets) -> bool:
    parent = _parent(working, path)
    old = parent[path[-1]]
    if rule.op == "upsert" and (old == rule.value or (old == "" and rule.value == PLACEHOLDER)):
        return False  # an empty text hides nothing
    if rule.keep is not None and isinstance(old, str) and rule.keep.match(old):
        return False
    secrets.add(old)
    if rule.op == "remove":
        del parent[path[-1]]
    else:
        parent[path[-1]] = copy.deepcopy(rule.value)
    return True


def _parent(working: dict[str, Any], path: Path) -> Any:
    parent: Any = working
    for step in path[:-1]:
        parent = parent[step]
    return parent


def _pointers(paths: list[Path], secrets: Secrets) -> tuple[str, ...]:
    """As OPA writes them, each once; the name of a member may itself be what must not be kept."""
    clean = cleaned((str(step) for path in paths for step in path), secrets)
    written = ["/" + "/".join(quote(clean[str(step)], safe="$&+=:@") for step in path) for path in paths]
    return tuple(dict.fromkeys(written))
