"""`interlock lint PATHS`: whether the pipelines in these files are gated, before they are merged."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.gates import settings_with
from interlock.cli.out import OutFile, keep_one_document
from interlock.gate import UsageError
from interlock.gate.errors import EXIT_ALLOW

if TYPE_CHECKING:
    from interlock.lint import Baseline, LintResult

FORMATS = ("table", "json", "sarif", "junit")


@click.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--format", "format_", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--out", type=OutFile(), help="Write the report to this file.")
@click.option("--root", default="", help="The folder that pipelines import modules from; by default as it is named.")
@click.option("--timeout", default=30.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds for a file.")
@click.option("--jobs", default=0, type=click.IntRange(min=0), help="Worker processes; one a processor by default.")
@click.option("--profile", help="Policy profile; the deployment's own settings when not given.")
@click.option("--strict", is_flag=True, help="Count what the modes warn and audit let pass.")
@click.option("--baseline", type=click.Path(dir_okay=False, path_type=Path), help="Findings that are accepted (YAML).")
@click.option("--write-baseline", is_flag=True, help="Write what is found now to --baseline; needs --reason.")
@click.option("--reason", default="", help="With --write-baseline: why these findings may stay for now.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 366), help="How long they may stay.")
@click.option("--receipts", is_flag=True, help="Write a signed receipt for each file whose pipelines are all gated.")
def lint(
    *,
    paths: tuple[str, ...],
    format_: str,
    out: Path | None,
    root: str,
    timeout: float,
    jobs: int,
    profile: str | None,
    strict: bool,
    baseline: Path | None,
    write_baseline: bool,
    reason: str,
    days: int,
    receipts: bool,
) -> int:
    """Say whether every protected step in these DAG files and compiled Kubeflow pipelines is held by its gates.

    Exit status: 0 all gated, 1 a protected step is not, 3 a file could not be judged, 2 usage.
    """
    from interlock.lint import LintRequest
    from interlock.lint import lint as run

    if write_baseline and (baseline is None or not reason.strip()):
        raise UsageError("--write-baseline needs --baseline FILE and --reason 'why these may stay for now'")
    if write_baseline and receipts:
        raise UsageError("--write-baseline and --receipts are two things to do", next_step="run lint twice")
    settings = settings_with(profile)
    if receipts:  # each is a decision, and so a line of the decision log
        keep_one_document(settings, format_, out)
    today = datetime.now(UTC).date()
    known = _baseline(baseline, write=write_baseline)
    request = LintRequest(
        paths=paths, root=root, seconds=timeout, jobs=jobs, strict=strict, every_module=receipts, baseline=known
    )
    with show.working(f"looking at {', '.join(paths[:3])}{' ...' if len(paths) > 3 else ''}"):
        result = run(request, settings)
        if receipts:
            from interlock.lint.receipts import with_receipts

            result = with_receipts(result, settings)
    if write_baseline and known is not None:
        return _write(known, result, reason, today, days)
    _present(result, format_, out)
    return result.verdict.exit_status


def _baseline(place: Path | None, *, write: bool) -> Baseline | None:
    from interlock.lint import Baseline

    if place is None:
        return None
    if write and not place.exists():
        return Baseline(place=place)
    return Baseline.read(place, today=datetime.now(UTC).date())


def _write(baseline: Baseline, result: LintResult, reason: str, today: date, days: int) -> int:
    from interlock.reporting import write_whole

    expires = today + timedelta(days=days)
    write_whole(baseline.place, baseline.written(result.files, reason=reason, expires=expires, today=today))
    show.say(f"baseline: {baseline.place}; what it accepts counts again after {expires}")
    return EXIT_ALLOW


def _present(result: LintResult, format_: str, out: Path | None) -> None:
    from interlock.reporting import write_whole

    if format_ == "table":
        from interlock.cli.lint_table import print_table

        print_table(result)
        if out is None:
            return
        format_ = {".sarif": "sarif", ".xml": "junit"}.get(out.suffix, "json")
    text = _rendered(result, format_)
    if out is None:
        sys.stdout.write(text)
    else:
        write_whole(out, text)
        show.progress(f"report: {out}")


def _rendered(result: LintResult, format_: str) -> str:
    from interlock.lint.formats import junit, lint_document, sarif

    if format_ == "junit":
        return junit(result)
    document = sarif(result) if format_ == "sarif" else lint_document(result)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
