"""Signatures of bundles in OPA's format: ``.signatures.json`` holds one JWT over the hashes of all other files.

https://www.openpolicyagent.org/docs/management-bundles#signing. What OPA signs verifies here, and what is signed here
verifies in OPA. Stricter than OPA in three ways: a time of expiry counts, hashes below SHA-256 do not, and the
algorithm must fit the kind of the trusted key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.bundles.files import MANIFEST, SIGNATURES, BundleFile
from interlock.policy.bundles.keys import BundleKey, PolicyKeys

if TYPE_CHECKING:
    from joserfc.jws import JWSRegistry

_HASHES = {"SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}
_STRUCTURED = frozenset({"data.json", MANIFEST})
_NEXT_STEP = "use a bundle as its maker sent it, or sign it again with `interlock policy bundle --signing-key`"
_CLOCK_SKEW = 60.0
_PAYLOAD_BYTES = 4 * 1024 * 1024
"""Room for the hashes of as many files as a bundle may have."""


class _Number(str):
    """A number of a JSON file in its own spelling, which OPA hashes."""

    __slots__ = ()


def signed(files: Iterable[BundleFile], key: BundleKey, *, expires: int | None = None) -> BundleFile:
    """The ``.signatures.json`` for `files`.

    Args:
        files: All other files of the bundle.
        key: Private.
        expires: Seconds since the epoch after which the signature does not count here; OPA does not look at it.
    """
    from joserfc import jws

    named = [{"name": f.path, "hash": _hash(f, "SHA-256"), "algorithm": "SHA-256"} for f in files]
    claims: dict[str, Json] = {"files": cast("Json", sorted(named, key=lambda file: file["name"])), "keyid": key.keyid}
    if key.scope:
        claims["scope"] = key.scope
    if expires is not None:
        claims["exp"] = expires
    header = {"alg": key.algorithms[0], "kid": key.keyid, "typ": "JWT"}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    token = jws.serialize_compact(header, payload, key.key, registry=_registry(key.algorithms))
    return BundleFile(path=SIGNATURES, content=json.dumps({"signatures": [token]}).encode() + b"\n")


def check_signature(files: Iterable[BundleFile], keys: PolicyKeys, *, where: str, now: float | None = None) -> None:
    """Hold a bundle against its signature.

    Args:
        files: Every file of it, unverified.
        keys: Whose signature counts.
        where: For messages.
        now: Seconds since the epoch; the clock when not given.

    Raises:
        PolicyError: It is not signed, not by a trusted key for its scope, no longer, or a file is changed, missing or
            not spoken of.
    """
    present = {file.path: file for file in files}
    signatures = present.pop(SIGNATURES, None)
    if signatures is None:
        raise PolicyError(
            "the bundle is not signed, and setting `policy_keys` asks for it",
            where=where,
            next_step="sign it with `interlock policy bundle --signing-key`, or with `opa sign -b .` in its folder",
        )
    claims = _claims(_token(signatures, where), keys, where)
    _check_time(claims, where, time.time() if now is None else now)
    named = _named_files(claims, where)
    for path in sorted(named.keys() | present.keys()):
        if path not in present:
            raise PolicyError(
                "a file that the signature speaks of is missing", where=f"{where}/{path}", next_step=_NEXT_STEP
            )
        if path not in named:
            raise PolicyError(
                "a file that the signature does not speak of", where=f"{where}/{path}", next_step=_NEXT_STEP
            )
        algorithm, expected = named[path]
        if not hmac.compare_digest(_checked_hash(present[path], algorithm, where), expected.lower().encode()):
            raise PolicyError("the file is not the one that was signed", where=f"{where}/{path}", next_step=_NEXT_STEP)


def _token(signatures: BundleFile, where: str) -> str:
    """The one JWT of the file."""
    try:
        document = json.loads(signatures.content)
        tokens, plugin = document["signatures"], document.get("plugin", "")
        if plugin in {"", "_default"} and isinstance(tokens, list) and len(tokens) == 1 and isinstance(tokens[0], str):
            return tokens[0]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise PolicyError(
        "not exactly one signature in OPA's own format", where=f"{where}/{SIGNATURES}", next_step=_NEXT_STEP
    )


def _claims(token: str, keys: PolicyKeys, where: str) -> Mapping[str, Json]:
    """What the token says, once one of the keys has spoken for it."""
    from joserfc import jws
    from joserfc.errors import JoseError

    place = f"{where}/{SIGNATURES}"
    try:
        unverified = jws.extract_compact(token.encode(), registry=_registry(()))
        said = _object(unverified.payload)
        keyid, scope = _name(unverified.headers().get("kid") or said.get("keyid", "")), _name(said.get("scope", ""))
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise PolicyError(f"the signature is no JWT: {error}", where=place, next_step=_NEXT_STEP) from error
    problem = ""
    for key in keys.named(keyid, scope, where=place):
        try:
            return _object(jws.deserialize_compact(token, key.key, registry=_registry(key.algorithms)).payload)
        except (JoseError, ValueError, TypeError) as error:
            problem = str(error).rstrip(": ") or "it cannot be read"  # joserfc says `bad_signature: `
    raise PolicyError(
        f"the signature of {keyid or 'no named key'} does not hold: {problem}", where=place, next_step=_NEXT_STEP
    )


def _registry(algorithms: tuple[str, ...]) -> JWSRegistry:
    """What a token may be made with, which is never for the token to say."""
    from joserfc.jws import JWSRegistry

    registry = JWSRegistry(algorithms=list(algorithms))
    registry.max_payload_length = _PAYLOAD_BYTES
    return registry


def _object(payload: bytes) -> dict[str, Json]:
    said = json.loads(payload)
    if not isinstance(said, dict):
        raise TypeError("its payload is no object")
    return said


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("keyid and scope are texts")
    return value


def _check_time(claims: Mapping[str, Json], where: str, now: float) -> None:
    for claim in ("exp", "nbf"):
        moment = claims.get(claim)
        if claim not in claims:
            continue
        if isinstance(moment, bool) or not isinstance(moment, int | float):
            raise PolicyError(f"{claim} of the signature is no number", where=where, next_step=_NEXT_STEP)
        if claim == "exp" and now > moment:
            raise PolicyError(
                "the signature of the bundle has expired", where=where, next_step="fetch or sign the bundle again"
            )
        if claim == "nbf" and now < moment - _CLOCK_SKEW:
            raise PolicyError(
                "the signature of the bundle does not count yet", where=where, next_step="check this machine's clock"
            )


def _named_files(claims: Mapping[str, Json], where: str) -> dict[str, tuple[str, str]]:
    """Algorithm and hash for each path that the signature speaks of."""
    named: dict[str, tuple[str, str]] = {}
    files = claims.get("files")
    for file in files if isinstance(files, list) else [None]:
        said = file if isinstance(file, Mapping) else {}
        name, algorithm, expected = (said.get(key) for key in ("name", "algorithm", "hash"))
        if not isinstance(name, str) or not isinstance(algorithm, str) or not isinstance(expected, str):
            raise PolicyError("the signature names no files as OPA does", where=where, next_step=_NEXT_STEP)
        path = str(PurePosixPath(name.lstrip("/")))
        if path in named:
            raise PolicyError("the signature names a file twice", where=f"{where}/{path}", next_step=_NEXT_STEP)
        named[path] = (algorithm, expected)
    return named


def _checked_hash(file: BundleFile, algorithm: str, where: str) -> bytes:
    if algorithm not in _HASHES:
        raise PolicyError(
            f"hash {algorithm!r} does not count", where=f"{where}/{file.path}", next_step="sign the bundle with SHA-256"
        )
    try:
        return _hash(file, algorithm).encode()
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"broken JSON: {error}", where=f"{where}/{file.path}", next_step=_NEXT_STEP) from error


def _hash(file: BundleFile, algorithm: str) -> str:
    """As OPA's ``v1/bundle/hash.go``: JSON files by what they say, others by their bytes."""
    content = file.content
    if PurePosixPath(file.path).name in _STRUCTURED:
        document = json.loads(content, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
        content = _spelled(document).encode()
    return hashlib.new(_HASHES[algorithm], content).hexdigest()


def _spelled(value: Json) -> str:
    """The one spelling that OPA hashes: keys sorted, no spaces, numbers as they were written."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_spelled(key)}:{_spelled(value[key])}" for key in sorted(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_spelled(item) for item in value) + "]"
    if isinstance(value, _Number):
        return str(value)
    # Go's encoder without HTML escapes differs from Python's in these two line separators alone.
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
