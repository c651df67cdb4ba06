"""The gate that looks at model files: ``artifact-scan``.

What only some scans ask for (weights, other scanners, secrets, cards and signatures) is loaded by the scan that does: a
hook before each commit pays for the start of this program more than for the files that it looks at.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.artifacts.containers.checkpoint_folder import check_slices
from interlock.artifacts.folders.whole import look_at_folder
from interlock.artifacts.limits import Budget, LimitPassedError, Limits
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.pickles.second_layer import SecondLayer
from interlock.artifacts.privacy.texts import Texts
from interlock.artifacts.record import Record, shown
from interlock.artifacts.scan import scan_file
from interlock.gate.errors import MissingExtraError, SubjectError, UsageError
from interlock.gate.values import Json, Observation, Tool

if TYPE_CHECKING:
    from interlock.artifacts.weights.accepted import Accepted
    from interlock.gate.protocols import OpenSubject, References

SCANNER_VERSION = "3"
"""Changes whenever a scanner says something else of the same bytes."""


class ArtifactGate:
    """Scans a model file or folder; denies what could run, and leaves open what it cannot read.

    Measures: ``files``, ``bytes``, ``unsafe_globals`` (distinct), ``opcodes``; ``secrets`` and ``personal_data`` where
    they are looked for; those of `interlock.artifacts.weights.tell.Totals` where weights are read, and with `accepted`
    ``changed_tensors``, ``added_tensors``, ``removed_tensors`` and ``largest_change``. Findings: see
    `interlock.artifacts.record`; every one that speaks against the subject has level error, and each file that was
    recognised has a note ``artifact-scan.format`` with ``{"format": ...}`` as evidence.

    Args:
        profile: Name of an allow-list for pickles, see `interlock.artifacts.pickles.profiles`.
        limits: What a scan may spend.
        also: Other scanners that are asked, see `interlock.artifacts.opinions`; what they say is a warning.
        look_for: ``secrets``, ``personal-data``, both or neither: what texts must not hold.
        weights: Read the tensors, too, which needs numpy; None for wherever numpy is installed. What it came to stands
            in the configuration.
        accepted: Path or URL of the last accepted version, whose tensors are compared with; needs `weights`.

    Raises:
        UsageError: There is no such profile or scanner, nobody looks for that, or the weights to compare are not read.
        MissingExtraError: A scanner, what looks for it, or numpy for the weights is not installed.
    """

    kind = "artifact-scan"

    def __init__(
        self,
        *,
        profile: str = "torch-state-dict",
        limits: Limits | None = None,
        also: Sequence[str] = (),
        look_for: Sequence[str] = (),
        weights: bool | None = None,
        accepted: str | None = None,
    ) -> None:
        self.profile = profile_named(profile)
        self.also = _other_scanners(also)
        self.look_for = _looked_for(look_for)
        self.accepted = _accepted(accepted)
        if self.accepted is not None and weights is False:
            raise UsageError(
                "weights that are not read cannot be compared", where="accepted", next_step="leave weights on"
            )
        installed = find_spec("numpy") is not None
        if not installed and (weights or self.accepted is not None):
            raise MissingExtraError("numpy", extra="artifacts")
        self.weights = installed if weights is None else weights
        self.limits = limits or Limits()
        self._references: References | None = None

    def refer(self, references: References) -> None:
        """Take what knows whose signatures of models count."""
        self._references = references

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The scanner, the Python whose pickle semantics and JSON reader it uses, and what computes with weights."""
        import platform
        from importlib import metadata

        from interlock.artifacts import opinions
        from interlock.artifacts.privacy import look as privacy

        return (
            Tool(name="interlock-artifacts", version=SCANNER_VERSION),
            Tool(name="python", version=platform.python_version()),
            *opinions.tools(self.also),
            *privacy.tools(self.look_for),
            *(Tool(name=name, version=metadata.version(name)) for name in self._computing),
        )

    @property
    def _computing(self) -> tuple[str, ...]:
        return ("numpy",) if self.weights else ()

    def configuration(self) -> Mapping[str, Json]:
        """Profile and allow-lists by name, version and digest, and the limits."""
        from interlock.artifacts.formats.allow_lists import documents
        from interlock.artifacts.privacy import look as privacy

        return {
            "profile": self.profile.name,
            "profile_version": self.profile.version,
            "profile_digest": self.profile.digest,
            "allow_lists": documents(),
            "limits": self.limits.document(),
            "also": list(self.also),
            "look_for": list(self.look_for),
            **privacy.rules_document(self.look_for),
            "weights": self.weights,
            "accepted": None if self.accepted is None else self.accepted.configuration(),
        }

    def look(self, opened: OpenSubject) -> Observation:
        """Scan every file of the subject.

        Raises:
            SubjectError: A file cannot be read.
        """
        from interlock.artifacts.declared import model_facts
        from interlock.artifacts.signed import signature_facts
        from interlock.gate.documents import canonical_json

        with Texts() as texts:
            record = self.examined(opened, texts)
            if self.look_for:
                from interlock.artifacts.privacy import look as privacy

                privacy.look(self.look_for, texts, record)
        facts: dict[str, Json] = {}
        try:
            facts = model_facts(opened) | signature_facts(opened, self._references, record)
        except SubjectError as error:  # what was found in the files must not be lost with a broken card
            record.fail(error.where, error.what)
        return replace(record.observation(), facts=(("model", canonical_json(facts).decode()),))

    def examined(self, opened: OpenSubject, texts: Texts) -> Record:
        """What a scan of every file recorded; what the subject says of itself is not read, and texts only kept.

        Args:
            opened: The held model.
            texts: Where its texts are kept, if something is looked for in them.

        Raises:
            SubjectError: A file cannot be read.
        """
        record = Record(Budget(self.limits))
        record.texts = texts if self.look_for else None
        record.sizes = {told(relative): _size(opened.path / relative) for relative in opened.files if relative}
        names = {relative: told(relative or opened.subject.name) for relative in opened.files}
        _check_names(names, record)
        with SecondLayer() as record.second_layer:
            for relative, name in names.items():
                file = opened.path / relative if relative else opened.path
                scan_file(file, name, profile=self.profile, record=record)
            if not record.refused:
                record.second_layer.judge(record)
        try:
            check_slices(record, frozenset(names.values()))
        except LimitPassedError as error:
            record.fail(opened.subject.name, str(error))
        record.settle()
        if "" not in names:
            look_at_folder(tuple(names.values()), record)
        if self.also:
            from interlock.artifacts import opinions

            opinions.ask(self.also, opened, record)
        if self.weights:
            from interlock.artifacts.weights.look import WeightsLook

            look = WeightsLook(opened, names, profile=self.profile, record=record)
            look.run()
            if self.accepted is not None:
                look.compare(self.accepted, self._references)
        return record


def told(file: str) -> str:
    """How findings and coverage name a file of a subject; not always a path that is there."""
    return shown(file, 1000)


def _other_scanners(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    from interlock.artifacts import opinions

    return opinions.checked(names)


def _looked_for(kinds: Sequence[str]) -> tuple[str, ...]:
    if not kinds:
        return ()
    from interlock.artifacts.privacy import look as privacy

    return privacy.checked(kinds)


def _accepted(uri: str | None) -> Accepted | None:
    if uri is None:
        return None
    from interlock.artifacts.weights.accepted import Accepted

    return Accepted(uri=uri)


def _check_names(names: Mapping[str, str], record: Record) -> None:
    """What is told of one file must not be taken for another's: such names are gaps."""
    often = Counter(names.values())
    for relative, name in names.items():
        if often[name] > 1:
            record.fail(name, "several files are told under this name: rename them")
        elif relative and "!" in name:
            record.fail(name, "a file with '!' in its name cannot be told from a member of an archive: rename it")


def _size(file: Path) -> int:
    """Bytes of a regular file; a link has none, so that nothing is found to be inside of it."""
    status = file.lstat()
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
