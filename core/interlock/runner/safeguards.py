"""Which safeguards stand beside a training, from what its request asks for and what the deployment has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import UsageError
from interlock.runner.requests import TrainRequest

if TYPE_CHECKING:
    from interlock.runner.local import LocalRunner
    from interlock.training import Safeguard, Safeguards
    from interlock.training.budgets import BudgetSafeguard
    from interlock.training.budgets.turns import StartTurn
    from interlock.training.gpu import GpuSafeguard, NoGpus


def safeguards_of(
    request: TrainRequest,
    runner: LocalRunner,
    *,
    say: Callable[[str], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Safeguards:
    """The safeguards of one training, not opened yet; a context manager that closes them.

    Args:
        request: What the step asks for; it can add a safeguard, never take one away that the deployment wants.
        runner: Whose ledger, keys and settings they read.
        say: Gets what they have to say to people before the run.
        on_progress: Gets how far the run is, about twice a second.

    Raises:
        UsageError: Two wishes cannot both be met.
    """
    from interlock.training import Safeguards
    from interlock.training.budgets.turns import StartTurn
    from interlock.training.pickles import PickleSafeguard
    from interlock.training.repeat import DeterminismSafeguard
    from interlock.training.watching import WatchSafeguard

    if request.check_determinism and request.watch is not None and request.watch.stall_seconds is not None:
        raise UsageError(
            "a stall cannot be told from the second run of a check of determinism, of which nothing is heard",
            next_step="leave out either of them",
        )
    gpus = _gpus(request, runner)
    turn = StartTurn(runner.ledger)
    budget = _budget(request, runner, gpus, turn, say)
    beside: list[Safeguard] = [_origin(request, runner), WatchSafeguard(request.watch)]
    if on_progress is not None:
        beside.append(_progress(request, budget, on_progress))
    if request.checkpoints:
        beside.append(_checkpoints(request, runner))
    if request.deterministic or request.check_determinism:
        beside.append(DeterminismSafeguard(check=request.check_determinism))
    beside += [] if gpus is None else [gpus]
    beside.append(PickleSafeguard(runner.store, keep=request.keep_pickles))
    # Last: others who start a training wait from here until the guard's receipt is written.
    beside += [_privacy(request, runner, turn), budget]
    return Safeguards(beside)


def _origin(request: TrainRequest, runner: LocalRunner) -> Safeguard:
    """Every training says where its code comes from."""
    from interlock.training.origin import OriginSafeguard

    return OriginSafeguard(request.spec, base=request.base, opener=runner.store.open)


def _checkpoints(request: TrainRequest, runner: LocalRunner) -> Safeguard:
    """Runs into one output are one lineage: each may go on from what the ones before saved."""
    from interlock.evidence.sources import local_path
    from interlock.training.checkpoints import CheckpointSafeguard, lineage_key

    place = local_path(request.out)
    key = lineage_key(runner.settings, request.out if place is None else place.absolute().as_uri())
    return CheckpointSafeguard(Path(request.checkpoints).absolute(), key, restarts=request.restarts or 0)


def _privacy(request: TrainRequest, runner: LocalRunner, turn: StartTurn) -> Safeguard:
    """Every training counts for the privacy of its dataset; one without a target spends without bound."""
    from interlock.training.privacy import PrivacySafeguard

    wall_seconds = request.spec.limits.wall_seconds
    return PrivacySafeguard(request.privacy, runner.ledger, runner.keyring, wall_seconds=wall_seconds, turn=turn)


def _gpus(request: TrainRequest, runner: LocalRunner) -> GpuSafeguard | NoGpus | None:
    """The step says which GPUs; whether they are attested, and whose word counts, is the deployment's to say.

    Raises:
        UsageError: The training is an image, or a setting cannot be used.
    """
    from interlock.training.gpu import Attester, GpuSafeguard, NoGpus, gpu_probe

    if request.gpus is None:
        return None
    if not request.gpus.wanted:
        return NoGpus()
    if request.spec.image:
        raise UsageError(
            "a training that is an image gets no GPUs yet: the driver's libraries are not brought into it",
            next_step="train with this machine's Python, or without GPUs",
        )
    settings = runner.settings
    return GpuSafeguard(
        request.gpus,
        gpu_probe(settings.gpu_record),
        attester=Attester.of(settings.gpu_keys, settings.gpu_attester) if settings.gpu_keys else None,
    )


def _budget(
    request: TrainRequest,
    runner: LocalRunner,
    gpus: GpuSafeguard | NoGpus | None,
    turn: StartTurn,
    say: Callable[[str], None] | None,
) -> BudgetSafeguard:
    """Every training is measured; one that names a team is accounted for."""
    from interlock.training.budgets import Allowance, Amounts, Books, BudgetSafeguard, Gpu

    allowance = Allowance(
        run=request.run,
        team=request.team,
        asked=Amounts.of(request.budget),
        restarts=request.restarts,
        wall_seconds=request.spec.limits.wall_seconds,
        gpus=0 if request.gpus is None else request.gpus.wanted,
    )

    def devices() -> tuple[Gpu, ...]:
        return tuple(Gpu(uuid=uuid, model=model) for uuid, model in (gpus.models if gpus is not None else ()))

    books = Books(ledger=runner.ledger, keyring=runner.keyring, data=runner.decider.bundle.data)
    return BudgetSafeguard(allowance, books, turn=turn, devices=devices, say=say)


def _progress(request: TrainRequest, budget: BudgetSafeguard, on_progress: Callable[[str], None]) -> Safeguard:
    """Tells people how far the run is, and how much of what it asked for is used up."""
    from interlock.training.budgets import Amounts
    from interlock.training.watching import ProgressSafeguard

    asked = dict(Amounts.of(request.budget).items())

    def used(seconds: float) -> tuple[tuple[str, float, float], ...]:
        return tuple((name, value, asked[name]) for name, value in budget.spent(seconds).items() if name in asked)

    return ProgressSafeguard(on_progress, wall_seconds=request.spec.limits.wall_seconds, used=used)
