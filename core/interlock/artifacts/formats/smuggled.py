"""Recognises code in a value that should be plain text: a pickle, in base64 or not, or a Python expression that acts.

Loaders exist that unpickle or ``eval`` what a model's metadata says (class names of a detector, shapes of its input).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from interlock.artifacts.limits import Budget, LimitPassedError, Limits
from interlock.artifacts.pickles.file import probe_pickle
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import Record

_MOST_BYTES: Final = 1 << 20
_BASE64: Final = re.compile(rb"\s*[A-Za-z0-9+/_-][A-Za-z0-9+/_\s-]{14,}={0,2}\s*\Z")
_ACTS: Final = re.compile(
    rb"__import__|__builtins__|__globals__|__subclasses__|__reduce__|\b(?:eval|exec|compile|open)\s*\("
    rb"|\bimport\s+\w|\bos\s*\.\s*(?:system|popen|exec)|\bsubprocess\b|\bmarshal\b|\Aimport\b|\A#!"
)


def hidden_code(value: bytes, *, source: bool) -> str:
    """What code a value hides, for a finding's message; empty if it seems to hide none.

    Args:
        value: Unverified bytes.
        source: Look for Python source as well.

    Raises:
        LimitPassedError: It is too long to look at, or reads as an endless pickle.
    """
    if len(value) > _MOST_BYTES:
        raise LimitPassedError(f"a metadata value of {len(value):,} bytes, more than {_MOST_BYTES:,}")
    if _unpickles(value) or any(_unpickles(decoded) for decoded in _decoded(value)):
        return "is a pickle that imports and calls something"
    if source and _ACTS.search(value):
        return "is or holds a Python expression that acts"
    return ""


def _decoded(value: bytes) -> list[bytes]:
    if not _BASE64.match(value):
        return []
    plain = b"".join(value.split()).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return [base64.b64decode(plain + b"=" * (-len(plain) % 4))]
    except binascii.Error:
        return []


def _unpickles(value: bytes) -> bool:
    scratch = Record(Budget(Limits(opcodes=4 * _MOST_BYTES)))
    probe = probe_pickle(value, path="", profile=profile_named("numpy"), record=scratch)
    if probe.gap:
        raise LimitPassedError(probe.gap)
    return probe.acts
