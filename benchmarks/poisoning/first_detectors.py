"""The two first detectors beside what scikit-learn gives, on the same rows in the same run.

Run from the root of the repository::

    OMP_NUM_THREADS=1 python -m benchmarks.poisoning.first_detectors            # digits, a minute
    OMP_NUM_THREADS=1 python -m benchmarks.poisoning.first_detectors --fashion  # and Fashion-MNIST: ten minutes

Peers, each told the true share of poison, which a user would not know:

- ``kNN vote``: rows whose 20 nearest neighbours carry another label in majority (scikit-learn);
- ``isolation forest``: per class, `contamination` set to the class's true share (scikit-learn; Liu et al., 2008);
- ``spectral``: per class, centred projections on the first singular vector, the 1.5 * eps largest removed (Tran, Li and
  Madry, 2018), on pixels.

ART and cleanlab are no dependencies of Interlock and are not compared here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from benchmarks.poisoning.attacks import (
    Dataset,
    badnets,
    checkerboard,
    digits,
    fashion_mnist,
    flipped,
    square,
    targeted,
)
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest  # type: ignore[import-untyped]  # no stubs are published
from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]  # no stubs are published

from interlock.poisoning import Batch, LabelConsistency, RepeatedPattern, Scores, Survey, detect
from interlock.poisoning.batches import encode_labels

Flags = NDArray[np.bool_]


def ours(data: Dataset) -> tuple[Scores, ...]:
    """Both detectors."""
    codes, vocabulary = encode_labels(data.labels.tolist())
    batch = Batch(start=0, file=0, features=data.images, labels=codes, vocabulary=vocabulary)
    survey = Survey(seed=0, one_scale=True)
    profile = survey.finalize(survey.partial(batch))
    detectors = (LabelConsistency(profile=profile), RepeatedPattern(profile=profile, image_shape=data.shape))
    return tuple(detect(detectors, lambda: [batch]))


def interlock_flags(data: Dataset) -> Flags:
    flags = np.zeros(len(data.labels), dtype=bool)
    for scores in ours(data):
        flags[list(scores.flagged)] = True
    return flags


def knn_vote(data: Dataset) -> Flags:
    # 21 neighbours, because each row finds itself.
    model = KNeighborsClassifier(n_neighbors=21).fit(data.images, data.labels)
    found = model.kneighbors(data.images, return_distance=False)[:, 1:]
    agree = (data.labels[found] == data.labels[:, None]).sum(axis=1)
    return np.asarray(agree < 10)


def isolation_forest(data: Dataset) -> Flags:
    flags = np.zeros(len(data.labels), dtype=bool)
    for label in np.unique(data.labels):
        rows = np.flatnonzero(data.labels == label)
        share = float(np.isin(rows, data.poisoned).mean())
        if share > 0:
            model = IsolationForest(contamination=min(0.5, share), random_state=0)
            flags[rows] = model.fit_predict(data.images[rows]) < 0
    return flags


def spectral(data: Dataset) -> Flags:
    flags = np.zeros(len(data.labels), dtype=bool)
    for label in np.unique(data.labels):
        rows = np.flatnonzero(data.labels == label)
        count = int(1.5 * np.isin(rows, data.poisoned).sum())
        if count:
            centred = data.images[rows] - data.images[rows].mean(axis=0)
            _, _, directions = np.linalg.svd(centred, full_matrices=False)
            order = np.argsort(-((centred @ directions[0]) ** 2))
            flags[rows[order[:count]]] = True
    return flags


METHODS: dict[str, Callable[[Dataset], Flags]] = {
    "interlock": interlock_flags,
    "kNN vote": knn_vote,
    "isolation forest": isolation_forest,
    "spectral": spectral,
}


def attacks(clean: Dataset, rates: tuple[float, ...], seeds: range) -> Iterator[tuple[str, list[Dataset]]]:
    """Name and one dataset per seed; place and target class change with the seed."""
    height, width = clean.shape
    white, middle = clean.white, (height // 2 - 2, width // 2 - 1)

    def patched(patch: NDArray[np.float32], rate: float, seed: int, *, centre: bool = False) -> Dataset:
        corner = (height - len(patch) - seed % 2, (width - len(patch)) * (seed % 3 > 0))
        top, left = middle if centre else corner
        return badnets(clean, patch, rate=rate, target=(3 * seed) % 10, top=top, left=left, seed=seed)

    for rate in rates:
        share = f"{100 * rate:g} %"
        yield f"white 3x3, corner, {share}", [patched(square(3, white), rate, seed) for seed in seeds]
        yield f"grey 3x3, corner, {share}", [patched(square(3, white * 0.45), rate, seed) for seed in seeds]
        board = checkerboard(3, white)
        yield f"checkerboard 3x3, middle, {share}", [patched(board, rate, seed, centre=True) for seed in seeds]
        yield f"one pixel, corner, {share}", [patched(square(1, white), rate, seed) for seed in seeds]
    yield "flips, 5 %", [flipped(clean, rate=0.05, seed=seed) for seed in seeds]
    pairs = [(1, 0), (8, 3), (2, 9), (7, 1), (6, 4)]
    chosen = [pairs[seed % len(pairs)] for seed in seeds]
    yield (
        "flips of one class, 1 %",
        [targeted(clean, rate=0.01, source=s, target=t, seed=seed) for seed, (s, t) in zip(seeds, chosen, strict=True)],
    )


def compare(name: str, clean: Dataset, rates: tuple[float, ...], seeds: range) -> None:
    print(f"\n| {name}, {len(seeds)} seeds: TPR / FPR in % | {' | '.join(METHODS)} |")
    print("|---|" + "---|" * len(METHODS))
    seconds = dict.fromkeys(METHODS, 0.0)
    runs = 0
    for attack, drawn in attacks(clean, rates, seeds):
        cells = []
        for method, flag in METHODS.items():
            hits, wrong = [], []
            for data in drawn:
                began = time.perf_counter()
                flags = flag(data)
                seconds[method] += time.perf_counter() - began
                touched = np.isin(np.arange(len(flags)), data.poisoned)
                hits.append(flags[touched].mean())
                wrong.append(flags[~touched].mean())
            cells.append(f"{100 * np.mean(hits):.1f} / {100 * np.mean(wrong):.2f}")
        runs += len(drawn)
        print(f"| {attack} | {' | '.join(cells)} |", flush=True)
    print(f"| seconds per dataset | {' | '.join(f'{seconds[method] / runs:.2f}' for method in METHODS)} |")


def clean_draws(name: str, clean: Dataset, draws: int, rows: int) -> None:
    alarms, flagged, strongest = 0, 0.0, 0.0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        found = ours(clean.taken(rng.choice(len(clean.labels), rows, replace=bool(seed % 2))))
        alarms += any(scores.alarm for scores in found)
        flagged += sum(len(scores.flagged) for scores in found) / rows / draws
        strongest = max(strongest, *(scores.strength for scores in found))
    print(f"| {name} | {draws} of {rows} | {alarms} | {100 * flagged:.3f} % | {strongest:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", action="store_true", help="also Fashion-MNIST (Debian: dataset-fashion-mnist)")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    small = digits()
    compare("digits, 1,797 rows", small, (0.01, 0.05), range(options.seeds))
    if options.fashion:
        compare("Fashion-MNIST, 10,000 rows", fashion_mnist(), (0.003, 0.01, 0.05), range(min(2, options.seeds)))
    print("\n| clean | draws | alarms | rows flagged | strongest |\n|---|---|---|---|---|")
    clean_draws("digits, bootstraps and halves", small, 40, 1400)
    if options.fashion:
        clean_draws("Fashion-MNIST (60,000), bootstraps and subsets", fashion_mnist("train"), 40, 3000)
        clean_draws("Fashion-MNIST test set", fashion_mnist(), 1, 10_000)


if __name__ == "__main__":
    main()
