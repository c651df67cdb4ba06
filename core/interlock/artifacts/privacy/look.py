"""Looks for secrets and personal data in the texts of a subject, in the sandbox, and says what is there but never it.

A secret of a form that hardly anything else has is an error, as whoever asks for this look wants to be stopped; one
that only the words around it speak for is a warning, and so is personal data. A text that could not be looked at to its
end is a gap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Any

from interlock.artifacts import record as rules
from interlock.artifacts.boxed import BoxError, asked, sandbox_here
from interlock.artifacts.privacy import rule_cache
from interlock.artifacts.privacy.child import PERSONAL_DATA, RULES_FOLDER, SECRETS
from interlock.artifacts.privacy.texts import LARGEST, Texts
from interlock.artifacts.record import Record, shown
from interlock.gate.errors import MissingExtraError, UsageError
from interlock.gate.values import Json, Tool

KINDS = (SECRETS, PERSONAL_DATA)
CHILD = Path(__file__).with_name("child.py")
PERSONAL_RULES = Path(__file__).with_name("personal_data.yml")
SECONDS = 300.0
_PACKAGES = {
    SECRETS: (("kingfisher_sdk", rule_cache.PACKAGE),),
    PERSONAL_DATA: (("kingfisher_sdk", rule_cache.PACKAGE), ("phonenumbers", "phonenumbers")),
}
"""What a look needs: names to import, and those of their distributions."""


def checked(kinds: Sequence[str]) -> tuple[str, ...]:
    """These kinds, each once.

    Raises:
        UsageError: There is no such kind.
        MissingExtraError: What finds it is not installed.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"nobody looks for {kind!r}", next_step=f"look for {', '.join(KINDS)}")
        for name, _ in _PACKAGES[kind]:
            if util.find_spec(name) is None:
                raise MissingExtraError(name, extra="privacy")
    return tuple(dict.fromkeys(kinds))


def tools(kinds: Sequence[str]) -> tuple[Tool, ...]:
    """The libraries behind these kinds."""
    names = dict.fromkeys(package for kind in kinds for _, package in _PACKAGES[kind])
    return tuple(Tool(name=name, version=metadata.version(name)) for name in names)


def rules_document(kinds: Sequence[str]) -> dict[str, Json]:
    """The rules for personal data by digest, as they stand in a gate's configuration."""
    if PERSONAL_DATA not in kinds:
        return {}
    return {"personal_data_rules": hashlib.sha256(PERSONAL_RULES.read_bytes()).hexdigest()}


def look(kinds: Sequence[str], texts: Texts, record: Record) -> None:
    """Look at all of them.

    Args:
        kinds: From `checked`.
        texts: Of the subject.
        record: Where findings, gaps and the numbers `secrets` and `personal_data` go.
    """
    record.counted |= {kind.replace("-", "_"): 0 for kind in kinds}
    for path in texts.left_out:
        record.fail(path, f"not looked at for {' and '.join(kinds)}: more than {LARGEST:,} bytes of text")
    if texts.folder is None:
        return
    said, why = _asked(kinds, texts.folder, min(record.budget.limits.seconds, SECONDS))
    for number, path in enumerate(texts.paths):
        try:
            _tell(kinds, said[str(number)], path, record)
        except (KeyError, TypeError, ValueError):
            record.fail(path, f"looking for {' and '.join(kinds)} did not end well: {why or 'no answer'}")


def _asked(kinds: Sequence[str], folder: Path, seconds: float) -> tuple[Mapping[str, Any], str]:
    """What the child says by number, or why it says nothing."""
    beside = {PERSONAL_RULES.name: PERSONAL_RULES.read_bytes()}
    if SECRETS in kinds:
        beside |= {f"{RULES_FOLDER}/{name}": data for name, data in rule_cache.compiled().items()}
    try:
        return asked(CHILD, folder, words=kinds, beside=beside, seconds=seconds, sandbox=sandbox_here()), ""
    except (BoxError, UsageError) as error:
        why = error.what if isinstance(error, UsageError) else str(error)
        return {}, shown(why.strip().rpartition("\n")[2])


def _tell(kinds: Sequence[str], said: Mapping[str, Any], path: str, record: Record) -> None:
    """Say it; what is missing or of another type raises before anything was said."""
    if "why" in said:
        record.fail(path, f"looking for {' and '.join(kinds)} did not end well: {shown(str(said['why']))}")
        return
    personal = {str(kind): int(count) for kind, count in said[PERSONAL_DATA].items()} if PERSONAL_DATA in kinds else {}
    count, each = _secrets(said[SECRETS]) if SECRETS in kinds else (0, [])
    for kind, line, beginning, sure in each:
        says = record.error if sure else record.warning
        begins = f", it begins with {beginning}" if beginning else ""
        says(rules.LEAK, shown(f"a secret in line {line}: {kind}{begins}"), path, kind=kind, line=line)
    if count > len(each):
        record.warning(rules.LEAK, f"{count - len(each):,} more secrets were counted, not kept", path)
    if personal:
        some = ", ".join(shown(f"{number:,} {kind}") for kind, number in personal.items())
        record.warning(rules.PERSONAL_DATA, f"personal data, different values of each kind: {some}", path, **personal)
    for kind, number in ((SECRETS, count), (PERSONAL_DATA, sum(personal.values()))):
        if kind in kinds:
            record.counted[kind.replace("-", "_")] += number


def _secrets(said: Mapping[str, Any]) -> tuple[int, list[tuple[str, int, str, bool]]]:
    """How many, and of the first of them kind, line, beginning, and whether nothing else has that form."""
    first = [(str(one["kind"]), int(one["line"]), str(one["beginning"]), bool(one["sure"])) for one in said["first"]]
    return int(said["count"]), first
