"""A scan of a repository or of some of its files, for pre-commit and CI: without policy, ledger and receipt.

Each folder is looked at as a model of its own, since its files speak of each other. A repository holds much that is no
model: files of no format that is read here are counted and not refused, and source code is no finding. Links and
``.git`` are left out. What opens a guard is still the gate's receipt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from interlock.artifacts import record as rules
from interlock.artifacts.gate import ArtifactGate, told
from interlock.artifacts.limits import Budget
from interlock.artifacts.privacy.texts import Texts
from interlock.artifacts.record import Record
from interlock.gate.errors import SubjectError, UsageError
from interlock.gate.opened import OpenSubject
from interlock.gate.values import Coverage, Finding, Gap, Json, Level, Measure, Observation, Report, Subject

LEFT_OUT = (".git",)
QUIET = (rules.FORMAT, rules.SOURCE_CODE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """What a scan came to.

    Args:
        root: What paths are relative to.
        files: Those that were looked at.
        observation: Its findings are errors, warnings and notes, by paths from the root on; gaps that failed are files
            that could not be read to their end, and gaps that were skipped are of no format that is read here.
        gate: What looked.
        started: UTC.
        finished: UTC.
    """

    root: Path
    files: frozenset[Path] = field(repr=False)
    observation: Observation
    gate: ArtifactGate = field(repr=False)
    started: datetime
    finished: datetime

    @property
    def errors(self) -> int:
        """How many findings speak against a file."""
        return sum(finding.level is Level.ERROR for finding in self.observation.findings)

    def report(self) -> Report:
        """As a report; reads every file once more, for a digest over them all.

        Raises:
            SubjectError: A file cannot be read.
        """
        from interlock.gate.documents import canonical_json, digest_of

        digests: dict[str, Json] = {path.relative_to(self.root).as_posix(): _sha256(path) for path in self.files}
        return Report(
            gate=self.gate.kind,
            subject=Subject(name=self.root.name or "/", uri=self.root.as_uri(), digest=digest_of(digests)),
            observation=self.observation,
            tools=self.gate.tools,
            configuration=canonical_json(dict(self.gate.configuration())).decode(),
            started=self.started,
            finished=self.finished,
        )


def scan_repository(root: Path, given: Sequence[Path], gate: ArtifactGate) -> Scanned:
    """Scan.

    Args:
        root: What paths are relative to.
        given: Files and folders below it; folders are scanned with all that is below them.
        gate: With its profile and limits.

    Raises:
        UsageError: A path is not there, or not below the root.
        SubjectError: A file cannot be read.
    """
    started = datetime.now(UTC)
    root = root.resolve()
    wanted = {path for one in given for path in _files(_below(root, one))}
    seen = _Seen(wanted)
    everywhere: dict[str, Path] = {}
    with Texts() as texts:
        for folder in sorted({path.parent for path in wanted}):
            # Files of a model speak of each other, so all of a folder are looked at; only the wanted ones are reported.
            names = tuple(sorted(path.name for path in _plain(folder)))
            prefix = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
            files = {told(name): folder / name for name in names}
            everywhere |= {f"{prefix}{name}": path for name, path in files.items()}
            texts.prefix = prefix
            seen.take(_Within(prefix=prefix, files=files), gate.examined(_opened(folder, names), texts))
        if gate.look_for:
            from interlock.artifacts.privacy import look as privacy

            private = Record(Budget(gate.limits))
            privacy.look(gate.look_for, texts, private)
            seen.take(_Within(prefix="", files=everywhere), private)
    return Scanned(
        root=root,
        files=frozenset(wanted),
        observation=seen.observation(),
        gate=gate,
        started=started,
        finished=datetime.now(UTC),
    )


class _Seen:
    """What was recorded about the files that were asked for."""

    def __init__(self, wanted: set[Path]) -> None:
        self._wanted = wanted
        self._findings: list[Finding] = []
        self._failed: list[Gap] = []
        self._skipped: list[Gap] = []
        self._looked_at: list[str] = []

    def take(self, within: _Within, record: Record) -> None:
        self._findings += within.findings(record, self._wanted)
        for gap in record.failed:
            if within.concerns(gap.path, self._wanted):
                unknown = gap.path in record.unrecognised
                (self._skipped if unknown else self._failed).append(replace(gap, path=f"{within.prefix}{gap.path}"))
        looked_at = (path for path in record.looked_at if within.concerns(path, self._wanted))
        self._looked_at += [f"{within.prefix}{path}" for path in looked_at]

    def observation(self) -> Observation:
        return Observation(
            findings=tuple(self._findings),
            measures=(Measure(name="files", value=len(self._wanted)),),
            coverage=Coverage(
                looked_at=tuple(self._looked_at), skipped=tuple(self._skipped), failed=tuple(self._failed)
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Within:
    """One folder.

    Args:
        prefix: Its path from the root on, with a slash; empty for the root.
        files: Its files, by the names that the scan gives them.
    """

    prefix: str
    files: Mapping[str, Path]

    def concerns(self, path: str, wanted: set[Path]) -> bool:
        """Whether a path is that of a wanted file, of a member of one (behind a ``!``), or of nobody's."""
        found = {self.files[name] for name in (path, path.partition("!")[0]) if name in self.files}
        return not found or not found.isdisjoint(wanted)

    def findings(self, record: Record, wanted: set[Path]) -> Iterator[Finding]:
        for finding in record.observation().findings:
            where = finding.location
            if finding.rule_id not in QUIET and self.concerns(where.path, wanted):
                yield replace(finding, location=replace(where, path=f"{self.prefix}{where.path}"))


def _below(root: Path, path: Path) -> Path:
    whole = path if path.is_absolute() else root / path
    if not os.path.lexists(whole):
        raise UsageError("nothing is there", where=str(path), next_step="name files and folders that exist")
    whole = whole.parent.resolve() / whole.name if whole.name not in {"", ".."} else whole.resolve()
    if whole != root and root not in whole.parents:
        raise UsageError("that is not below the root of the scan", where=str(path), next_step="run it in its root")
    return whole


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink():
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        for folder, names, files in os.walk(path):
            names[:] = [name for name in names if name not in LEFT_OUT]
            yield from (Path(folder, name) for name in files if _is_plain(Path(folder, name)))


def _plain(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if _is_plain(path))


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _opened(folder: Path, names: tuple[str, ...]) -> OpenSubject:
    # The digest is of no use here: no receipt is written.
    subject = Subject(name=folder.name, uri=folder.as_uri(), digest="0" * 64)
    return OpenSubject(subject=subject, path=folder, files=names)


def _sha256(path: Path) -> str:
    import hashlib

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SubjectError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
