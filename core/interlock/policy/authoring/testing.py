"""`interlock policy test`: run ``test_*`` rules as ``opa test`` does, on the engine that decides.

Two things are stricter than ``opa test``, because a test that could not be told is not a test that passed. An error of
a builtin is an ERROR, as it is in a decision. Two tests of one name in one package are an ERROR, because OPA joins
rules of one name and the one that holds would hide the one that fails; so are cases in a test's head, of which only
those that hold can be seen.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from interlock.gate.errors import PolicyError, UsageError
from interlock.policy.authoring.coverage import Coverage, coverage_of
from interlock.policy.authoring.sources import Sources, refuse_banned
from interlock.policy.authoring.syntax import Parsed, Rule, parse
from interlock.policy.authoring.workbench import ASKED, Print, Workbench

_TEST, _SKIPPED = "test_", "todo_test_"
_SPLIT = "write one test for each case, or `every case in [...] { ... }`"


class Outcome(Enum):
    """What a test came to."""

    PASS = "PASS"  # noqa: S105 (no password)
    FAIL = "FAIL"
    ERROR = "ERROR"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test.

    Args:
        package: Dotted, without ``data.``.
        name: Of the rule.
        path: Of its file in the bundle.
        row: Where it starts.
        outcome: What it came to.
        seconds: How long OPA took, with the way to the helper and back.
        message: Why it is an error; empty otherwise.
        prints: What it printed.
    """

    __test__ = False  # not one of pytest's

    package: str
    name: str
    path: str
    row: int
    outcome: Outcome = Outcome.SKIPPED
    seconds: float = 0.0
    message: str = ""
    prints: tuple[Print, ...] = ()

    @property
    def full_name(self) -> str:
        """As `--run` matches it, and as OPA writes it."""
        return f"data.{self.package}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """Every test that was asked for, and what they covered.

    Args:
        results: By file and row.
        coverage: Of the tests that passed or failed.
    """

    __test__ = False

    results: tuple[TestResult, ...]
    coverage: Coverage

    def count(self, outcome: Outcome) -> int:
        """How many tests came to this."""
        return sum(result.outcome is outcome for result in self.results)


def run_tests(workbench: Workbench, sources: Sources, *, pattern: str = "") -> TestRun:
    """Run the tests of `sources`.

    Args:
        workbench: Not loaded yet; it holds the policies afterwards.
        sources: Rules and tests.
        pattern: A regular expression; only tests whose full name (``data.pack.rule_test.test_x``) it is found in.

    Raises:
        UsageError: The pattern is none.
        PolicyError: A rule cannot be parsed or compiled or uses a banned builtin, or the helper cannot start.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--run is no regular expression: {error}", where=pattern) from error
    refuse_banned(workbench, sources, tests=True)
    files, broken = parse(workbench, sources.modules)
    for path, said in broken.items():
        raise PolicyError(f"a rule cannot be parsed: {said}", where=sources.place(path))
    refused = workbench.load(sources.bundle.with_tests(), asked=True) or workbench.ask("true").error
    if refused:
        raise PolicyError(f"the policies do not compile: {refused}", next_step="`interlock policy check` lists it all")
    found = [one for one in _tests(files) if wanted.search(one[0].full_name)]
    results = tuple(_run(workbench, test, rule) for test, rule in _once(found))
    ran = [one.full_name for one in results if one.outcome in {Outcome.PASS, Outcome.FAIL}]
    return TestRun(results=results, coverage=coverage_of(workbench, files, ran))


def _tests(files: Sequence[Parsed]) -> Iterator[tuple[TestResult, Rule]]:
    for file in sorted(files, key=lambda file: file.module.path):
        for rule in file.rules:
            name = _test_name(rule.name)
            if name:
                yield TestResult(package=file.package, name=name, path=file.module.path, row=rule.row), rule


def _test_name(name: str) -> str:
    """The part of a head up to the name that makes it a test, or nothing."""
    parts = name.split(".")
    for index, part in enumerate(parts):
        if part.startswith((_TEST, _SKIPPED)):
            return ".".join((*parts[:index], part.split("[")[0]))
    return ""


def _once(found: Sequence[tuple[TestResult, Rule]]) -> Iterator[tuple[TestResult, Rule]]:
    """Each test; of twins each is an error before it runs."""
    names = Counter(test.full_name for test, _ in found)
    for test, rule in found:
        twin = names[test.full_name] > 1
        message = "another test of this package has this name; the one that holds would hide the other" if twin else ""
        yield replace(test, message=message), rule


def _run(workbench: Workbench, test: TestResult, rule: Rule) -> TestResult:
    if test.name.split(".")[-1].startswith(_SKIPPED):
        return test
    if test.message:
        return replace(test, outcome=Outcome.ERROR)
    if "[" in rule.name or rule.node["head"].get("args"):
        return replace(test, outcome=Outcome.ERROR, message=f"a test has cases or arguments in its head; {_SPLIT}")
    path = test.full_name.split(".")[1:]
    query = f"path := {ASKED}(); holds := data{''.join(f'[path[{index}]]' for index in range(len(path)))}"
    try:
        workbench.ask(query, bare=True, told=["" for _ in path])  # compiles it, which is not the test's time
        started = time.monotonic()
        reply = workbench.ask(query, bare=True, told=[*path])
    except PolicyError as error:
        return replace(test, outcome=Outcome.ERROR, message=str(error))
    seconds = time.monotonic() - started
    holds = any(row["bindings"]["holds"] is True for row in reply.rows)
    outcome = Outcome.ERROR if reply.error else Outcome.PASS if holds else Outcome.FAIL
    return replace(test, outcome=outcome, seconds=seconds, message=reply.error, prints=reply.prints)
