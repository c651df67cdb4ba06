"""The proof: does what the flagged rows share turn other rows into their class, and no longer once they are gone?

After the scan, and only when something that decides a label was found: two networks are trained, one on everything, one
without any row that a detector flagged. The rebuilt trigger is pasted on rows of other classes. A backdoor shows as an
attack success rate far above what the class's size explains for the first network, and not for the second; a high rate
for the second says that rows which carry the trigger were missed. A low rate for the first says only that no fixed
change was found that works: the flags stand on their own evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from interlock.gate import Finding, Json, Level, Measure, Observation
from interlock.gate.documents import canonical_json
from interlock.poisoning import pictures
from interlock.poisoning.batches import BatchSource
from interlock.poisoning.bounds import ALARM_DECADES, binomial_tail, corrected
from interlock.poisoning.detector import Suspicion, Trigger
from interlock.poisoning.engines.shares import folded
from interlock.poisoning.models.activations import predicted
from interlock.poisoning.models.rebuilt import LEAST_CARRIERS, Rebuilt
from interlock.poisoning.models.trained_scan import TrainedModel
from interlock.poisoning.models.training import Trained
from interlock.poisoning.patterns.sampling import Sample
from interlock.poisoning.scan import Scan
from interlock.poisoning.survey import Profile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_TRIGGERS = 4
"""Suspicions that are proved, those with the most evidence."""

VICTIMS = 1000
"""Rows of other classes that a trigger is pasted on."""

LEAST_VICTIMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a rebuilt trigger does.

    Args:
        label: The class that it stands for.
        carriers: Rows that it was rebuilt from.
        victims: Rows that it was pasted on.
        before: Share of them that a network trained on everything then takes for `label`; it took none before.
        after: The same for a network trained without the flagged rows.
        prior: Share of `label` in the dataset.
        decades: Corrected evidence that `before` is more than the larger of `after` and `prior`.
        trigger: What is pasted.
    """

    label: str
    carriers: int
    victims: int
    before: float
    after: float
    prior: float
    decades: float
    trigger: Rebuilt = field(repr=False)


def proved(seen: Observation, source: BatchSource, found: Scan, trainer: TrainedModel) -> Observation:
    """What a scan saw, with the proof of what it found.

    Args:
        seen: By the scan.
        source: The dataset, read once more when there is something to prove.
        found: The scan.
        trainer: Trains on rows of that dataset.
    """
    suspects = _suspects(found)
    if not suspects:
        return seen
    reason = trainer.unfit()
    proofs: tuple[Proof, ...] = ()
    if not reason:
        (sample,) = folded((trainer,), source.batches())
        proofs = _Bench(trainer=trainer, sample=sample, flagged=found.flagged).proofs(suspects)
        reason = "" if proofs else "too few of the rows that carry it, or of the others, are left to rebuild it from"
    if reason:
        message = f"No trigger was rebuilt and tried on a trained model: {reason}"
        unproved = Finding(rule_id="data-poisoning.attack-unproved", level=Level.NOTE, message=message)
        return replace(seen, findings=(*seen.findings, unproved))
    strongest = max(proofs, key=lambda proof: (proof.before, proof.decades))
    return replace(
        seen,
        findings=(*seen.findings, *(_finding(proof) for proof in proofs)),
        measures=(
            *seen.measures,
            Measure(name="attack_success_before", value=strongest.before, unit="fraction"),
            Measure(name="attack_success_after", value=strongest.after, unit="fraction"),
            Measure(name="attack_class_prior", value=strongest.prior, unit="fraction"),
        ),
        attachments=_drawn(seen.attachments, proofs, found.profile, trainer.image_shape),
    )


