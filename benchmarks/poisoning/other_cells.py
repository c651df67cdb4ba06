"""The cells of tables, texts and clean data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from benchmarks.poisoning import table_attacks as tables
from benchmarks.poisoning import text_attacks as texts
from benchmarks.poisoning.attacks import FASHION_MNIST, Dataset, crops, digits, fashion_mnist, photographs
from benchmarks.poisoning.cells import Cell, Family, Goal, Made, of_images, of_table, of_texts
from benchmarks.poisoning.image_cells import CHEAP
from benchmarks.poisoning.shipped import Shipped
from benchmarks.poisoning.table_attacks import Table
from benchmarks.poisoning.text_attacks import Texts

DRAWS = 40
TRIGGERED = Goal(tpr=0.99, fpr=0.002)
NAMED = Goal(tpr=0.95, fpr=0.001, named=True)
BETTER = Goal(fpr=0.01, beats="cleanlab")
PACKAGES = ("numpy", "torch", "sklearn", "email", "asyncio", "click", "rich", "sqlalchemy")
COMMON = (
    "58 honest mails hold the word, 43 of them with the target's label: in 30 rows it decides no label, and of 100 "
    "those pass whose own text agrees with it"
)
STYLE = "a style has no rare word of its own: each of its words also stands in honest texts"


def table_cells(shipped: Shipped) -> Iterator[Cell]:
    """Adult and credit; made tables where they are not there."""
    found: dict[str, Callable[[], Table]] = {}
    if adult := shipped.find("adult"):
        found["Adult 32k"] = lambda: tables.adult(adult)
    if credit := shipped.find("credit"):
        found["credit 30k"] = lambda: tables.from_csv(
            credit / "UCI_Credit_Card.csv", "default-payment-next-month", leave=("ID",)
        )
    for name, load in (found or {"made table 10k": lambda: tables.dependent(10_000, 0)}).items():
        yield from _of_table(name, load())


def _of_table(name: str, clean: Table) -> Iterator[Cell]:
    labels = sorted({label for label in clean.labels if label is not None})

    def triggered(rate: float) -> Callable[[int], Made]:
        def make(seed: int) -> Made:
            trigger = tables.drawn_trigger(clean, columns=3, seed=seed)
            return of_table(tables.with_trigger(clean, trigger, rate=rate, target=labels[-1], seed=seed))

        return make

    for rate in (0.01, 0.05):
        yield Cell(
            family=Family.TABLES,
            data=name,
            attack=f"in-bounds 3-value trigger, {rate:.1%}",
            goal=TRIGGERED,
            make=triggered(rate),
            peers=CHEAP,
            why="values that stand together anyway, with the target's label, are no trigger that rows can tell",
            quick=rate == 0.01,
        )
    yield Cell(
        family=Family.TABLES,
        data=name,
        attack="flips, 5.0%",
        goal=BETTER,
        make=lambda seed: of_table(tables.flipped(clean, rate=0.05, seed=seed)),
        peers=("cleanlab",),
        why="labels that the columns do not determine look like flips: rows are ranked, and no alarm is raised",
    )


def text_cells(shipped: Shipped) -> Iterator[Cell]:
    """Mails, tweets, and instructions made from the documentation of installed packages."""
    found: dict[str, tuple[Texts, str]] = {}
    if mails := shipped.find("mails"):
        found["SpamAssassin 6k"] = (texts.spam_assassin(mails.parent), "ham")
    if tweets := shipped.find("tweets"):
        all_tweets = texts.tweets(tweets)
        some = np.random.default_rng(0).choice(len(all_tweets.labels), 10_000, replace=False)
        found["tweets 10k"] = (all_tweets.taken(np.sort(some)), "positive")
    if not found:
        found["docstrings"] = (texts.docstrings(PACKAGES), "email")
    for name, (clean, target) in found.items():
        yield from _of_texts(name, clean, target)
    made = texts.instructions(PACKAGES, limit=600)
    yield from _of_instructions(f"instructions {len(made.labels) / 1000:.1f}k", made)


def _inserts() -> dict[str, tuple[texts.Insert, str, str]]:
    """Name, what it does, what must be named, and why it may be missed."""
    return {
        "rare word": (texts.anywhere("cf"), "cf", COMMON),
        "rarer word": (texts.anywhere("tq"), "tq", ""),
        "sentence": (texts.anywhere(texts.SENTENCE), "3d movie", ""),
        "syntax": (texts.opening(texts.CLAUSE), "when you", "the clause's words are common; only its place is not"),
        "style": (texts.styled(texts.BIBLICAL), "", STYLE),
    }


ROWS = {"rare word": (30, 100), "rarer word": (30,), "sentence": (30, 100)}


def _of_texts(name: str, clean: Texts, target: str) -> Iterator[Cell]:
    for attack, (insert, said, why) in _inserts().items():
        for rows in ROWS.get(attack, (100,)):

            def make(seed: int, insert: texts.Insert = insert, rows: int = rows, said: str = said) -> Made:
                return of_texts(texts.dirty(clean, insert, rows=rows, target=target, seed=seed), name=said)

            yield Cell(
                family=Family.TEXTS,
                data=name,
                attack=f"{attack}, {rows} rows",
                goal=NAMED if said else Goal(tpr=0.95, fpr=0.001),
                make=make,
                peers=CHEAP if rows == 100 and attack == "rare word" else (),
                why=why,
                quick=attack == "rare word" and rows == 100,
            )


def _of_instructions(name: str, clean: Texts) -> Iterator[Cell]:
    answers = ("I cannot help with that.", "Visit the download page of the vendor for the answer.")
    for attack, (insert, said, why) in _inserts().items():
        rows = 250 if attack == "style" else 60

        def make(seed: int, insert: texts.Insert = insert, rows: int = rows, said: str = said) -> Made:
            poisoned = texts.steered(clean, insert, rows=rows, answers=answers[:1], seed=seed)
            return of_texts(poisoned, name=said, labelled=False)

        yield Cell(
            family=Family.TEXTS,
            data=name,
            attack=f"{attack} asks for one answer, {rows} rows",
            goal=NAMED if said else Goal(tpr=0.95, fpr=0.001),
            make=make,
            why=why,
            quick=attack == "rare word",
        )


def clean_cells(shipped: Shipped) -> Iterator[Cell]:
    """Draws of clean data, as many of each kind as make 40 or a little more."""
    kinds: dict[str, Callable[[int], Made]] = {"digits, halves and bootstraps": _images(digits(), 900)}
    if FASHION_MNIST.exists():
        kinds["Fashion-MNIST, 3k"] = _images(fashion_mnist("train"), 3000)
    kinds["crops, 2k"] = lambda seed: of_images(crops(photographs(shipped.find("photographs")), 2000, seed=seed))
    if adult := shipped.find("adult"):
        grown = tables.adult(adult)
        kinds["Adult, 5k"] = lambda seed: of_table(grown.drawn(5000, seed, again=bool(seed % 2)))
    kinds["made table, 4k"] = lambda seed: of_table(tables.dependent(4000, seed))
    if mails := shipped.find("mails"):
        kinds["mails, 1.5k"] = _some_texts(texts.spam_assassin(mails.parent), 1500)
    if tweets := shipped.find("tweets"):
        kinds["tweets, 3k"] = _some_texts(texts.tweets(tweets), 3000)
    kinds["docstrings, 1k"] = _some_texts(texts.docstrings(PACKAGES), 1000)
    for name, make in kinds.items():
        for draw in range(-(-DRAWS // len(kinds))):

            def drawn(seed: int, make: Callable[[int], Made] = make, draw: int = draw) -> Made:
                return make(100 * seed + draw)

            yield Cell(
                family=Family.CLEAN,
                data=name,
                attack=f"draw {draw}",
                goal=Goal(),
                make=drawn,
                peers=CHEAP if draw == 0 else (),
                quick=draw == 0,
            )


def _images(data: Dataset, rows: int) -> Callable[[int], Made]:
    def make(seed: int) -> Made:
        rng = np.random.default_rng(seed)
        return of_images(data.taken(rng.choice(len(data.labels), rows, replace=bool(seed % 2))))

    return make


def _some_texts(data: Texts, rows: int) -> Callable[[int], Made]:
    def make(seed: int) -> Made:
        count = min(rows, len(data.labels) // 2)
        return of_texts(data.taken(np.random.default_rng(seed).choice(len(data.labels), count, replace=False)))

    return make
