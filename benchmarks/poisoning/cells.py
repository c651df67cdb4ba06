"""What is measured: one cell is one attack on one dataset at one rate, with the target that it must reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from benchmarks.poisoning.attacks import Dataset
from benchmarks.poisoning.table_attacks import Table
from benchmarks.poisoning.text_attacks import Texts
from numpy.typing import NDArray

from interlock.poisoning import BatchStream, Block

BLOCK_ROWS = 4096


class Family(Enum):
    """The rows of the table of targets."""

    STATIC = "static"
    EVASIVE = "evasive"
    NATURAL = "natural"
    TRAINING = "with-training"
    LABELS = "labels"
    TABLES = "tables"
    TEXTS = "texts"
    CLEAN = "clean"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a cell must reach.

    Args:
        tpr: At least this share of the poisoned rows is flagged.
        fpr: At most this share of the others.
        ranked: The true positives may be counted where the rows' scores leave `fpr` of the others, as the target says
            "at", and not only by the scan's own flags.
        beats: A peer that must find less at the same share of false alarms; replaces `tpr`.
        named: The trigger, or the pair of classes, must be named by a finding.
    """

    tpr: float = 0.0
    fpr: float = 0.0
    ranked: bool = False
    beats: str = ""
    named: bool = False

    def __str__(self) -> str:
        if self.beats:
            return f"finds more than {self.beats} at FPR {self.fpr:.1%}"
        if not self.tpr:
            return "no alarm"
        said = f"TPR ≥ {self.tpr:g} at FPR {'' if self.ranked else '≤ '}{self.fpr:.1%}"
        return f"{said}, named" if self.named else said


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A dataset, ready to be scanned.

    Args:
        source: Its rows.
        rows: How many.
        poisoned: int64 array: rows that were attacked, ascending.
        touched: int64 array: those, and rows that carry the trigger with their own label.
        name: Part of what a finding must say for the trigger to be named, in small letters; empty when that is no goal.
        pair: Label carried and class resembled that a finding must name; empty when that is no goal.
    """

    source: BatchStream
    rows: int
    poisoned: NDArray[np.int64]
    touched: NDArray[np.int64]
    name: str = ""
    pair: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One attack on one dataset.

    Args:
        family: Which row of the table of targets.
        data: Name of the dataset.
        attack: Name of the attack, with its rate.
        goal: What must be reached.
        make: Makes the dataset of a seed.
        peers: Who looks beside the scan, at the first seed.
        why: Why the target is missed, where it is known to be.
        trains: The scan may train a model on the rows.
        quick: Part of the short run.
    """

    family: Family
    data: str
    attack: str
    goal: Goal
    make: Callable[[int], Made] = field(repr=False)
    peers: tuple[str, ...] = ()
    why: str = ""
    trains: bool = False
    quick: bool = False

    @property
    def key(self) -> str:
        """Tells it from all others."""
        return f"{self.family.value} | {self.data} | {self.attack}"


def of_images(data: Dataset, clean: Dataset | None = None, *, pair: tuple[int, int] | None = None) -> Made:
    """Images as a user's data loader gives them.

    Args:
        data: Attacked.
        clean: Before the attack, row by row; None when only poisoned rows were touched.
        pair: Label carried and class resembled that must be named.
    """
    changed = data.poisoned if clean is None else np.flatnonzero((data.images != clean.images).any(axis=1))

    def blocks() -> Sequence[Block]:
        cuts = range(0, len(data.labels), BLOCK_ROWS)
        return [
            Block(features=data.images[at : at + BLOCK_ROWS], labels=data.labels[at : at + BLOCK_ROWS].tolist())
            for at in cuts
        ]

    return Made(
        source=BatchStream(blocks, image_shape=data.shape),
        rows=len(data.labels),
        poisoned=data.poisoned,
        touched=np.union1d(changed, data.poisoned),
        pair=() if pair is None else (str(pair[0]), str(pair[1])),
    )


def of_table(table: Table) -> Made:
    """A table with numbers and texts."""
    block = Block(features=table.numbers, labels=list(table.labels), categories=dict(table.texts), names=table.names)
    return Made(
        source=BatchStream(lambda: [block]), rows=len(table.labels), poisoned=table.poisoned, touched=table.poisoned
    )


def of_texts(texts: Texts, *, name: str = "", labelled: bool = True) -> Made:
    """Running texts.

    Args:
        texts: Attacked.
        name: Part of what a finding must say.
        labelled: Whether the scan gets to see the labels; prompts with responses have none.
    """
    count = len(texts.labels)
    block = Block(
        features=np.zeros((count, 0), dtype=np.float32),
        labels=list(texts.labels) if labelled else [None] * count,
        texts=dict(texts.columns),
    )
    return Made(
        source=BatchStream(lambda: [block], texts=tuple(texts.columns)),
        rows=count,
        poisoned=texts.poisoned,
        touched=texts.poisoned,
        name=name.lower(),
    )
