"""The cells of images: Fashion-MNIST, digits where it is not installed, and natural crops in colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from benchmarks.poisoning import moving_attacks as moving
from benchmarks.poisoning.attacks import (
    FASHION_MNIST,
    Dataset,
    adaptive_blend,
    all_to_all,
    badnets,
    blend,
    checkerboard,
    crops,
    digits,
    fashion_mnist,
    flipped,
    low_frequency,
    low_pass_image,
    moving_patch,
    noise_image,
    photographs,
    reflection,
    sample_specific,
    sig,
    source_specific,
    square,
    targeted,
    two_triggers,
    warp,
)
from benchmarks.poisoning.cells import Cell, Family, Goal, Made, of_images
from benchmarks.poisoning.shipped import Shipped

PYOD = ("pyod-ecod", "pyod-iforest", "pyod-knn", "pyod-lof")
CHEAP = ("cleanlab", *PYOD)
ART = ("art-spectral", "art-activation-clustering")
EVERYBODY = (*CHEAP, *ART)

STATIC = Goal(tpr=0.99, fpr=0.001)
EVASIVE = Goal(tpr=0.9, fpr=0.005)
TRAINED = Goal(tpr=0.9, fpr=0.01)

Attack = Callable[[Dataset, float, int], Dataset]


def _target(seed: int) -> int:
    return 3 * seed % 10


def _corner(data: Dataset, side: int, seed: int) -> tuple[int, int]:
    """Bottom, left or right; a pixel off the edge at every other seed."""
    return data.shape[0] - side - seed % 2, (data.shape[1] - side) * (seed % 3 > 0)


def _badnets(data: Dataset, rate: float, seed: int) -> Dataset:
    top, left = _corner(data, 3, seed)
    patch = checkerboard(3, data.white) if seed % 2 else square(3, data.white)
    return badnets(data, patch, rate=rate, target=_target(seed), top=top, left=left, seed=seed)


def _blend(data: Dataset, rate: float, seed: int) -> Dataset:
    trigger = noise_image(data, 1000 + seed)
    return blend(data, trigger, alpha=0.2, rate=rate, target=_target(seed), seed=seed)


def _sig(data: Dataset, rate: float, seed: int) -> Dataset:
    return sig(data, delta=0.1, frequency=6, rate=rate, target=_target(seed), seed=seed)


def _adaptive(data: Dataset, rate: float, seed: int) -> Dataset:
    trigger = noise_image(data, 2000 + seed)
    return adaptive_blend(data, trigger, alpha=0.2, rate=rate, cover=rate, target=_target(seed), seed=seed)


def _moving(data: Dataset, rate: float, seed: int) -> Dataset:
    patch = moving.mosaic(4, data.white, 3000 + seed)
    return moving_patch(data, patch, rate=rate, target=_target(seed), seed=seed)


def _colours(data: Dataset, rate: float, seed: int) -> Dataset:
    place = _corner(data, 4, seed)
    draw = moving.one_colour(4, data.white)
    return moving.moving(data, draw, rate=rate, target=_target(seed), seed=seed, place=place)


def _two(data: Dataset, rate: float, seed: int) -> Dataset:
    targets = (_target(seed), (_target(seed) + 4) % 10)
    return two_triggers(data, side=3, rate=rate, targets=targets, seed=seed)


def _warp(data: Dataset, rate: float, seed: int) -> Dataset:
    return warp(data, rate=rate, cover=rate, strength=1.0, target=_target(seed), seed=seed)


def _all(data: Dataset, rate: float, seed: int) -> Dataset:
    top, left = _corner(data, 3, seed)
    return all_to_all(data, square(3, data.white), rate=rate, top=top, left=left, seed=seed)


def _samples(data: Dataset, rate: float, seed: int) -> Dataset:
    return sample_specific(data, rate=rate, target=_target(seed), seed=seed)


def _source(data: Dataset, rate: float, seed: int) -> Dataset:
    top, left = _corner(data, 3, seed)
    goal = _target(seed)
    return source_specific(
        data,
        square(3, data.white),
        rate=rate,
        cover=rate,
        source=(goal + 1) % 10,
        target=goal,
        top=top,
        left=left,
        seed=seed,
    )


def _ghost(data: Dataset, rate: float, seed: int) -> Dataset:
    scenes = data.images[np.random.default_rng(4000 + seed).choice(len(data.labels), 5, replace=False)]
    mirrored = scenes.reshape(-1, *data.shape)
    return reflection(data, mirrored, alpha=0.4, rate=rate, target=_target(seed), seed=seed)


def _smooth(data: Dataset, rate: float, seed: int) -> Dataset:
    pattern = low_pass_image(data, cutoff=4, seed=5000 + seed)
    return low_frequency(data, pattern, amplitude=0.15, rate=rate, target=_target(seed), seed=seed)


STATIC_ATTACKS: dict[str, Attack] = {"BadNets 3x3": _badnets, "blend 0.2": _blend, "SIG clean-label": _sig}
EVASIVE_ATTACKS: dict[str, Attack] = {
    "adaptive blend with cover": _adaptive,
    "moving patch 4x4": _moving,
    "patch of random colour": _colours,
    "two triggers": _two,
}
TRAINED_ATTACKS: dict[str, Attack] = {
    "WaNet warp": _warp,
    "all-to-all BadNets": _all,
    "sample-specific residual": _samples,
    "source-specific (TaCT)": _source,
    "reflection": _ghost,
    "low-frequency": _smooth,
}
ATTACKS = STATIC_ATTACKS | EVASIVE_ATTACKS | TRAINED_ATTACKS
NATURAL = "photographs hold patches, waves and colours of their own: so few rows stand out no more than honest ones"
WHY = {
    "BadNets 3x3": "some honest rows hold a window of the patch elsewhere",
    "two triggers": "the label check names rows that look wrong beside those that are",
    "adaptive blend with cover": "as many rows carry the trigger with their own label as with the target's, and each "
    "carries only half of it: little of it is peculiar to one class",
    "patch of random colour": "no two patches hold the same values, so that only their edges repeat",
    "moving patch 4x4": "the patch stands in few rows at any one place; on busy backgrounds equal windows are rare",
    "SIG clean-label": "the wave is faint beside what the photographs hold by themselves",
    "WaNet warp": "a warp writes nothing into the image: it moves what is there by a fraction of a pixel",
    "all-to-all BadNets": "the label of every class moves to the next: the patch decides no label by itself",
    "sample-specific residual": "no two residuals are alike, and what they have in common was taken away",
    "source-specific (TaCT)": "the patch stands on rows of all classes, and mostly with their own label",
    "reflection": "each row carries one of five whole images, shifted and faded",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attacked:
    """A clean dataset, by name, for one row of the table of targets."""

    family: Family
    name: str
    data: Dataset

    def cell(self, attack: str, rate: float, *, peers: tuple[str, ...] = (), quick: bool = False) -> Cell:
        """One of `ATTACKS` at one rate; the target is that of the attack, on whatever data."""

        def make(seed: int) -> Made:
            return of_images(ATTACKS[attack](self.data, rate, seed), self.data)

        trains = attack in TRAINED_ATTACKS
        return Cell(
            family=self.family,
            data=self.name,
            attack=f"{attack}, {rate:.1%}",
            goal=TRAINED if trains else STATIC if attack in STATIC_ATTACKS else EVASIVE,
            make=make,
            peers=peers,
            why=NATURAL if self.family is Family.NATURAL else WHY.get(attack, ""),
            trains=trains,
            quick=quick,
        )


def image_cells(shipped: Shipped) -> Iterator[Cell]:
    """All of them."""
    if FASHION_MNIST.exists():
        small, name = fashion_mnist(), "Fashion-MNIST 10k"
        yield from _whole()
    else:
        shipped.missing.append("Fashion-MNIST left out: apt-get install dataset-fashion-mnist; digits in its place")
        small, name = digits(), "digits 1.8k"
    static = _Attacked(family=Family.STATIC, name=name, data=small)
    for rate, attack in product((0.003, 0.01, 0.05), STATIC_ATTACKS):
        yield static.cell(attack, rate, peers=EVERYBODY if rate == 0.01 else CHEAP, quick=rate == 0.01)
    evasive = _Attacked(family=Family.EVASIVE, name=name, data=small)
    for rate, attack in product((0.003, 0.01, 0.03), EVASIVE_ATTACKS):
        with_art = rate == 0.01 and attack.startswith(("adaptive", "two"))
        yield evasive.cell(attack, rate, peers=EVERYBODY if with_art else CHEAP, quick=rate == 0.01)
    trained = _Attacked(family=Family.TRAINING, name=name, data=small)
    for attack in TRAINED_ATTACKS:
        yield trained.cell(attack, 0.05, peers=EVERYBODY)
    yield from _labels(small, name)
    yield from _natural(shipped)


def _whole() -> Iterator[Cell]:
    """60,000 images; who compares pairs of all rows is not asked."""
    whole, name = fashion_mnist("train"), "Fashion-MNIST 60k"
    for attack, rate in (("BadNets 3x3", 0.003), ("blend 0.2", 0.01), ("SIG clean-label", 0.05)):
        yield _Attacked(family=Family.STATIC, name=name, data=whole).cell(attack, rate)
    for attack in ("adaptive blend with cover", "moving patch 4x4"):
        yield _Attacked(family=Family.EVASIVE, name=name, data=whole).cell(attack, 0.01)


def _labels(data: Dataset, name: str) -> Iterator[Cell]:
    ranked = Goal(tpr=0.88, fpr=0.01, ranked=True)
    yield Cell(
        family=Family.LABELS,
        data=name,
        attack="flips, 5.0%",
        goal=ranked,
        make=lambda seed: of_images(flipped(data, rate=0.05, seed=seed)),
        peers=EVERYBODY,
        why="classes that overlap (shirt, coat, pullover) hide flips between them",
        quick=True,
    )
    pairs = ((7, 9), (1, 0), (5, 8))

    def one_pair(seed: int) -> Made:
        source, target = pairs[seed % len(pairs)]
        return of_images(targeted(data, rate=0.03, source=source, target=target, seed=seed), pair=(target, source))

    yield Cell(
        family=Family.LABELS,
        data=name,
        attack="targeted flips, 3.0%",
        goal=Goal(tpr=0.88, fpr=0.01, ranked=True, named=True),
        make=one_pair,
        peers=EVERYBODY,
        why="rows that lie between the two classes anyway hide flips between them",
        quick=True,
    )


def _natural(shipped: Shipped) -> Iterator[Cell]:
    photos = photographs(shipped.find("photographs"))
    data = crops(photos, 6000, seed=0)
    name = f"crops of {len(photos)} photographs, 6k 32x32x3"
    natural = _Attacked(family=Family.NATURAL, name=name, data=data)
    for attack, rate in product(STATIC_ATTACKS, (0.003, 0.01)):
        yield natural.cell(attack, rate, peers=CHEAP if rate == 0.01 else (), quick=attack == "BadNets 3x3")
    for attack in EVASIVE_ATTACKS:
        yield natural.cell(attack, 0.01, peers=CHEAP)
