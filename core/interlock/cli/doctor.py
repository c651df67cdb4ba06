"""`interlock doctor`: what this machine has, what it gets, and what to do about what is missing."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from importlib import metadata
from pathlib import Path

import click

from interlock.cli import show
from interlock.gate import InterlockError, Settings
from interlock.gate.errors import EXIT_ALLOW, EXIT_UNDECIDED

_EXTRAS = {
    "airflow": ("apache-airflow", "the operators, the cluster policy and the demo"),
    "gx": ("great-expectations", "data validation"),
    "torch": ("torch", "poisoning scans and training"),
    "opa": ("opa-python-client", "an OPA server as policy engine"),
    "kubeflow": ("kfp", "Kubeflow components"),
    "gpu": ("nvidia-ml-py", "GPU checks before training"),
    "postgres": ("pg8000", "a ledger in PostgreSQL"),
}

_AFTERWARDS = {"airflow": "`interlock airflow status`, beside the scheduler, says what of it is in force"}


class State(Enum):
    """How a check came out: `MISSING` is fine for some people, `BROKEN` for nobody."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the answer."""

    what: str
    state: State
    found: str
    next_step: str = ""


@click.command()
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def doctor(format_: str) -> int:
    """Say what is installed, which isolation level and policy engine this machine gets, and what is missing.

    Exit status 3 when something is broken, 0 otherwise: a missing extra is not an illness.
    """
    checks = list(_checks())
    if format_ == "json":
        show.say_json(
            {
                "checks": [
                    {"what": c.what, "state": c.state.value, "found": c.found, "next_step": c.next_step} for c in checks
                ]
            }
        )
    else:
        show.table(
            ("what", "state", "found", "next step"), [(c.what, c.state.value, c.found, c.next_step) for c in checks]
        )
    return EXIT_UNDECIDED if any(check.state is State.BROKEN for check in checks) else EXIT_ALLOW


def _checks() -> Iterator[Check]:
    yield Check(
        what="interlock",
        state=State.OK,
        found=f"{metadata.version('interlock')} on Python {platform.python_version()}",
    )
    try:
        settings = Settings.load()
    except InterlockError as error:
        yield Check(what="settings", state=State.BROKEN, found=error.what, next_step=error.next_step or error.where)
        return
    yield Check(what="settings", state=State.OK, found=f"profile {settings.profile}, home {settings.home}")
    for what, check in (
        ("isolation", _isolation),
        ("policy engine", _engine),
        ("signing key", _signer),
        ("ledger", _ledger),
        ("exported receipts", _exports),
    ):
        yield _guarded(what, check, settings)
    for extra, (package, purpose) in _EXTRAS.items():
        yield _extra(extra, package, purpose)


def _guarded(what: str, check: Callable[[Settings], Check], settings: Settings) -> Check:
    try:
        return check(settings)
    except InterlockError as error:
        where = f" ({error.where})" if error.where else ""
        return Check(what=what, state=State.BROKEN, found=f"{error.what}{where}", next_step=error.next_step)


def _isolation(settings: Settings) -> Check:  # noqa: ARG001 (every check gets the settings)
    from interlock.training import best_sandbox, sandboxes

    best = best_sandbox()
    strongest = sandboxes()[0]
    if best.level == strongest.level:
        return Check(what="isolation", state=State.OK, found=f"{best.level}: {best.probe().reason}")
    better = strongest.probe()
    return Check(
        what="isolation",
        state=State.MISSING,
        found=f"{best.level}; not {strongest.level}: {better.reason}",
        next_step=better.how_to_get,
    )


def _engine(settings: Settings) -> Check:
    from interlock.policy import open_decider

    decider = open_decider(settings)
    try:
        engine = decider.engine
        engine.evaluate("data.interlock.decision.allow", {})
        found = f"{engine.name} {engine.version}, bundle sha256:{decider.bundle_digest[:12]}"
    finally:
        decider.close()
    return Check(what="policy engine", state=State.OK, found=found, next_step="; ".join(decider.bundle.notes))


def _signer(settings: Settings) -> Check:
    from interlock.evidence import load_signer

    if not settings.signer and not (settings.home / "keys" / "dev.key").exists():
        return Check(
            what="signing key",
            state=State.MISSING,
            found="none yet; a dev key is made on first use",
            next_step="for anything but trying it, set `signer` to a KMS or HSM URI",
        )
    signer = load_signer(settings)
    advice = "the profiles standard and strict refuse its receipts: set `signer` to a KMS or HSM URI"
    return Check(
        what="signing key",
        state=State.OK,
        found=f"{'dev key ' if signer.dev else ''}{signer.keyid[:16]}",
        next_step=advice if signer.dev else "",
    )


def _ledger(settings: Settings) -> Check:
    from interlock.evidence import Ledger

    head = Ledger.open(settings.ledger_url).verify()
    return Check(what="ledger", state=State.OK, found=f"{head.seq} receipts, the chain holds")


def _exports(settings: Settings) -> Check:
    from interlock.evidence import ExportedReceipts

    if not settings.receipts:
        return Check(what="exported receipts", state=State.OK, found="none named: the ledger alone is asked")
    found = [ExportedReceipts(Path(folder).expanduser()).check() for folder in settings.receipts]
    folders = f"{len(found)} folder{'s' if len(found) > 1 else ''}"
    return Check(what="exported receipts", state=State.OK, found=f"{sum(found)} receipts in {folders}, all whole")


def _extra(extra: str, package: str, purpose: str) -> Check:
    try:
        found = f"{package} {metadata.version(package)}"
        return Check(what=f"extra {extra}", state=State.OK, found=found, next_step=_AFTERWARDS.get(extra, ""))
    except metadata.PackageNotFoundError:
        how = f"pip install 'interlock[{extra}]'" if shutil.which("pip") else f"install interlock[{extra}]"
        return Check(what=f"extra {extra}", state=State.MISSING, found=f"no {package}: {purpose}", next_step=how)
