"""What one scan may spend, and the error that says what it ran out of.

The scanner is attacked by what it scans, so every loop over hostile bytes spends from a `Budget`. Running out is not
a finding about the model: it means that nobody can tell, so the part goes into ``coverage.failed`` (UNDECIDED).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from interlock.gate.errors import UsageError
from interlock.gate.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one scan of one subject may spend. Wider limits never turn a refusal into an ALLOW.

    Args:
        seconds: Wall time for the whole subject, beside what its weights take.
        weight_rate: Bytes of weights for which a look at them has one second more.
        total_bytes: Bytes read or expanded over the whole subject.
        opcodes: Pickle opcodes over the whole subject.
        fields: Protobuf fields over the whole subject.
        values: Symbolic values that one pickle may hold at a time (its stack and its memo); array elements of a GGUF.
        depth: Open pickle marks, that is nested containers under construction.
        text_bytes: Size of one JSON or text file, and of one text in a pickle.
        member_bytes: Size of one zip member that has to be held in memory; tensors' bytes do not.
        header_bytes: Size of a safetensors header that is read, of which the format's own limit of 100,000,000 is an
            error; and of the metadata of a GGUF.
        members: Entries of one zip file.
        expansion: How many times its stored size a compressed member or stream of more than 16 MiB may grow to.
        expanded_bytes: Size of one expanded stream or archive member that is held on the disk to be scanned.
        findings: Findings kept for one file; the rest is counted.
    """

    seconds: float = 600.0
    weight_rate: int = 32 << 20
    total_bytes: int = 1 << 42
    opcodes: int = 20_000_000
    fields: int = 20_000_000
    values: int = 4_000_000
    depth: int = 1_000
    text_bytes: int = 64 << 20
    member_bytes: int = 512 << 20
    header_bytes: int = 32 << 20
    members: int = 100_000
    expansion: int = 250
    expanded_bytes: int = 16 << 30
    findings: int = 100

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 < value < float("inf"):
                raise UsageError(f"the limit {name} is a positive number, not {value!r}", where=name)

    def document(self) -> dict[str, Json]:
        """The limits as they stand in a gate's configuration."""
        return asdict(self)


class LimitPassedError(Exception):
    """A scan ran out of what it may spend; `str()` says of what. Turned into a coverage gap, never shown raw."""


class Budget:
    """What is left of `Limits` while a subject is scanned.

    Args:
        limits: What may be spent.
        clock: Monotonic seconds; replaced in tests.
    """

    def __init__(self, limits: Limits, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = limits
        self.opcodes = 0
        self._fields = 0
        self._bytes = 0
        self._clock = clock
        self._seconds = limits.seconds
        self._deadline = clock() + limits.seconds

    def check_time(self) -> None:
        """Raise when the time is over.

        Raises:
            LimitPassedError: It is.
        """
        if self._clock() > self._deadline:
            raise LimitPassedError(f"the time limit of {self._seconds:g} seconds is over")

    def allow_weights(self, count: int) -> None:
        """Allow more time for `count` bytes of weights: each is read a bounded number of times, in no hidden loop."""
        more = count / self.limits.weight_rate
        self._seconds += more
        self._deadline += more

    def spend_bytes(self, count: int) -> None:
        """Account for `count` bytes read or expanded.

        Raises:
            LimitPassedError: That is more than the subject may have, or the time is over.
        """
        self._bytes += count
        self._check(self._bytes, self.limits.total_bytes, "bytes to read")

    def spend_opcodes(self, count: int) -> None:
        """Account for `count` pickle opcodes.

        Raises:
            LimitPassedError: That is more than the subject may have, or the time is over.
        """
        self.opcodes += count
        self._check(self.opcodes, self.limits.opcodes, "pickle opcodes")

    def spend_fields(self, count: int) -> None:
        """Account for `count` protobuf fields.

        Raises:
            LimitPassedError: That is more than the subject may have, or the time is over.
        """
        self._fields += count
        self._check(self._fields, self.limits.fields, "protobuf fields")

    def hold_text(self, count: int) -> None:
        """Ask whether a text of `count` bytes may be held in memory.

        Raises:
            LimitPassedError: It may not.
        """
        if count > self.limits.text_bytes:
            raise LimitPassedError(f"a text of {count:,} bytes, more than {self.limits.text_bytes:,}")

    def hold_member(self, count: int) -> None:
        """Ask whether a zip member of `count` bytes may be held in memory.

        Raises:
            LimitPassedError: It may not.
        """
        if count > self.limits.member_bytes:
            raise LimitPassedError(f"a member of {count:,} bytes, more than {self.limits.member_bytes:,}")

    def _check(self, spent: int, most: int, what: str) -> None:
        if spent > most:
            raise LimitPassedError(f"more than {most:,} {what}")
        self.check_time()
