"""Level L0: whether the pipelines in some files are gated, asked before they are merged.

It finds the files, has each loaded in a process of its own by a worker that knows its orchestrator, puts the answers
together, sets aside what a baseline accepts, and says ALLOW, DENY or UNDECIDED. The rule itself is
`interlock.pipeline`'s. Loading a file runs its author's code, so this helps people who forget; it is no boundary for
people who mean it: those are the later levels.
"""

from interlock.lint.baseline import Baseline
from interlock.lint.run import LintRequest, lint
from interlock.lint.values import RULES, Accepted, DagResult, FileResult, LintFinding, LintResult, Passed

__all__ = [
    "RULES",
    "Accepted",
    "Baseline",
    "DagResult",
    "FileResult",
    "LintFinding",
    "LintRequest",
    "LintResult",
    "Passed",
    "lint",
]
