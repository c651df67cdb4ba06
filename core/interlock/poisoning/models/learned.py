"""The option ``--with-training`` of the gate: which detectors it adds, and the proof after them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.gate import Json, Observation, UsageError
from interlock.poisoning.batches import BatchSource
from interlock.poisoning.detector import Detector
from interlock.poisoning.models.losses import LossRecord
from interlock.poisoning.models.proof import proved
from interlock.poisoning.models.trained_scan import TrainedModel
from interlock.poisoning.scan import Scan
from interlock.poisoning.survey import Profile


class Learned:
    """Nothing, unless it was asked for.

    Args:
        with_training: Whether a network is trained at all.
        losses: Path of recorded losses, or None.

    Raises:
        UsageError: Losses without training.
    """

    def __init__(self, *, with_training: bool, losses: str | None) -> None:
        if not isinstance(with_training, bool):
            raise UsageError(f"with_training is true or false, not {with_training!r}", where="with_training")
        if losses is not None and not with_training:
            raise UsageError(
                "losses were given, but no model is trained", where="losses", next_step="add --with-training"
            )
        self._on = with_training
        self._path = losses
        self._losses: LossRecord | None = None

    def configuration(self) -> Mapping[str, Json]:
        """The two options."""
        return {"with_training": self._on, "losses": self._path}

    def take(self) -> None:
        """Read the losses anew.

        Raises:
            UsageError: There is no such file.
            SubjectError: It is no record of losses.
        """
        self._losses = None if self._path is None else LossRecord.read(self._path)

    def detectors(
        self, profile: Profile, *, image_shape: tuple[int, ...] | None, seed: int, device: str
    ) -> tuple[Detector[Any], ...]:
        """What looks at a trained network, if that was asked for.

        Args:
            profile: Of the dataset.
            image_shape: Height, width and, for colour, channels; None when rows are no images.
            seed: Of everything random.
            device: A torch device.
        """
        if not self._on:
            return ()
        return (TrainedModel(profile=profile, image_shape=image_shape, seed=seed, device=device, losses=self._losses),)

    def proved(
        self,
        seen: Observation,
        source: BatchSource,
        found: Scan,
        *,
        image_shape: tuple[int, ...] | None,
        seed: int,
        device: str,
    ) -> Observation:
        """What the scan saw, with the proof of it if that was asked for; see `interlock.poisoning.models.proof`."""
        if not self._on:
            return seen
        trainer = TrainedModel(profile=found.profile, image_shape=image_shape, seed=seed, device=device)
        return proved(seen, source, found, trainer)
