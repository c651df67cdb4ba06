"""The look at the weights of a subject, after its files were scanned: reads every tensor, and compares with a version.

Only files of a format that is read here, and that the scan has nothing against, are looked into. Others are told in a
note and counted, and what should have been read and could not be is a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.pickles.profiles import Profile
from interlock.artifacts.record import Record, shown
from interlock.artifacts.source import Buffer
from interlock.artifacts.weights.accepted import Accepted
from interlock.artifacts.weights.compare import Change, Difference, Named, difference
from interlock.artifacts.weights.holders import Holder, Opened, WholeFile
from interlock.artifacts.weights.listing import READ, WITHOUT, has_tensors, listed
from interlock.artifacts.weights.low_bits import LowBits
from interlock.artifacts.weights.statistics import measured
from interlock.artifacts.weights.tell import NAMED, Seen, Totals, tell_file, tell_sample
from interlock.artifacts.weights.tensor import Listing, Tensor
from interlock.gate.errors import SubjectError
from interlock.gate.protocols import OpenSubject, References


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
        self._digest = opened.subject.digest
        self._root = opened.path
        doubtful = record.doubtful
        self._files: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        for relative, name in names.items():
            form = record.formats.get(name, "")
            if form in READ and name not in doubtful:
                self._files[relative] = name
            elif form in READ:
                self._left_out[name] = f"the numbers in a file of format {form} that is not read here, see its findings"
            elif form and form not in WITHOUT:
                self._left_out[name] = f"the numbers in a file of format {form} are not looked into"

    def run(self) -> None:
        """Measure every tensor, and say what was found.

        Raises:
            SubjectError: A file cannot be read.
        """
        totals = Totals(unread_files=len(self._left_out))
        for name, why in self._left_out.items():
            self._record.note(rules.UNREAD_WEIGHTS, why, name)
        for relative, name in self._files.items():
            try:
                self._look_at(_file(self._root, relative), name, totals)
            except LimitPassedError as error:
                self._record.fail(name, f"its weights were not looked at to the end: {error}")
        tell_sample(totals, self._subject, self._record)
        self._record.counted |= totals.counted()

    def _look_at(self, file: Path, name: str, totals: Totals) -> None:
        with WholeFile(file).opened() as data:
            listing = self._listing(data, Opened(data), name)
            # Tied weights are one tensor under several names; they are looked at once.
            apart = {(tensor.place, tensor.dtype.name): tensor for tensor in reversed(listing.tensors)}
            seen = [self._seen(tensor, totals) for tensor in reversed(apart.values())]
            tell_file(name, seen, listing, totals, self._record)

    def _listing(self, data: Buffer, holder: Holder, name: str) -> Listing:
        if not has_tensors(data[:16]):
            return Listing()
        self._record.budget.allow_weights(len(data))
        return listed(data, holder, name, profile=self._profile, record=self._record)

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
            with accepted.held(references, beside=self._digest) as old:
                before = self._tensors(old.path, {name: shown(name or "model", 1000) for name in old.files})
                now = self._tensors(self._root, self._files)
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

    def _tensors(self, root: Path, files: Mapping[str, str]) -> list[Named]:
        found: list[Named] = []
        for relative, name in files.items():
            holder = WholeFile(_file(root, relative))
            with holder.opened() as data:
                listing = self._listing(data, holder, name)
            found += [(relative, tensor) for tensor in (*listing.tensors, *listing.unread)]
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
                f"{shown(tensor.name)}: {_how(change)}",
                tensor.path,
                tensor.offset,
                tensor=shown(tensor.name),
                elements=change.elements,
                turned=change.turned,
                relative=float(f"{change.relative:.6g}"),
            )
        for what in ("added", "removed", "reshaped"):
            for name in getattr(found, what)[:NAMED]:
                record.note(rules.CHANGED_WEIGHTS, f"{shown(name)}: {what}", self._subject, tensor=shown(name))
        record.counted |= {
            "changed_tensors": found.changed,
            "added_tensors": len(found.added),
            "removed_tensors": len(found.removed),
            "largest_change": found.largest,
        }


def _file(root: Path, relative: str) -> Path:
    return root / relative if relative else root


def _how(change: Change) -> str:
    if not change.tensor.dtype.known:
        return f"{change.elements:,} of {change.count:,} bytes changed, of type {shown(change.tensor.dtype.name)}"
    changed = f"{change.elements:,} of {change.count:,} elements changed"
    if change.turned:
        return f"{changed}, {change.turned:,} of them to or from NaN or infinity"
    return f"{changed}, by {change.relative:.3g} of its norm"
