"""Knows the formats that begin with a mark of their own, and loads a format's scanner once such a file is there.

What a file is has to be asked of every file, and costs a look at its first bytes; the scanners are many, and a scan of
one model needs few of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final, Protocol, TypeAlias, cast

from interlock.artifacts.record import Record
from interlock.artifacts.source import Buffer

SAFETENSORS: Final = "safetensors"
GGUF: Final = "gguf"
GGUF_MAGIC: Final = b"GGUF"
HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
NUMPY_MAGIC: Final = b"\x93NUMPY"
_CATBOOST_MAGIC: Final = b"CBM1"


class Scan(Protocol):
    """Scans a whole file of one format."""

    def __call__(self, data: Buffer, *, path: str, record: Record) -> None:
        """Its findings go to the record."""


_Looks: TypeAlias = Callable[[bytes], bool]


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file starts with a header's length and an opening brace."""
    # Any text has a length of 2**59 and more there, so the bound only has to tell the two apart.
    return len(head) >= 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40


def looks_like_gguf(head: bytes) -> bool:
    """Whether a file starts with the magic."""
    return head.startswith(GGUF_MAGIC)


def _looks_like_ubjson(head: bytes) -> bool:
    """Whether a file starts with an object whose first key has a length of eight bytes, as XGBoost's do."""
    # JSON has a quote, a space or a closing brace there, and no text has zero bytes.
    return head.startswith(b"{L\0\0\0\0")


_FORMATS: Final[Mapping[str, tuple[_Looks, str, str]]] = {
    SAFETENSORS: (looks_like_safetensors, "safetensors_file", "scan_safetensors"),
    GGUF: (looks_like_gguf, "gguf_file", "scan_gguf"),
    "hdf5": (lambda head: head.startswith(HDF5_MAGIC), "hdf5_file", "scan_hdf5"),
    "xgboost": (_looks_like_ubjson, "trees", "scan_xgboost_ubjson"),
    "catboost": (lambda head: head.startswith(_CATBOOST_MAGIC), "catboost_file", "scan_catboost"),
}
"""Name to its recogniser, and to module and name of its scanner, which needs no profile."""


def native_format(head: bytes) -> str:
    """The format that a file with these first 16 bytes has, or an empty text."""
    return next((name for name, (looks, _, _) in _FORMATS.items() if looks(head)), "")


def scanner_of(name: str) -> Scan:
    """The scanner of a `native_format`."""
    _, module, scan = _FORMATS[name]
    return cast("Scan", getattr(import_module(f"interlock.artifacts.formats.{module}"), scan))


def find_hdf5(data: Buffer) -> int:
    """Where the HDF5 library would find the file to begin: at 0, 512, 1024 and so on (II.A), or -1."""
    at = 0
    while at + len(HDF5_MAGIC) <= len(data):
        if data[at : at + len(HDF5_MAGIC)] == HDF5_MAGIC:
            return at
        at = at * 2 or 512
    return -1
