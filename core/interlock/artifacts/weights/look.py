"""The look at the weights of a subject, after its files were scanned: reads every tensor, and compares with a version.

Only files of a format that is read here, and that the scan has nothing against, are looked into. Others are told in a
note and counted, and what should have been read and could not be is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import open_bytes
from interlock.artifacts.weights.accepted import Accepted
from interlock.artifacts.weights.compare import Difference, difference
from interlock.artifacts.weights.listing import READ, WITHOUT, has_tensors, listed
from interlock.artifacts.weights.low_bits import LowBits
from interlock.artifacts.weights.statistics import measured
from interlock.artifacts.weights.tell import NAMED, Seen, Totals, tell_file, tell_sample
from interlock.artifacts.weights.tensor import Tensor
from interlock.gate.errors import SubjectError
from interlock.gate.protocols import OpenSubject, References

_MAPPED: Final = 1
"""Files of more bytes are mapped, so that no tensor is held in memory."""


class WeightsLook:
    """Looks at the weights of one subject.

    Args:
        opened: The held model.
        names: Its files, and how findings name them.
        profile: Under which its pickles were walked.
        record: What the scan saw, and where findings go.
    """

    def __init__(self, opened: OpenSubject, names: Mapping[str, str], *, profile: Profile, record: Record) -> None:
        self._profile = profile
        self._record = record
        self._subject = opened.subject.name
        doubtful = record.doubtful
        self._files: dict[str, Path] = {}
        self._left_out: list[str] = []
        for relative, name in names.items():
            form = record.formats.get(name, "")
            if name in doubtful or form in WITHOUT:
                continue
            if form in READ:
                self._files[name] = opened.path / relative if relative else opened.path
            elif form:
                self._left_out.append(name)

    def run(self) -> None:
        """Measure every tensor, and say what was found.

        Raises:
            SubjectError: A file cannot be read.
        """
        totals = Totals()
        for name in self._left_out:
            totals.unread_files += 1
            what = f"the numbers in a file of format {self._record.formats[name]} are not looked into"
            self._record.note(rules.UNREAD_WEIGHTS, what, name)
        for name, file in self._files.items():
            try:
                self._look_at(file, name, totals)
            except LimitPassedError as error:
                self._record.fail(name, f"its weights were not looked at to the end: {error}")
        tell_sample(totals, self._subject, self._record)
        self._record.counted |= totals.counted()

    def _look_at(self, file: Path, name: str, totals: Totals) -> None:
        with (
            open_bytes(file, small=_MAPPED) as data,
            listed(data, name, profile=self._profile, record=self._record) as listing,
        ):
            self._record.budget.allow_weights(len(data))
            # Tied weights are one tensor under several names; they are looked at once.
            apart = {(tensor.place, tensor.dtype.name): tensor for tensor in reversed(listing.tensors)}
            seen = [self._seen(tensor, totals) for tensor in reversed(apart.values())]
            tell_file(name, seen, listing, totals, self._record)

    def _seen(self, tensor: Tensor, totals: Totals) -> Seen:
        low_bits = LowBits(tensor.dtype, totals.sample) if tensor.dtype.mantissa else None
        found = measured(tensor, self._record.budget, low_bits)
        return Seen(tensor=tensor, statistics=found, written=low_bits.written() if low_bits is not None else ())

    def compare(self, accepted: Accepted, references: References | None) -> None:
        """Say how the tensors differ from those of the last accepted version.

        Args:
            accepted: Names it.
            references: Hold it, and know its receipts.

        Raises:
            UsageError: Nobody here knows any receipts.
            UnavailableError: Storage or ledger did not answer; try again.
        """
        try:
            with accepted.held(references) as old, ExitStack() as held:
                files = {shown(name or "model", 1000): old.path / name if name else old.path for name in old.files}
                before, now = self._tensors(files, held), self._tensors(self._files, held)
                if before and now:
                    self._tell(difference(now, before, self._record.budget), old.subject.digest)
                else:
                    which = "this model" if before else "the accepted version"
                    why = f"not compared: no tensors of {which} can be listed; save both as safetensors"
                    self._record.fail(shown(accepted.uri, 1000), why)
        except SubjectError as error:
            self._record.fail(shown(error.where or accepted.uri, 1000), f"not compared: {shown(str(error), 1000)}")
        except LimitPassedError as error:
            self._record.fail(shown(accepted.uri, 1000), f"not compared with it: {error}")

    def _tensors(self, files: Mapping[str, Path], held: ExitStack) -> list[Tensor]:
        found: list[Tensor] = []
        for name, file in files.items():
            data = held.enter_context(open_bytes(file, small=_MAPPED))
            if has_tensors(data[:16]):
                self._record.budget.allow_weights(len(data))
                listing = held.enter_context(listed(data, name, profile=self._profile, record=self._record))
                found += listing.tensors
        return found

    def _tell(self, found: Difference, digest: str) -> None:
        record = self._record
        counts = {
            "changed": found.changed,
            "reshaped": len(found.reshaped),
            "added": len(found.added),
            "removed": len(found.removed),
        }
        said = ", ".join(f"{count:,} {what}" for what, count in counts.items())
        record.note(
            rules.CHANGED_WEIGHTS,
            f"beside the accepted version sha256:{digest[:12]}: {found.same:,} tensors are the same, {said}",
            self._subject,
            same=found.same,
            **counts,
        )
        for change in found.changes[:NAMED]:
            tensor = change.tensor
            record.note(
                rules.CHANGED_WEIGHTS,
                f"{shown(tensor.name)}: {change.elements:,} of {tensor.count:,} elements changed, by "
                f"{change.relative:.3g} of its norm",
                tensor.path,
                tensor.offset,
                tensor=shown(tensor.name),
                elements=change.elements,
                relative=float(f"{change.relative:.6g}"),
            )
        for what in ("added", "removed", "reshaped"):
            for name in getattr(found, what)[:NAMED]:
                record.note(rules.CHANGED_WEIGHTS, f"{shown(name)}: {what}", self._subject, tensor=shown(name))
        largest = found.changes[0].relative if found.changes else 0.0
        record.counted |= {
            "changed_tensors": found.changed,
            "added_tensors": len(found.added),
            "removed_tensors": len(found.removed),
            "largest_change": largest,
        }
