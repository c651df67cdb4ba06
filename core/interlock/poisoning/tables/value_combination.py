"""Detector: a combination of values in a table that decides the label.

TabDoor (Pleiter, Tajalli, Koffas, Abad, Xu, Larson and Picek, 2023) writes two or three values that occur in the data
(in-bounds) into some rows and relabels them; models of every kind learn it. The scan counts pairs and triples of values
(`candidates`), asks what the rest of the row says of the label (`rest_of_row`), corrects for everything counted, takes
what it found away and counts again. A second pass over the dataset names the rows.

The null comes from the data: expected counts from rows that hold only a part of the values, chances of the label from
the same values apart and from the other columns of the row.

Cost: O(n * columns^2) counting, with bounds on rows, columns, values and combinations that are named here and beside.

What it cannot see: one value alone; values that never stand apart from each other; a combination whose label is what
its values or the rest of the row say anyway; one that most rows of a burst of near copies share; more than three values
none of whose triples stands out; a combination of many labels (all-to-all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from interlock.gate import Json, Level
from interlock.gate.documents import canonical_json
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected, poisson_binomial_tail
from interlock.poisoning.detector import Scores, Suspicion
from interlock.poisoning.hashing import text_hashes
from interlock.poisoning.survey import Profile
from interlock.poisoning.tables.candidates import OF_THREE, OF_TWO, Search
from interlock.poisoning.tables.columns import (
    MAX_NAME,
    MIN_ROWS,
    Coding,
    TableState,
    Value,
    coded,
    joined,
    table_state,
)
from interlock.poisoning.tables.odds import odds_times
from interlock.poisoning.tables.pairs import COMMON, Combination
from interlock.poisoning.tables.rest_of_row import ALONE, MAX_ASKED, SPREAD, RestOfRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

MIN_TABLE = 100
MAX_COLUMNS = 64
MAX_CLASSES = 256
MAX_EXAMINED = 48
"""Candidates of one round whose rows are looked at; strongest first."""

MAX_FOUND = 8
SAME_ROWS = 0.9
HELD = 0.98
"""Share of the rows of a trigger that hold a further value which is then a part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected:
    """A combination that decides a label.

    Args:
        values: What a row holds.
        label: Position of the class.
        decades: Corrected evidence.
        found: What was counted in the sample.
    """

    values: tuple[Value, ...]
    label: int
    decades: float
    found: Combination


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCombination:
    """Counts values, pairs and triples of distinct rows.

    Args:
        profile: Of the whole dataset.
        image_shape: Height and width when the features of a row are one image; None when they are no image.
        seed: Of the hashes that choose and order rows.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    image_shape: tuple[int, ...] | None = None
    seed: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "value_combination"

    def unfit(self) -> str:
        """Why it cannot look."""
        profile = self.profile
        if self.image_shape is not None:
            return "the features are the pixels of an image, not the columns of a table"
        if reason := profile.unfit_with(MIN_TABLE):
            return reason
        if profile.width > MAX_COLUMNS:
            return f"{profile.width} columns of numbers are more than {MAX_COLUMNS}"
        if len(profile.classes) > MAX_CLASSES:
            return f"{len(profile.classes)} labels are more than {MAX_CLASSES}"
        return ""

    def partial(self, batch: Batch) -> TableState:
        """Distinct rows of one batch."""
        return table_state(batch, self.profile.classes, self.seed)

    def merge(self, one: TableState, other: TableState) -> TableState:
        """Distinct rows of both."""
        return joined(one, other)

    def finalize(self, state: TableState) -> Scores | NamedRows:
        """Count, look closer, take away what was found, and count again."""
        import numpy as np

        unfit = self._unfit_after_all(state)
        if unfit:
            return Scores.silent(state.rows, unfit=unfit)
        coding = coded(state, len(self.profile.classes))
        suspected: list[Suspected] = []
        strongest = 0.0
        while len(suspected) < MAX_FOUND:
            decades, found = _strongest(coding, self.device)
            strongest = max(strongest, decades)
            if found is None:
                break
            suspected.append(_whole(coding, found, decades))
            taken = coding.holders(found.values) & (coding.labels == found.label)
            coding = replace(coding, codes=coding.codes[~taken], labels=coding.labels[~taken])
            if len(np.unique(coding.labels)) < 2:
                break
        if not suspected:
            return Scores.silent(state.rows, decades=strongest)
        return NamedRows(profile=self.profile, suspected=tuple(suspected))

    def _unfit_after_all(self, state: TableState) -> str:
        columns = state.numbers.shape[1] + state.words.shape[1]
        if columns < 2:
            return f"{columns} columns hold no combination"
        if columns > MAX_COLUMNS:
            return f"{columns} columns are more than {MAX_COLUMNS}"
        varying = int(((state.numbers != state.numbers[0]) & ~_both_missing(state.numbers)).any(axis=0).sum())
        varying += int((state.words != state.words[0]).any(axis=0).sum())
        if varying < 2:
            return f"all columns but {varying} are constant"
        if not state.numbers.shape[1] and _repeating(state.words) < 2:
            return "no two columns hold values that repeat; running text is looked at when it is named with `text`"
        return f"fewer than {MIN_TABLE} distinct rows" if len(state.keys) < MIN_TABLE else ""


def _repeating(words: NDArray[np.uint64]) -> int:
    """Columns in which most rows share their value with others."""
    import numpy as np

    counted = (np.unique(words[:, place], return_counts=True)[1] for place in range(words.shape[1]))
    return sum(2 * int(counts[counts >= MIN_ROWS].sum()) >= len(words) for counts in counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRows:
    """The second pass: which rows hold what was found.

    Args:
        profile: Of the whole dataset.
        suspected: What was found, strongest first.
    """

    profile: Profile = field(repr=False)
    suspected: tuple[Suspected, ...]

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "value_combination"

    def unfit(self) -> str:
        """It looks at whatever the first pass looked at."""
        return ""

    def partial(self, batch: Batch) -> Holders:
        """The rows of one batch that hold what was found."""
        import numpy as np

        labels = batch.codes(self.profile.classes)
        rows, carriers = [], []
        for suspected in self.suspected:
            held = labels >= 0
            for value in suspected.values:
                held = held & value.among(batch)
            rows.append(batch.rows[held & (labels == suspected.label)])
            carriers.append(int(held.sum()))
        return Holders(
            seen=batch.rows[labels >= 0],
            rows=tuple(rows),
            carriers=np.array(carriers, dtype=np.int64),
            texts=self._texts(batch),
        )

    def merge(self, one: Holders, other: Holders) -> Holders:
        """Both."""
        import numpy as np

        return Holders(
            seen=np.concatenate([one.seen, other.seen]),
            rows=tuple(np.concatenate(pair) for pair in zip(one.rows, other.rows, strict=True)),
            carriers=one.carriers + other.carriers,
            texts={**one.texts, **other.texts},
        )

    def finalize(self, state: Holders) -> Scores:
        """One suspicion per combination."""
        import numpy as np

        seen = np.sort(state.seen)
        scores = np.zeros(len(seen), dtype=np.float32)
        found = []
        for at, suspected in enumerate(self.suspected):
            rows = np.sort(state.rows[at])
            scores[np.searchsorted(seen, rows)] = 1.0
            found.append(self._suspicion(suspected, rows, int(state.carriers[at]), state.texts))
        decades = max(suspected.decades for suspected in self.suspected)
        return Scores(rows=seen, scores=scores, decades=decades, suspicions=tuple(found))

    def _texts(self, batch: Batch) -> dict[int, str]:
        wanted = {value.word for suspected in self.suspected for value in suspected.values if value.word}
        texts: dict[int, str] = {}
        for coded_column in batch.categories.values() if wanted else ():
            for text, word in zip(coded_column.vocabulary, text_hashes(coded_column.vocabulary).tolist(), strict=False):
                if word in wanted:
                    texts[word] = text[: MAX_NAME + 1]
        return texts

    def _suspicion(
        self, suspected: Suspected, rows: NDArray[np.int64], carriers: int, texts: Mapping[int, str]
    ) -> Suspicion:
        label = self.profile.classes[suspected.label]
        name = " & ".join(value.said(texts) for value in suspected.values)
        found = suspected.found
        evidence: dict[str, Json] = {
            "values": [value.said(texts) for value in suspected.values],
            "carriers_of_any_label": carriers,
            "distinct_rows_expected": round(found.expected, 3),
            "distinct_rows_counted": found.labelled,
            "chance_of_label_from_values_apart": round(found.chance, 6),
            "count_decades": round(found.count_decades, 3),
            "label_decades": round(found.label_decades, 3),
        }
        return Suspicion(
            rule="value-combination",
            level=Level.ERROR,
            message=(
                f"{name} stand together in {len(rows)} rows labelled {label[:MAX_NAME]}, where their parts explain "
                f"{found.expected:.1f}; neither the values apart nor the rest of these rows say that label"
            ),
            title=f"values that decide for {label[:MAX_NAME]}",
            label=label,
            name=name,
            rows=tuple(rows.tolist()),
            decades=suspected.decades,
            evidence=canonical_json(evidence).decode(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """Rows that hold what was found.

    Args:
        seen: int64 array: labelled rows.
        rows: Per combination: int64 array of the rows that hold it and carry its label.
        carriers: int64 array: rows of any label that hold it, per combination.
        texts: Text by hash, of the values in question.
    """

    seen: NDArray[np.int64] = field(repr=False)
    rows: tuple[NDArray[np.int64], ...] = field(repr=False)
    carriers: NDArray[np.int64]
    texts: Mapping[int, str]


def _both_missing(numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    import numpy as np

    missing: NDArray[np.bool_] = np.isnan(numbers) & np.isnan(numbers[0])
    return missing


def _strongest(coding: Coding, device: str) -> tuple[float, Combination | None]:
    """The strongest evidence of one round, and the most specific combination among those that say the same."""
    seen = Search(coding=coding).find()
    likely = [c for c in seen.combinations if corrected(c.decades, seen.tested) > 0][:MAX_EXAMINED]
    if not likely:
        return 0.0, None
    rest = RestOfRow.of(coding, device)
    judged = [(corrected(_judged(rest, one), seen.tested), one) for one in likely]
    alarms = [(decades, one) for decades, one in judged if decades >= ALARM_DECADES]
    if not alarms:
        return max(0.0, *(decades for decades, _ in judged)), None
    decades, best = max(alarms, key=lambda pair: (pair[0], pair[1].values))
    mine = coding.holders(best.values) & (coding.labels == best.label)
    same = []
    for other, one in alarms:
        rows = coding.holders(one.values) & (coding.labels == one.label)
        if one.label == best.label and int((mine & rows).sum()) >= SAME_ROWS * max(int(mine.sum()), int(rows.sum())):
            same.append((_order(coding, one), other, one))
    _, decades, best = min(same, key=lambda entry: entry[0])
    return decades, best


def _order(coding: Coding, one: Combination) -> tuple[int, int, tuple[int, ...]]:
    """Fewest carriers first, values before ranges."""
    ranges = sum(1 for place in one.values if not (value := coding.values[place]) or not value.exact)
    return (one.carriers - one.labelled, ranges, one.values)


def _judged(rest: RestOfRow, one: Combination) -> float:
    """Evidence that is left when the rest of each row may speak for the label too."""
    import numpy as np

    coding = rest.coding
    rows = np.flatnonzero(coding.holders(one.values))
    labelled = rows[coding.labels[rows] == one.label]
    if rest.spread(one.values, one.label, labelled) < SPREAD:
        return 0.0
    # The evidence of so many rows is beyond doubt already.
    rows = rows[:MAX_ASKED]
    carried = int((coding.labels[rows] == one.label).sum())
    base = float((coding.labels == one.label).mean())
    chances = rest.chances(one.values, one.label, rows)
    evidence = _against(chances, one, carried, base)
    if evidence < ALARM_DECADES:
        return evidence
    if rest.alone(one.values, labelled) < ALONE:
        return 0.0
    return _against(np.maximum(chances, rest.neighbours(one.values, one.label, rows)), one, carried, base)


def _against(from_rest: Floats, one: Combination, carried: int, base: float) -> float:
    """Evidence against the rest of the rows alone, and against what the rest and the values apart say together."""
    import numpy as np

    odds = (OF_TWO if len(one.values) == 2 else OF_THREE).odds
    shifted = odds_times(from_rest, one.chance / (1 - one.chance) * (1 - base) / base)
    raised = [np.clip(odds_times(chances, odds), 1e-9, 1 - 1e-9) for chances in (from_rest, shifted)]
    return min(one.decades, *(poisson_binomial_tail(carried, chances) for chances in raised))


def _whole(coding: Coding, found: Combination, decades: float) -> Suspected:
    """The combination with the further values that its rows hold and others seldom do."""
    import numpy as np

    everyone = np.bincount(coding.codes.ravel(), minlength=len(coding.values)) / len(coding.labels)
    # What most rows hold anyway is no part of it, unless nothing else is left.
    core = tuple(place for place in found.values if everyone[place] < COMMON)
    core = core if len(core) > 1 else found.values
    mine = coding.holders(core) & (coding.labels == found.label)
    inside = np.bincount(coding.codes[mine].ravel(), minlength=len(coding.values)) / max(1, int(mine.sum()))
    base = coding.base[coding.column_of]
    held = list(core)
    for place in np.argsort(everyone, kind="stable").tolist():
        told = coding.values[place] is not None and inside[place] >= HELD and everyone[place] < COMMON
        if told and base[place] not in base[held]:
            held.append(place)
    values = [value for place in held if (value := coding.values[place]) is not None]
    return Suspected(values=tuple(values), label=found.label, decades=decades, found=found)
