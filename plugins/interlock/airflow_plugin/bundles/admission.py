"""Which files of a bundle Airflow may see. Pure: what the files are, and what the ledger says of them, is handed in.

Code needs a lint receipt over exactly its bytes. Code is what Airflow parses or Python imports by its name, and every
file that Python would open as a zip archive, whatever it is called, because Airflow parses those too. Everything else
(SQL, YAML, pictures) is data: it goes in when something else vouches for it (the signature of a commit, a receipt, or
the administrator by name) and is left out in silence otherwise.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from interlock.evidence.attestation import Attestation

CODE_SUFFIXES = (
    *(".py", ".pyc", ".pyo", ".pyw"),
    *(".so", ".pyd", ".dll", ".dylib"),
    *(".zip", ".egg", ".whl", ".pyz", ".pex", ".pth"),
)
"""Compared without regard to case: Airflow takes ``.PY`` for Python."""

WHOLE_BUNDLE = ""
"""The path of what is refused when every file of a bundle is."""

MAX_FILE_BYTES = 256 << 20
MAX_FILES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A file that a source offers: its path below the bundle's root, and its bytes as they will be imported."""

    path: str
    content: bytes

    @property
    def digest(self) -> str:
        """sha256 of the bytes."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file that Airflow does not get to see.

    Args:
        path: Below the bundle's root, untrusted text; or `WHOLE_BUNDLE`.
        reason: One sentence without a full stop.
        next_step: What to do about it.
    """

    path: str
    reason: str
    next_step: str = ""

    def __str__(self) -> str:
        if self.path == WHOLE_BUNDLE:
            return self.reason
        step = f". Next: {self.next_step}" if self.next_step else ""
        return f"{self.path} is refused: {self.reason}{step}"


class Ruling(Enum):
    """What becomes of an offered file that is not refused."""

    ADMITTED = "admitted"
    LEFT_OUT = "left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What decides.

    Args:
        attestation: What the ledger says of a sha256, for the lint gate.
        vouched: Whether a file that is not code goes in without a receipt; gets its path.
    """

    attestation: Callable[[str], Attestation]
    vouched: Callable[[str], bool]

    def rule(self, offered: Offered) -> Ruling | Refused:
        """Decide one file.

        Raises:
            UnavailableError: The ledger did not answer.
        """
        code = is_code(offered.path, offered.content)
        if not code and self.vouched(offered.path):
            return Ruling.ADMITTED
        found = self.attestation(offered.digest)
        if found.receipt is not None:
            return Ruling.ADMITTED
        if code:
            return Refused(path=offered.path, reason=found.reason, next_step=found.next_step)
        return Ruling.LEFT_OUT


def is_code(path: str, content: bytes) -> bool:
    """Whether Airflow would parse the file or Python could import it."""
    return path.lower().endswith(CODE_SUFFIXES) or zipfile.is_zipfile(io.BytesIO(content))


def admit(offers: Iterable[Offered | Refused], rules: Rules, write: Callable[[Offered], None]) -> Iterator[Refused]:
    """Write what may be seen, one file in memory at a time, and yield what is refused.

    Args:
        offers: The bundle, file by file; a source refuses what it cannot read as a plain file.
        rules: What decides.
        write: Takes each admitted file.

    Raises:
        UnavailableError: The ledger did not answer.
    """
    for offer in offers:
        ruling = offer if isinstance(offer, Refused) else rules.rule(offer)
        if isinstance(ruling, Refused):
            yield ruling
        elif ruling is Ruling.ADMITTED and isinstance(offer, Offered):
            write(offer)
