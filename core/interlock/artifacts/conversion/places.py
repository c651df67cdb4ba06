"""Where the result of a conversion and its proof go: looked at before the work, and written together or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from interlock.artifacts.conversion.converted import Converted
from interlock.artifacts.conversion.proof import StopError
from interlock.gate.durable import replacing
from interlock.gate.errors import UsageError
from interlock.gate.values import Verdict
from interlock.reporting.writing import target_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Files behind all links, found once, so that a link that is laid later changes nothing.

    Args:
        result: The safetensors file.
        proof: The statement; None where nobody asks for it.
    """

    result: Path
    proof: Path | None

    @classmethod
    def of(cls, result: Path, proof: Path | None) -> Places:
        """Look at two paths as a person gave them.

        Raises:
            UsageError: They are one file, or one of them cannot be written.
        """
        found = cls(result=target_of(result), proof=None if proof is None else target_of(proof))
        for place in found._all():
            if not (place.parent.is_dir() and os.access(place.parent, os.W_OK | os.X_OK)):
                raise UsageError(
                    "there is no folder that can be written",
                    where=str(place.parent),
                    next_step="make it, or name another",
                )
        if found.proof is not None:
            _keep_apart(found.result, found.proof)
        return found

    def spare(self, source: Path) -> None:
        """Refuse to write over the source, whose values that are no tensors would be lost.

        Raises:
            UsageError: One of the two is that file, whatever its name.
        """
        for place in self._all():
            _keep_apart(place, source)

    def put(self, held: Path, done: Converted, digest: str) -> None:
        """Copy the proven bytes, hash what was written, write the proof, and only then rename.

        Args:
            held: The result as the sandbox wrote it.
            done: With the proof.
            digest: sha256 of what was proven.

        Raises:
            StopError: The bytes are not those that were proven.
            UsageError: One of the two cannot be written. The result is as it was.
        """
        try:
            with replacing(self.result) as file:
                with held.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 20)
                file.seek(0)
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    raise StopError(Verdict.DENY, "the result changed after it was proven: nothing is written")
                if self.proof is not None:
                    with replacing(self.proof) as proof:
                        proof.write(json.dumps(done.statement(), indent=2, ensure_ascii=False).encode() + b"\n")
        except OSError as error:
            raise UsageError(
                f"the result or its proof cannot be written: {error.strerror}", where=", ".join(map(str, self._all()))
            ) from error

    def _all(self) -> tuple[Path, ...]:
        return (self.result,) if self.proof is None else (self.result, self.proof)


def _keep_apart(one: Path, other: Path) -> None:
    if one == other.resolve() or (one.exists() and other.exists() and one.samefile(other)):
        raise UsageError(
            "source, result and proof are not three files", where=str(one), next_step="give each a name of its own"
        )
