"""The text that a training prints: split into lines for people, its end kept, nothing of it trusted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

_LINE_BREAK = re.compile(rb"[\r\n]+")
_LONGEST_LINE = 4096
# C0 and C1 control characters but the tab: what moves a terminal's cursor or forges another log line.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class BoundedLog:
    """Takes bytes of any amount, hands on whole lines, keeps the last of them.

    Args:
        keep: How many bytes of the end stay in `tail`.
        on_line: Called with each line as it comes; escape sequences are made harmless.
    """

    def __init__(self, *, keep: int, on_line: Callable[[str], None] | None = None) -> None:
        self._keep = keep
        self._on_line = on_line
        self._rest = b""
        self._kept: deque[str] = deque()
        self._kept_bytes = 0
        self.seen = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes; unverified content."""
        self.seen += len(data)
        *lines, self._rest = _LINE_BREAK.split(self._rest + data)
        for line in lines:
            self._take_in_pieces(line)
        while len(self._rest) > _LONGEST_LINE:
            self._take(self._rest[:_LONGEST_LINE])
            self._rest = self._rest[_LONGEST_LINE:]

    def close(self) -> None:
        """Hand on what had no line break."""
        self._take_in_pieces(self._rest)
        self._rest = b""

    @property
    def tail(self) -> str:
        """The last lines, at most `keep` bytes of them."""
        return "\n".join(self._kept)

    def _take_in_pieces(self, line: bytes) -> None:
        for start in range(0, len(line), _LONGEST_LINE):
            self._take(line[start : start + _LONGEST_LINE])

    def _take(self, raw: bytes) -> None:
        if not raw.strip():
            return
        line = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", raw.decode(errors="replace"))
        self._kept.append(line)
        self._kept_bytes += len(line) + 1
        while self._kept_bytes > self._keep and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft()) + 1
        if self._on_line is not None:
            self._on_line(line)
