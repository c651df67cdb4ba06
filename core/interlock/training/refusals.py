"""What training code tried and was refused: the values that the report carries, and the bounded count of them.

Nothing is decided here. Every text is the code's own word (a path, an address), so it is untrusted, cut to a length
and cleaned of control characters; and there are only so many different ones, because the code decides how many it
tries.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import Enum

KEPT = 64
"""Different refusals that are kept by name for each kind; further ones are counted together."""

_LENGTH = 200
_OTHERS = "(others)"


class Kind(Enum):
    """What a refused attempt was at, by the end of its measure's name."""

    NETWORK = "network"
    FILE = "files"
    PROCESS = "processes"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One thing that the code tried and was refused.

    Args:
        kind: What it was at.
        what: The system call, and where it can be read the path or address; unverified text.
        count: How often. A call that a signal interrupted counts again when it is repeated.
    """

    kind: Kind
    what: str
    count: int


class Tally:
    """Counts refusals as they come, from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Kind, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, kind: Kind, what: str) -> None:
        """Count one; `what` is unverified text of any length."""
        text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in what[:_LENGTH])
        with self._lock:
            known = sum(1 for counted, _ in self._counts if counted is kind)
            name = (kind, text)
            self._counts[name if name in self._counts or known < KEPT else (kind, _OTHERS)] += 1

    def refusals(self) -> tuple[Refusal, ...]:
        """What was counted so far, the most frequent first."""
        with self._lock:
            counted = sorted(self._counts.items(), key=lambda item: (-item[1], item[0][0].value, item[0][1]))
        return tuple(Refusal(kind=kind, what=what, count=count) for (kind, what), count in counted)
