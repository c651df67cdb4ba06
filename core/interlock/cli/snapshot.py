"""`interlock snapshot SUBJECT`: the digest that receipts will name."""

from __future__ import annotations

import click

from interlock.cli import show
from interlock.gate import Settings


@click.command()
@click.argument("subject")
@click.option("--to", default="", metavar="FOLDER|URL", help="Publish a copy under it, named by its digest.")
@click.option("--manifest", is_flag=True, help="Print the manifest: one JSON object with each file's sha256 and size.")
def snapshot(subject: str, to: str, *, manifest: bool) -> int:
    """Digest a file, a folder or a URL."""
    from interlock.evidence import take_snapshot
    from interlock.runner import LocalRunner

    if manifest:
        click.echo(take_snapshot(subject).manifest().decode())
        return 0
    with LocalRunner(Settings.load()) as runner:
        taken = runner.snapshot(subject, to)
    show.table(
        ("digest", "files", "bytes", "where"),
        [(f"sha256:{taken.subject.digest}", str(taken.files), str(taken.size), taken.subject.uri)],
    )
    return 0
