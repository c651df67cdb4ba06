"""The Adversarial Robustness Toolbox's two filters of training data, as shipped, on a small model trained for them.

`SpectralSignatureDefense` (Tran, Li and Madry, 2018) and `ActivationDefence` (Chen et al., 2018) read activations of a
classifier that was trained on the suspect rows. For PyTorch, both read the logits; here they are given the layer
before, as both papers ask for, and as is better for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interlock.poisoning.compare.gathering import Gathered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EPOCHS = 8
BATCH = 128
MAX_STEPS = 2000
"""Of training, however many rows there are."""

WIDTH = 128


def spectral(rows: Gathered, expected: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """`SpectralSignatureDefense`, told the expected share."""
    from art.defences.detector.poison import SpectralSignatureDefense  # type: ignore[import-untyped]  # no stubs are published

    classifier, inputs, wanted = _trained(rows, seed)
    defence = SpectralSignatureDefense(classifier, inputs, wanted, expected_pp_poison=expected)
    return _flags(defence.detect_poison()), None


def activation_clustering(
    rows: Gathered, expected: float, seed: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """`ActivationDefence` with its own defaults, but for the dimensions, of which a small model has few."""
    del expected
    return _clustered(rows, seed, "smaller"), None


def relative_size(rows: Gathered, expected: float, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
    """`ActivationDefence` with ``cluster_analysis="relative-size"``; version 1.20.1 raises with numpy from 2.2."""
    del expected
    return _clustered(rows, seed, "relative-size"), None


def _clustered(rows: Gathered, seed: int, analysis: str) -> NDArray[np.bool_]:
    from art.defences.detector.poison import ActivationDefence

    classifier, inputs, wanted = _trained(rows, seed)
    defence = ActivationDefence(classifier, inputs, wanted)
    return _flags(defence.detect_poison(nb_clusters=2, nb_dims=10, reduce="PCA", cluster_analysis=analysis))


def _flags(said: Any) -> NDArray[np.bool_]:
    import numpy as np

    _, is_clean = said
    return np.asarray(np.asarray(is_clean) == 0, dtype=bool)


def _trained(rows: Gathered, seed: int) -> tuple[Any, NDArray[np.float32], NDArray[np.float32]]:
    """ART's classifier, its inputs (n, ...) and its labels (n, classes)."""
    import numpy as np
    import torch
    from art.estimators.classification import PyTorchClassifier  # type: ignore[import-untyped]  # no stubs are published

    inputs = _inputs(rows)
    wanted = np.eye(len(rows.classes), dtype=np.float32)[rows.labels]
    if seed in rows.trained:
        return rows.trained[seed], inputs, wanted
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(rows, inputs.shape[1:])
        _fit(model, inputs, rows.labels, seed)
    model.eval()
    classifier = PyTorchClassifier(
        model=model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=inputs.shape[1:],
        nb_classes=len(rows.classes),
        device_type="cpu",
    )
    # Both defences take the last name of this list for the layer to read.
    classifier._layer_names = list(classifier.layer_names or ())[:-1]  # noqa: SLF001
    rows.trained[seed] = classifier
    return classifier, inputs, wanted


def _inputs(rows: Gathered) -> NDArray[np.float32]:
    import numpy as np

    if rows.image_shape is None:
        return rows.features
    height, width = rows.image_shape[:2]
    pictures = rows.features.reshape(len(rows.features), height, width, -1)
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))


def _model(rows: Gathered, shape: tuple[int, ...]) -> Any:
    """Two convolutions and a layer for images large enough for them, else two layers; the classes last."""
    from torch import nn

    head = nn.Linear(WIDTH, len(rows.classes))
    if rows.image_shape is None or min(shape[1:]) < 8:
        flat = 1
        for side in shape:
            flat *= side
        body = [nn.Flatten(), nn.Linear(flat, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
        return nn.Sequential(nn.Sequential(*body), head)
    pooled = 32 * (shape[1] // 4) * (shape[2] // 4)
    body = [nn.Conv2d(shape[0], 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    body += [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    body += [nn.Flatten(), nn.Linear(pooled, WIDTH), nn.ReLU()]
    return nn.Sequential(nn.Sequential(*body), head)


def _fit(model: Any, inputs: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> None:
    """Adam with cross-entropy, for some epochs but not for more than `MAX_STEPS` steps."""
    import numpy as np
    import torch

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(seed)
    steps = min(MAX_STEPS, EPOCHS * -(-len(labels) // BATCH))
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(EPOCHS)])
    model.train()
    for step in range(steps):
        rows = order[step * BATCH : (step + 1) * BATCH]
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(inputs[rows])), torch.from_numpy(labels[rows]))
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimizer.step()
