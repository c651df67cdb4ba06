"""The comparison on which a conversion hangs: the result's tensors, hashed here, against what other readers found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from interlock.artifacts.conversion.converted import ProvenTensor
from interlock.artifacts.conversion.readings import Digests
from interlock.artifacts.formats.safetensors_file import MalformedHeaderError, read_header
from interlock.artifacts.record import shown
from interlock.artifacts.source import open_bytes, stretches
from interlock.gate.values import Json, Verdict

NAMED = 5
"""Reasons that are given beside the first."""


class StopError(Exception):
    """The end: the verdict, and why."""

    def __init__(self, verdict: Verdict, *reasons: str) -> None:
        super().__init__(*reasons)
        self.verdict = verdict
        self.reasons = reasons


def read_result(result: Path) -> tuple[str, list[ProvenTensor], Json]:
    """Hash the result.

    Args:
        result: As the sandbox wrote it, untrusted.

    Returns:
        sha256 of the whole, what its tensors are, in the order of the file, and its metadata.

    Raises:
        StopError: It is no safetensors file.
    """
    whole, tensors = hashlib.sha256(), []
    try:
        with open_bytes(result) as data:
            start, entries = read_header(data)
            whole.update(data[:start])
            metadata = json.loads(data[8:start]).get("__metadata__", {})
            for name, entry in sorted(entries.items(), key=lambda pair: pair[1]["data_offsets"]):
                own = hashlib.sha256()
                begin, end = entry["data_offsets"]
                for piece in stretches(data, start + begin, start + end):
                    own.update(piece)
                    whole.update(piece)
                tensors.append(
                    ProvenTensor(name=name, dtype=entry["dtype"], shape=tuple(entry["shape"]), sha256=own.hexdigest())
                )
    except MalformedHeaderError as error:
        raise StopError(Verdict.UNDECIDED, f"the sandbox wrote no safetensors file: {error}") from error
    return whole.hexdigest(), tensors, metadata


def compare(expected: Mapping[str, ProvenTensor], read: Digests, what: str) -> None:
    """Refuse where another reading has other tensors.

    Args:
        expected: The tensors of the result, and its aliases.
        read: By name, the dtype, shape and sha256 that another reading found; untrusted.
        what: That it was a reading of.

    Raises:
        StopError: They differ; says in which tensors.
    """
    wrong = [f"{shown(name)!r} is only in one of the two" for name in sorted(expected.keys() ^ read.keys())]
    for name in sorted(expected.keys() & read.keys()):
        one, other = expected[name], read[name]
        if (one.dtype, list(one.shape)) != other[:2]:
            wrong.append(f"{shown(name)!r} is {one.dtype} {list(one.shape)}, not {other[0]} {other[1]}")
        elif one.sha256 != other[2]:
            wrong.append(f"{shown(name)!r} has other bytes")
    if wrong:
        raise StopError(Verdict.DENY, f"the result and {what} differ in {len(wrong)} tensors", *wrong[:NAMED])