def _suspects(found: Scan) -> list[Trigger | Suspicion]:
    """What decides a label, the strongest first, one for each class and set of rows."""
    loud = [scores for _, scores in found.scores if scores.alarm]
    named: list[Trigger | Suspicion] = [trigger for scores in loud for trigger in scores.triggers]
    named += [one for scores in loud for one in scores.suspicions if one.level is Level.ERROR and one.label]
    chosen: list[Trigger | Suspicion] = []
    for one in sorted(named, key=lambda suspect: (-suspect.decades, suspect.label, suspect.rows)):
        rows = set(one.rows)
        alike = (len(rows & set(old.rows)) for old in chosen if old.label == one.label)
        if all(2 * shared <= len(rows) for shared in alike):
            chosen.append(one)
    return chosen[:MAX_TRIGGERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """Two networks, and the rows that triggers are tried on."""

    trainer: TrainedModel
    sample: Sample
    flagged: Sequence[int]

    def proofs(self, suspects: Sequence[Trigger | Suspicion]) -> tuple[Proof, ...]:
        """A proof for each suspect that a trigger can be rebuilt of."""
        import numpy as np

        sample, classes = self.sample, self.trainer.profile.classes
        clean = ~np.isin(sample.places, np.array(self.flagged, dtype=np.int64))
        carried = [np.isin(sample.places, np.array(one.rows, dtype=np.int64)) & ~clean for one in suspects]
        if int(clean.sum()) < LEAST_VICTIMS or max(int(some.sum()) for some in carried) < LEAST_CARRIERS:
            return ()
        before = self.trainer.trained_on(sample)
        kept = replace(
            sample,
            places=sample.places[clean],
            labels=sample.labels[clean],
            keys=sample.keys[clean],
            points=sample.points[clean],
        )
        after = self.trainer.trained_on(kept)
        right = clean & (predicted(before, sample.points, device=self.trainer.device) == sample.labels)
        proofs = []
        for suspect, carriers in zip(suspects, carried, strict=True):
            victims = np.flatnonzero(right & (sample.labels != classes.index(suspect.label)))
            # By content hash, so that every class gives its share whatever the order of the rows was.
            victims = victims[np.argsort(sample.keys[victims], kind="stable")][:VICTIMS]
            if int(carriers.sum()) >= LEAST_CARRIERS and len(victims) >= LEAST_VICTIMS:
                trigger = Rebuilt.of(sample.points[carriers], sample.points[clean], device=self.trainer.device)
                tried = (before, after, sample.points[victims])
                proofs.append(self._proof(suspect.label, int(carriers.sum()), trigger, tried, len(suspects)))
        return tuple(proofs)

    def _proof(
        self,
        label: str,
        carriers: int,
        trigger: Rebuilt,
        tried: tuple[Trained, Trained, NDArray[np.float32]],
        suspects: int,
    ) -> Proof:
        before, after, victims = tried
        profile, device = self.trainer.profile, self.trainer.device
        target, pasted = profile.classes.index(label), trigger.pasted(victims)
        hits, missed = (int((predicted(model, pasted, device=device) == target).sum()) for model in (before, after))
        prior = profile.class_rows[target] / max(1, sum(profile.class_rows))
        chance = min(1 - 1e-6, max(prior, (missed + 1) / (len(victims) + 2)))
        return Proof(
            label=label,
            carriers=carriers,
            victims=len(victims),
            before=hits / len(victims),
            after=missed / len(victims),
            prior=prior,
            decades=max(0.0, corrected(binomial_tail(hits, len(victims), chance), suspects)),
            trigger=trigger,
        )


def _finding(proof: Proof) -> Finding:
    works = proof.decades >= ALARM_DECADES
    rates = f"{proof.before:.1%} of {proof.victims} rows of other classes into {proof.label[:60]}"
    message = (
        f"What {proof.carriers} flagged rows share turns {rates} for a model trained on this dataset, and "
        f"{proof.after:.1%} after the flagged rows were removed; {proof.prior:.1%} of the dataset are of that class"
    )
    if not works:
        message = f"No fixed change explains {proof.carriers} flagged rows: the one that was rebuilt turns {rates}"
    evidence: dict[str, Json] = {
        "label": proof.label[:60],
        "carriers": proof.carriers,
        "victims": proof.victims,
        "attack_success_before": round(proof.before, 6),
        "attack_success_after": round(proof.after, 6),
        "class_prior": round(proof.prior, 6),
        "changed_features": int(proof.trigger.touched.sum()),
        "evidence_decades": round(proof.decades, 3),
    }
    return Finding(
        rule_id="data-poisoning.attack-proved" if works else "data-poisoning.attack-unproved",
        level=Level.ERROR if works else Level.NOTE,
        message=message,
        evidence=canonical_json(evidence).decode(),
    )


def _drawn(
    attachments: tuple[tuple[str, str], ...],
    proofs: Sequence[Proof],
    profile: Profile,
    image_shape: tuple[int, ...] | None,
) -> tuple[tuple[str, str], ...]:
    """The pictures with the rebuilt triggers that work in front."""
    import numpy as np

    if image_shape is None:
        return attachments
    made = dict(attachments)
    for proof in reversed([one for one in proofs if one.decades >= ALARM_DECADES]):
        trigger = proof.trigger
        middle = profile.centre + profile.scale * np.clip(trigger.sums, trigger.low, trigger.high)
        canvas = np.where(trigger.touched, middle, np.nan).astype(np.float32)
        made[pictures.ATTACHMENT] = pictures.with_trigger(
            made.get(pictures.ATTACHMENT, ""),
            canvas,
            title=f"The trigger of {proof.label[:40]}, rebuilt and tried",
            note=(
                f"Pasted on {proof.victims} rows of other classes it makes {proof.before:.1%} of them "
                f"{proof.label[:40]}; {proof.after:.1%} after the flagged rows were removed."
            ),
            profile=profile,
            image_shape=image_shape,
        )
    return tuple(made.items())
