"""What `interlock policy check` says of one place in a policy."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class LintLevel(Enum):
    """How bad it is. An ERROR fails the check; a WARNING is something to look at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One finding.

    Args:
        path: Of the file in the bundle.
        row: From 1.
        column: From 1.
        rule_id: What was looked for.
        message: What is wrong, and what it does.
        fix: Rego to write instead, or what to do; empty where the message says it.
        level: Whether it fails the check.
    """

    path: str
    row: int
    column: int
    rule_id: str
    message: str
    fix: str = ""
    level: LintLevel = LintLevel.ERROR
