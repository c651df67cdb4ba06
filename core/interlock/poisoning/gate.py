"""The gate `data-poisoning`: scans a labelled dataset, and says in measures, findings and pictures what it found.

It decides nothing. What a strength or a flagged fraction means for the pipeline is written in policy.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from interlock.gate import (
    Coverage,
    Derived,
    Finding,
    Gap,
    GateOutcome,
    Json,
    Level,
    Measure,
    Observation,
    OpenSubject,
    References,
    Sequel,
    Tool,
    UsageError,
    Written,
)
from interlock.gate.documents import canonical_json
from interlock.poisoning import charts, pictures
from interlock.poisoning.accepted.beside import FACT, Beside, named
from interlock.poisoning.accepted.clean import CleanNeighbours
from interlock.poisoning.accepted.drift import Drift
from interlock.poisoning.accepted.snapshot import profile_of
from interlock.poisoning.batches import BatchSource, Columns, Source
from interlock.poisoning.bounds import ALARM_DECADES
from interlock.poisoning.compare import beside, installed, known_peers
from interlock.poisoning.detector import Detector, Scores
from interlock.poisoning.engines import engine_for
from interlock.poisoning.findings import suspicions
from interlock.poisoning.image_remarks import image_measures, image_remarks, not_read, unread_text
from interlock.poisoning.label_consistency import LabelConsistency
from interlock.poisoning.models import Learned
from interlock.poisoning.patterns import PatternScan
from interlock.poisoning.quarantine import Looked, Places, leave
from interlock.poisoning.repeated_pattern import RepeatedPattern
from interlock.poisoning.repeats import Duplicates, MovingPattern
from interlock.poisoning.revisit import Rows, revisit
from interlock.poisoning.scan import Scan, scan
from interlock.poisoning.spool import spooled
from interlock.poisoning.survey import Profile
from interlock.poisoning.tables import SourceExcess, ValueCombination
from interlock.poisoning.texts import HiddenCharacters, RepeatedWords, SteeredResponses


class PoisoningGate:
    """Looks for poison in a labelled dataset: tables, arrays or images, one file or a folder of them.

    Args:
        label: The label column (the label array of an npz file). Class folders and IDX files need none.
        image: Column of images: paths relative to the file (a manifest), bytes, or Hugging Face's records of both; the
            array of images of an npz file.
        image_shape: Height, width and, for colour, channels. The images are drawn to it; without `image`, the feature
            columns, in order, are one image, rows of pixels first and channels last. Not needed where images say their
            size: the most frequent one is taken, at most 64 pixels a side.
        features: The feature columns in order; every numeric column that is nothing else when not given.
        embedding: Column of lists of numbers of one length, in place of feature columns.
        text: Columns of running text: a document, a prompt, a response.
        source: Column that says who contributed a row.
        id: Column that names a row for people.
        seed: Of everything random in the scan; equal seeds give equal reports.
        device: A torch device: ``cpu``, ``cuda``, ``cuda:1``.
        engine: Where the passes run: ``local`` is this process, ``ray`` tasks on a cluster; both come to the same.
        ray_address: ``host:port`` of the cluster's head, or ``auto``; a cluster of this machine's own when None.
        also: Other projects' detectors to look as well, for comparison only: names of
            `interlock.poisoning.compare.PEERS`. They run in this process, raise no alarm and change no strength.
        accepted: Path or URL of the profile of the last accepted snapshot, to compare with; see
            `interlock.poisoning.accepted.beside` for what it is trusted by.
        clean: Path or URL of a small clean set in the form of the dataset.
        with_training: Train a small network on the dataset too, look at what it learned, and try what was found on it.
        losses: Local file of losses that `interlock.poisoning.models.LossRecorder` wrote in another training on this
            dataset; needs `with_training`. It is looked at beside the scan's own training, and takes nothing back.

    Raises:
        UsageError: An argument cannot be.
    """

    def __init__(
        self,
        label: str | None = None,
        *,
        image: str | None = None,
        image_shape: Sequence[int] | None = None,
        features: Sequence[str] | None = None,
        embedding: str | None = None,
        text: Sequence[str] = (),
        source: str | None = None,
        id: str | None = None,  # noqa: A002 (the word that a user would look for)
        seed: int = 0,
        device: str = "cpu",
        engine: str = "local",
        ray_address: str | None = None,
        also: Sequence[str] = (),
        accepted: str | None = None,
        clean: str | None = None,
        with_training: bool = False,
        losses: str | None = None,
    ) -> None:
        for option, names in (("features", features), ("text", text), ("also", also)):
            if isinstance(names, str):
                raise UsageError(f"{option} is a list of names, not one text", where=option)
        if not _whole(seed) or seed < 0:
            raise UsageError(f"a seed is a whole number from 0, not {seed!r}", where="seed")
        if image_shape is not None and not all(_whole(side) for side in image_shape):
            raise UsageError(f"an image shape holds whole numbers, not {image_shape!r}", where="image_shape")
        self._columns = Columns(
            label=label,
            features=None if features is None else tuple(features),
            image=image,
            embedding=embedding,
            image_shape=None if image_shape is None else tuple(image_shape),
            texts=tuple(text),
            source=source,
            id=id,
        )
        self._seed = seed
        self._device = device
        self._engine = engine_for(engine, ray_address=ray_address, device=device)
        self._ray_address = ray_address
        self._also = known_peers(also)
        self._learned = Learned(with_training=with_training, losses=losses)
        self._beside = Beside(accepted=accepted, clean=clean)
        self._keep = False  # whether a profile of the snapshot is wanted
        self._looked: list[Looked] = []  # shared by the copies that `examine` makes; holds the last look, if any

    @property
    def kind(self) -> str:
        """``data-poisoning``."""
        return "data-poisoning"

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What computes and reads."""
        others = () if self._engine.name == "local" else (self._engine.name,)
        return tuple(_tool(name) for name in ("numpy", "pyarrow", "torch", *others))

    def configuration(self) -> Mapping[str, Json]:
        """Columns, shape, seed, device and false-alarm budget."""
        columns = self._columns
        return {
            "label": columns.label,
            "features": list(columns.features) if columns.features is not None else None,
            "image": columns.image,
            "embedding": columns.embedding,
            "image_shape": list(columns.image_shape) if columns.image_shape is not None else None,
            "text": list(columns.texts),
            "source": columns.source,
            "id": columns.id,
            "seed": self._seed,
            "device": self._device,
            "engine": self._engine.name,
            "ray_address": self._ray_address,
            "also": [peer.name for peer in self._also],
            **self._beside.configuration(),
            **self._learned.configuration(),
            "false_alarm_decades": ALARM_DECADES,
        }

    def refer(self, references: References) -> None:
        """Take what holds the bytes of `accepted` and `clean`, and knows what was accepted."""
        self._beside.references = references

    def detectors(self, profile: Profile) -> tuple[Detector[Any], ...]:
        """The detectors of this gate, set up for one dataset.

        Args:
            profile: Of the dataset.
        """
        columns, seed, device = self._columns, self._seed, self._device
        shape, texts = columns.image_shape, columns.texts
        accepted, clean = self._beside.profile, self._beside.rows
        pairs = accepted.pairs.get("knn", ()) if accepted is not None else ()
        # Which of them there are is a matter of the kind of data; those that there are say what they cannot look at.
        found: list[Detector[Any]] = []
        if profile.width or not texts:
            found.append(LabelConsistency(profile=profile, seed=seed, device=device, accepted=pairs))
        if clean is not None:
            found.append(CleanNeighbours(profile=profile, clean=clean, device=device))
        if accepted is not None or self._keep:
            found.append(Drift(profile=profile, accepted=accepted, keep=self._keep, image_shape=shape, seed=seed))
        of_features = (
            *((RepeatedPattern, MovingPattern) if shape is not None else ()),
            Duplicates,
            *((PatternScan,) if profile.width or not texts else ()),
            *((ValueCombination,) if shape is None else ()),
        )
        found += [kind(profile=profile, image_shape=shape, seed=seed, device=device) for kind in of_features]
        of_texts = (RepeatedWords, HiddenCharacters, SteeredResponses) if texts else ()
        found += [kind(profile=profile, texts=texts, seed=seed, device=device) for kind in of_texts]
        if columns.source is not None:
            found.append(SourceExcess(profile=profile, source=columns.source, seed=seed, device=device))
        found += self._learned.detectors(profile, image_shape=shape, seed=seed, device=device)
        return tuple(found)

    def look(self, opened: OpenSubject) -> Observation:
        """Scan.

        Args:
            opened: The held dataset.

        Raises:
            SubjectError: It cannot be read, or lacks a column.
            UsageError: This machine has no such device.
            MissingExtraError: torch or pyarrow is not installed.
        """
        self._looked.clear()
        source = Source.of(opened, self._columns)
        seen = self.examine(source)
        skipped, failed = not_read(source)
        coverage = seen.coverage
        return replace(
            seen,
            coverage=replace(coverage, skipped=(*skipped, *coverage.skipped), failed=(*failed, *coverage.failed)),
        )

    def examine(self, source: BatchSource) -> Observation:
        """Scan rows that come from anywhere: the same look, without files and without a receipt.

        Args:
            source: The rows; its own columns count, not those of this gate.

        Raises:
            SubjectError: They cannot be read, or there are none.
            UsageError: This machine has no such device.
            MissingExtraError: torch is not installed.
        """
        from interlock.poisoning.neighbours import usable_device

        usable_device(self._device)
        installed(self._also)
        gate = copy(self)  # of which the shape of this dataset's images is known by now
        gate._columns = source.columns  # noqa: SLF001 (its own class)
        self._beside.take(source.columns)
        self._learned.take()
        with spooled(source, here=self._engine.name == "local") as rows:
            seen, found = gate._scanned(rows)  # noqa: SLF001
            seen = self._learned.proved(
                seen, rows, found, image_shape=source.columns.image_shape, seed=self._seed, device=self._device
            )
            seen = beside(seen, self._also, rows, found.profile, flagged=found.flagged, seed=self._seed)
        if not isinstance(source, Source):
            return seen
        profile = b""
        if self._keep:
            kept = profile_of(found, source.opened.subject, source.columns, seed=self._seed)
            profile = kept.document()
            seen = replace(seen, facts=(*seen.facts, (FACT, canonical_json(named(profile)).decode())))
        self._looked.append(Looked(source=source, found=found, profile=profile))
        return seen

    def _scanned(self, source: BatchSource) -> tuple[Observation, Scan]:
        one_scale = self._columns.image_shape is not None
        found = scan(
            source,
            seed=self._seed,
            detectors=self.detectors,
            one_scale=one_scale,
            engine=self._engine,
            quantiles=self._keep,
        )
        loud = [scores for _, scores in found.scores]
        wanted, drawn = pictures.wanted_rows(loud), self._columns.image_shape is not None
        lonely = pictures.lonely_rows(loud) if drawn else ()
        rows = revisit(source, wanted=wanted, lonely=lonely, flagged=found.flagged)
        seen = Observation(
            findings=(*suspicions(found, rows, source, self._columns.image_shape), *_remarks(found, self._columns)),
            measures=(*_measures(found), *image_measures(found.profile, self._columns)),
            coverage=_coverage(source, found),
            attachments=self._attachments(found, rows),
        )
        return seen, found

    def sequel(self, places: Mapping[str, str], derived: Derived) -> Sequel:
        """What writes ``flagged``, ``clean_out`` and ``profile_out``; see `interlock.poisoning.quarantine`.

        Args:
            places: A path for each that is wanted.
            derived: Writes the receipt of the cleaned snapshot.

        Raises:
            UsageError: An unknown output, no local path, or a place that is taken.
        """
        wanted = Places.of(places)
        self._keep = wanted.profile_out is not None

        def follow(_opened: OpenSubject, outcome: GateOutcome) -> tuple[Written, ...]:
            return leave(wanted, self._looked[-1] if self._looked else None, outcome, derived)

        return follow

    def _attachments(self, found: Scan, rows: Rows) -> tuple[tuple[str, str], ...]:
        shape = self._columns.image_shape
        made = []
        if shape is not None and rows.features:
            made.append(
                (pictures.ATTACHMENT, pictures.pictures([s for _, s in found.scores], rows, found.profile, shape))
            )
        drawn = charts.charts(found, rows.tally)
        return (*made, (charts.ATTACHMENT, drawn)) if drawn else tuple(made)


