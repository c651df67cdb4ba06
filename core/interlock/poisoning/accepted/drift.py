"""Drift: whether this snapshot is drawn from what the last accepted one was drawn from.

Four questions, each with evidence and with a size: features, texts and columns of values one by one (by SciPy:
two-sample Kolmogorov-Smirnov on exact counts, likelihood ratio for values); the share of each label; mean and
covariance of the rows along the accepted snapshot's own axes (Frechet distance, as Heusel et al., 2017, compare images
with it), whose null is a wild bootstrap over groups of rows of equal content (Wu, 1986; Cameron, Gelbach and Miller,
2008), so that copies of a row prove nothing. A drift is told when the evidence is beyond the budget and the size is not
negligible: large snapshots differ significantly in everything, and small ones differ much by chance.

A drift accuses nobody and flags no row. The world may have changed, or the pipeline; poison that is strong enough to
show here is named by other detectors, row by row.

Cost: one search in 33 numbers per value, one projection on 16 axes. What it cannot see: a change that leaves every
column, the labels and the second moments as they were; anything that the accepted snapshot held already; little
changes, each from the one before, over many snapshots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.gate import Json, Level, Measure, SubjectError
from interlock.gate.documents import canonical_json
from interlock.poisoning.accepted.ruler import Ruler, Tally, both, tally
from interlock.poisoning.accepted.snapshot import SnapshotProfile
from interlock.poisoning.accepted.two_samples import (
    coarse,
    frechet,
    gamma_decades,
    ks_decades,
    stability,
    table_decades,
    table_of,
)
from interlock.poisoning.batches import Batch
from interlock.poisoning.bounds import ALARM_DECADES, corrected
from interlock.poisoning.detector import Compared, Scores, Suspicion
from interlock.poisoning.reading.limits import short
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MATERIAL = 0.1
"""A population stability index below this is no change (Siddiqi, 2006)."""

MATERIAL_DISTANCE = 0.01
"""The same of a squared Frechet distance over the accepted total variance: a tenth of the spread along every axis."""

QUESTIONS = 4
BOOTSTRAPS = 400
MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that was compared.

    Args:
        name: Of the column, or what else it is.
        decades: Evidence that it changed, corrected for all that were compared.
        size: How much it changed: a stability index, or a distance.
    """

    name: str
    decades: float
    size: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Everything that was compared.

    Args:
        columns: Features, lengths of texts and columns of values, those that changed most surely first.
        labels: The shares of the labels.
        moments: Mean and covariance.
    """

    columns: tuple[Difference, ...]
    labels: Difference
    moments: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftState:
    """What was measured so far.

    Args:
        here: Along a ruler of this snapshot's own; None where no profile of it is wanted.
        there: Along the accepted snapshot's; None where there is none.
    """

    here: Tally | None
    there: Tally | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Measures this snapshot, compares it with the accepted one, or both.

    Args:
        profile: Of the whole dataset; with quantiles where `keep` is.
        accepted: Of the last accepted snapshot; None when there is none.
        keep: Whether a profile of this snapshot is wanted.
        image_shape: Height, width and, for colour, channels.
        seed: Of the groups and the bootstrap.
    """

    profile: Profile = field(repr=False)
    accepted: SnapshotProfile | None = field(default=None, repr=False)
    keep: bool = False
    image_shape: tuple[int, ...] | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """The prefix of its measures."""
        return "drift"

    def unfit(self) -> str:
        """Never: every dataset can be measured; one that cannot be compared is an error.

        Raises:
            SubjectError: The accepted snapshot is of another form.
        """
        if self.accepted is not None:
            refuse_other_form(self.accepted, width=self.profile.width, image_shape=self.image_shape)
        return ""

    def partial(self, batch: Batch) -> DriftState:
        """Measure one batch."""
        own = Ruler.of(self.profile) if self.keep else None
        old = self.accepted
        return DriftState(
            here=None if own is None else tally(batch, own, self.profile, seed=self.seed),
            there=None if old is None else tally(batch, old.ruler, self.profile, seed=old.seed),
        )

    def merge(self, one: DriftState, other: DriftState) -> DriftState:
        """Both."""
        return DriftState(here=_both(one.here, other.here), there=_both(one.there, other.there))

    def finalize(self, state: DriftState) -> Scores:
        """Compare.

        Raises:
            SubjectError: The accepted snapshot names its features or texts differently.
        """
        import numpy as np

        nobody = np.zeros(0, dtype=np.int64)
        own = None if state.here is None else (Ruler.of(self.profile), state.here)
        if self.accepted is None or state.there is None:
            return Scores(
                rows=nobody, scores=nobody.astype(np.float32), decades=0.0, compared=Compared(measured=own, measures=())
            )
        _refuse_other_columns(self.accepted, state.there)
        changed = Differences(
            columns=columns_changed(self.accepted, state.there, self.profile.distinct, self.image_shape),
            labels=labels_changed(self.accepted, self.profile),
            moments=moments_changed(self.accepted, state.there, self.seed),
        )
        drifted = [one for one in _told(changed) if one.decades >= ALARM_DECADES]
        return Scores(
            rows=nobody,
            scores=nobody.astype(np.float32),
            decades=max((one.decades for one in drifted), default=0.0),
            suspicions=(*drifted, *_remarks(self.accepted, state.there, self.profile)),
            compared=Compared(measured=own, measures=_measures(changed, self.accepted, state.there)),
        )


