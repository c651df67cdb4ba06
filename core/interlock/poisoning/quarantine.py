"""Quarantine: who was flagged and why, as Parquet, and the dataset without those rows.

Both are written from the held bytes, after the receipt of the gate is durable, and only when there was a decision on a
whole look: rows that nobody looked at are not clean. They appear whole or not at all, and never in the place of
something else.

The profile of a snapshot that was allowed is written here too; `interlock.poisoning.accepted` has what it is for.

A cleaned snapshot is not allowed by that. It is other bytes than those that were judged, so it gets a receipt of its
own that says UNDECIDED and names its parent, and needs a run of the gate before anything may use it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import (
    Coverage,
    Decision,
    Finding,
    Gap,
    GateOutcome,
    Json,
    Level,
    Measure,
    Observation,
    Report,
    Subject,
    UnavailableError,
    UsageError,
    Verdict,
    Written,
    utc_now,
)
from interlock.gate.documents import canonical_json
from interlock.gate.durable import sync
from interlock.poisoning.batches import Source
from interlock.poisoning.cleaned import Cut, write_cleaned
from interlock.poisoning.flagged import flagged_table
from interlock.poisoning.scan import Scan

if TYPE_CHECKING:
    from interlock.gate import Derived

PLACES = ("flagged", "clean_out", "profile_out")
"""What a request may give places for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the outputs go; both on a file system of this machine, and nothing is there yet.

    Args:
        flagged: A Parquet file.
        clean_out: A folder.
        profile_out: A JSON file.
    """

    flagged: Path | None = None
    clean_out: Path | None = None
    profile_out: Path | None = None

    @classmethod
    def of(cls, places: Mapping[str, str]) -> Places:
        """Read what a request says, and refuse early what could not be written in the end.

        Raises:
            UsageError: An unknown output, a URL, or a place where something is already.
        """
        unknown = sorted(set(places) - set(PLACES))
        if unknown:
            raise UsageError(
                f"the gate data-poisoning has no output {unknown[0]!r}", next_step=f"it has {', '.join(PLACES)}"
            )
        found = {name: _local(name, place) for name, place in places.items() if place}
        return cls(flagged=found.get("flagged"), clean_out=found.get("clean_out"), profile_out=found.get("profile_out"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a gate saw last.

    Args:
        source: The held dataset.
        found: The scan of it.
        profile: The document that summarises it, whose digest is in the report; empty when nobody wanted it.
    """

    source: Source
    found: Scan
    profile: bytes = b""


def leave(places: Places, looked: Looked | None, outcome: GateOutcome, derived: Derived) -> tuple[Written, ...]:
    """Write what was asked for, once the outcome is stored.

    Args:
        places: Where to.
        looked: The scan; None when it did not come to its end.
        outcome: The gate's outcome, already in the ledger.
        derived: Writes the receipt of what was made from the subject.

    Returns:
        What was written, or why not.

    Raises:
        SubjectError: A file cannot be written without some of its rows.
        UsageError: A place was taken meanwhile, or no row would be left.
        UnavailableError: A place cannot be written.
    """
    reason = _reason_not_to(looked, outcome)
    if reason or looked is None:
        named = [(name, getattr(places, name)) for name in PLACES]
        return tuple(Written(name=name, note=f"not written: {reason}") for name, place in named if place is not None)
    written = []
    if places.flagged is not None:
        written.append(_write_flagged(places.flagged, looked, outcome))
    if places.clean_out is not None:
        found = looked.found
        cut = Cut.of(looked.source, found.lengths, found.flagged)
        written.append(_write_clean(places.clean_out, cut, outcome, derived))
    if places.profile_out is not None:
        written.append(_write_profile(places.profile_out, looked, outcome))
    return tuple(written)


def _reason_not_to(looked: Looked | None, outcome: GateOutcome) -> str:
    """Why nothing may be written; empty when it may."""
    coverage = outcome.report.observation.coverage
    if looked is None:
        return "the scan did not come to its end"
    if outcome.decision.verdict is Verdict.UNDECIDED:
        return "the outcome is UNDECIDED"
    if coverage.failed or coverage.nothing_looked_at:
        return "not everything could be looked at, so what is left is not known to be clean"
    return ""


def _write_flagged(target: Path, looked: Looked, outcome: GateOutcome) -> Written:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published

    about = {"subject": outcome.report.subject.digest, "receipt": outcome.recorded.receipt_id, "gate": "data-poisoning"}
    table = flagged_table(looked.source, looked.found).replace_schema_metadata({"interlock": canonical_json(about)})
    with _appearing(target) as staged:
        pq.write_table(table, staged, compression="zstd")
        sync(staged)
    return Written(name="flagged", place=str(target), note=f"{len(looked.found.flagged)} rows are flagged")


