"""Which lines of a policy its tests ran: OPA's own report, by file and by rule.

A row counts when an expression or a rule's head on it was evaluated, and against coverage when one was not; a row with
both counts on both sides. That is how ``opa test --coverage`` counts, and the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.gate.errors import PolicyError
from interlock.policy.authoring.syntax import Parsed
from interlock.policy.authoring.workbench import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What was run of a part of a policy.

    Args:
        covered: Rows on which something ran.
        missed: Rows on which something did not.
    """

    covered: tuple[int, ...]
    missed: tuple[int, ...]

    @property
    def percent(self) -> float:
        """From 0 to 100; a part without anything to run is whole."""
        total = len(self.covered) + len(self.missed)
        return 100.0 * len(self.covered) / total if total else 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCoverage:
    """One rule: its name, the row where it starts, and what ran of it."""

    name: str
    row: int
    lines: Lines


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCoverage:
    """One file: its path in the bundle, whether it holds tests, what ran of it, and its rules in order."""

    path: str
    is_test: bool
    lines: Lines
    rules: tuple[RuleCoverage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """All files, by path; tests too, as OPA counts them."""

    files: tuple[FileCoverage, ...]

    @property
    def percent(self) -> float:
        """Over all rows of all files, from 0 to 100; what `--threshold` is compared with."""
        covered = sum(len(file.lines.covered) for file in self.files)
        total = covered + sum(len(file.lines.missed) for file in self.files)
        return 100.0 * covered / total if total else 0.0


def coverage_of(workbench: Workbench, files: Sequence[Parsed], tests: Sequence[str]) -> Coverage:
    """Evaluate tests once more, all in one question, and say what they ran.

    Args:
        workbench: Loaded with these files.
        files: Rules and tests.
        tests: Full names of tests that neither errs; each is evaluated for itself, whatever the others say.

    Raises:
        PolicyError: OPA could not evaluate them together.
    """
    query = f"ran := [{', '.join(f'[true | {name}]' for name in tests)}]"
    reply = workbench.ask(query, bare=True, coverage=True)
    if reply.error:
        raise PolicyError(f"the tests cannot be covered: {reply.error}")
    return Coverage(
        files=tuple(
            _file(file, reply.coverage.get(file.module.path, {}))
            for file in sorted(files, key=lambda file: file.module.path)
        )
    )


def ranges(rows: Iterable[int]) -> str:
    """Rows as people write them: ``3-5, 9``."""
    spans: list[list[int]] = []
    for row in sorted(rows):
        if spans and row == spans[-1][1] + 1:
            spans[-1][1] = row
        else:
            spans.append([row, row])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _file(file: Parsed, said: Mapping[str, Any]) -> FileCoverage:
    lines = Lines(covered=_rows(said.get("covered")), missed=_rows(said.get("not_covered")))
    rules = []
    for rule in file.rules:
        first, last = (rule.tokens[0].row, rule.tokens[-1].row) if rule.tokens else (0, -1)
        own = Lines(
            covered=tuple(row for row in lines.covered if first <= row <= last),
            missed=tuple(row for row in lines.missed if first <= row <= last),
        )
        rules.append(RuleCoverage(name=rule.name, row=rule.row, lines=own))
    return FileCoverage(path=file.module.path, is_test=file.is_test, lines=lines, rules=tuple(rules))


def _rows(spans: Iterable[Mapping[str, Any]] | None) -> tuple[int, ...]:
    rows: set[int] = set()
    for span in spans or ():
        rows.update(range(span["start"]["row"], span["end"]["row"] + 1))
    return tuple(sorted(rows))