def refuse_other_form(accepted: SnapshotProfile, *, width: int, image_shape: tuple[int, ...] | None) -> None:
    """Refuse to compare images of two sizes, or tables of two widths.

    Raises:
        SubjectError: Says what differs.
    """
    wrong = ""
    if accepted.ruler.width != width:
        wrong = f"{accepted.ruler.width} features, and this one {width}"
    elif accepted.image_shape != image_shape:
        wrong = f"images of shape {accepted.image_shape}, and this one of {image_shape}"
    if wrong:
        raise SubjectError(
            f"the accepted snapshot {accepted.name!r} has {wrong}",
            where="accepted",
            next_step="name the columns as in the scan of the accepted snapshot, or compare with another one",
        )


def _refuse_other_columns(accepted: SnapshotProfile, now: Tally) -> None:
    before = accepted.tally
    for what, old, new in (
        ("features", before.names, now.names),
        ("texts", tuple(sorted(before.lengths)), tuple(sorted(now.lengths))),
    ):
        if old != new and (what != "features" or (old and new)):
            name = next((name for name in (*old, *new) if (name in old) != (name in new)), "their order")
            raise SubjectError(
                f"the accepted snapshot {accepted.name!r} has other {what}: {name!r}",
                where="accepted",
                next_step="name the columns as in the scan of the accepted snapshot, or compare with another one",
            )


def _both(one: Tally | None, other: Tally | None) -> Tally | None:
    return None if one is None or other is None else both(one, other)


def _told(changed: Differences) -> Iterator[Suspicion]:
    """What changed, whether or not it is beyond the budget."""
    columns, labels, moments = changed.columns, changed.labels, changed.moments
    material = [one for one in columns if one.size >= MATERIAL]
    if material:
        worst = material[0]
        known = [one for one in material if one.decades - corrected(0, QUESTIONS) >= ALARM_DECADES]
        yield _suspicion(
            "feature-drift",
            f"{len(known)} of {len(columns)} columns are distributed differently than in the accepted snapshot, most "
            f"of all {worst.name} (stability index {worst.size:.2f})",
            worst,
            {"columns": [[one.name, round(one.size, 4), round(one.decades, 2)] for one in material[:20]]},
        )
    if labels.size >= MATERIAL:
        yield _suspicion(
            "label-drift",
            f"The labels have other shares than in the accepted snapshot, most of all {labels.name!r} (stability index "
            f"{labels.size:.2f})",
            labels,
            {"stability_index": round(labels.size, 4)},
        )
    if moments.size >= MATERIAL_DISTANCE:
        yield _suspicion(
            "distribution-drift",
            f"Mean and covariance of the rows differ from the accepted snapshot's: the squared Frechet distance is "
            f"{moments.size:.1%} of the total variance",
            moments,
            {"relative_frechet_distance": round(moments.size, 6)},
        )


