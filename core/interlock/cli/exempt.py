"""`interlock exempt ...`: sign a break-glass, and list what people signed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.cli.signing import expiry, sign_and_write, subject_of
from interlock.gate import GATE_KINDS, Json, Settings, UsageError, utc_now
from interlock.gate.documents import timestamp

if TYPE_CHECKING:
    from interlock.evidence import Exemption, FoundGrant
    from interlock.evidence.grants import Signed

_COLUMNS = ("file", "kind", "id", "state", "for", "sets aside", "profiles", "expires", "by", "reason")


class _SubjectOrCommand(click.Group):
    """`interlock exempt SUBJECT ...` is `interlock exempt sign SUBJECT ...`; a file called `list` is `./list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = ["sign", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_SubjectOrCommand)
def exempt() -> None:
    """Sign a break-glass: SUBJECT passes one gate although named rules deny it, for a time, visibly."""


@exempt.command()
@click.argument("subject", required=False)
@click.option("--any-named", metavar="NAME", help="Instead of SUBJECT: whatever bytes bear this name.")
@click.option("--gate", required=True, type=click.Choice(GATE_KINDS), help="At this gate, or guard of that step.")
@click.option("--rule", "rules", required=True, multiple=True, help="Id of a reason to set aside; repeatable.")
@click.option("--profile", "profiles", multiple=True, help="In this profile (that of the settings); repeatable.")
@click.option("--days", default=1.0, show_default=True, help="How long, 90 at most.")
@click.option("--reason", required=True, help="Why; it stands in every receipt's ledger entry that uses it.")
@click.option("--out", type=OutFile(), help="Write it here instead.")
def sign(
    *,
    subject: str | None,
    any_named: str | None,
    gate: str,
    rules: tuple[str, ...],
    profiles: tuple[str, ...],
    days: float,
    reason: str,
    out: Path | None,
) -> int:
    """Sign an exemption for SUBJECT (path, URL or sha256:...) with this deployment's key."""
    from interlock.evidence import Exemption
    from interlock.evidence.receipt import new_receipt_id

    if (subject is None) == (any_named is None):
        raise UsageError("an exemption is for one SUBJECT or for --any-named NAME")
    settings, issued = Settings.load(), utc_now()
    exemption = Exemption(
        id=new_receipt_id(issued),
        reason=reason,
        rules=tuple(dict.fromkeys(rules)),
        gate=gate,
        digest=subject_of(subject).digest if subject is not None else "",
        subject=any_named or "",
        profiles=tuple(dict.fromkeys(profiles)) or (settings.profile,),
        issued=issued,
        expires=expiry(issued, days),
    )
    _warn_of_unknown(exemption.rules, settings)
    signed = sign_and_write(exemption, settings, kind="exemption", out=out)
    _warn_of_useless(exemption, signed, settings)
    return 0


@exempt.command("list")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table")
def list_(format_: str) -> int:
    """Exemptions and approvals that lie here, whether they hold now in the profile in force, and why not."""
    from interlock.evidence import GrantFolder, KeyRing

    settings = Settings.load()
    found = GrantFolder(settings.exemptions, KeyRing.load(settings)).read()
    problems = _problems(found, settings)
    if format_ == "json":
        grants: list[Json] = [_document(one, problem) for one, problem in zip(found, problems, strict=True)]
        show.say_json({"folder": str(settings.exemptions), "profile": settings.profile, "grants": grants})
        return 0
    show.table(_COLUMNS, [_row(one, problem) for one, problem in zip(found, problems, strict=True)])
    if not found:
        show.progress(f"no exemption or approval lies in {settings.exemptions}")
    return 0


def _problems(found: Sequence[FoundGrant], settings: Settings) -> list[str]:
    """Why each does not hold; what a good signature is worth is what the policy says of the profile in force."""
    from interlock.evidence import Exemption
    from interlock.policy.decisions.outlook import outlooks

    good = {
        number: one.authentic.grant.document(one.authentic.signed)
        for number, one in enumerate(found)
        if one.holds and one.authentic is not None and isinstance(one.authentic.grant, Exemption)
    }
    told = outlooks(settings, [(settings.profile, document) for document in good.values()], now=utc_now())
    problems = [one.problem for one in found]
    for number, outlook in zip(good, told, strict=True):
        stays = [f"nothing sets {rule} aside" for rule in outlook.stays]
        named = good[number]["rules"]
        useless = isinstance(named, list) and len(stays) == len(named)
        reasons = outlook.flaws or (stays if useless else ())
        problems[number] = f"in profile {settings.profile}: {'; '.join(reasons)}" if reasons else ""
    return problems


def _row(one: FoundGrant, problem: str) -> tuple[str, ...]:
    from interlock.evidence import Exemption

    grant = one.authentic.grant if one.authentic is not None else one.claimed
    state = problem or "holds"
    if grant is None:
        return one.place.name, "", "", state, "", "", "", "", "", ""
    by = f"{one.authentic.signed.by}{' (dev key)' if one.authentic.signed.dev else ''}" if one.authentic else ""
    what = f"sha256:{grant.digest}"
    if isinstance(grant, Exemption):
        what = what if grant.digest else f"any named {grant.subject}"
        details = f"{grant.gate} of {what}", " ".join(grant.rules), " ".join(grant.profiles)
    else:
        details = f"{grant.step} of {what}", "", ""
    kind = grant.predicate_type.split(":")[2]
    return one.place.name, kind, grant.id, state, *details, timestamp(grant.expires), by, grant.reason


def _document(one: FoundGrant, problem: str) -> dict[str, Json]:
    return {
        "file": one.place.name,
        "holds": not problem,
        "problem": problem,
        "kind": one.authentic.grant.predicate_type.split(":")[2] if one.authentic is not None else "",
        "grant": one.authentic.grant.document(one.authentic.signed) if one.authentic is not None else None,
    }


def _warn_of_unknown(rules: tuple[str, ...], settings: Settings) -> None:
    """A mistyped id would set nothing aside, which is found out when it is needed most."""
    from interlock.policy.bundles.source import load_policy
    from interlock.policy.decisions.outlook import reason_ids

    known = reason_ids(load_policy(settings))
    for rule in rules:
        if rule not in known:
            show.progress(f"note: no rule of this deployment's policy has the id {rule!r}; check the id")


def _warn_of_useless(exemption: Exemption, signed: Signed, settings: Settings) -> None:
    """It is signed and written all the same: another deployment, or a later policy, may take it."""
    from interlock.policy.decisions.outlook import outlooks

    document = exemption.document(signed)
    told = outlooks(settings, [(profile, document) for profile in exemption.profiles], now=utc_now())
    for profile, outlook in zip(exemption.profiles, told, strict=True):
        for flaw in outlook.flaws:
            show.progress(f"note: in profile {profile} this exemption sets nothing aside: {flaw}")
        for rule in outlook.stays:
            show.progress(f"note: in profile {profile} no exemption sets {rule} aside, and neither does this one")
