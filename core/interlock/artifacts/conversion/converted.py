"""What a conversion came to, and its proof as an in-toto statement."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from interlock.gate.values import Json, Subject, Tool, Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:interlock:conversion:v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenTensor:
    """A tensor of the result, found equal to that of the source.

    Args:
        name: As it stands in the result, unverified text.
        dtype: As safetensors names it.
        shape: Elements along each axis.
        sha256: Of its elements' bytes, in order, little-endian.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The outcome. Only ALLOW has written a file, and only with ALLOW the fields from `result` on say something.

    Args:
        verdict: ALLOW: converted and proven. DENY: refused, or not equal. UNDECIDED: nobody can tell.
        source: The held source.
        reasons: Why it is not ALLOW, the sentence that sums up first.
        result: What was written.
        key: Of the outermost dict, whose value was converted; None where all of it was.
        keep_duplicates: Whether a tensor stands under each of its names.
        tensors: In the order of the file.
        aliases: Names that share the tensor of another name, to that name.
        left_out: Values that are no tensors, and what stands beside `key`: where, and what it is; the first of them.
        left_out_count: How many there are.
        proven_by: Who read the source for the proof: ``torch``, ``numpy``, or ``storages``.
        tools: The software of the scan and of the proof.
        profile: The scanner's.
        sandbox: The level of the sandbox.
    """

    verdict: Verdict
    source: Subject
    reasons: tuple[str, ...] = ()
    result: Subject | None = None
    key: str | None = None
    keep_duplicates: bool = False
    tensors: tuple[ProvenTensor, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[tuple[str, str], ...] = ()
    left_out_count: int = 0
    proven_by: str = ""
    tools: tuple[Tool, ...] = ()
    profile: str = ""
    sandbox: str = ""

    def by_dtype(self) -> Iterator[tuple[str, int, int]]:
        """Each dtype, how many tensors it has, and how many elements they have."""
        for dtype in dict.fromkeys(one.dtype for one in self.tensors):
            shapes = [one.shape for one in self.tensors if one.dtype == dtype]
            yield dtype, len(shapes), sum(math.prod(shape) for shape in shapes)

    def statement(self) -> dict[str, Json]:
        """The proof, unsigned: an in-toto statement about the result."""
        subjects: list[Json] = [_resource(self.result)] if self.result is not None else []
        tensors: list[Json] = [
            {"name": one.name, "dtype": one.dtype, "shape": list(one.shape), "sha256": one.sha256}
            for one in self.tensors
        ]
        left_out: list[Json] = [{"path": path, "kind": kind} for path, kind in self.left_out]
        return {
            "_type": STATEMENT,
            "subject": subjects,
            "predicateType": PREDICATE,
            "predicate": {
                "source": _resource(self.source),
                "key": self.key,
                "keep_duplicates": self.keep_duplicates,
                "profile": self.profile,
                "proven_by": self.proven_by,
                "sandbox": self.sandbox,
                "tools": {tool.name: tool.version for tool in self.tools},
                "tensors": tensors,
                "aliases": dict(self.aliases),
                "left_out": left_out,
                "left_out_count": self.left_out_count,
            },
        }


def own_version(package: str) -> Tool:
    """A package that took part, with its version."""
    return Tool(name=package, version=metadata.version(package))


def _resource(subject: Subject) -> dict[str, Json]:
    # Without the URI, which says where the file was and not what it is.
    return {"name": subject.name, "digest": {"sha256": subject.digest}}
