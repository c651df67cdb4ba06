"""Who signs receipts, and whose receipts count.

Signing is `securesystemslib`'s: a key named by URI in AWS, Google or Azure KMS, Vault, an HSM, or a file. Without a
URI there is the dev key, made on first use; every receipt that it signs says so. Trust is a folder of public keys that
the deployment fills; nothing that a pipeline can write is ever asked who may be trusted.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.gate.errors import InterlockError, SettingsError, UnavailableError, UsageError
from interlock.gate.settings import Settings

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import Signer, SSlibKey

DEV_KEY = "dev.key"
DEV_PUBLIC = "dev.pub"
SIGNER_PUBLIC = "signer.pub"
"""Public half of the key that `Settings.signer` names, in the folder of trusted keys."""

PIN_VARIABLE = "INTERLOCK_SIGNER_PIN"
"""Environment variable with the PIN of an HSM; never a setting, so that it is in no file."""

_NEEDS = {"awskms": "awskms", "gcpkms": "gcpkms", "azurekms": "azurekms", "hv": "vault", "hsm": "hsm"}
_FILE = "file2"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptSigner:
    """Signs receipts with one key.

    Args:
        signer: From `securesystemslib`.
        public: Its public half.
        dev: Whether this is the dev key, which receipts must say.
    """

    signer: Signer
    public: SSlibKey
    dev: bool

    @property
    def keyid(self) -> str:
        """sha256 of the canonical public key, as securesystemslib and in-toto compute it."""
        return self.public.keyid

    @property
    def public_pem(self) -> str:
        """The public half as a SubjectPublicKeyInfo PEM, for openssl and cosign."""
        return pem_of(self.public)

    def sign(self, envelope: Envelope) -> None:
        """Add this key's signature to `envelope`, and check that it holds.

        Raises:
            UnavailableError: The key service did not answer.
            SettingsError: What it answered does not fit the public half, so nobody could verify it.
        """
        from securesystemslib.exceptions import UnverifiedSignatureError

        try:
            self.public.verify_signature(envelope.sign(self.signer), envelope.pae())
        except UnverifiedSignatureError as error:
            raise SettingsError(
                "the signing key and its public half do not fit",
                where=self.keyid[:16],
                next_step=f"write the public half of the key in setting `signer` to {SIGNER_PUBLIC} again",
            ) from error
        except InterlockError:
            raise
        except Exception as error:
            # The plug-in boundary: each key service's client raises its own family of errors.
            raise UnavailableError(
                f"the signing key did not sign: {type(error).__name__}: {error}",
                where=self.keyid[:16],
                next_step="check the key service and this identity's right to sign, then try again",
            ) from error


def load_signer(settings: Settings) -> ReceiptSigner:
    """The signer that `settings.signer` names, or the dev key (made on first use, mode 0600).

    Raises:
        SettingsError: The URI, the key, its public half or the package that it needs is not right; says which.
    """
    if not settings.signer:
        return _dev_signer(settings.home / "keys")
    scheme, _, rest = settings.signer.partition(":")
    if scheme == _FILE:
        return _file_signer(Path(rest), dev=False)
    if scheme not in _NEEDS:
        known = ", ".join(f"{name}:" for name in (*_NEEDS, _FILE))
        raise SettingsError(
            f"no signer has the scheme {scheme!r}", where="setting `signer`", next_step=f"use one of {known}"
        )
    public = _read_public(settings.trusted_keys / SIGNER_PUBLIC, scheme)
    return ReceiptSigner(signer=_from_uri(settings.signer, public), public=public, dev=False)


def fetch_public(uri: str) -> str:
    """Ask a key service for the public half of the key that `uri` names, as PEM, to be put beside the trusted keys.

    Raises:
        SettingsError: The scheme is unknown, or the package that it needs is not installed.
        UsageError: This service cannot be asked; its own tools export the public key.
        UnavailableError: The service did not answer.
    """
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import AWSSigner, GCPSigner, HSMSigner, VaultSigner

    scheme, _, rest = uri.partition(":")
    ask: dict[str, Callable[[], tuple[str, SSlibKey]]] = {
        "awskms": lambda: AWSSigner.import_(rest),
        "gcpkms": lambda: GCPSigner.import_(rest),
        "hv": lambda: VaultSigner.import_(rest.partition("/")[0]),
        "hsm": lambda: HSMSigner.import_(int(rest.partition("?")[0]) if rest.partition("?")[0] else None),
    }
    if scheme not in ask:
        raise UsageError(
            f"a public key cannot be fetched from {scheme!r}", next_step=f"export it as PEM to {SIGNER_PUBLIC}"
        )
    try:
        return pem_of(ask[scheme]()[1])
    except UnsupportedLibraryError as error:
        raise _missing_package(scheme) from error
    except Exception as error:
        # The plug-in boundary: each key service's client raises its own family of errors.
        raise UnavailableError(f"the key service did not answer: {error}", where=uri) from error


def pem_of(key: SSlibKey) -> str:
    """A public key as SubjectPublicKeyInfo PEM (securesystemslib keeps Ed25519 keys as bare hexadecimal)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text: str = key.keyval["public"]
    if key.keytype != "ed25519":
        return text if text.endswith("\n") else text + "\n"
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def public_key_of(pem: bytes, *, where: str) -> SSlibKey:
    """Read a SubjectPublicKeyInfo PEM.

    Raises:
        SettingsError: It is no such PEM, or of a kind that does not sign receipts.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from securesystemslib.signer import SSlibKey

    try:
        return SSlibKey.from_crypto(load_pem_public_key(pem))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(
            "no public key in PEM (SubjectPublicKeyInfo)",
            where=where,
            next_step="write one with `openssl pkey -pubout`, or take the file away",
        ) from error


def _dev_signer(folder: Path) -> ReceiptSigner:
    place = folder / DEV_KEY
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            _make_dev_key(place)
        signer = _file_signer(place, dev=True)
        public = folder / DEV_PUBLIC
        if not public.exists():
            write_new(public, signer.public_pem.encode(), mode=0o644)
    except OSError as error:
        raise SettingsError(
            f"the dev key cannot be made: {error.strerror}",
            where=str(place),
            next_step="set `home` to a folder that this user may write, or `signer` to a key URI",
        ) from error
    return signer


def _make_dev_key(place: Path) -> None:
    from securesystemslib.signer import CryptoSigner

    write_new(place, CryptoSigner.generate_ed25519().private_bytes, mode=0o600)


def write_new(place: Path, content: bytes, *, mode: int) -> None:
    """Make a whole file appear under its name, unless another process was faster: then theirs stays."""
    fresh = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with suppress(FileExistsError):
            os.link(fresh, place)
    finally:
        fresh.unlink()


def _file_signer(place: Path, *, dev: bool) -> ReceiptSigner:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    try:
        if stat.S_IMODE(place.stat().st_mode) & 0o077:
            raise SettingsError(
                "others can read the signing key", where=str(place), next_step=f"chmod 600 {place}, and change the key"
            )
        content = place.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the signing key cannot be read: {error.strerror}", where=str(place), next_step="check setting `signer`"
        ) from error
    try:
        signer = CryptoSigner(load_pem_private_key(content, None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(
            "the signing key is no unencrypted PKCS#8 PEM of an Ed25519, ECDSA or RSA key", where=str(place)
        ) from error
    return ReceiptSigner(signer=signer, public=signer.public_key, dev=dev)


def _read_public(place: Path, scheme: str) -> SSlibKey:
    try:
        pem = place.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the public half of the {scheme} key is not there",
            where=str(place),
            next_step="write it there as PEM; `interlock keys fetch` asks the key service for it",
        ) from error
    return public_key_of(pem, where=str(place))


def _from_uri(uri: str, public: SSlibKey) -> Signer:
    from securesystemslib.exceptions import UnsupportedLibraryError
    from securesystemslib.signer import Signer

    try:
        return Signer.from_priv_key_uri(uri, public, _secret)
    except (UnsupportedLibraryError, ImportError) as error:
        raise _missing_package(uri.partition(":")[0]) from error
    except SettingsError:
        raise
    except Exception as error:
        # The plug-in boundary: each key service's client raises its own family of errors.
        raise SettingsError(
            f"the signer cannot be set up: {type(error).__name__}: {error}", where="setting `signer`"
        ) from error


def _missing_package(scheme: str) -> SettingsError:
    extra = _NEEDS[scheme]
    return SettingsError(
        f"a package that {scheme}: keys need is not installed",
        where="setting `signer`",
        next_step=f"pip install 'securesystemslib[{extra}]'",
    )


def _secret(name: str) -> str:
    secret = os.environ.get(PIN_VARIABLE)
    if not secret:
        raise SettingsError(f"the signing key asks for its {name}", where=PIN_VARIABLE, next_step="set that variable")
    return secret