def _suspicion(rule: str, message: str, found: Difference, evidence: Mapping[str, Json]) -> Suspicion:
    return Suspicion(
        rule=rule,
        level=Level.WARNING,
        message=message,
        title=rule.replace("-", " "),
        name=found.name,
        rows=(),
        decades=corrected(found.decades, QUESTIONS),
        evidence=canonical_json(evidence).decode(),
    )


def columns_changed(
    accepted: SnapshotProfile, now: Tally, distinct: int, image_shape: tuple[int, ...] | None
) -> tuple[Difference, ...]:
    """Features, lengths of texts and columns of values, those that changed most surely first."""
    before = accepted.tally
    looked_at = len(before.counts) + len(before.lengths) + len(before.categories)
    old, new = _independent(accepted.distinct, before.rows), _independent(distinct, now.rows)
    found = [
        Difference(name=_name(place, now.names, image_shape), decades=corrected(decades, looked_at), size=size)
        for place, decades, size in _features(before.counts, now.counts, old, new, looked_at)
    ]
    for name, counts in before.lengths.items():
        (one,) = _features(counts[None], now.lengths[name][None], before.rows, now.rows, 1)
        found.append(
            Difference(name=f"the length of {short(name, MAX_NAME)}", decades=corrected(one[1], looked_at), size=one[2])
        )
    for name, values in before.categories.items():
        then, here = table_of(values, now.categories.get(name, {}))
        weight = min(old / max(1, before.rows), new / max(1, now.rows))
        decades = corrected(table_decades(then, here, weight=weight), looked_at)
        found.append(Difference(name=short(name, MAX_NAME), decades=decades, size=stability(then, here)))
    return tuple(sorted(found, key=lambda one: (-one.decades, -one.size, one.name)))


def _features(
    before: NDArray[np.int64], now: NDArray[np.int64], old: float, new: float, looked_at: int
) -> Iterator[tuple[int, float, float]]:
    """Place, evidence and size of each; the size only where the evidence might count."""
    import numpy as np

    shares = [np.cumsum(c, axis=1) / np.maximum(1, c.sum(axis=1, keepdims=True)) for c in (before, now)]
    distance = np.abs(shares[0] - shares[1]).max(axis=1)
    decades = ks_decades(distance, old, new)
    for place, evidence in enumerate(decades.tolist()):
        worth = corrected(evidence, looked_at) >= 1
        yield place, evidence, stability(*coarse(before[place], now[place])) if worth else 0.0


def labels_changed(accepted: SnapshotProfile, profile: Profile) -> Difference:
    """The shares of the labels; named is the label whose share changed most."""
    now = dict(zip(profile.classes, profile.class_rows, strict=True))
    old, new = sum(accepted.classes.values()), sum(now.values())
    if not old or not new:
        return Difference(name="", decades=0.0, size=0.0)
    moved = {name: now.get(name, 0) / new - accepted.classes.get(name, 0) / old for name in {*now, *accepted.classes}}
    then, here = table_of(accepted.classes, now)
    weight = min(
        _independent(accepted.distinct, accepted.rows) / accepted.rows,
        _independent(profile.distinct, profile.rows) / profile.rows,
    )
    return Difference(
        name=max(moved, key=lambda name: (abs(moved[name]), name)),
        decades=table_decades(then, here, weight=weight),
        size=stability(then, here),
    )


