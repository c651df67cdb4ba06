"""The baseline: findings that an old repository is allowed to have, each with a reason and a last day.

An entry names file, pipeline, step and gate kind, never a line, so that it survives every move inside the file. It runs
out: what was let pass to begin with is looked at again. An entry that no finding needs any more is said to be stale.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

from interlock.gate.errors import UsageError
from interlock.gate.values import Level
from interlock.lint.values import Accepted, FileResult, LintFinding

LONGEST = timedelta(days=366)
_FIELDS = frozenset({"file", "dag", "step", "gate", "reason", "expires"})
_HEAD = """\
# Findings of `interlock lint` that were there before it. Each needs a reason and a last day; see docs/lint.md.
"""
_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One finding that is accepted.

    Args:
        file: Path below the baseline's folder, with slashes.
        dag: The pipeline.
        step: The protected step.
        gate: The gate kind that it may lack.
        accepted: Why, and until when.
    """

    file: str
    dag: str
    step: str
    gate: str
    accepted: Accepted

    @property
    def key(self) -> _Key:
        """What it is found by."""
        return (self.file, self.dag, self.step, self.gate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The entries of one file.

    Args:
        place: The file; paths in it are below its folder.
        entries: In the file's order.
    """

    place: Path
    entries: tuple[Entry, ...] = ()

    @classmethod
    def read(cls, place: Path, *, today: date) -> Self:
        """Read a baseline.

        Args:
            place: A YAML file.
            today: No entry may live longer than a year from now.

        Raises:
            UsageError: It is not there, or an entry is not whole: each has a file, a pipeline, a step, a gate, a reason
                that is not empty and a last day.
        """
        import yaml  # type: ignore[import-untyped]  # it publishes no types

        try:
            document = yaml.safe_load(place.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise UsageError(
                f"the baseline cannot be read: {error}",
                where=str(place),
                next_step="make one with --write-baseline --reason '...'",
            ) from error
        listed = document.get("accepted") if isinstance(document, Mapping) else None
        if not isinstance(listed, list):
            raise UsageError("the baseline has no list `accepted`", where=str(place))
        entries = tuple(_entry(item, f"{place}, entry {number}", today) for number, item in enumerate(listed, start=1))
        keys = [entry.key for entry in entries]
        for entry in entries:
            if keys.count(entry.key) > 1:
                raise UsageError("two entries are for one finding", where=f"{place}, {'/'.join(entry.key)}")
        return cls(place=place, entries=entries)

    def apply(self, files: Sequence[FileResult], *, today: date) -> tuple[tuple[FileResult, ...], list[LintFinding]]:
        """Set aside what is accepted.

        Args:
            files: What was looked at.
            today: An entry counts to the end of its last day.

        Returns:
            The files anew, and what is to be said of entries that are stale or have run out. An entry for a file that
            was not looked at is stale only if that file is gone.
        """
        known = {entry.key: entry for entry in self.entries}
        used: set[_Key] = set()
        anew = []
        for file in files:
            findings = []
            for finding in file.findings:
                key = self._key(finding)
                entry = known.get(key)
                if entry is not None and finding.gate:
                    used.add(key)
                    if today <= entry.accepted.expires:
                        findings.append(replace(finding, accepted=entry.accepted))
                        continue
                findings.append(finding)
            anew.append(replace(file, findings=tuple(findings)))
        looked_at = {self._below(file.path) for file in files}
        return tuple(anew), [
            *(self._stale(entry) for entry in self.entries if self._is_stale(entry, used, looked_at)),
            *(self._expired(entry) for entry in self.entries if entry.key in used and today > entry.accepted.expires),
        ]

    def written(self, files: Sequence[FileResult], *, reason: str, expires: date, today: date) -> str:
        """The text of a baseline that accepts what the files violate now.

        Entries that are there and have not run out keep their reason and last day; the others get these. What is there
        for files that were not looked at stays.
        """
        import yaml

        looked_at = {self._below(file.path) for file in files}
        holding = {entry.key: entry.accepted for entry in self.entries if today <= entry.accepted.expires}
        kept = {entry.key: entry.accepted for entry in self.entries if entry.file not in looked_at}
        found = (self._key(finding) for file in files for finding in file.findings if finding.gate)
        fresh = Accepted(reason=reason, expires=expires)
        rows = [
            dict(zip(("file", "dag", "step", "gate"), key, strict=True))
            | {"reason": accepted.reason, "expires": accepted.expires}
            for key, accepted in sorted((kept | {key: holding.get(key, fresh) for key in found}).items())
        ]
        text: str = yaml.safe_dump({"accepted": rows}, sort_keys=False, allow_unicode=True, width=120)
        return _HEAD + text

    def _key(self, finding: LintFinding) -> _Key:
        return (self._below(finding.path), finding.dag, finding.step, finding.gate)

    def _below(self, path: str) -> str:
        return Path(os.path.relpath(path, self.place.parent)).as_posix()

    def _is_stale(self, entry: Entry, used: set[_Key], looked_at: set[str]) -> bool:
        if entry.key in used:
            return False
        return entry.file in looked_at or not (self.place.parent / entry.file).exists()

    def _stale(self, entry: Entry) -> LintFinding:
        return LintFinding(
            rule_id="lint.baseline-stale",
            level=Level.WARNING,
            path=str(self.place),
            message=f"nothing needs this entry any more, take it out: {_shown(entry)}",
        )

    def _expired(self, entry: Entry) -> LintFinding:
        return LintFinding(
            rule_id="lint.baseline-expired",
            level=Level.WARNING,
            path=str(self.place),
            message=f"the entry ran out on {entry.accepted.expires}, so the finding counts: {_shown(entry)}",
        )


def _shown(entry: Entry) -> str:
    return f"{entry.file}, {entry.dag}.{entry.step}, {entry.gate}"


def _entry(item: Any, where: str, today: date) -> Entry:
    if not isinstance(item, Mapping) or set(item) != _FIELDS:
        raise UsageError("an entry is not whole", where=where, next_step=f"write {', '.join(sorted(_FIELDS))}")
    for name in ("file", "dag", "step", "gate", "reason"):
        if not isinstance(item[name], str) or not item[name].strip():
            next_step = "say why this may stay as it is" if name == "reason" else "write a text"
            raise UsageError(f"an entry has no {name}", where=where, next_step=next_step)
    expires = item["expires"]
    if type(expires) is not date:
        raise UsageError("an entry's last day is no date", where=where, next_step="write e.g. expires: 2027-01-31")
    if expires > today + LONGEST:
        raise UsageError("an entry lives for more than a year", where=where, next_step="write an earlier last day")
    accepted = Accepted(reason=item["reason"], expires=expires)
    return Entry(file=item["file"], dag=item["dag"], step=item["step"], gate=item["gate"], accepted=accepted)
