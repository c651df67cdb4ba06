"""Signed tokens and the pinned keys that may sign them. Says whose words a token holds, not whether they are good.

Stricter than JWT libraries are by themselves: one algorithm (ES384, RFC 7518 section 3.4), fixed here and never taken
from the token; a ``kid`` that names exactly one pinned key (RFC 7515 section 4.1.4); no other header parameter than
``alg``, ``kid`` and ``typ``, so no key that the token brings along; no JSON name twice (RFC 8725 section 3).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate import EvidenceError, Json, SignatureError, UsageError
from interlock.gate.documents import unambiguous_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from joserfc.jwk import ECKey

ALGORITHM = "ES384"
MAXIMUM_TOKEN_BYTES = 64 * 2**10
_MAXIMUM_KEYS_BYTES = 2**20
_HEADER = frozenset({"alg", "kid", "typ"})
_STEP = "fetch the key set of the attestation service once, look at it, and keep it as a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedKeys:
    """Public P-384 keys by their ``kid``.

    Args:
        keys: For `joserfc`.
        where: Their file, for messages.
    """

    keys: Mapping[str, ECKey]
    where: str

    def claims(self, token: str) -> tuple[Mapping[str, Json], str]:
        """What a token says, once one of the keys has spoken for it, and that key's ``kid``.

        Args:
            token: Compact JWS (RFC 7515 section 7.1); unverified.

        Raises:
            EvidenceError: It is no such token.
            SignatureError: Its algorithm is another one, its key is not pinned, or its signature does not hold.
        """
        from joserfc import jws
        from joserfc.errors import JoseError

        kid = self._key_of(token)
        try:
            verified = jws.deserialize_compact(token, self.keys[kid], algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError) as error:
            raise SignatureError("the token's signature does not hold", where=f"kid {kid!r}") from error
        said = _object(verified.payload, "payload")
        return said, kid

    def _key_of(self, token: str) -> str:
        """The ``kid`` that the header names, when the header is one that counts here."""
        if len(token) > MAXIMUM_TOKEN_BYTES:
            raise EvidenceError(f"the token is larger than {MAXIMUM_TOKEN_BYTES} bytes")
        parts = token.split(".")
        if len(parts) != 3:
            raise EvidenceError("a token has three parts with dots between")
        header = _object(_decoded(parts[0]), "header")
        if header.get("alg") != ALGORITHM:
            raise SignatureError(f"the token is signed by {header.get('alg')!r}, and only {ALGORITHM} counts")
        further = sorted(set(header) - _HEADER)
        if further:
            raise SignatureError(f"the token's header holds more than counts here: {', '.join(further)[:200]}")
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise SignatureError("the token does not name its key (kid)")
        if kid not in self.keys:
            raise SignatureError("the token's key is not pinned", where=f"kid {kid[:200]!r}; {self.where}")
        return kid


def read_keys(path: Path) -> PinnedKeys:
    """A JWK Set (RFC 7517) from a file, of which the P-384 keys for signatures are taken.

    A key given as a certificate only (``x5c``) is taken out of it; the certificate's own chain does not matter, because
    the file is what is trusted.

    Raises:
        UsageError: It cannot be read, is no key set, names a key twice, holds a private key, or no key that counts.
    """
    try:
        with path.open("rb") as stream:
            # What is cut off here is no JSON any more.
            raw = stream.read(_MAXIMUM_KEYS_BYTES)
        return PinnedKeys(keys=_keys_in(unambiguous_json(raw)), where=str(path))
    except OSError as error:
        raise UsageError(f"the key set cannot be read: {error.strerror}", where=str(path), next_step=_STEP) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"no key set that counts: {error}", where=str(path), next_step=_STEP) from error


def _keys_in(document: Json) -> dict[str, ECKey]:
    listed = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise TypeError("it has no array `keys`")
    found: dict[str, ECKey] = {}
    for key in listed:
        if not isinstance(key, Mapping):
            raise TypeError("a key is no object")
        if "d" in key or "k" in key:
            raise ValueError("it holds a private or shared key, which no verifier should have")
        kid = key.get("kid")
        if key.get("kty") != "EC" or key.get("use", "sig") != "sig" or key.get("alg", ALGORITHM) != ALGORITHM:
            continue
        if not isinstance(kid, str) or not kid:
            raise ValueError("a key has no kid")
        if kid in found:
            raise ValueError(f"kid {kid[:80]!r} stands twice")
        found[kid] = _key(key, kid)
    if not found:
        raise ValueError(f"it holds no key for {ALGORITHM}")
    return found


def _key(said: Mapping[str, Json], kid: str) -> ECKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey

    spelled = {name: said[name] for name in ("kty", "crv", "x", "y") if isinstance(said.get(name), str)}
    try:
        given = ECKey.import_key(spelled) if "x" in spelled else None  # type: ignore[arg-type] # names are checked
        certified = _certified(said["x5c"]) if "x5c" in said else None
    except (JoseError, ValueError, TypeError) as error:
        raise ValueError(f"key {kid[:80]!r} cannot be read: {error}") from error
    public = given.public_key if given is not None else certified
    if public is None or public.curve.name != "secp384r1":
        raise ValueError(f"key {kid[:80]!r} is not on P-384")
    if certified is not None and certified.public_numbers() != public.public_numbers():
        raise ValueError(f"key {kid[:80]!r} is another one than that of its certificate")
    return ECKey.import_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _certified(chain: Json) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import load_der_x509_certificate

    if not isinstance(chain, list) or not chain or not isinstance(chain[0], str):
        raise TypeError("x5c is no array of texts")
    key = load_der_x509_certificate(base64.b64decode(chain[0], validate=True)).public_key()
    if not isinstance(key, EllipticCurvePublicKey):
        raise TypeError("its certificate is for another kind of key")
    return key


def _object(raw: bytes, what: str) -> Mapping[str, Json]:
    try:
        said = unambiguous_json(raw)
    except ValueError as error:
        raise EvidenceError(f"the token's {what} is no JSON that counts: {error}") from error
    if not isinstance(said, Mapping):
        raise EvidenceError(f"the token's {what} is no object")
    return said


def _decoded(part: str) -> bytes:
    """base64url without padding (RFC 7515 section 2)."""
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("the token's header is not base64url") from error
