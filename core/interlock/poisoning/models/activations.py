"""What the trained network makes of rows: the spaces in which a class is looked at for a part that falls away.

All hidden layers count, not the last one alone: an attack that the last layer hides (every class a target, one source
class) shows in the middle (Hou et al., 2024, "FLARE: towards universal dataset purification against backdoor attacks").
As there, each channel of a convolution gives one extreme value over the image, whose place does not matter; here its
mean is taken too. In place of FLARE's search for a stable subspace all layers, those before the last and the last are
looked at one after the other, and what is found has to stand the correction for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.models.training import CHUNK, Trained

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

LEAST_SPREAD = 1e-3
"""Share of the mean spread of all columns below which one is not enlarged: it is rounding noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Rows as some layers see them, each column in units of its own spread.

    Args:
        name: For people.
        layers: Places of hidden layers, from 0.
        centre: float32 array (w,).
        spread: float32 array (w,).
    """

    name: str
    layers: tuple[int, ...]
    centre: NDArray[np.float32] = field(repr=False)
    spread: NDArray[np.float32] = field(repr=False)

    @classmethod
    def of(cls, name: str, layers: tuple[int, ...], seen: Sequence[NDArray[np.float32]]) -> Space:
        """The space of some layers, measured on the rows that the network was trained on."""
        import numpy as np

        joined = np.concatenate([seen[layer] for layer in layers], axis=1).astype(np.float64)
        spread = joined.std(axis=0)
        spread = np.maximum(spread, max(1e-12, LEAST_SPREAD * float(spread.mean())))
        centre = joined.mean(axis=0).astype(np.float32)
        return cls(name=name, layers=layers, centre=centre, spread=spread.astype(np.float32))

    def points(self, seen: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """float32 array (n, w) of what `hidden` gives."""
        import numpy as np

        return (np.concatenate([seen[layer] for layer in self.layers], axis=1) - self.centre) / self.spread


def spaces_of(seen: Sequence[NDArray[np.float32]]) -> tuple[Space, ...]:
    """The spaces that are looked at.

    Args:
        seen: As `hidden` gives it, of the rows that the network was trained on.
    """
    last = len(seen) - 1
    chosen = [("all hidden layers", tuple(range(len(seen))))]
    if last:
        chosen += [("the middle layers", tuple(range(last))), ("the penultimate layer", (last,))]
    return tuple(Space.of(name, layers, seen) for name, layers in chosen)


def hidden(model: Trained, points: NDArray[np.float32], *, device: str = "cpu") -> tuple[NDArray[np.float32], ...]:
    """What each hidden layer says of each row.

    Args:
        model: Trained.
        points: float32 array (n, width), as it was trained on.
        device: A torch device.

    Returns:
        For each hidden layer, in order: float32 array (n, units), or (n, 2 * channels) of maxima and means.
    """
    import torch

    network = model.network.to(device)
    kept: list[list[torch.Tensor]] = []
    with torch.no_grad():
        for at in range(0, len(points), CHUNK):
            inner = _layers(network, model.form.tensor(points[at : at + CHUNK]).to(device))
            kept = kept or [[] for _ in inner]
            for layer, values in zip(kept, inner, strict=True):
                layer.append(values.cpu())
    network.to("cpu")
    return tuple(torch.cat(layer).numpy() for layer in kept)


def predicted(model: Trained, points: NDArray[np.float32], *, device: str = "cpu") -> NDArray[np.int64]:
    """int64 array (n,): the class that the network gives each row."""
    import numpy as np
    import torch

    network = model.network.to(device)
    with torch.no_grad():
        said = [
            network(model.form.tensor(points[at : at + CHUNK]).to(device)).argmax(dim=1).cpu().numpy()
            for at in range(0, len(points), CHUNK)
        ]
    network.to("cpu")
    return np.concatenate(said) if said else np.zeros(0, dtype=np.int64)


def _layers(network: torch.nn.Sequential, inputs: torch.Tensor) -> list[torch.Tensor]:
    import torch

    found: list[torch.Tensor] = []
    for layer in network:
        inputs = layer(inputs)
        if isinstance(layer, torch.nn.ReLU):
            image = inputs.ndim == 4
            found.append(torch.cat([inputs.amax((2, 3)), inputs.mean((2, 3))], dim=1) if image else inputs)
    return found
