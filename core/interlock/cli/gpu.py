"""`interlock gpu`: the state of this machine's GPUs, a record of it, and tokens of attestation held against keys."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock.cli import show
from interlock.cli.out import OutFile
from interlock.gate import Json, Settings, SubjectError, Verdict, utc_now

if TYPE_CHECKING:
    from interlock.training.gpu import GpuProbe, GpuState
    from interlock.training.gpu.choice import Assigned

_UNKNOWN = "unknown"
_COLUMNS = ("gpu", "uuid", "name", "memory free", "mode", "ECC", "uncorrected", "out of use", "processes")


@click.group()
def gpu() -> None:
    """The GPUs that trainings get: their state, and who vouches for them."""


@gpu.command("show")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def show_state(format_: str) -> int:
    """Show the GPUs of this machine as policy would read them.

    What is not known is `unknown`, and policy denies what it asks for and does not find. Exit status 3 where no NVIDIA
    driver answers.
    """
    from interlock.training.gpu import gpu_probe

    with closing(gpu_probe(Settings.load().gpu_record)) as probe:
        state = probe.state()
        if format_ == "json":
            show.say_json(_document(state, probe))
            return 0
        _say_machine(state, probe)
        show.table(_COLUMNS, _rows(state))
    return 0


@gpu.command()
@click.option("--out", type=OutFile(), help="Write it there; printed when not given.")
def record(out: Path | None) -> int:
    """Write down the state of this machine's GPUs, to be played back where there are none (setting `gpu_record`)."""
    from interlock.gate.durable import replacing
    from interlock.training.gpu import NvmlProbe, written_record

    with closing(NvmlProbe()) as probe:
        text = written_record(probe.state(), taken=utc_now())
    if out is None:
        click.echo(text, nl=False)
    else:
        with replacing(out) as stream:
            stream.write(text.encode())
    return 0


@gpu.command()
@click.argument("token", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--jwks", required=True, type=click.Path(path_type=Path), help="The key set that is trusted.")
@click.option("--nonce", required=True, metavar="HEX", help="The one that the GPUs were asked with: 32 bytes.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def attest(token: Path, jwks: Path, nonce: str, format_: str) -> int:
    """Verify TOKEN, a file with what `nvattest attest --format json` or NRAS gave.

    Exit status 0 when it holds, 1 when it does not, 3 when it is no attestation.
    """
    from interlock.training.gpu import read_keys, verify_attestation
    from interlock.training.gpu.attestation import MAXIMUM_BYTES

    try:
        with token.open("rb") as stream:
            raw = stream.read(MAXIMUM_BYTES + 1)
    except OSError as error:
        raise SubjectError(f"the token cannot be read: {error.strerror}", where=str(token)) from error
    found = verify_attestation(raw, keys=read_keys(jwks), nonce=nonce)
    verdict = Verdict.ALLOW if found.verified else Verdict.DENY
    if format_ == "json":
        show.say_json(found.facts())
        return verdict.exit_status
    show.say_verdict(verdict, f"attestation of {len(found.devices)} GPUs by {found.issuer or 'nobody that is trusted'}")
    for problem in found.problems:
        show.say(problem)
    columns = ("gpu", "model", "driver", "VBIOS", "ueid")
    show.table(columns, [(one.name, one.model, one.driver, one.vbios, one.ueid) for one in found.devices])
    return verdict.exit_status


def _document(state: GpuState, probe: GpuProbe) -> dict[str, Json]:
    from interlock.training.gpu.record import plain

    return {
        "recorded": probe.recorded,
        "tools": [{"name": tool.name, "version": tool.version} for tool in (*probe.tools, *state.tools)],
        "state": plain(state),
    }


def _say_machine(state: GpuState, probe: GpuProbe) -> None:
    if probe.recorded:
        show.say("played back from a record: nothing of this machine was measured", style="bold yellow")
    protects = state.confidential.protects
    confidential = _UNKNOWN if protects is None else ("yes" if protects else "no")
    show.say(
        f"driver {state.driver or _UNKNOWN}, CUDA {state.cuda or _UNKNOWN}, container toolkit "
        f"{state.toolkit or _UNKNOWN}, confidential {confidential}"
    )
    for index, reason in state.lost:
        show.say(f"GPU {index} does not answer: {reason}", style="red")


def _rows(state: GpuState) -> list[tuple[str, ...]]:
    from interlock.training.gpu.choice import places_of

    return [_row(place) for place in places_of(state)]


def _row(place: Assigned) -> tuple[str, ...]:
    device = place.device
    index = str(device.index) if place.mig is None else f"{device.index}:{place.mig.index}"
    free = _UNKNOWN if place.memory_free_bytes is None else f"{place.memory_free_bytes / 2**30:.1f} GiB"
    ecc = _UNKNOWN if device.ecc_enabled is None else ("on" if device.ecc_enabled else "off")
    return (
        index,
        place.uuid,
        device.name or _UNKNOWN,
        free,
        "MIG slice" if place.mig is not None else device.compute_mode or _UNKNOWN,
        ecc,
        _count(device.ecc.volatile_uncorrected),
        _count(device.repairs.out_of_use),
        _count(None if place.processes is None else len({process.pid for process in place.processes})),
    )


def _count(number: int | None) -> str:
    return _UNKNOWN if number is None else str(number)