def _measures(found: Scan) -> tuple[Measure, ...]:
    profile, flagged = found.profile, len(found.flagged)
    measures = [
        Measure(name="rows", value=profile.rows, unit="rows"),
        Measure(name="flagged_rows", value=flagged, unit="rows"),
        Measure(name="flagged_fraction", value=flagged / profile.rows, unit="fraction"),
        Measure(name="strongest", value=max((s.strength for _, s in found.accusing), default=0.0)),
        Measure(name="triggers", value=sum(_triggers(s) for _, s in found.scores)),
        Measure(name="detectors_run", value=len(found.accusing)),
        Measure(name="detectors_skipped", value=len(found.skipped)),
        Measure(name="features", value=profile.width),
        Measure(name="classes", value=len(profile.classes)),
        Measure(name="unlabelled_rows", value=profile.unlabelled, unit="rows"),
        Measure(name="incomplete_rows", value=profile.incomplete, unit="rows"),
    ]
    if profile.class_rows and not profile.too_many_classes:
        smallest = min(profile.class_rows)
        measures.append(Measure(name="smallest_class_rows", value=smallest, unit="rows"))
        measures.append(Measure(name="smallest_class_fraction", value=smallest / profile.rows, unit="fraction"))
    for name, scores in found.accusing:
        measures.append(Measure(name=f"{name}_flagged_rows", value=len(scores.flagged), unit="rows"))
        measures.append(Measure(name=f"{name}_strength", value=scores.strength))
        measures += scores.measures
    for name, scores in found.scores:
        if scores.compared is not None and scores.compared.measures:  # no limit of a detector's is for these
            measures += [Measure(name=name, value=scores.strength), *scores.compared.measures]
    return tuple(measures)