def _write_clean(target: Path, cut: Cut, outcome: GateOutcome, derived: Derived) -> Written:
    from interlock.evidence import take_snapshot

    started = utc_now()
    parent = outcome.report.subject
    with _appearing(target) as staged:
        staged.mkdir(mode=0o755)
        write_cleaned(cut, staged)
        digest = take_snapshot(str(staged)).digest
    subject = Subject(name=target.name, uri=target.as_uri(), digest=digest)
    if digest == parent.digest:
        note = "nothing is flagged: these are the bytes of the subject itself, and its receipt speaks for them"
        return Written(name="clean_out", place=str(target), subject=subject, note=note)
    recorded = derived(
        _derivation(subject, parent, cut, outcome, started),
        Decision(
            verdict=Verdict.UNDECIDED,
            bundle_digest=outcome.decision.bundle_digest,
            errors=(f"nobody has looked at these bytes yet: they are {parent.name} without {cut.count} flagged rows",),
        ),
        materials=(parent,),
        inputs=(outcome.recorded,),
    )
    note = (
        f"{cut.count} of {sum(cut.lengths)} rows are left out; it has passed no gate: run data-poisoning on it before "
        "anything uses it"
    )
    return Written(name="clean_out", place=str(target), subject=subject, receipt_id=recorded.receipt_id, note=note)


def _write_profile(target: Path, looked: Looked, outcome: GateOutcome) -> Written:
    """The profile of a snapshot that was allowed; of another one it would be of no use."""
    verdict = outcome.decision.verdict
    if verdict is not Verdict.ALLOW:
        return Written(name="profile_out", note=f"not written: the outcome is {verdict.value}, not ALLOW")
    with _appearing(target) as staged:
        staged.write_bytes(looked.profile)
        sync(staged)
    subject = Subject(name=target.name, uri=target.as_uri(), digest=hashlib.sha256(looked.profile).hexdigest())
    receipt = outcome.recorded.receipt_id
    note = "name it with --accepted in the scan of the next snapshot"
    return Written(name="profile_out", place=str(target), subject=subject, receipt_id=receipt, note=note)


def _derivation(subject: Subject, parent: Subject, cut: Cut, outcome: GateOutcome, started: datetime) -> Report:
    """How a cleaned snapshot was made, as the report that its receipt binds."""
    rows = sum(cut.lengths)
    finding = Finding(
        rule_id="data-poisoning.cleaned-snapshot",
        level=Level.NOTE,
        message=f"{cut.count} of {rows} rows of {parent.name} were left out because they were flagged",
    )
    measures = (
        Measure(name="rows", value=rows - cut.count, unit="rows"),
        Measure(name="rows_left_out", value=cut.count, unit="rows"),
    )
    configuration: dict[str, Json] = {
        "parent": {"name": parent.name, "uri": parent.uri, "digest": {"sha256": parent.digest}},
        "parent_receipt": outcome.recorded.receipt_id,
        "parent_verdict": outcome.decision.verdict.value,
        "rows_left_out": cut.count,
    }
    gap = Gap(path=subject.name, reason="it was made just now, and nobody has looked at it")
    return Report(
        gate="data-poisoning",
        subject=subject,
        observation=Observation(findings=(finding,), measures=measures, coverage=Coverage(failed=(gap,))),
        tools=outcome.report.tools,
        configuration=canonical_json(configuration).decode(),
        started=started,
        finished=utc_now(),
    )


def _local(name: str, place: str) -> Path:
    from interlock.evidence.sources import local_path

    path = local_path(place)
    if path is None:
        raise UsageError(
            f"{name} is written to a file system of this machine", where=place, next_step="give a path, and copy it on"
        )
    path = path.absolute()
    if not path.name:
        raise UsageError(f"{name} needs a name", where=place)
    if os.path.lexists(path):
        raise _taken(path)
    return path


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A private place for what appears at `target`, whole, when the context ends well; swept after a crash.

    Raises:
        UsageError: Something is at `target`.
        UnavailableError: The place cannot be written.
    """
    from interlock.evidence.claims import claimed
    from interlock.evidence.publish import take_free_place

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with claimed(target.parent, f".{target.name}.quarantine-") as private:
            staged = private / target.name
            yield staged
            take_free_place(staged, target)
            sync(target.parent)
    except FileExistsError as error:
        raise _taken(target) from error
    except OSError as error:
        raise UnavailableError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(target),
            next_step="check space and rights",
        ) from error


def _taken(path: Path) -> UsageError:
    return UsageError(
        "something is there already, and nothing is replaced", where=str(path), next_step="name a place that is free"
    )