def moments_changed(accepted: SnapshotProfile, now: Tally, seed: int) -> Difference:
    """The squared Frechet distance over the accepted total variance, beside what groups of rows differ by."""
    import numpy as np

    groups = (accepted.tally.moments, now.moments)
    axes = accepted.ruler.axes.shape[1]
    if not axes or any(part[:, 0].sum() < 2 for part in groups):
        return Difference(name="all features", decades=0.0, size=0.0)
    means = [part.sum(axis=0) / part[:, 0].sum() for part in groups]
    distance = float(frechet(*_normal(means[0][None], first=True), *_normal(means[1][None]))[0])
    together = np.concatenate(groups).sum(axis=0)
    middle = together / together[0]
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(2, BOOTSTRAPS, len(groups[0])))
    drawn = np.repeat(middle[None], BOOTSTRAPS, axis=0)
    for part, mean, sign in zip(groups, means, signs, strict=True):
        used = part[:, 0] > 0
        apart = (part[used] - part[used, :1] * mean) / part[:, 0].sum()
        drawn += sign[:, used] @ apart * np.sqrt(used.sum() / max(1, used.sum() - 1))
    null = frechet(*_normal(middle[None], first=True), *_normal(drawn))
    total = max(1e-12, float(np.trace(_normal(means[0][None], first=True)[1])))
    decades = gamma_decades(distance, float(null.mean()), float(null.var()))
    return Difference(name="all features", decades=decades, size=distance / total)


def _normal(means: NDArray[np.float64], *, first: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance from means of 1, x and x x'."""
    import numpy as np

    axes = int(np.sqrt(means.shape[1] - 1))
    mean = means[:, 1 : 1 + axes]
    covariance = means[:, 1 + axes :].reshape(-1, axes, axes) - mean[:, :, None] * mean[:, None, :]
    return (mean[0], covariance[0]) if first else (mean, covariance)


def _remarks(accepted: SnapshotProfile, now: Tally, profile: Profile) -> Iterator[Suspicion]:
    """What is new, and what is gone; told, whatever it means."""
    found = (
        ("label", accepted.classes, dict(zip(profile.classes, profile.class_rows, strict=True))),
        ("source", accepted.tally.sources, now.sources),
    )
    for what, before, here in found:
        if not before:
            continue
        for word, names, counts in (("new", set(here) - set(before), here), ("gone", set(before) - set(here), before)):
            if not names:
                continue
            most = max(names, key=lambda name: (counts[name], name))
            yield Suspicion(
                rule=f"{word}-{what}s",
                level=Level.NOTE,
                message=(
                    f"{len(names)} {what}s with {sum(counts[name] for name in names)} rows are {word} since the "
                    f"accepted snapshot, the largest {short(most, MAX_NAME)!r}"
                ),
                title=f"{word} {what}s",
                name=short(most, MAX_NAME),
                rows=(),
                decades=0.0,
            )


def _measures(changed: Differences, accepted: SnapshotProfile, now: Tally) -> tuple[Measure, ...]:
    fresh = sum(count for name, count in now.sources.items() if name not in accepted.tally.sources)
    sizes = {
        "feature_drift": max((one.size for one in changed.columns), default=0.0),
        "label_drift": changed.labels.size,
        "distribution_drift": changed.moments.size,
        "new_source_fraction": fresh / max(1, now.rows),
    }
    return tuple(Measure(name=name, value=round(value, 9)) for name, value in sizes.items())


def _independent(distinct: int, rows: int) -> float:
    """Rows that say something of their own; copies do not."""
    return float(min(distinct, rows)) if distinct else float(rows)


def _name(place: int, names: tuple[str, ...], image_shape: tuple[int, ...] | None) -> str:
    if names:
        return short(names[place], MAX_NAME)
    if image_shape is not None:
        pixel, channel = divmod(place, (*image_shape, 1)[2])
        row, column = divmod(pixel, image_shape[1])
        return f"the pixel at row {row}, column {column}" + (f", channel {channel}" if len(image_shape) == 3 else "")
    return f"feature {place}"
