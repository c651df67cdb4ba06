"""`interlock ledger ...`: list, show, verify and export receipts, and list enforcement events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import InterlockError, Settings, utc_now
from interlock.gate.documents import timestamp

if TYPE_CHECKING:
    from interlock.evidence import KeyRing, Ledger, LedgerEntry, Receipt, RecordedEvent
    from interlock.gate import Json


@click.group()
def ledger() -> None:
    """The append-only store of receipts."""


@ledger.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--run", "run_id", help="Only receipts of this run.")
def list_(limit: int, run_id: str | None) -> int:
    """The newest receipts, newest first."""
    opened, keyring = _open()
    entries = tuple(reversed(opened.of_run_id(run_id)))[:limit] if run_id else opened.entries(limit=limit)
    show.table(
        ("recorded", "receipt", "verdict", "gate", "stage", "task", "subject", "state"),
        [_row(entry, keyring) for entry in entries],
    )
    return 0


@ledger.command("show")
@click.argument("receipt_id")
@click.option("--format", "format_", type=click.Choice(("table", "json", "envelope", "html")), default="table")
@click.option("--out", type=OutFile(), help="Write to this file.")
def show_(receipt_id: str, format_: str, out: Path | None) -> int:
    """One receipt, its reasons and what it is bound to."""
    from interlock.evidence.verification import authentic
    from interlock.reporting import write_whole

    opened, keyring = _open()
    entry = opened.get(receipt_id)
    receipt = authentic(entry.envelope, keyring).receipt
    if format_ != "table":
        text = _document(entry, receipt, format_)
        if out:
            write_whole(out, text)
        else:
            click.echo(text)
        return 0
    _present(entry, receipt, _state(entry, keyring))
    return 0


@ledger.command()
@click.option("--head", help="A head noted earlier (`<seq>:<link>`): then a cut tail is found, too.")
def verify(head: str | None) -> int:
    """Walk the chain; name the first broken link."""
    opened, _ = _open()
    now = opened.verify(head)
    logged = next((one.seq for one in opened.decisions(limit=1)), 0)
    events = next((one.seq for one in opened.events(limit=1)), 0)
    show.say(
        f"{now.seq} receipts, {logged} logged decisions and {events} enforcement events, the chains hold; head {now}"
    )
    return 0


@ledger.command()
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@click.option("--pipeline", help="Only events of this DAG or pipeline.")
@click.option("--run", "run_id", help="Only events of this run.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table")
def events(limit: int, pipeline: str | None, run_id: str | None, format_: str) -> int:
    """What people and enforcement did, newest first: marked, cleared, paused, quarantined, refused."""
    opened, _ = _open()
    found = opened.events(pipeline=pipeline, run_id=run_id, limit=limit)
    if format_ == "json":
        rows: list[Json] = [
            {"seq": one.seq, "recorded": one.recorded, **one.enforcement_event().document()} for one in found
        ]
        show.say_json({"events": rows})
        return 0
    show.table(("at", "event", "level", "by", "pipeline", "run", "task", "reason"), [_event_row(one) for one in found])
    return 0


@ledger.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--run", "run_id", help="Only this run, with an in-toto layout and links.")
def export(folder: Path, run_id: str | None) -> int:
    """Write receipts, reports and keys so that openssl and in-toto-verify can check them."""
    from interlock.evidence import load_signer

    opened, keyring = _open()
    exported = opened.export(
        folder, keyring=keyring, signer=load_signer(Settings.load()) if run_id else None, run=run_id
    )
    show.say(f"{exported}")
    return 0


def _open() -> tuple[Ledger, KeyRing]:
    from interlock.evidence import KeyRing, Ledger

    settings = Settings.load()
    return Ledger.open(settings.ledger_url), KeyRing.load(settings)


def _row(entry: LedgerEntry, keyring: KeyRing) -> tuple[str, ...]:
    from interlock.evidence.verification import authentic

    try:
        receipt = authentic(entry.envelope, keyring).receipt
    except InterlockError as error:
        return entry.recorded, entry.receipt_id, "", "", "", "", "", error.what
    return (
        entry.recorded,
        entry.receipt_id,
        receipt.verdict.value,
        receipt.gate,
        receipt.stage.value,
        receipt.run.task_id,
        f"{receipt.subject.name} sha256:{receipt.subject.digest[:12]}",
        _state(entry, keyring) + (f", EXEMPTED by {' '.join(receipt.exemptions)}" if receipt.exemptions else ""),
    )


def _event_row(recorded: RecordedEvent) -> tuple[str, ...]:
    event = recorded.enforcement_event()
    task = event.task_id if event.map_index < 0 else f"{event.task_id}[{event.map_index}]"
    return (
        timestamp(event.at),
        event.kind.value,
        event.level,
        event.actor,
        event.pipeline,
        event.run_id,
        task,
        event.reason,
    )


def _state(entry: LedgerEntry, keyring: KeyRing) -> str:
    """Whether the receipt still opens guards, as far as signature and time go."""
    from interlock.evidence import verify_receipt

    try:
        receipt = verify_receipt(entry.envelope, keyring, now=utc_now())
    except InterlockError as error:
        return error.what
    return "valid, dev key" if receipt.dev else "valid"


def _present(entry: LedgerEntry, receipt: Receipt, state: str) -> None:
    run, decision = receipt.run, receipt.decision
    show.say_verdict(receipt.verdict, f"{receipt.gate} ({receipt.stage.value}) of {receipt.subject.uri}")
    for exemption in receipt.exemptions:
        show.say(f"EXEMPTED  exemption {exemption} was used: interlock exempt list", style="bold yellow")
    show.table(
        ("field", "value"),
        [
            ("subject", f"sha256:{receipt.subject.digest}"),
            ("run", f"{run.orchestrator} {run.pipeline} {run.run_id} {run.task_id} try {run.attempt}"),
            ("profile", receipt.profile),
            ("policy", f"{decision.engine} {decision.engine_version}, bundle sha256:{decision.bundle_digest}"),
            ("decision", decision.decision_id),
            ("signer", f"{receipt.keyid}{' (dev key)' if receipt.dev else ''}"),
            ("state", state),
            ("issued", timestamp(receipt.issued)),
            ("expires", timestamp(receipt.expires)),
            ("report", f"sha256:{receipt.report_digest}"),
            *(("material", f"{m.uri} sha256:{m.digest}") for m in receipt.materials),
            ("ledger", f"entry {entry.seq}, link {entry.link}"),
        ],
    )
    for reason in decision.reasons:
        show.say(f"  {reason.severity.value}: {reason.message}. {reason.remediation}".rstrip())
    for error in decision.errors:
        show.say(f"  could not tell: {error}")
    for warning in decision.warnings:
        show.say(f"  warning: {warning.message}")


def _document(entry: LedgerEntry, receipt: Receipt, format_: str) -> str:
    from interlock.evidence import outcome_from
    from interlock.reporting import render_html, render_json

    if format_ == "envelope":
        return entry.envelope
    outcome = outcome_from(entry, receipt)
    if format_ == "html":
        return render_html(title=f"{receipt.gate}: {receipt.subject.name}", outcomes=[outcome])
    return json.dumps(render_json(outcome), ensure_ascii=False, indent=2)