def _triggers(scores: Scores) -> int:
    """How many things that decide a label were found."""
    return len(scores.triggers) + sum(suspicion.level is Level.ERROR for suspicion in scores.suspicions)


def _remarks(found: Scan, columns: Columns) -> tuple[Finding, ...]:
    """What was not looked at, or not as it stands in the file."""
    remarks = [
        Finding(
            rule_id="data-poisoning.detector-skipped",
            level=Level.NOTE,
            message=f"The detector {name} did not look: {reason}",
        )
        for name, reason in found.skipped
    ]
    remarks += [
        Finding(rule_id="data-poisoning.partly-examined", level=Level.WARNING, message=f"Detector {name}: {note}")
        for name, scores in found.scores
        for note in scores.notes
    ]
    profile = found.profile
    remarks += [
        Finding(rule_id="data-poisoning.kind-not-named", level=Level.NOTE, message=message)
        for message in _not_named(profile, columns)
    ]
    if profile.incomplete:
        message = (
            f"{profile.incomplete} rows miss a value or hold an infinite one; each is looked at as an average value"
        )
        remarks.append(Finding(rule_id="data-poisoning.incomplete-rows", level=Level.NOTE, message=message))
    if profile.unlabelled and (profile.labelled or columns.label is not None):
        message = f"{profile.unlabelled} rows carry no label, and nobody looked at them"
        remarks.append(Finding(rule_id="data-poisoning.unlabelled-rows", level=Level.WARNING, message=message))
    constant = profile.width - profile.varying
    if constant:
        message = f"{constant} of {profile.width} features do not vary (almost) and tell neighbours nothing"
        remarks.append(Finding(rule_id="data-poisoning.constant-features", level=Level.NOTE, message=message))
    return (*remarks, *image_remarks(profile, columns))


