"""Names what is opened after another place: where an output is going to lie, or where a copy came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from interlock.gate import Opener, OpenSubject


class Renamed:
    """Opens with another opener, and lets the subject carry the name and URI of another place.

    The digest is that of the bytes; the name is for people, and proves nothing.

    Args:
        opener: What opens the subject where it lies now.
        uri: The other place; a path is named as the opener would name it there.
    """

    def __init__(self, opener: Opener, uri: str) -> None:
        from interlock.evidence.sources import local_path

        self._opener = opener
        path = local_path(uri)
        self._uri = uri if path is None else path.as_uri()

    @contextmanager
    def open(self, uri: str) -> Iterator[OpenSubject]:
        """Open `uri`; the subject that comes out carries the other name."""
        with self._opener.open(uri) as opened:
            name = self._uri.rstrip("/").rsplit("/", 1)[-1]
            yield replace(opened, subject=replace(opened.subject, uri=self._uri, name=name))


def named(opener: Opener, uri: str) -> Opener:
    """The opener itself where no other place is named."""
    return Renamed(opener, uri) if uri else opener
