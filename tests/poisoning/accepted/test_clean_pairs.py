"""Clean draws beside an accepted clean draw of the same kind: no drift, and no excess of any pair of classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from tests.poisoning.accepted.comparing import looked_at, profile, scores, stream
from tests.poisoning.test_clean_draws import Draw, dependent, documentation, fashion, few_values, images, mixtures

from interlock.poisoning import Block

pytestmark = pytest.mark.slow


def parts(made: Block, rng: np.random.Generator, share: float) -> tuple[Block, Block]:
    """The rows of one draw dealt to two snapshots at random, so that both are of one population."""
    order = rng.permutation(len(made.labels))
    cut = round(share * len(order))

    def taken(rows: Any) -> Block:
        at = rows.tolist()
        said: dict[str, list[str]] = {name: [str(texts[row]) for row in at] for name, texts in made.texts.items()}
        return Block(
            features=made.features[rows],
            labels=[made.labels[row] for row in at],
            texts=said,
            categories={name: [values[row] for row in at] for name, values in made.categories.items()},
            names=made.names,
        )

    return taken(np.sort(order[:cut])), taken(np.sort(order[cut:]))


def kinds() -> Iterator[Any]:
    wanted: dict[Draw, int] = {images: 10, fashion: 8, few_values: 8, dependent: 8, mixtures: 8, documentation: 6}
    for draw, count in wanted.items():
        for seed in range(count):
            share = (0.5, 1 / 3, 2 / 3)[seed % 3]
            yield pytest.param(draw, seed, share, id=f"{draw.__name__}-{seed}")


@pytest.mark.parametrize(("draw", "seed", "share"), tuple(kinds()))
def test_a_clean_snapshot_beside_a_clean_one_raises_no_alarm(draw: Draw, seed: int, share: float) -> None:
    rng = np.random.default_rng(1000 + seed)
    made, shape, texts = draw(rng)
    one, two = parts(made, rng, share)
    accepted = profile(stream(one, shape=shape, texts=texts))
    found = looked_at(stream(two, shape=shape, texts=texts), accepted)
    drift = scores(found, "drift")
    assert drift.decades == 0
    assert all(knn.flagged == () for name, knn in found.scores if name == "knn")
