"""Converts a model file to safetensors in the sandbox, and proves that every tensor is the same, bit by bit.

One way through: hold the source, scan it, write the result in the sandbox, read both by other means in a second one,
compare, scan the result, and only then put the proven bytes where they are wanted.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.artifacts.boxed import MEMORY, BoxError, boxed, sandbox_here
from interlock.artifacts.conversion.answers import LARGEST, read_proven, read_written
from interlock.artifacts.conversion.converted import Converted, own_version
from interlock.artifacts.conversion.inside import REPORT
from interlock.artifacts.conversion.places import Places
from interlock.artifacts.conversion.proof import NAMED, StopError, compare, read_result
from interlock.artifacts.conversion.torch_files import PYTORCH
from interlock.artifacts.conversion.writer import GROWTH, ROOM
from interlock.artifacts.gate import ArtifactGate
from interlock.artifacts.privacy.texts import Texts
from interlock.artifacts.record import Record, shown
from interlock.gate.errors import MissingExtraError, UsageError
from interlock.gate.protocols import OpenSubject
from interlock.gate.values import Json, Level, Subject, Verdict

if TYPE_CHECKING:
    from interlock.gate.protocols import Opener
    from interlock.training.sandbox import Sandbox

CHILD = Path(__file__).with_name("child.py")
PROFILES = ("torch-state-dict", "torch-checkpoint", "numpy")
CONVENTIONS = {"torch-zip": dict(PYTORCH), "torch-legacy": dict(PYTORCH), "numpy": {}, "pickle": {}}
"""The formats that are converted, and the metadata of the result beside its tied names."""

FORMATS = tuple(CONVENTIONS)
SECONDS = 600.0
"""For each run in the sandbox, and a second more for every `PACE` bytes."""

PACE = 10_000_000

_TOOLS = {"torch": ("torch", "safetensors", "numpy"), "numpy": ("numpy",), "storages": ("numpy",)}
"""Whose versions the proof names, by who made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """How to convert.

    Args:
        opener: Holds the source still.
        profile: The scanner's, one of `PROFILES`.
        key: The key of the outermost dict whose value is converted; None for all of it.
        keep_duplicates: Write a tensor under each of its names.
        by_torch: Whether torch has to read the source for the proof; where it is installed when None.
        sandbox: Which one; the best that works here when None.

    Raises:
        UsageError: There is no such profile here.
    """

    opener: Opener
    profile: str = PROFILES[0]
    key: str | None = None
    keep_duplicates: bool = False
    by_torch: bool | None = None
    sandbox: Sandbox | None = None

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise UsageError(
                f"files of the profile {self.profile!r} are not converted", next_step=f"use {', '.join(PROFILES)}"
            )

    def convert(self, source: str, target: Path, *, proof: Path | None = None) -> Converted:
        """Convert `source`, and write it to `target` if and only if the proof holds.

        Args:
            source: A file, untrusted.
            target: Replaced whole.
            proof: Where to write the statement, as JSON; nowhere when None.

        Returns:
            ALLOW with the proof; DENY where something speaks against the source, or source and result differ;
            UNDECIDED where it could not be read to its end or is not converted. Both with reasons.

        Raises:
            SubjectError: The source cannot be read.
            UsageError: The source is a folder; target or proof cannot be written, or are the source or each other; no
                sandbox works here.
        """
        from interlock.evidence.sources import local_path

        places = Places.of(target, proof)
        with self.opener.open(source) as opened:
            if opened.files != ("",):
                raise UsageError("a folder is not converted", where=source, next_step="name one of its files")
            if (local := local_path(opened.subject.uri)) is not None:
                places.spare(local)
            try:
                return _Run(self, self.sandbox or sandbox_here(), opened).to(target, places)
            except StopError as stop:
                return Converted(source=opened.subject, verdict=stop.verdict, reasons=stop.reasons)


