"""`interlock fetch SUBJECT --digest sha256:... --to PLACE`: those bytes and no others."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("subject")
@click.option(
    "--digest", required=True, metavar="sha256:...", help="What `interlock snapshot` said, or a receipt says."
)
@click.option(
    "--to",
    required=True,
    metavar="PLACE",
    type=click.Path(path_type=Path),
    help="Where the copy appears; must be free.",
)
def fetch(subject: str, digest: str, to: Path) -> int:
    """Copy a file, a folder or a URL if its bytes are those that the digest names; otherwise leave nothing.

    It needs no settings, keys or ledger. Exit status: 0 copied, 2 wrong usage or nothing there, 3 other bytes, or the
    storage did not answer.
    """
    from interlock.evidence.fetching import fetch as fetched

    copy = fetched(subject, digest, to)
    click.echo(f"sha256:{copy.digest} {len(copy.files)} files {copy.size} bytes {to}", err=True)
    return 0
