"""What went before: the model that this evaluation accepted last, and how often the set was used.

The ledger says which model that is, not whoever asks: a pipeline that could name a weak model to compare with would
decide how strictly it is judged. It may only say where those bytes lie now.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from interlock.gate import Evaluated, InterlockError, Json, OpenSubject, References, SubjectError, UnavailableError
from interlock.gate.documents import timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Earlier evaluations of one name.

    Args:
        accepted: The last model that was accepted, and not refused later; None when there is none.
        uses: How often these rows were evaluated on already, whatever came out.
    """

    accepted: Evaluated | None
    uses: int

    @classmethod
    def of(cls, earlier: tuple[Evaluated, ...], *, model: str, evaluation: str) -> History:
        """Read the receipts.

        Args:
            earlier: Of one name, oldest first.
            model: sha256 of the model that is judged: it is not compared with itself.
            evaluation: sha256 of the set.
        """
        newest: dict[str, Evaluated] = {}
        for one in earlier:
            if one.subject.digest != model:
                newest.pop(one.subject.digest, None)
                newest[one.subject.digest] = one
        accepted = [one for one in newest.values() if one.allowed]
        uses = sum(1 for one in earlier if one.materials[0].digest == evaluation)
        return cls(accepted=accepted[-1] if accepted else None, uses=uses)

    def recorded(self, evaluation: str, metric: str) -> float | None:
        """What the accepted model came to when it was accepted; None for another set.

        Args:
            evaluation: sha256 of the set now.
            metric: Name of the metric over all rows.
        """
        if self.accepted is None or self.accepted.materials[0].digest != evaluation:
            return None
        facts: Any = self.accepted.facts.get("evaluation")
        groups = facts.get("groups") if isinstance(facts, dict) else None
        for group in groups if isinstance(groups, list) else ():
            if isinstance(group, dict) and (group.get("kind"), group.get("metric")) == ("overall", metric):
                value = group.get("value")
                return float(value) if isinstance(value, int | float) else None
        return None

    def document(self) -> dict[str, Json] | None:
        """The accepted model, as policy reads it; None when there is none."""
        if self.accepted is None:
            return None
        return {
            "name": self.accepted.subject.name,
            "digest": {"sha256": self.accepted.subject.digest},
            "receipt_id": self.accepted.receipt_id,
            "issued": timestamp(self.accepted.issued),
        }


@contextmanager
def held_accepted(history: History, place: str | None, references: References) -> Iterator[OpenSubject]:
    """The accepted model, held still.

    Args:
        history: Names it.
        place: Where it lies now, untrusted; where its receipt says that it lay when None.
        references: Holds bytes.

    Raises:
        SubjectError: It is not there any more, or other bytes are.
        UnavailableError: The storage did not answer; try again.
    """
    wanted = history.accepted
    if wanted is None:
        raise SubjectError("no model was accepted yet", where="accepted")
    uri = place or wanted.subject.uri
    with references.open(uri) as opened:
        if opened.subject.digest != wanted.subject.digest:
            raise SubjectError(
                f"these are not the bytes of the model that was accepted last, sha256:{wanted.subject.digest}",
                where=uri,
                next_step=f"say where they lie with `accepted`; its receipt is {wanted.receipt_id}",
            )
        yield opened


def why_not(error: InterlockError) -> str:
    """Why the accepted model could not be compared with, for the report.

    Raises:
        UnavailableError: It might have been, at another time.
    """
    if isinstance(error, UnavailableError):
        raise error
    return str(error)
