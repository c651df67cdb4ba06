"""For training code in the sandbox: DP-SGD by Opacus, which says to whoever watches what it spends.

It decides nothing and proves nothing: what it tells is the training's own word, and code can train beside it without
noise. What can be checked outside is checked there (`interlock.training.privacy.safeguard`).
"""

from __future__ import annotations

import atexit
import os
import secrets
import time
from typing import Any

from interlock.gate.errors import MissingExtraError, UsageError
from interlock.training.events import tell
from interlock.training.privacy.accountant import ORDERS

EPSILON, DELTA, CLIP = "INTERLOCK_EPSILON", "INTERLOCK_DELTA", "INTERLOCK_MAX_GRAD_NORM"
"""What the training was started with (``--epsilon``, ``--delta``, ``--max-grad-norm``), inside."""

EVENT = "epsilon"
_BETWEEN = 0.5
_PROCESS = secrets.token_hex(4)
_engines: list[Any] = []


def private(
    model: Any,
    optimizer: Any,
    loader: Any,
    *,
    epochs: int,
    epsilon: float | None = None,
    delta: float | None = None,
    max_grad_norm: float | None = None,
    **more: Any,
) -> tuple[Any, Any, Any]:
    """Make a training private: per-sample gradients clipped, noise added, batches drawn by Poisson sampling.

    A thin wrapper of Opacus' `PrivacyEngine` with its RDP accountant and the noise that reaches `epsilon` after
    `epochs`. What is spent is told after steps, twice a second at most, and at the end of the process.

    Args:
        model: A `torch.nn.Module` that Opacus can handle (no batch normalisation; see its `ModuleValidator`).
        optimizer: Over the model's parameters.
        loader: A `torch.utils.data.DataLoader`; its dataset has a length.
        epochs: How long the training will be; the noise follows from it.
        epsilon: Target; ``--epsilon`` of the training when not given.
        delta: Likewise; should be below 1 / rows.
        max_grad_norm: Clipping norm; likewise, and 1.0 when nobody gave one.
        more: Passed on to `PrivacyEngine.make_private`.

    Returns:
        Model, optimizer and loader, to be used in place of the others.

    Raises:
        UsageError: No epsilon or delta is given, or the loader is empty.
        MissingExtraError: Opacus is not installed.
    """
    try:
        from opacus import PrivacyEngine  # type: ignore[import-untyped]  # it brings no types
        from opacus.accountants.utils import get_noise_multiplier  # type: ignore[import-untyped]  # likewise
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "opacus", extra="dp") from error
    target = _given(epsilon, EPSILON, "--epsilon")
    at = _given(delta, DELTA, "--delta")
    clip = max_grad_norm if max_grad_norm is not None else float(os.environ.get(CLIP) or 1.0)
    if not len(loader):
        raise UsageError("a private training needs rows", where="loader")
    engine = PrivacyEngine(accountant="rdp")
    # What `make_private_with_epsilon` does, at the orders of the accountant outside, so that both come to one epsilon.
    noise = get_noise_multiplier(
        target_epsilon=target,
        target_delta=at,
        sample_rate=1 / len(loader),
        epochs=epochs,
        accountant="rdp",
        alphas=list(ORDERS),
    )
    made = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=loader,
        noise_multiplier=noise,
        max_grad_norm=clip,
        poisson_sampling=True,
        **more,
    )
    _Teller(engine, made[1], at)
    return made[0], made[1], made[-1]


def _given(value: float | None, variable: str, option: str) -> float:
    if value is not None:
        return value
    try:
        return float(os.environ[variable])
    except (KeyError, ValueError) as error:
        raise UsageError(
            "a private training needs a target", where=variable, next_step=f"start it with {option}, or pass it"
        ) from error


class _Teller:
    """Tells what one engine spent. Steps of other workers of a DDP run are the same, so the first one tells."""

    def __init__(self, engine: Any, optimizer: Any, delta: float) -> None:
        self._engine = engine
        self._number = len(_engines)
        self._delta = delta
        self._told = 0.0
        _engines.append(engine)
        if os.environ.get("RANK", "0") != "0":
            return
        before = optimizer.step_hook

        def stepped(stepping: Any) -> None:
            if before is not None:
                before(stepping)
            if time.monotonic() - self._told >= _BETWEEN:
                self.tell()

        optimizer.attach_step_hook(stepped)
        atexit.register(self.tell)

    def tell(self) -> None:
        """Say each stretch of steps with the same noise."""
        self._told = time.monotonic()
        history = list(self._engine.accountant.history)
        spent = float(self._engine.accountant.get_epsilon(delta=self._delta, alphas=list(ORDERS))) if history else 0.0
        for segment, (noise, rate, steps) in enumerate(history):
            tell(
                EVENT,
                process=_PROCESS,
                engine=self._number,
                segment=segment,
                spent=spent,
                delta=self._delta,
                noise_multiplier=float(noise),
                sample_rate=float(rate),
                steps=int(steps),
                accountant="rdp",
            )
