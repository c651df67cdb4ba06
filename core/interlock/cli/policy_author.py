"""`interlock policy test`, `check`, `coverage`, ...: what people who write policy type all day."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import Json, UsageError
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.policy.authoring.coverage import Coverage
    from interlock.policy.authoring.sources import Sources
    from interlock.policy.authoring.testing import TestResult, TestRun

_POLICIES = click.argument("policies", nargs=-1, type=click.Path(exists=True, path_type=Path), metavar="[POLICY]...")
_OUT = click.option("--out", type=OutFile(), help="Write the report to this file.")
_THRESHOLD = click.option(
    "--threshold", type=click.FloatRange(0, 100), default=0.0, metavar="PERCENT", help="Least coverage that is enough."
)


_COLOURS = {"FAIL": "red", "ERROR": "yellow", "SKIPPED": "dim"}


def _formats(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--format", "format_", type=click.Choice(names), default="table", show_default=True)


@click.command("test")
@_POLICIES
@click.option("--run", "pattern", default="", metavar="REGEX", help="Only tests whose full name this is found in.")
@_THRESHOLD
@_formats("table", "json", "junit")
@_OUT
def test(policies: tuple[Path, ...], *, pattern: str, threshold: float, format_: str, out: Path | None) -> int:
    """Run the test_* rules of policies; of the shipped bundle when none is named.

    Exit status: 0 all passed and covered enough, 1 not, 3 a test or the whole run could not be told.
    """
    from interlock.policy.authoring.reports import run_document, run_junit

    run, sources = _run(policies, pattern)
    if format_ == "table":
        _show_run(run, sources, threshold, whole=not pattern)
    if format_ != "table" or out is not None:
        junit = format_ == "junit" or (format_ == "table" and out is not None and out.suffix == ".xml")
        text = run_junit(run, sources) if junit else _json(run_document(run, sources, threshold=threshold))
        _hand_out(text, out)
    return _status(run, threshold)


@click.command("coverage")
@_POLICIES
@_THRESHOLD
@_formats("table", "json")
@_OUT
def coverage(policies: tuple[Path, ...], *, threshold: float, format_: str, out: Path | None) -> int:
    """Say which lines of each rule the tests do not run."""
    from interlock.policy.authoring.reports import coverage_document

    run, sources = _run(policies, "")
    for result in run.results:
        if result.outcome.value in {"FAIL", "ERROR"}:
            show.progress(f"{result.outcome.value} {_place(result, sources)} {result.name} {result.message}".rstrip())
    if format_ == "table":
        _show_coverage(run.coverage, sources)
    if format_ == "json" or out is not None:
        _hand_out(_json(coverage_document(run.coverage, sources)), out)
    return _status(run, threshold)


@click.command("check")
@_POLICIES
@_formats("table", "json", "sarif")
@_OUT
def check(policies: tuple[Path, ...], *, format_: str, out: Path | None) -> int:
    """Compile policies as strictly as OPA can, and look for what would fail open.

    Exit status: 0 nothing but warnings, 1 a finding, 3 could not look.
    """
    from interlock.policy.authoring.lint import check_policies, read_schemas
    from interlock.policy.authoring.reports import check_document, check_sarif
    from interlock.policy.authoring.sources import load_sources
    from interlock.policy.authoring.workbench import Workbench

    sources = load_sources(policies)
    with Workbench() as workbench, show.working("checking"):
        checked = check_policies(workbench, sources, read_schemas(policies))
    if format_ == "table":
        for one in checked.findings:
            style = "red" if one.level.value == "error" else "yellow"
            place = f"{sources.place(one.path)}:{one.row}:{one.column}" if one.path else "the policies"
            show.say(f"{place}  {one.level.value}  {one.rule_id}", style=style)
            for line in one.message.splitlines():
                show.say(f"  {line}")
            for line in one.fix.splitlines():
                show.say(f"    {line}")
        untested = "" if checked.tests_seen else "; without tests nothing is said of rules that have none"
        count = len(checked.findings)
        show.say(f"{checked.files} files, {count or 'no'} finding{'s' * (count != 1)}{untested}")
    if format_ != "table" or out is not None:
        sarif = format_ == "sarif" or (format_ == "table" and out is not None and out.suffix == ".sarif")
        _hand_out(_json(check_sarif(checked, sources) if sarif else check_document(checked, sources)), out)
    return EXIT_ALLOW if checked.clean else EXIT_DENY


def _run(policies: tuple[Path, ...], pattern: str) -> tuple[TestRun, Sources]:
    from interlock.policy.authoring.sources import load_sources
    from interlock.policy.authoring.testing import run_tests
    from interlock.policy.authoring.workbench import Workbench

    sources = load_sources(policies)
    if not sources.bundle.tests:
        raise UsageError(
            "there are no tests in these policies" if policies else "an installed Interlock has no tests of its rules",
            next_step="name a folder with _test.rego files, such as policies/ in Interlock's source",
        )
    with Workbench() as workbench, show.working("running tests"):
        run = run_tests(workbench, sources, pattern=pattern)
    if not run.results:
        raise UsageError("no test has such a name", where=pattern, next_step="leave --run out to see them all")
    return run, sources


def _status(run: TestRun, threshold: float) -> int:
    from interlock.policy.authoring.testing import Outcome

    if run.count(Outcome.ERROR):
        return EXIT_UNDECIDED
    return EXIT_DENY if run.count(Outcome.FAIL) or run.coverage.percent < threshold else EXIT_ALLOW


def _show_run(run: TestRun, sources: Sources, threshold: float, *, whole: bool) -> None:
    from interlock.policy.authoring.testing import Outcome

    for result in run.results:
        if result.outcome is Outcome.PASS:
            continue
        show.say(f"{result.outcome.value}  {result.full_name}", style=_COLOURS[result.outcome.value])
        show.say(f"  {_place(result, sources)}  {result.seconds * 1000:.1f} ms")
        for line in result.message.splitlines():
            show.say(f"  {line}")
        for one in result.prints:
            show.say(f"  printed at {one.place}: {one.text}")
    slowest = max(run.results, key=lambda result: result.seconds)
    words = {
        Outcome.PASS: "passed",
        Outcome.FAIL: "failed",
        Outcome.ERROR: "could not be told",
        Outcome.SKIPPED: "skipped",
    }
    counted = ", ".join(f"{run.count(one)} {word}" for one, word in words.items() if run.count(one))
    total = sum(result.seconds for result in run.results)
    show.say(f"{counted} in {total:.2f} s; the slowest is {slowest.full_name} with {slowest.seconds * 1000:.1f} ms")
    if not whole and not threshold:
        return
    enough = run.coverage.percent >= threshold
    asked = f", {threshold:g} % asked" if threshold else ""
    show.say(
        f"coverage {run.coverage.percent:.2f} %{asked}" + ("" if run.coverage.percent == 100 else "; not run:"),
        style="" if enough else "red",
    )
    _show_missed(run.coverage, sources)


def _show_coverage(covered: Coverage, sources: Sources) -> None:
    rows = [
        (f"{rule.lines.percent:.1f}", f"{sources.place(file.path)}:{rule.row}", rule.name, _missed(rule.lines.missed))
        for file in covered.files
        if not file.is_test
        for rule in file.rules
    ]
    show.table(("covered %", "rule at", "name", "lines not run"), rows)
    show.say(f"coverage {covered.percent:.2f} % of all lines, those of tests among them")
    _show_missed(covered, sources, only_tests=True)


def _show_missed(covered: Coverage, sources: Sources, *, only_tests: bool = False) -> None:
    for file in covered.files:
        if file.lines.missed and (file.is_test or not only_tests):
            show.say(f"  {file.lines.percent:5.1f} %  {sources.place(file.path)}: {_missed(file.lines.missed)}")


def _missed(rows: tuple[int, ...]) -> str:
    from interlock.policy.authoring.coverage import ranges

    return ranges(rows)


def _place(result: TestResult, sources: Sources) -> str:
    return f"{sources.place(result.path)}:{result.row}"


def _json(document: Mapping[str, Json]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _hand_out(text: str, out: Path | None) -> None:
    if out is None:
        sys.stdout.write(text)
        return
    from interlock.reporting import write_whole

    write_whole(out, text)
    show.progress(f"report: {out}")
