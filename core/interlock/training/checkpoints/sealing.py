"""Encryption of one file at rest, in pieces that can be neither cut off, nor moved, nor taken from another file.

The STREAM construction (Hoang, Reyhanitabar, Rogaway and Vizar, 2015, "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", section 7) over ChaCha20-Poly1305 (RFC 8439), laid out as age's payload is: a nonce is
an 11-byte counter and one byte that is 1 for the last piece. Each file has a key of its own, out of the lineage's key
and a random salt by HKDF-SHA256 (RFC 5869), so that a counter never meets the same key twice. The header, the file's
name and the checkpoint's number are bound to every piece as associated data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from interlock.gate.errors import SubjectError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SCHEME = "chacha20-poly1305-stream"
SUFFIX = ".sealed"

_MAGIC = b"interlock-sealed-1\n"
_SALT = 32
_HEADER = len(_MAGIC) + _SALT
_PIECE = 1 << 20
_TAG = 16


def sealed(pieces: Iterable[memoryview], *, key: bytes, name: str) -> Iterator[bytes]:
    """The sealed form of `pieces`.

    Args:
        pieces: The plain bytes.
        key: 32 bytes; see `keys.LineageKey`.
        name: Of the file, with the checkpoint that it belongs to; not secret.
    """
    header = _MAGIC + os.urandom(_SALT)
    yield header
    cipher, bound = _cipher(key, header), header + name.encode()
    counter, held = 0, bytearray()
    for piece in pieces:
        at = 0
        while at < len(piece):
            if len(held) == _PIECE:
                yield cipher.encrypt(_nonce(counter, last=False), bytes(held), bound)
                counter += 1
                held.clear()
            part = piece[at : at + _PIECE - len(held)]
            held += part
            at += len(part)
    yield cipher.encrypt(_nonce(counter, last=True), bytes(held), bound)


def opened(data: memoryview, *, key: bytes, name: str) -> bytearray:
    """The plain bytes of a sealed file.

    Args:
        data: The whole file; untrusted.
        key: As for `sealed`.
        name: As for `sealed`.

    Raises:
        SubjectError: Another key, another name, or bytes that are not those that were sealed.
    """
    from cryptography.exceptions import InvalidTag

    header = bytes(data[:_HEADER])
    if len(data) < _HEADER + _TAG or not header.startswith(_MAGIC):
        raise SubjectError("this is no sealed file of a checkpoint", where=name)
    cipher, bound = _cipher(key, header), header + name.encode()
    starts = range(_HEADER, len(data), _PIECE + _TAG)
    plain = bytearray(max(0, len(data) - _HEADER - _TAG * len(starts)))
    for counter, start in enumerate(starts):
        nonce = _nonce(counter, last=counter == len(starts) - 1)
        try:
            piece = cipher.decrypt(nonce, bytes(data[start : start + _PIECE + _TAG]), bound)
        except (InvalidTag, ValueError) as error:
            raise SubjectError(
                f"piece {counter} of a sealed file does not open",
                where=name,
                next_step="use the key that it was sealed with; if that is the one, the file was changed",
            ) from error
        plain[counter * _PIECE : counter * _PIECE + len(piece)] = piece
    return plain


def _cipher(key: bytes, header: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    from interlock.training.checkpoints.keys import derived

    return ChaCha20Poly1305(derived(key, salt=header, purpose="sealed file"))


def _nonce(counter: int, *, last: bool) -> bytes:
    return counter.to_bytes(11, "big") + bytes([last])
