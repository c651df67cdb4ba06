"""`interlock policy bundle` and `fetch`: build what an OPA server serves, and bring policy to this machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import Json, Settings, UsageError
from interlock.gate.errors import EXIT_ALLOW, EXIT_UNDECIDED

if TYPE_CHECKING:
    from interlock.policy import Bundle
    from interlock.policy.bundles.keys import BundleKey

_DAY = 86_400


@click.command()
@click.argument("policy", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--layer", "layers", multiple=True, type=click.Path(exists=True, path_type=Path), help="Lay it over.")
@click.option("--out", default="bundle.tar.gz", type=OutFile(), show_default=True)
@click.option("--revision", default="", metavar="TEXT", help="In front of the digest; the bundle's own when not given.")
@click.option("--with-tests", is_flag=True, help="For reading only: such a bundle decides nothing on a server.")
@click.option("--signing-key", type=click.Path(dir_okay=False, path_type=Path), metavar="PEM", help="Private key.")
@click.option("--signing-alg", default="", metavar="ALG", help="RS256 or that of the curve when not given.")
@click.option("--key-id", default="", metavar="NAME", help="The key file's name without its ending when not given.")
@click.option("--scope", default="", metavar="NAME", help="What the signature is good for.")
@click.option("--valid-days", type=click.IntRange(min=1), metavar="N", help="Let the signature expire.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def bundle(
    *,
    policy: Path | None,
    layers: tuple[Path, ...],
    out: Path,
    revision: str,
    with_tests: bool,
    signing_key: Path | None,
    signing_alg: str,
    key_id: str,
    scope: str,
    valid_days: int | None,
    format_: str,
) -> int:
    """Build a bundle.tar.gz that a stock `opa run -b` serves: the same bytes for the same policy.

    POLICY is the shipped one when not given; with neither POLICY nor layers they are those of the settings.
    """
    from interlock.policy import Bundle
    from interlock.policy.bundles.archive import packed
    from interlock.reporting import write_whole

    key = _key(signing_key, alg=signing_alg, keyid=key_id, scope=scope, expires=valid_days is not None)
    made = _policy(policy, layers)
    expires = None if valid_days is None else int(time.time()) + valid_days * _DAY
    content = packed(made, revision=revision, with_tests=with_tests, key=key, expires=expires)
    again = Bundle.unpack(content, origin=str(out))  # refused here rather than on a server
    write_whole(out, content)
    _say(again, format_, out=str(out), signed_by=key.keyid if key is not None else "")
    return 0


@click.command()
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def fetch(format_: str) -> int:
    """Ask the servers of `policy` and `policy_layers` now, verify, and keep a copy on this machine.

    DAG parsing asks no server: it reads these copies. A bundle that is already here is only verified. Exit status 3
    where a server did not say what it has now, or that could not be kept: then what is shown is the copy that decides.
    """
    from dataclasses import replace

    from interlock.policy.bundles.source import find_policy

    found = find_policy(replace(Settings.load(), policy_poll=0.0))
    _say(found.bundle, format_)
    for why in found.behind:
        show.progress(f"interlock: policy was not fetched: {why}")
    return EXIT_UNDECIDED if found.behind else EXIT_ALLOW


def _key(path: Path | None, *, alg: str, keyid: str, scope: str, expires: bool) -> BundleKey | None:
    from interlock.policy.bundles.keys import load_signing_key

    if path is not None:
        return load_signing_key(path, keyid=keyid, scope=scope, algorithm=alg)
    if alg or keyid or scope or expires:
        raise UsageError(
            "an option of the signature without a key", where="--signing-key", next_step="name the private key"
        )
    return None


def _policy(policy: Path | None, layers: tuple[Path, ...]) -> Bundle:
    from interlock.policy import Bundle, layered, load_policy

    if policy is None and not layers:
        return load_policy(Settings.load())
    return layered(Bundle.load(policy or ""), [Bundle.load(layer) for layer in layers])


def _say(made: Bundle, format_: str, **more: str) -> None:
    about: dict[str, Json] = {
        "digest": made.digest,
        "revision": made.revision,
        "origin": made.origin,
        "rules": len(made.modules),
        **more,
        "notes": list(made.notes),
    }
    if format_ == "json":
        show.say_json(about)
        return
    show.table(("what", "value"), [(name, str(value)) for name, value in about.items() if value not in ("", [])])
