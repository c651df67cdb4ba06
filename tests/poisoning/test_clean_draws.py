"""The whole gate on clean data of many kinds: all detectors together stay within their false-alarm budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pydoc_data import topics
from typing import Any

import numpy as np
import pytest
from benchmarks.poisoning.attacks import FASHION_MNIST, digits, fashion_mnist
from numpy.typing import NDArray
from sklearn import datasets  # type: ignore[import-untyped]  # no stubs are published
from tests.poisoning.reading.writers import measures

from interlock.poisoning import BatchStream, Block, PoisoningGate

pytestmark = pytest.mark.slow

Draw = Callable[[np.random.Generator], tuple[Block, tuple[int, ...] | None, tuple[str, ...]]]


def block(features: NDArray[Any], labels: NDArray[Any], **more: Any) -> Block:
    return Block(features=features.astype(np.float32), labels=labels.tolist(), **more)


def images(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    data = digits()
    rows = rng.choice(len(data.labels), 1400, replace=bool(rng.integers(2)))
    return block(data.images[rows], data.labels[rows]), data.shape, ()


def fashion(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    data = fashion_mnist()
    rows = rng.choice(len(data.labels), 1500, replace=False)
    return block(data.images[rows], data.labels[rows]), data.shape, ()


def noise_labels_on_images(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    data = digits()
    return block(data.images, rng.integers(0, 3, len(data.labels))), data.shape, ()


def measured(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    load = (datasets.load_breast_cancer, datasets.load_wine, datasets.load_iris)[int(rng.integers(3))]
    features, labels = load(return_X_y=True)
    rows = rng.choice(len(labels), len(labels), replace=True)
    return block(features[rows], labels[rows]), None, ()


def few_values(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    table = rng.integers(0, rng.integers(2, 12, 4), (3000, 4))
    labels = rng.random(3000) < rng.uniform(0.05, 0.5)
    return block(table, labels.astype(int)), None, ()


def dependent(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    """Columns that follow from each other, categories among them, and a label that follows from some."""
    age = np.round(rng.gamma(6, 6, 4000)) + 17
    grade = rng.integers(0, 16, 4000)
    hours = np.where(rng.random(4000) < 0.5, 40, np.round(rng.normal(40, 12, 4000)).clip(1, 99))
    gain = np.where(rng.random(4000) < 0.9, 0, np.round(rng.lognormal(8, 1, 4000)))
    chance = 1 / (1 + np.exp(-(0.03 * (age - 40) + 0.3 * (grade - 9) + 0.02 * (hours - 40) + (gain > 0) - 1)))
    categories = {
        "school": [f"school {value // 3}" for value in grade],
        "town": [f"town {value}" for value in rng.zipf(1.6, 4000).clip(1, 60)],
    }
    table = np.stack([age, grade, hours, gain], axis=1)
    names = ("age", "grade", "hours", "gain")
    return block(table, (rng.random(4000) < chance).astype(int), categories=categories, names=names), None, ()


def mixtures(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    """Classes of several kinds of rows each, of different sizes."""
    centres = rng.normal(0, 3, (12, 20))
    kind = rng.choice(12, 3000, p=rng.dirichlet(np.full(12, 2.0)))
    return block(centres[kind] + rng.normal(0, 1, (3000, 20)), kind % 4), None, ()


def documentation(rng: np.random.Generator) -> tuple[Block, tuple[int, ...] | None, tuple[str, ...]]:
    """Sentences of the language's own documentation, by the third of the alphabet that their topic begins in."""
    sorts: dict[str, int] = {}
    for name, text in topics.topics.items():
        sort = int(name[0] > "c") + int(name[0] > "n")
        for sentence in re.split(r"(?<=[.:]) ", " ".join(text.split())):
            if len(sentence) > 60:
                sorts.setdefault(sentence, sort)
    sentences = sorted(sorts)
    chosen = [sentences[place] for place in rng.choice(len(sentences), min(900, len(sentences)), replace=False)]
    labels = np.array([sorts[one] for one in chosen])
    return block(np.empty((len(chosen), 0)), labels, texts={"said": chosen}), None, ("said",)


def kinds() -> Iterator[Any]:
    wanted: dict[Draw, int] = {
        images: 6,
        fashion: 4,
        noise_labels_on_images: 2,
        measured: 8,
        few_values: 8,
        dependent: 6,
        mixtures: 6,
        documentation: 6,
    }
    for draw, count in wanted.items():
        missing = draw is fashion and not FASHION_MNIST.exists()
        marks = [pytest.mark.skipif(missing, reason="apt-get install dataset-fashion-mnist")]
        yield from (pytest.param(draw, seed, id=f"{draw.__name__}-{seed}", marks=marks) for seed in range(count))


@pytest.mark.parametrize(("draw", "seed"), tuple(kinds()))
def test_clean_data_raises_no_alarm(draw: Draw, seed: int) -> None:
    made, shape, texts = draw(np.random.default_rng(seed))
    seen = PoisoningGate(label="label").examine(BatchStream(lambda: [made], image_shape=shape, texts=texts))
    found = measures(seen)
    assert found["detectors_run"] >= 1
    assert found["flagged_rows"] == 0
    assert found["strongest"] < 0.5
