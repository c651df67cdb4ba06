"""The last accepted version of a model, whose bytes count only under a receipt of ALLOW.

Whoever asks for the scan names it, so it is untrusted. Its bytes are held and digested like a subject's, the digest
stands in the report's configuration, which the receipt binds, and a receipt of this gate has to allow exactly them. To
name an older version, or another model, hides nothing that a scan without it would find.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from interlock.gate.documents import timestamp
from interlock.gate.errors import EvidenceError, SubjectError, UsageError
from interlock.gate.protocols import OpenSubject, References
from interlock.gate.values import Json

GATE = "artifact-scan"


@dataclass(slots=True, kw_only=True)
class Accepted:
    """What was named, and what it turned out to be.

    Args:
        uri: Path or URL of the model, untrusted.
    """

    uri: str
    _told: dict[str, Json] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.uri, str) or not self.uri:
            raise UsageError(f"accepted is a path or a URL, not {self.uri!r}", where="accepted")

    def configuration(self) -> dict[str, Json]:
        """What was compared with, by digest and receipt, as far as it is known by now."""
        return {"uri": self.uri, **self._told}

    @contextmanager
    def held(self, references: References | None, *, beside: str) -> Iterator[OpenSubject]:
        """The model, held still.

        Args:
            references: What holds bytes and knows receipts.
            beside: sha256 of the model that it is compared with, in hex.

        Raises:
            SubjectError: It cannot be read, is that model itself, or no receipt allows it.
            UsageError: Nobody here knows any receipts.
            UnavailableError: Storage or ledger did not answer; try again.
        """
        self._told.clear()
        if references is None:
            raise UsageError(
                "without a runner nobody holds other bytes still, or knows which were accepted",
                where="accepted",
                next_step="scan with `interlock gate artifact-scan` or interlock.runner.LocalRunner",
            )
        with references.open(self.uri) as opened:
            self._told["digest"] = {"sha256": opened.subject.digest}
            if opened.subject.digest == beside:
                raise SubjectError(
                    "it is the model itself", where=self.uri, next_step="name the version that was accepted before"
                )
            try:
                newest = references.allowed(gate=GATE, digest=opened.subject.digest)[-1]
            except EvidenceError as error:
                raise SubjectError(
                    f"nothing shows that this model was accepted: {error.what}",
                    where=f"{self.uri} ({error.where})" if error.where else self.uri,
                    next_step=error.next_step,
                ) from error
            self._told["receipt"] = newest.receipt_id
            self._told["issued"] = timestamp(newest.issued)
            yield opened
