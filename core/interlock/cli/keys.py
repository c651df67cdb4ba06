"""`interlock keys ...`: which keys sign here, and whose receipts count."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.gate import GATE_KINDS, Settings, UsageError

if TYPE_CHECKING:
    from interlock.evidence import TrustedKey


@click.group()
def keys() -> None:
    """Signing and trusted keys."""


@keys.command("list")
def list_() -> int:
    """The public keys whose receipts count here, and what each may sign."""
    from interlock.evidence import KeyRing

    settings = Settings.load()
    ring = KeyRing.load(settings)
    rows = [(key.name, key.keyid, "dev" if key.dev else "", _rights(key)) for key in ring]
    show.table(("name", "key id", "kind", "may sign"), rows)
    if not rows:
        show.progress(
            f"no key is trusted. Next: interlock keys create, or put a public key into {settings.trusted_keys}"
        )
    return 0


@keys.command()
def create() -> int:
    """Make the dev key, or show it: every receipt it signs says `dev`."""
    from interlock.evidence import load_signer

    signer = load_signer(Settings.load())
    show.table(("key id", "kind"), [(signer.keyid, "dev" if signer.dev else "deployment")])
    click.echo(signer.public_pem, nl=False)
    return 0


@keys.command()
@click.argument("pem", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="A name for people.")
@click.option("--gate", "gates", multiple=True, type=click.Choice(GATE_KINDS), help="May sign only this; repeatable.")
@click.option("--exemptions", is_flag=True, help="May sign exemptions; and no receipts, unless --gate says which.")
@click.option("--approvals", is_flag=True, help="May sign approvals; and no receipts, unless --gate says which.")
@click.option("--models", is_flag=True, help="May sign models; and no receipts, unless --gate says which.")
def trust(*, pem: Path, name: str, gates: tuple[str, ...], exemptions: bool, approvals: bool, models: bool) -> int:
    """Trust a public key (PEM): receipts it signed open guards on this deployment."""
    from interlock.evidence import KeyRing
    from interlock.evidence.keys import public_key_of
    from interlock.reporting import write_whole

    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError("a key's name is letters, digits, - and _", where=repr(name))
    settings = Settings.load()
    content = pem.read_bytes()
    key = public_key_of(content, where=str(pem))
    target = settings.trusted_keys / f"{name}.pub"
    if target.exists():
        raise UsageError("a key of that name is trusted already", where=str(target), next_step="give another --name")
    settings.trusted_keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    rights = (("exemptions", exemptions), ("approvals", approvals), ("models", models))
    limits = {name: True for name, said in rights if said}
    if gates or limits:  # the limits first: there is no moment in which the key is trusted for everything
        write_whole(target.with_suffix(".json"), json.dumps({"gates": list(gates), **limits}).encode())
    write_whole(target, content)
    trusted = KeyRing.load(settings).get(key.keyid)
    show.say(f"{key.keyid} is trusted as {name} for {_rights(trusted) if trusted is not None else 'nothing'}")
    return 0


@keys.command()
@click.argument("uri")
def fetch(uri: str) -> int:
    """Ask a key service (awskms:, gcpkms:, hv:, hsm:) for the public half of a key, as PEM on standard output."""
    from interlock.evidence import fetch_public

    click.echo(fetch_public(uri), nl=False)
    return 0


def _rights(key: TrustedKey) -> str:
    gates = ["all gates"] if key.gates is None else sorted(key.gates)
    rights = (("exemptions", key.exemptions), ("approvals", key.approvals), ("models", key.models))
    more = [name for name, may in rights if may]
    return ", ".join([*gates, *more]) or "nothing any more"
