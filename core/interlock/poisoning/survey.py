"""The first pass: what must be known of the whole dataset before a detector can look at one row.

The state is exactly mergeable: counts, minima, maxima, and a sample made of the rows with the smallest hashes. Which
rows those are depends neither on the order of rows nor on how they were split, so neither does anything that is
derived from the sample (scales, quantiles, principal axes). (Bottom-k sampling: Cohen and Kaplan, 2007.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import SubjectError
from interlock.poisoning.batches import Batch, Unread
from interlock.poisoning.hashing import row_hashes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_ROWS = 4096
SAMPLE_BYTES = 64 * 2**20
MAX_CLASSES = 1000
TAIL = 0.001
"""Share of a feature's values, at each end, that may not stretch its scale: one row of absurd values must not blind."""

AXES = 64
QUANTILES = 32
QUANTILE_CELLS = 2**18
"""Quantiles of all features together; of wide data there are fewer for each."""

GRID = 2.0**-16
"""What projections are rounded to."""
MAX_UNREAD = 20
"""Images that cannot be read and are named; all are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyState:
    """What was counted so far.

    Args:
        rows: Rows seen, labelled or not.
        labels: Rows by label text; more than `MAX_CLASSES` + 1 of them are not kept apart.
        unlabelled: Rows without a label.
        incomplete: Rows with a value that is missing or infinite.
        lowest: float32 array (d,): smallest finite value of each feature; empty before the first row.
        highest: float32 array (d,).
        keys: uint64 array (s,), ascending: content hashes of the sampled rows.
        sample: float32 array (s, d): their features.
        names: Of the features; empty when nothing names them.
        unread: Rows whose image cannot be read; counted nowhere else but in `rows`.
        first_unread: The first of them.
        resized: Images that had another size or colour than the rest.
    """

    rows: int
    labels: Mapping[str, int]
    unlabelled: int
    incomplete: int
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    keys: NDArray[np.uint64]
    sample: NDArray[np.float32]
    names: tuple[str, ...] = ()
    unread: int = 0
    first_unread: tuple[Unread, ...] = ()
    resized: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What the first pass found, for detectors to be set up with.

    Args:
        rows: Rows in all.
        width: Number of features.
        classes: Labels as text, sorted.
        class_rows: Rows of each class.
        unlabelled: Rows without a label.
        incomplete: Rows with a value that is missing or infinite.
        too_many_classes: True when `classes` was cut off.
        centre: float64 array (d,): mean of the sample, what a missing value is replaced with.
        low: float64 array (d,): what lies below is drawn up to it.
        high: float64 array (d,): what lies above is drawn down to it.
        scale: float64 array (d,): a feature's spread; 0 for a feature that does not vary.
        value_low: Low quantile over all features together, the black of an image.
        value_high: High quantile, its white.
        axes: float64 array (d, p): principal axes of the scaled sample.
        unread: Rows whose image cannot be read; they carry no label and are not `unlabelled`.
        first_unread: The first of them.
        resized: Images that had another size or colour than the rest.
        distinct: About how many rows differ in their features (Bar-Yossef et al., 2002, by the k-th smallest hash);
            exact where there are fewer than the sample holds, 0 where there are no features.
        quantiles: float64 array (q, d): evenly spaced quantiles of each feature in the sample; none unless the survey
            was asked for them.
    """

    rows: int
    width: int
    classes: tuple[str, ...]
    class_rows: tuple[int, ...]
    unlabelled: int
    incomplete: int
    too_many_classes: bool
    centre: NDArray[np.float64] = field(repr=False)
    low: NDArray[np.float64] = field(repr=False)
    high: NDArray[np.float64] = field(repr=False)
    scale: NDArray[np.float64] = field(repr=False)
    value_low: float
    value_high: float
    axes: NDArray[np.float64] = field(repr=False)
    unread: int = 0
    first_unread: tuple[Unread, ...] = ()
    resized: int = 0
    distinct: int = 0
    quantiles: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def labelled(self) -> int:
        """Rows that carry a label and can be read."""
        return self.rows - self.unlabelled - self.unread

    @property
    def unfit(self) -> str:
        """Why no detector that compares labels can look at this dataset; empty when it can."""
        if not self.labelled:
            if self.unread:
                return "no image of a row with a label can be read"
            return "no row carries a label" if self.rows else "there are no rows"
        if len(self.classes) < 2:
            return "all rows carry one label"
        if self.too_many_classes:
            return f"more than {MAX_CLASSES} different labels: this is no class label"
        if self.labelled >= 50 and 2 * len(self.classes) > self.labelled:
            return f"{len(self.classes)} different labels on {self.labelled} rows: this is no class label"
        return ""

    def unfit_with(self, least: int) -> str:
        """Why a detector that needs so many labelled rows cannot look at this dataset; empty when it can."""
        if self.unfit or self.labelled >= least:
            return self.unfit
        return f"fewer than {least} labelled rows"

    @property
    def varying(self) -> int:
        """Number of features that vary."""
        return int((self.scale > 0).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Counts and samples.

    Args:
        seed: Of the content hash.
        one_scale: True when all features are measured in one unit (the pixels of an image).
        quantiles: True when somebody needs quantiles of each feature.
    """

    seed: int
    one_scale: bool
    quantiles: bool = False

    def partial(self, batch: Batch) -> SurveyState:
        """The state of one batch."""
        import numpy as np

        readable = np.ones(len(batch.labels), dtype=bool)
        readable[[one.row - batch.start for one in batch.unread]] = False
        features = batch.features[readable] if batch.unread else batch.features
        finite = np.isfinite(features)
        labelled = batch.labels[batch.labels >= 0]
        counts = np.bincount(labelled, minlength=len(batch.vocabulary)).tolist()
        labels = {text: count for text, count in zip(batch.vocabulary, counts, strict=True) if count}
        keys, sample = _smallest(row_hashes(features, self.seed), features)
        width = features.shape[1]
        return SurveyState(
            rows=len(batch.labels),
            labels=_cut(labels),
            unlabelled=len(features) - len(labelled),
            incomplete=int((~finite.all(axis=1)).sum()),
            lowest=np.where(finite, features, np.inf).min(axis=0, initial=np.inf).astype(np.float32),
            highest=np.where(finite, features, -np.inf).max(axis=0, initial=-np.inf).astype(np.float32),
            keys=keys,
            sample=sample.reshape(len(keys), width),
            names=batch.names,
            unread=len(batch.unread),
            first_unread=batch.unread[:MAX_UNREAD],
            resized=batch.resized,
        )

    def merge(self, one: SurveyState, other: SurveyState) -> SurveyState:
        """The state of both; associative and commutative, bit for bit.

        Raises:
            SubjectError: The two name their features differently: column 3 of one file is not column 3 of the other.
        """
        import numpy as np

        if one.names and other.names and one.names != other.names:
            raise _differ(one.names, other.names)

        keys, sample = _smallest(np.concatenate([one.keys, other.keys]), np.concatenate([one.sample, other.sample]))
        return SurveyState(
            rows=one.rows + other.rows,
            labels=_cut(dict(Counter(one.labels) + Counter(other.labels))),
            unlabelled=one.unlabelled + other.unlabelled,
            incomplete=one.incomplete + other.incomplete,
            lowest=np.minimum(one.lowest, other.lowest),
            highest=np.maximum(one.highest, other.highest),
            keys=keys,
            sample=sample,
            names=one.names or other.names,
            unread=one.unread + other.unread,
            first_unread=tuple(sorted((*one.first_unread, *other.first_unread), key=_row)[:MAX_UNREAD]),
            resized=one.resized + other.resized,
        )

    def finalize(self, state: SurveyState) -> Profile:
        """Scales, quantiles and axes from what was counted."""
        import numpy as np

        sample = np.where(np.isfinite(state.sample), state.sample, np.nan).astype(np.float64)
        centre, low, high = _ranges(sample, one_scale=self.one_scale)
        drawn = np.clip(np.where(np.isnan(sample), centre, sample), low, high)
        spread = drawn.std(axis=0) if len(drawn) else np.zeros(sample.shape[1])
        # A spread that is rounding noise beside the values is no spread.
        spread = np.where(spread > 1e-6 * np.maximum(np.abs(low), np.abs(high)), spread, 0.0)
        scale = np.where(spread > 0, float(np.sqrt((spread**2).mean())), 0.0) if self.one_scale else spread
        values = sample[np.isfinite(sample)]
        ends = np.quantile(values, [TAIL, 1 - TAIL]) if len(values) else np.zeros(2)
        if ends[0] == ends[1] and len(values):
            ends = np.array([values.min(), values.max()])
        names = sorted(state.labels)
        profile = Profile(
            rows=state.rows,
            width=sample.shape[1],
            classes=tuple(names[:MAX_CLASSES]),
            class_rows=tuple(state.labels[name] for name in names[:MAX_CLASSES]),
            unlabelled=state.unlabelled,
            incomplete=state.incomplete,
            too_many_classes=len(names) > MAX_CLASSES,
            centre=centre,
            low=low,
            high=high,
            scale=scale,
            value_low=float(ends[0]),
            value_high=float(ends[1]),
            axes=np.zeros((sample.shape[1], 0)),
            unread=state.unread,
            first_unread=state.first_unread,
            resized=state.resized,
            distinct=_distinct(state),
            quantiles=_quantiles(sample) if self.quantiles else None,
        )
        return _with_axes(profile, sample)


def scaled(features: NDArray[np.float32], profile: Profile) -> NDArray[np.float64]:
    """Features drawn into their range, centred and divided by their spread; missing values become the centre.

    Args:
        features: float32 array (rows, d), anything in it.
        profile: Of the whole dataset.
    """
    import numpy as np

    values = features.astype(np.float64)
    values = np.where(np.isnan(values), profile.centre, values)
    values = np.clip(values, profile.low, profile.high) - profile.centre
    return np.divide(values, profile.scale, out=np.zeros_like(values), where=profile.scale > 0)


def projected(features: NDArray[np.float32], profile: Profile) -> NDArray[np.float32]:
    """Rows on the principal axes, rounded so that another order of summation gives the same neighbours.

    Args:
        features: float32 array (rows, d), anything in it.
        profile: Of the whole dataset.

    Returns:
        float32 array (rows, p).
    """
    import numpy as np

    return (np.round(scaled(features, profile) @ profile.axes / GRID) * GRID).astype(np.float32)


def principal_axes(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The `count` directions of most variance, by the smaller of the two Gram matrices.

    Args:
        rows: float64 array (s, d), roughly centred.
        count: At most this many.

    Returns:
        float64 array (d, p), orthonormal, p <= min(count, s, d).
    """
    import numpy as np

    rows = rows - rows.mean(axis=0)
    if rows.shape[0] >= rows.shape[1]:
        _, vectors = np.linalg.eigh(rows.T @ rows)
        return np.ascontiguousarray(vectors[:, ::-1][:, :count])
    values, vectors = np.linalg.eigh(rows @ rows.T)
    keep = [place for place in range(len(values) - 1, -1, -1) if values[place] > 1e-9 * values[-1]][:count]
    axes = rows.T @ vectors[:, keep]
    norms = np.linalg.norm(axes, axis=0)
    return np.asarray(np.divide(axes, norms, out=np.zeros_like(axes), where=norms > 0))


def _with_axes(profile: Profile, sample: NDArray[np.float64]) -> Profile:
    import dataclasses

    import numpy as np

    if not len(sample) or not profile.varying:
        return profile
    values = scaled(sample.astype(np.float32), profile)
    # A Gram matrix past 1,024 rows and columns costs more than the rest of the scan, and the axes gain nothing.
    values = values if values.shape[1] <= 1024 else values[:1024]
    return dataclasses.replace(profile, axes=principal_axes(values, AXES))


def _ranges(
    sample: NDArray[np.float64], *, one_scale: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, low and high of each feature; `one_scale` shares low and high."""
    import numpy as np

    width = sample.shape[1]
    some = np.isfinite(sample).any(axis=0) if len(sample) else np.zeros(width, dtype=bool)
    low, high, centre = np.zeros(width), np.zeros(width), np.zeros(width)
    if some.any():
        seen = sample[:, some]
        pooled = seen[np.isfinite(seen)]
        if one_scale:
            low[:], high[:] = np.quantile(pooled, [TAIL, 1 - TAIL])
            if low[0] == high[0]:
                low[:], high[:] = pooled.min(), pooled.max()
        else:
            low[some], high[some] = np.nanquantile(seen, [TAIL, 1 - TAIL], axis=0)
        centre[some] = np.nanmean(np.clip(seen, low[some], high[some]), axis=0)
    return centre, low, high


def _quantiles(sample: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evenly spaced quantiles that are values of the sample; 0 for a feature without any."""
    import numpy as np

    width = sample.shape[1]
    count = min(QUANTILES, max(4, QUANTILE_CELLS // max(1, width)))
    found = np.zeros((count, width))
    some = np.isfinite(sample).any(axis=0) if len(sample) else np.zeros(width, dtype=bool)
    if some.any():
        at = np.arange(1, count + 1) / (count + 1)
        found[:, some] = np.nanquantile(sample[:, some], at, axis=0, method="inverted_cdf")
    return found


def _distinct(state: SurveyState) -> int:
    if not state.sample.shape[1]:
        return 0
    if len(state.keys) < _room(state.sample.shape[1]):
        return len(state.keys)
    return min(state.rows, round((len(state.keys) - 1) / ((int(state.keys[-1]) + 1) / 2**64)))


def _room(width: int) -> int:
    return int(min(SAMPLE_ROWS, max(256, SAMPLE_BYTES // (4 * max(1, width)))))


def _smallest(keys: NDArray[np.uint64], rows: NDArray[np.float32]) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
    """The rows with the smallest keys, one per key."""
    import numpy as np

    unique, first = np.unique(keys, return_index=True)
    room = _room(rows.shape[1])
    return unique[:room], np.ascontiguousarray(rows[first[:room]])


def _cut(labels: dict[str, int]) -> dict[str, int]:
    """Labels, or the first of them in order of text: a label column of a million values must not fill the memory."""
    if len(labels) <= MAX_CLASSES + 1:
        return labels
    return {name: labels[name] for name in sorted(labels)[: MAX_CLASSES + 1]}


def _row(unread: Unread) -> tuple[int, str]:
    return unread.row, unread.name


def _differ(one: tuple[str, ...], other: tuple[str, ...]) -> SubjectError:
    first, second = sorted((one, other))
    at = next(place for place, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1])
    return SubjectError(
        f"feature {at} is {first[at]!r} in one file and {second[at]!r} in another",
        next_step="write the files with one schema, or name the columns with `features`",
    )
