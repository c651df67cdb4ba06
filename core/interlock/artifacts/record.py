"""What a scan has seen so far, and the rule ids under which it says so.

Everything that comes out of a hostile file passes `shown` on its way into a message or a path, so that a report can
always be written as UTF-8 and printed on a terminal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlock.artifacts.formats.config_tree import Pairs
from interlock.artifacts.limits import Budget
from interlock.gate.values import Coverage, Finding, Gap, Json, Level, Location, Measure, Observation

if TYPE_CHECKING:
    from interlock.artifacts.pickles.second_layer import SecondLayer
    from interlock.artifacts.privacy.texts import Texts

FORMAT = "artifact-scan.format"
UNSAFE_GLOBAL = "artifact-scan.unsafe-global"
UNSAFE_CALL = "artifact-scan.unsafe-call"
UNSAFE_CONTENT = "artifact-scan.unsafe-content"
UNSAFE_PERSISTENT_ID = "artifact-scan.unsafe-persistent-id"
UNSAFE_EXTENSION = "artifact-scan.unsafe-extension"
MALFORMED_PICKLE = "artifact-scan.malformed-pickle"
TRAILING_DATA = "artifact-scan.trailing-data"
SEVERAL_PICKLES = "artifact-scan.several-pickles"
EXTRA_PICKLE = "artifact-scan.extra-pickle"
ZIP_STRUCTURE = "artifact-scan.zip-structure"
ZIP_CHECKSUM = "artifact-scan.zip-checksum"
ZIP_ENCRYPTED = "artifact-scan.zip-encrypted"
ZIP_DUPLICATE = "artifact-scan.zip-duplicate"
ZIP_PATH = "artifact-scan.zip-path"
STREAM = "artifact-scan.stream"
SEVERAL_STREAMS = "artifact-scan.several-streams"
TAR_STRUCTURE = "artifact-scan.tar-structure"
TAR_LINK = "artifact-scan.tar-link"
TAR_PATH = "artifact-scan.tar-path"
TAR_DUPLICATE = "artifact-scan.tar-duplicate"
TORCH_LEGACY = "artifact-scan.torch-legacy"
CHECKPOINT_SLICE = "artifact-scan.checkpoint-slice"
TORCH_ARCHIVE = "artifact-scan.torch-archive"
EXECUTABLE = "artifact-scan.executable-format"
POLYGLOT = "artifact-scan.polyglot"
MALFORMED_SAFETENSORS = "artifact-scan.malformed-safetensors"
MALFORMED_NUMPY = "artifact-scan.malformed-numpy"
REMOTE_CODE = "artifact-scan.remote-code"
DUPLICATE_KEY = "artifact-scan.duplicate-key"
EXTERNAL_FILE = "artifact-scan.external-file"
KERAS_CLASS = "artifact-scan.keras-class"
MALFORMED_KERAS = "artifact-scan.malformed-keras"
HDF5_FEATURE = "artifact-scan.hdf5-feature"
MALFORMED_HDF5 = "artifact-scan.malformed-hdf5"
SKOPS_TYPE = "artifact-scan.skops-type"
MALFORMED_TREES = "artifact-scan.malformed-trees"
MALFORMED_SKOPS = "artifact-scan.malformed-skops"
SOURCE_CODE = "artifact-scan.source-code"
MALFORMED_GRAPH = "artifact-scan.malformed-graph"
CUSTOM_OPERATOR = "artifact-scan.custom-operator"
UNSAFE_OPERATOR = "artifact-scan.unsafe-operator"
EXTERNAL_DATA = "artifact-scan.external-data"
HIDDEN_CODE = "artifact-scan.hidden-code"
MALFORMED_GGUF = "artifact-scan.malformed-gguf"
UNSAFE_TEMPLATE = "artifact-scan.unsafe-template"
CODE_REFERENCE = "artifact-scan.code-reference"
OUTSIDE_PATH = "artifact-scan.outside-path"
WEIGHT_INDEX = "artifact-scan.weight-index"
SEVERAL_WEIGHTS = "artifact-scan.several-weights"
SIGNATURE = "artifact-scan.signature"
SECOND_LAYER = "artifact-scan.second-layer"
SECOND_OPINION = "artifact-scan.second-opinion"
LEAK = "artifact-scan.secret"
PERSONAL_DATA = "artifact-scan.personal-data"
WEIGHTS = "artifact-scan.weights"
UNREAD_WEIGHTS = "artifact-scan.unread-weights"
NOT_FINITE = "artifact-scan.not-finite"
ABSURD_WEIGHTS = "artifact-scan.absurd-weights"
CONSTANT_WEIGHTS = "artifact-scan.constant-weights"
DUPLICATE_WEIGHTS = "artifact-scan.duplicate-weights"
LOW_BITS = "artifact-scan.low-bits"
HIDDEN_BYTES = "artifact-scan.hidden-bytes"
CHANGED_WEIGHTS = "artifact-scan.changed-weights"
MORE = "artifact-scan.more-findings"

MOST_NAMES = 10_000
"""Distinct unsafe globals that are told apart; a hostile file may name millions."""

_OF_OTHER_FILES = frozenset({"_class_name", "weight_map"})

RULES = tuple(sorted(value for name, value in list(globals().items()) if name.isupper() and isinstance(value, str)))
"""Every rule id that this gate uses."""


def shown(text: str, limit: int = 200) -> str:
    """Hostile text made safe to print and to encode: control characters and lone surrogates escaped, length capped."""
    if len(text) > limit:
        text = text[:limit] + "..."
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class Record:
    """Collects findings and coverage over one subject.

    Args:
        budget: What the scan may spend; also bounds the findings kept for each path.

    `sizes` are the bytes of every file of the subject by its path, for formats that name files beside them; `pickled`
    are the files and members that hold a pickle, whatever their format; `counted` are further measures, of looks that
    somebody asked for.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.findings: list[Finding] = []
        self.looked_at: list[str] = []
        self.failed: list[Gap] = []
        self.unsafe_globals: set[str] = set()
        self.sizes: Mapping[str, int] = {}
        self._unknown: set[str] = set()
        self._claimed: dict[str, str] = {}
        self.formats: dict[str, str] = {}
        self.pickled: set[str] = set()
        self.documents: dict[str, Pairs] = {}
        self.tensors: dict[str, frozenset[str]] = {}
        self.files = 0
        self.bytes = 0
        self.second_layer: SecondLayer | None = None
        self.texts: Texts | None = None
        self.counted: dict[str, float] = {}
        self.slices: list[tuple[str, object, object, object]] = []
        self.pieces: dict[str, frozenset[tuple[int, int]]] = {}
        self._kept: Counter[tuple[str, Level]] = Counter()

    def error(self, rule: str, message: str, path: str, offset: int | None = None, **evidence: Json) -> None:
        """Something that speaks against the file."""
        self._add(Level.ERROR, rule, message, Location(path=path, offset=offset), evidence)

    def warning(self, rule: str, message: str, path: str, offset: int | None = None, **evidence: Json) -> None:
        """Something that a person should know."""
        self._add(Level.WARNING, rule, message, Location(path=path, offset=offset), evidence)

    def note(self, rule: str, message: str, path: str, offset: int | None = None, **evidence: Json) -> None:
        """Something that is worth knowing and speaks neither for nor against the file."""
        self._add(Level.NOTE, rule, message, Location(path=path, offset=offset), evidence)

    @property
    def unrecognised(self) -> frozenset[str]:
        """Files of no format that is read here, and that no other file explains."""
        return frozenset(self._unknown)

    @property
    def doubtful(self) -> frozenset[str]:
        """Files, and files with members, that something speaks against or that were not read to their end."""
        errors = [finding.location.path for finding in self.findings if finding.level is Level.ERROR]
        parts = [path.split("!") for path in (*errors, *(gap.path for gap in self.failed))]
        return frozenset("!".join(part[:length]) for part in parts for length in range(1, len(part) + 1))

    @property
    def refused(self) -> bool:
        """Whether something speaks against the subject."""
        return any(finding.level is Level.ERROR for finding in self.findings)

    def format(self, path: str, name: str) -> None:
        """Say which format `path` was recognised as, by content."""
        self.formats[path] = name
        self._add(Level.NOTE, FORMAT, f"recognised as {name}", Location(path=path), {"format": name})

    def document(self, path: str, value: object) -> None:
        """Keep a JSON document that speaks of other files, for who looks at the folder as a whole."""
        if isinstance(value, Pairs) and _OF_OTHER_FILES.intersection(value.keys()):
            self.documents[path] = value

    def looked(self, path: str) -> None:
        """`path` was examined whole."""
        self.looked_at.append(path)

    def fail(self, path: str, reason: str) -> None:
        """`path` could not be examined."""
        self.failed.append(Gap(path=path, reason=reason))

    def keep_text(self, text: str, path: str) -> None:
        """`path` holds this text, in which something may be looked for later."""
        if self.texts is not None:
            self.texts.add(text, path)

    def unknown(self, path: str, reason: str) -> None:
        """`path` is of no known format, so it could not be examined, unless another file says what it is."""
        self.fail(path, reason)
        self._unknown.add(path)

    def claim(self, path: str, format_name: str) -> None:
        """Another file says that `path` holds nothing but the bytes of its tensors."""
        self._claimed[path] = format_name

    def settle(self) -> None:
        """After the last file: what is of no format of its own and was claimed by another file was looked at."""
        explained = self._unknown & self._claimed.keys()
        self.failed = [gap for gap in self.failed if gap.path not in explained]
        for path in sorted(explained):
            self.looked(path)
            self.format(path, self._claimed[path])
        self._unknown -= explained

    def unsafe_global(self, name: str) -> None:
        """Count a global outside the profile; distinct names, so that one name used often counts once."""
        if len(self.unsafe_globals) < MOST_NAMES:
            self.unsafe_globals.add(name)

    def add_slice(self, path: str, fields: Mapping[str, object]) -> None:
        """A checkpoint's metadata says which bytes of which file a tensor is; checked when every file was seen."""
        self.slices.append((path, fields["relative_path"], fields["offset"], fields["length"]))

    def merge(self, other: Record) -> None:
        """Take over what a probe saw. Its opcodes were spent from the same budget already."""
        known = set(self.findings)
        for finding in other.findings:
            if finding not in known:
                self._keep(finding)
        self.looked_at += other.looked_at
        self.failed += other.failed
        self._unknown |= other._unknown
        self._claimed |= other._claimed
        self.unsafe_globals |= other.unsafe_globals

    @property
    def clean(self) -> bool:
        """No error finding and nothing that could not be examined."""
        return not self.failed and all(finding.level is not Level.ERROR for finding in self.findings)

    def observation(self) -> Observation:
        """Everything, as the gate's observation."""
        more = tuple(
            Finding(
                rule_id=MORE,
                level=Level.NOTE,
                message=f"{count - self.budget.limits.findings:,} more findings were counted, not kept",
                location=Location(path=path),
                evidence=json.dumps({"level": level.value, "count": count}),
            )
            for (path, level), count in self._kept.items()
            if count > self.budget.limits.findings
        )
        return Observation(
            findings=(*self.findings, *more),
            measures=(
                Measure(name="files", value=self.files),
                Measure(name="bytes", value=self.bytes, unit="bytes"),
                Measure(name="unsafe_globals", value=len(self.unsafe_globals)),
                Measure(name="opcodes", value=self.budget.opcodes),
                *(Measure(name=name, value=value) for name, value in self.counted.items()),
            ),
            coverage=Coverage(looked_at=tuple(self.looked_at), failed=tuple(self.failed)),
        )

    def _add(self, level: Level, rule: str, message: str, where: Location, evidence: dict[str, Json]) -> None:
        self._keep(
            Finding(
                rule_id=rule,
                level=level,
                message=message,
                location=where,
                evidence=json.dumps(evidence, sort_keys=True) if evidence else "",
            )
        )

    def _keep(self, finding: Finding) -> None:
        # Counted for each level apart: a flood of warnings must not push out the first error.
        key = (finding.location.path, finding.level)
        self._kept[key] += 1
        if self._kept[key] <= self.budget.limits.findings:
            self.findings.append(finding)
