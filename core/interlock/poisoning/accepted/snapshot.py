"""What is kept of a snapshot that was allowed, for the next one to be compared with.

Counts, moments and quantiles; no row. One canonical JSON document, so that its digest names it: the report of the scan
that allowed the snapshot holds that digest, and `trust` asks the receipts for it. The content is as untrusted as any
file until then, and is read strictly.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from interlock.gate import Json, SubjectError
from interlock.gate.documents import canonical_json
from interlock.poisoning.accepted.ruler import GROUPS, LENGTHS, Ruler, Tally
from interlock.poisoning.labels import PairCount

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from interlock.gate import Subject
    from interlock.poisoning.batches import Columns
    from interlock.poisoning.scan import Scan

TYPE = "urn:interlock:snapshot-profile:v1"
MAX_BYTES = 64 * 2**20
MAX_WIDTH = 2**20

NEXT = "write it anew: scan the accepted snapshot with --profile-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotProfile:
    """A summary of one scanned snapshot.

    Args:
        name: Of the snapshot, for people.
        digest: sha256 of its bytes.
        seed: Of the content hashes.
        rows: In all.
        distinct: About how many of them differ in their features; 0 where there are no features.
        classes: Rows by label.
        image_shape: Of its images; None for other data.
        texts: Its columns of running text.
        strengths: Of each detector's strongest evidence, from 0 to 1.
        pairs: By detector: rows by their label and the class that they resemble.
        ruler: What it was measured with.
        tally: What was measured.
    """

    name: str
    digest: str
    seed: int
    rows: int
    distinct: int
    classes: Mapping[str, int]
    image_shape: tuple[int, ...] | None
    texts: tuple[str, ...]
    strengths: Mapping[str, float]
    pairs: Mapping[str, tuple[PairCount, ...]]
    ruler: Ruler = field(repr=False)
    tally: Tally = field(repr=False)

    def document(self) -> bytes:
        """The canonical JSON document; equal profiles give equal bytes."""
        ruler, tally = self.ruler, self.tally
        value: dict[str, Json] = {
            "_type": TYPE,
            "subject": {"name": self.name, "digest": {"sha256": self.digest}},
            "seed": self.seed,
            "rows": self.rows,
            "distinct": self.distinct,
            "classes": dict(self.classes),
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            "texts": list(self.texts),
            "strengths": {name: round(value, 9) for name, value in self.strengths.items()},
            "pairs": {
                name: [[one.label, one.resembles, one.resembling, one.rows] for one in pairs]
                for name, pairs in self.pairs.items()
            },
            "ruler": {one.name: _packed(getattr(ruler, one.name), "<f4") for one in fields(ruler)},
            "tally": {
                "rows": tally.rows,
                "counts": _packed(tally.counts, "<i8"),
                "moments": _packed(tally.moments, "<f8"),
                "lengths": {name: _packed(counts, "<i8") for name, counts in tally.lengths.items()},
                "sources": dict(tally.sources),
                "categories": {name: dict(counts) for name, counts in tally.categories.items()},
                "names": list(tally.names),
            },
        }
        return canonical_json(value)

    @classmethod
    def read(cls, document: bytes, *, where: str) -> SnapshotProfile:
        """The reverse of `document`.

        Args:
            document: Untrusted bytes.
            where: Of the file, for people.

        Raises:
            SubjectError: It is no such document, or its parts do not fit together.
        """
        try:
            value = json.loads(document)
            _refuse_type(value["_type"])
            found = _profile_of(value)
            _refuse_misfits(found)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, binascii.Error) as error:
            raise SubjectError(f"this is no profile of a snapshot: {error}", where=where, next_step=NEXT) from error
        return found


def profile_of(found: Scan, subject: Subject, columns: Columns, *, seed: int) -> SnapshotProfile:
    """What to keep of a scan in which a `Drift` measured.

    Args:
        found: The scan.
        subject: The snapshot.
        columns: Of it.
        seed: Of the scan.
    """
    profile = found.profile
    (measured,) = (scores.compared.measured for _, scores in found.scores if scores.compared is not None)
    if measured is None:
        raise ValueError("nobody measured this snapshot")
    return SnapshotProfile(
        name=subject.name,
        digest=subject.digest,
        seed=seed,
        rows=profile.rows,
        distinct=profile.distinct,
        classes=dict(zip(profile.classes, profile.class_rows, strict=True)),
        image_shape=columns.image_shape,
        texts=columns.texts,
        strengths={name: scores.strength for name, scores in found.accusing},
        pairs={name: scores.pairs for name, scores in found.scores if scores.pairs},
        ruler=measured[0],
        tally=measured[1],
    )


def _profile_of(value: Mapping[str, Any]) -> SnapshotProfile:
    tally, ruler = value["tally"], value["ruler"]
    shape = value["image_shape"]
    return SnapshotProfile(
        name=str(value["subject"]["name"]),
        digest=str(value["subject"]["digest"]["sha256"]),
        seed=_whole(value["seed"]),
        rows=_whole(value["rows"]),
        distinct=_whole(value["distinct"]),
        classes=_counts(value["classes"]),
        image_shape=None if shape is None else tuple(_whole(side) for side in shape),
        texts=tuple(str(name) for name in value["texts"]),
        strengths={str(name): float(strength) for name, strength in value["strengths"].items()},
        pairs={str(name): tuple(_pair(one) for one in pairs) for name, pairs in value["pairs"].items()},
        ruler=Ruler(**{one.name: _unpacked(ruler[one.name], "<f4") for one in fields(Ruler)}),
        tally=Tally(
            rows=_whole(tally["rows"]),
            counts=_unpacked(tally["counts"], "<i8"),
            moments=_unpacked(tally["moments"], "<f8"),
            lengths={str(name): _unpacked(counts, "<i8") for name, counts in tally["lengths"].items()},
            sources=_counts(tally["sources"]),
            categories={str(name): _counts(counts) for name, counts in tally["categories"].items()},
            names=tuple(str(name) for name in tally["names"]),
        ),
    )


def _refuse_type(kind: Any) -> None:
    if kind != TYPE:
        raise ValueError(f"its type is not {TYPE}")


def _refuse_misfits(found: SnapshotProfile) -> None:
    import numpy as np

    ruler, tally = found.ruler, found.tally
    width, places = ruler.edges.shape
    axes = ruler.axes.shape[1]
    shapes = {
        "edges": width <= MAX_WIDTH and bool((np.diff(ruler.edges, axis=1) >= 0).all()),
        "axes": ruler.axes.shape == (width, axes),
        "counts": tally.counts.shape == (width, places + 1) and bool((tally.counts >= 0).all()),
        "moments": tally.moments.shape == (GROUPS, 1 + axes + axes * axes),
        "lengths": all(counts.shape == (len(LENGTHS) + 1,) for counts in tally.lengths.values()),
        "numbers": bool(np.isfinite(tally.moments).all()) and all(np.isfinite(part).all() for part in _parts(ruler)),
        "single": all(part.shape == (width,) for part in (ruler.centre, ruler.low, ruler.high, ruler.scale)),
    }
    wrong = [name for name, right in shapes.items() if not right]
    if wrong:
        raise ValueError(f"its {wrong[0]} do not fit the rest")


def _parts(ruler: Ruler) -> tuple[NDArray[np.float32], ...]:
    return tuple(getattr(ruler, one.name) for one in fields(ruler))


def _packed(array: NDArray[Any], kind: str) -> dict[str, Json]:
    import numpy as np

    data = np.ascontiguousarray(array, dtype=kind).tobytes()
    return {"dtype": kind, "shape": list(array.shape), "base64": base64.b64encode(data).decode()}


def _unpacked(value: Mapping[str, Any], kind: str) -> NDArray[Any]:
    import numpy as np

    if value["dtype"] != kind:
        raise ValueError(f"numbers of type {kind} are needed, not {value['dtype']!r}")
    data = base64.b64decode(value["base64"], validate=True)
    return np.frombuffer(data, dtype=kind).reshape([_whole(side) for side in value["shape"]]).astype(kind[1:])


def _counts(value: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): _whole(count) for name, count in value.items()}


def _pair(value: Any) -> PairCount:
    label, resembles, resembling, rows = value
    return PairCount(label=str(label), resembles=str(resembles), resembling=_whole(resembling), rows=_whole(rows))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"a whole number from 0 is needed, not {value!r}")
    return value
