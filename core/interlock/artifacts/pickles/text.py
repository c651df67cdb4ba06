"""Arguments of the text opcodes of protocol 0, as strictly as CPython writes them.

CPython reads more spellings than any pickler writes (octal integers, underscores, odd escapes), and not all readers
agree on those; what no pickler writes is refused rather than guessed.
"""

from __future__ import annotations

import codecs
import re

from interlock.artifacts.pickles.values import DATA, INTEGER, LONGEST_TEXT, TEXT

_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(rb"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|inf|nan|infinity)\Z")
_INDEX = re.compile(rb"[0-9]{1,10}\Z")
_ESCAPED = re.compile(rb"(?:[^\\]|\\(?:[\\'\"abfnrtv]|[0-3]?[0-7]{1,2}|x[0-9a-fA-F]{2}))*+\Z", re.DOTALL)
_LONGEST_NUMBER = 4_300


class MalformedError(Exception):
    """The bytes are no pickle that CPython's pickler could have written; `str()` says why."""


def integer(line: bytes) -> object:
    """INT: a decimal number, or ``00`` and ``01`` for the booleans.

    Raises:
        MalformedError: Another spelling.
    """
    if line in (b"00", b"01"):
        return line == b"01"
    return _number(line)


def long_integer(line: bytes) -> object:
    """LONG: a decimal number with an ``L``.

    Raises:
        MalformedError: Another spelling.
    """
    return _number(line[:-1] if line.endswith(b"L") else line)


def floating(line: bytes) -> float:
    """FLOAT.

    Raises:
        MalformedError: Another spelling than `repr` gives.
    """
    if len(line) > _LONGEST_NUMBER or not _FLOAT.match(line):
        raise MalformedError("FLOAT without a number")
    return float(line)


def memo_index(line: bytes, *, strict: bool) -> int:
    """GET and PUT.

    Raises:
        MalformedError: No number, or with `strict` another spelling than picklers write.
    """
    if strict and not _INDEX.match(line):
        raise MalformedError("a memo index in an odd spelling")
    # CPython's C reader ends a number at a NUL, and older ones take any number of zeros.
    number = line if strict else line.partition(b"\0")[0].strip().lstrip(b"0") or b"0"
    try:
        return int(number)
    except ValueError:
        raise MalformedError("a memo index that is no number") from None


def quoted(line: bytes, *, strict: bool) -> object:
    """STRING: a quoted text with escapes, bytes of Python 2.

    Raises:
        MalformedError: Not quoted, or with `strict` an escape that no pickler writes.
    """
    line = line if strict else line.rstrip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise MalformedError("STRING that is not quoted")
    inner = line[1:-1]
    if b"\\" in inner:
        if not _ESCAPED.match(inner):
            if strict:
                raise MalformedError("STRING with an odd escape")
            return TEXT
        inner = codecs.escape_decode(inner)[0]
    return text_of_bytes(inner)


def text_of_bytes(raw: bytes) -> object:
    """STRING, BINSTRING, SHORT_BINSTRING: text if it is ASCII, else something whose type the loader chooses."""
    if not raw.isascii():
        return DATA
    return raw.decode("ascii") if len(raw) <= LONGEST_TEXT else TEXT


def raw_unicode(line: bytes) -> object:
    """UNICODE.

    Raises:
        MalformedError: An escape that cannot be decoded.
    """
    try:
        text = line.decode("raw-unicode-escape")
    except UnicodeDecodeError as error:
        raise MalformedError("UNICODE that cannot be decoded") from error
    return text if len(text) <= LONGEST_TEXT else TEXT


def ascii_name(line: bytes) -> str:
    """A module or a name of GLOBAL and INST.

    Raises:
        MalformedError: Not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError("a global whose name is not UTF-8") from error


def _number(line: bytes) -> object:
    if len(line) > _LONGEST_NUMBER or not _INTEGER.match(line):
        raise MalformedError("an integer in an odd spelling")
    return int(line) if len(line) <= 40 else INTEGER