class _Run:
    """One conversion."""

    def __init__(self, how: Converter, sandbox: Sandbox, opened: OpenSubject) -> None:
        self._how = how
        self._gate = ArtifactGate(profile=how.profile, weights=False)
        self._sandbox = sandbox
        self._opened = opened
        self._size = opened.path.stat().st_size
        self._seconds = SECONDS + self._size / PACE

    def to(self, target: Path, places: Places) -> Converted:
        """From the scan to the files."""
        options: dict[str, Json] = {
            "format": self._recognised(),
            "profile": self._how.profile,
            "key": self._how.key,
            "keep_duplicates": self._how.keep_duplicates,
            "seconds": self._seconds,
        }
        with self._boxed("convert", options, room=ROOM + GROWTH * self._size) as result:
            written = read_written(result.with_name(REPORT))
            digest, tensors, metadata = read_result(result)
            subject = Subject(name=target.name, uri=target.absolute().as_uri(), digest=digest)
            self._scan(OpenSubject(subject=subject, path=result, files=("",)), "the result")
            held = {one.name: one for one in tensors}
            expected = written.expected(held)
            by = self._proven_by(str(options["format"]))
            options |= {"by": by, "result": str(result)}
            with self._boxed("prove", options, room=LARGEST, visible=(result,)) as answer:
                of_source, of_result = read_proven(answer, result=by == "torch")
            compare(expected, of_source, "the source")
            if by == "torch":
                compare(held, of_result, "what safetensors reads of the result")
            if metadata != {**CONVENTIONS[str(options["format"])], **written.aliases}:
                raise StopError(Verdict.DENY, "the metadata of the result names others than the tied tensors")
            done = Converted(
                verdict=Verdict.ALLOW,
                source=self._opened.subject,
                result=subject,
                key=self._how.key,
                keep_duplicates=self._how.keep_duplicates,
                tensors=tuple(tensors),
                aliases=written.aliases,
                left_out=written.left_out,
                left_out_count=written.left_out_count,
                proven_by=by,
                tools=(*self._gate.tools, *(own_version(name) for name in _TOOLS[by])),
                profile=self._how.profile,
                sandbox=self._sandbox.level,
            )
            places.put(result, done, digest)
        return done

    def _recognised(self) -> str:
        """The source's format, if the scan has nothing against it."""
        record = self._scan(self._opened, "the source")
        found = record.formats.get(shown(self._opened.subject.name, 1000), "unknown")
        if found not in FORMATS:
            raise StopError(Verdict.UNDECIDED, f"a file of the format {found} is not converted: {', '.join(FORMATS)}")
        return found

    def _scan(self, opened: OpenSubject, what: str) -> Record:
        with Texts() as texts:
            record = self._gate.examined(opened, texts)
        _stop_unless_clean(record, what)
        return record

    def _proven_by(self, format_: str) -> str:
        if format_ == "numpy":
            return "numpy"
        installed = all(importlib.util.find_spec(name) is not None for name in ("torch", "safetensors"))
        if format_ == "pickle" or not (installed if self._how.by_torch is None else self._how.by_torch):
            return "storages"
        if not installed:
            raise MissingExtraError("torch", extra="torch")
        return "torch"

    @contextmanager
    def _boxed(
        self, function: str, options: Mapping[str, Json], *, room: int, visible: tuple[Path, ...] = ()
    ) -> Iterator[Path]:
        """Run a function of `interlock.artifacts.conversion.inside`."""
        from interlock.training.spec import Limits as RunLimits

        root = Path(__file__).parents[3]
        text = json.dumps(options)
        limits = RunLimits(
            wall_seconds=self._seconds, output_bytes=room, output_files=4, memory_bytes=MEMORY + 2 * self._size
        )
        try:
            with boxed(
                self._opened.path,
                lambda data, program, out: (
                    sys.executable,
                    "-I",
                    str(program),
                    str(root),
                    function,
                    str(data),
                    str(out),
                    text,
                ),
                sandbox=self._sandbox,
                limits=limits,
                program=CHILD,
                visible=(root, *visible),
            ) as result:
                yield result
        except BoxError as error:
            raise StopError(Verdict.UNDECIDED, f"the sandbox did not end well: {shown(str(error), 2000)}") from error


def _stop_unless_clean(record: Record, what: str) -> None:
    errors = [one for one in record.observation().findings if one.level is Level.ERROR]
    if errors:
        found = (f"{one.rule_id} at {one.location.path}: {one.message}" for one in errors[:NAMED])
        raise StopError(Verdict.DENY, f"the scan of {what} speaks against it ({len(errors)} findings)", *found)
    if record.failed:
        gaps = (f"{gap.path}: {gap.reason}" for gap in record.failed[:NAMED])
        raise StopError(Verdict.UNDECIDED, f"the scan could not read {what} to its end", *gaps)
