"""What the detectors of text have in common: how they are set up, when they cannot look, and what they left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interlock.poisoning.survey import Profile
from interlock.poisoning.texts.reading import MAX_DOCUMENT_WORDS, MAX_WORDS, NO_CUT, Documents, Reading

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDetector:
    """One that looks at running text.

    Args:
        profile: Of the whole dataset.
        texts: Columns of running text.
        seed: Of the hashes.
        device: A torch device.
    """

    profile: Profile = field(repr=False)
    texts: tuple[str, ...] = ()
    seed: int = 0
    device: str = "cpu"

    def unfit(self) -> str:
        """Why it cannot look."""
        return self.profile.unfit_with(MIN_ROWS) if self.texts else "no text column was named"


def remarks(reading: Reading, looked_at: int) -> list[str]:
    """What the statistics left out."""
    notes = []
    if reading.cut < NO_CUT:
        notes.append(
            f"more than {MAX_WORDS} words: {looked_at} of {reading.seen} rows, chosen by content hash, were searched "
            "for phrases"
        )
    if reading.shortened:
        notes.append(f"only the first {MAX_DOCUMENT_WORDS} words of {reading.shortened} longer texts were read")
    return notes


def with_copies(documents: Documents, places: NDArray[np.int64], whole: Documents) -> tuple[int, ...]:
    """Rows of some documents, and of those that equal them in text and label."""
    import numpy as np

    first = np.flatnonzero(whole.first)
    number = np.cumsum(whole.first) - 1
    wanted = np.isin(whole.rows[first], documents.rows[places])
    return tuple(sorted(whole.rows[wanted[number]].tolist()))
