"""`interlock approve`: a person's signed word for one step with exactly these bytes."""

from __future__ import annotations

from pathlib import Path

import click

from interlock.cli.out import OutFile
from interlock.cli.signing import expiry, sign_and_write, subject_of
from interlock.gate import Settings, utc_now
from interlock.policy.bundles.bundle import STEPS


@click.command()
@click.argument("subject")
@click.option("--step", required=True, type=click.Choice(STEPS), help="What may be done with it.")
@click.option("--days", default=1.0, show_default=True, help="How long, 90 at most.")
@click.option("--reason", default="", help="What was looked at.")
@click.option("--out", type=OutFile(), help="Write it here instead.")
def approve(subject: str, step: str, days: float, reason: str, out: Path | None) -> int:
    """Sign that SUBJECT (path, URL or sha256:...) may take a step; `interlock exempt list` shows what was signed."""
    from interlock.evidence import Approval
    from interlock.evidence.receipt import new_receipt_id

    settings, issued = Settings.load(), utc_now()
    named = subject_of(subject)
    approval = Approval(
        id=new_receipt_id(issued),
        reason=reason,
        step=step,
        digest=named.digest,
        name=named.name,
        issued=issued,
        expires=expiry(issued, days),
    )
    sign_and_write(approval, settings, kind="approval", out=out)
    return 0