def _not_named(profile: Profile, columns: Columns) -> Iterator[str]:
    """What was not looked at because nobody said that it is there."""
    if columns.image_shape is not None:
        return
    if profile.width and columns.embedding is None:
        yield "No image_shape was given: features were looked at as columns, not as the pixels of an image"
    if not columns.texts:
        yield "No text column was named: columns of text were looked at as categories, not for words and signs in them"


def _coverage(source: BatchSource, found: Scan) -> Coverage:
    """The parts that a detector saw, and the rows that none could."""
    profile = found.profile
    skipped: list[Gap] = []
    if profile.unlabelled and profile.labelled:
        skipped.append(Gap(path=source.name, reason=f"{profile.unlabelled} rows without a label"))
    failed = [Gap(path=profile.first_unread[0].name, reason=unread_text(profile))] if profile.unread else []
    files = tuple(source.shown(file) for file in source.files)
    if found.accusing:
        return Coverage(looked_at=files, skipped=tuple(skipped), failed=tuple(failed))
    reasons = "; ".join(f"{name}: {reason}" for name, reason in found.skipped)
    failed += [Gap(path=file, reason=f"no detector could look at it ({reasons})") for file in files]
    return Coverage(skipped=tuple(skipped), failed=tuple(failed))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tool(name: str) -> Tool:
    try:
        return Tool(name=name, version=importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Tool(name=name, version="not installed")
