"""A training's request out of what a step is given: plain values, as an author writes them or JSON holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from interlock.gate import Json, RunIdentity
from interlock.runner.requests import TrainRequest


def train_request(
    *,
    data: str,
    out: str,
    run: RunIdentity,
    command: Sequence[str] | None = None,
    function: str | Callable[..., object] | None = None,
    code: Sequence[str] = (),
    folder: Path | None = None,
    image: str = "",
    visible: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    seed: int = 0,
    wall_clock: float = 3600.0,
    output_bytes: int = 10 * 2**30,
    requires: Sequence[str] = (),
    team: str = "",
    budget: Mapping[str, Json] | None = None,
    restarts: int | None = None,
    checkpoints: str = "",
    deterministic: bool = False,
    check_determinism: bool = False,
    keep_pickles: bool = False,
    base: str = "",
    on_nan: str = "stop",
    on_spike: str = "warn",
    stall_seconds: float | None = None,
    losses: str = "",
    gpus: int | Sequence[str] | None = None,
    confidential: bool = False,
    scrub: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
    max_grad_norm: float | None = None,
    data_named: str = "",
    out_named: str = "",
) -> TrainRequest:
    """Make the request.

    Args:
        data: As in `TrainRequest`, like every name there.
        out: As in `TrainRequest`.
        run: As in `TrainRequest`.
        command: As in `interlock.training.training_spec`, with `function`, `code`, `folder`, `image`, `visible`,
            `environment`, `seed`, `wall_clock` and `output_bytes`.
        function: See `command`.
        code: See `command`.
        folder: See `command`.
        image: See `command`.
        visible: See `command`.
        environment: See `command`.
        seed: See `command`.
        wall_clock: See `command`.
        output_bytes: See `command`.
        requires: As in `TrainRequest`.
        team: As in `TrainRequest`.
        budget: As in `TrainRequest`.
        restarts: As in `TrainRequest`.
        checkpoints: As in `TrainRequest`.
        deterministic: As in `TrainRequest`.
        check_determinism: As in `TrainRequest`.
        keep_pickles: As in `TrainRequest`.
        base: As in `TrainRequest`.
        on_nan: As in `interlock.training.watching.WatchOptions`, with `on_spike`, `stall_seconds` and `losses`.
        on_spike: See `on_nan`.
        stall_seconds: See `on_nan`.
        losses: See `on_nan`.
        gpus: As in `interlock.training.gpu.gpu_request`, with `confidential` and `scrub`.
        confidential: See `gpus`.
        scrub: See `gpus`.
        epsilon: As in `interlock.training.privacy.privacy_target`, with `delta` and `max_grad_norm`.
        delta: See `epsilon`.
        max_grad_norm: See `epsilon`.
        data_named: As in `TrainRequest`.
        out_named: As in `TrainRequest`.

    Raises:
        UsageError: A value is none that a training can have.
    """
    from interlock.training import training_spec
    from interlock.training.gpu import gpu_request
    from interlock.training.privacy import privacy_target
    from interlock.training.watching import WatchOptions

    spec = training_spec(
        command=command,
        function=function,
        code=code,
        folder=folder,
        image=image,
        visible=visible,
        environment=environment,
        seed=seed,
        wall_clock=wall_clock,
        output_bytes=output_bytes,
    )
    watch = WatchOptions.named(on_nan=on_nan, on_spike=on_spike, stall_seconds=stall_seconds, losses=losses)
    return TrainRequest(
        data=data,
        out=out,
        spec=spec,
        requires=tuple(requires),
        team=team,
        budget=budget if budget is not None else {},
        restarts=restarts,
        checkpoints=checkpoints,
        deterministic=deterministic,
        check_determinism=check_determinism,
        keep_pickles=keep_pickles,
        base=base,
        watch=watch,
        gpus=gpu_request(gpus, confidential=confidential, scrub=scrub),
        privacy=privacy_target(epsilon, delta, max_grad_norm),
        data_named=data_named,
        out_named=out_named,
        run=run,
    )
