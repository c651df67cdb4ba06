"""Whether the model's training saw the sealed rows: the set itself, or the same rows in other files.

The first is known from receipts: the set is a material of the training, a file in one, or behind what the training
started from. The second is counted, over the columns that both have, where the training's data can still be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from interlock.gate import InterlockError, OpenSubject, References, Subject, UnavailableError
from interlock.probes.evaluation.sealed import SealedSet, table_of

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What the training may have seen.

    Args:
        seen: Whether receipts say that the set itself was trained on; None where no training receipt is known.
        overlap: How many sealed rows stand in the training data, too; None where that could not be told.
        reason: Why it could not; empty when it could.
    """

    seen: bool | None
    overlap: int | None
    reason: str


def exposure_of(model: Subject, evaluation: OpenSubject, sealed: SealedSet, references: References) -> Exposure:
    """Look at what the model was made from.

    Args:
        model: What is judged.
        evaluation: The held set.
        sealed: The same, read.
        references: Knows receipts and holds bytes.

    Raises:
        LedgerError: The ledger is damaged where these receipts lie.
        UnavailableError: Ledger or storage did not answer; try again.
    """
    materials = references.materials(model.digest)
    if not materials:
        return Exposure(seen=None, overlap=None, reason="no training receipt of this model is known")
    holders = references.holders(evaluation.subject.digest)
    seen = any(material.digest in holders for material in materials)
    counts, reasons = [], []
    for material in materials:
        try:
            counts.append(_overlap(material, sealed, references))
        except UnavailableError:
            raise
        except InterlockError as error:
            reasons.append(f"{material.name}: {error.what}")
    overlap = max(counts) if counts else None
    return Exposure(seen=seen, overlap=overlap, reason="" if counts else "; ".join(reasons)[:500])


def _overlap(material: Subject, sealed: SealedSet, references: References) -> int:
    """How many rows of the set have a twin among those of a material.

    Raises:
        InterlockError: The material is not there, is no table, or lacks the set's columns.
    """
    from interlock.gate import SubjectError

    with references.open(material.uri) as opened:
        if opened.subject.digest != material.digest:
            raise SubjectError("other bytes lie there now", where=material.uri)
        frame, _ = table_of(opened)
    if missing := [name for name in sealed.shown if name not in frame.columns]:
        raise SubjectError(f"has no column {missing[0]!r}", where=material.uri)
    return int(_hashes(sealed.features).isin(set(_hashes(frame[list(sealed.shown)]))).sum())


def _hashes(frame: pandas.DataFrame) -> pandas.Series:
    """A hash of each row's values as text, so that 1 and 1.0 of two formats are one."""
    import pandas as pd

    from interlock.poisoning.batches import label_text

    texts = pd.DataFrame({name: [label_text(value) or "" for value in frame[name].tolist()] for name in frame.columns})
    return pd.util.hash_pandas_object(texts, index=False)
