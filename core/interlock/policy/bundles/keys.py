"""The keys that sign policy bundles: public ones that a deployment trusts, and the private one that builds.

Trust is a folder: ``<keyid>.pem`` is good for signatures without a scope, ``<scope>/<keyid>.pem`` for those of that
scope, so that a key for staging signs nothing for production. A key only takes the algorithms of its own kind, and none
of them is symmetric: whoever knows a public key cannot sign with it.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate.errors import PolicyError, SettingsError, UsageError

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

MIN_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_KINDS = f"RSA from {MIN_RSA_BITS} bits, or EC on {', '.join(_CURVES)}: what OPA knows, which is not Ed25519"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleKey:
    """One key.

    Args:
        keyid: As signatures name it.
        scope: The scope of the signatures that it is good for; empty for those without.
        key: For `joserfc`.
        algorithms: What it may be used with; the first is what it signs with.
    """

    keyid: str
    scope: str
    key: RSAKey | ECKey
    algorithms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKeys:
    """The public keys whose signatures on bundles count.

    Args:
        folder: Where they were read, for messages.
        keys: By scope and key id.
    """

    folder: str
    keys: Mapping[tuple[str, str], BundleKey]

    @classmethod
    def load(cls, folder: Path) -> PolicyKeys:
        """Read a folder of public keys.

        Raises:
            SettingsError: It cannot be read, holds no key, or one of a kind that does not sign bundles.
        """
        try:
            found = [
                *sorted(folder.glob("*.pem")),
                *sorted(folder.glob("[!.]*/*.pem")),
            ]  # no `..data` of a mounted Secret
            contents = {path: path.read_bytes() for path in found}
        except OSError as error:
            raise SettingsError(
                f"a key for policy bundles cannot be read: {error.strerror}",
                where=str(folder),
                next_step="check setting `policy_keys` and the rights of the files",
            ) from error
        if not contents:
            raise SettingsError(
                "no keys for policy bundles are there",
                where=str(folder),
                next_step="put the public key there as <keyid>.pem, or unset `policy_keys`",
            )
        keys = [
            _public_key(content, path, scope="" if path.parent == folder else path.parent.name)
            for path, content in contents.items()
        ]
        return cls(folder=str(folder), keys={(key.scope, key.keyid): key for key in keys})

    def named(self, keyid: str, scope: str, *, where: str) -> tuple[BundleKey, ...]:
        """The keys that may have made a signature: the named one, or without a name all of that scope.

        Args:
            keyid: As the signature says, unverified; may be empty.
            scope: As the signature says, unverified; may be empty.
            where: For messages.

        Raises:
            PolicyError: There is none.
        """
        if keyid:
            fitting = [key for key in (self.keys.get((scope, keyid)),) if key is not None]
        else:
            fitting = [key for key in self.keys.values() if key.scope == scope]
        if not fitting:
            known = ", ".join(sorted("/".join(part for part in name if part) for name in self.keys))
            who = f"key {keyid!r}" if keyid else "a key without a name"
            of = f" for scope {scope!r}" if scope else ""
            raise PolicyError(
                f"the bundle is signed by {who}{of}, which is not trusted",
                where=where,
                next_step=f"sign it with one of {known}, or put the public key into {self.folder}",
            )
        return tuple(fitting)


def load_signing_key(path: Path, *, keyid: str = "", scope: str = "", algorithm: str = "") -> BundleKey:
    """Read a private key in PEM, without a passphrase.

    Args:
        path: The file; only its owner may read it.
        keyid: As the signature will name it; the file's name without its ending when not given.
        scope: As the signature will say.
        algorithm: One that fits the key; RS256 or that of the curve when not given.

    Raises:
        UsageError: It cannot be read, others can read it, it is no such key, or the algorithm does not fit it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(
                "others can read the signing key", where=str(path), next_step=f"chmod 600 {path}, and change the key"
            )
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(
            f"the signing key cannot be read: {error.strerror}", where=str(path), next_step="check --signing-key"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"no private key in PEM without a passphrase: {error}",
            where=str(path),
            next_step="make one with `openssl ecparam -name prime256v1 -genkey -noout`",
        ) from error
    try:
        taken, algorithms = _for_joserfc(key)
    except (TypeError, ValueError) as error:
        raise UsageError(str(error), where=str(path), next_step=f"use {_KINDS}") from error
    if algorithm and algorithm not in algorithms:
        raise UsageError(
            f"algorithm {algorithm!r} does not fit the signing key",
            where=str(path),
            next_step=f"use {', '.join(algorithms)}",
        )
    chosen = (algorithm,) if algorithm else algorithms[:1]
    return BundleKey(keyid=keyid or path.stem, scope=scope, key=taken, algorithms=chosen)


def _public_key(pem: bytes, path: Path, *, scope: str) -> BundleKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key, algorithms = _for_joserfc(load_pem_public_key(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(
            f"no public key that signs policy bundles: {error}",
            where=str(path),
            next_step=f"write one with `openssl pkey -pubout`; it is {_KINDS}",
        ) from error
    return BundleKey(keyid=path.stem, scope=scope, key=key, algorithms=algorithms)


def _for_joserfc(key: object) -> tuple[RSAKey | ECKey, tuple[str, ...]]:
    """The key for `joserfc`, with the algorithms of its kind; a TypeError or ValueError for every other."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
    from joserfc.jwk import ECKey, RSAKey

    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    elif isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    else:
        raise TypeError(f"a key of the kind {type(key).__name__}")
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"an RSA key of {key.key_size} bits is too short")
        return RSAKey.import_key(pem), _RSA
    taken = ECKey.import_key(pem)
    if taken.curve_name not in _CURVES:
        raise ValueError(f"an EC key on {key.curve.name}")
    return taken, (_CURVES[taken.curve_name],)
