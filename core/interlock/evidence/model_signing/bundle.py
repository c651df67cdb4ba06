"""The file that a signature is: a Sigstore bundle v0.3 with one DSSE envelope, signed by an elliptic curve key.

The bundle names the key by the sha256 of its PEM (sigstore/model-transparency, ``sign_ec_key.py``). Which hash is
signed follows from the curve: P-256 SHA-256, P-384 SHA-384, P-521 SHA-512. Certificates and the transparency log of
keyless signatures need Sigstore's services and are not verified here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.evidence.keys import ReceiptSigner, pem_of
from interlock.evidence.model_signing.statement import read_json
from interlock.gate.errors import SignatureError, UsageError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
LARGEST = 64 << 20
"""Bytes of a bundle; one of 100,000 files takes 25 MiB."""

SCHEMES = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
"""As securesystemslib calls the curves, each with the hash that the format wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A signature that nobody has verified yet.

    Args:
        payload: What is signed.
        signature: DER.
        hint: sha256 of the public key's PEM, lower-case hexadecimal; empty in files of older signers.
    """

    payload: bytes
    signature: bytes
    hint: str

    @classmethod
    def signed(cls, payload: bytes, signer: ReceiptSigner) -> Bundle:
        """Sign.

        Args:
            payload: Of the type `PAYLOAD`.
            signer: With an elliptic curve key.

        Raises:
            UsageError: The key is of another kind, which this format does not know.
            UnavailableError: The key service did not answer.
            SettingsError: What it answered does not fit the public half.
        """
        if not _signs_models(signer.public):
            raise UsageError(
                f"models are signed by ECDSA keys on P-256, P-384 or P-521; this one is {signer.public.keytype}",
                where=signer.keyid[:16],
                next_step="name such a key in setting `signer` (openssl ecparam -genkey -name prime256v1, as PKCS#8)",
            )
        envelope = _envelope(payload)
        signer.sign(envelope)
        [signature] = envelope.signatures.values()
        return cls(payload=payload, signature=bytes.fromhex(signature.signature), hint=hint_of(signer.public))

    def document(self) -> bytes:
        """As a file."""
        envelope = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": base64.b64encode(self.signature).decode(), "keyid": ""}],
        }
        material = {"publicKey": {"hint": self.hint}, "tlogEntries": []}
        return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()

    @classmethod
    def read(cls, document: bytes) -> Bundle:
        """The reverse of `document`, of anybody's file.

        Raises:
            SignatureError: It is no such bundle, or of a kind that is not verified here.
        """
        said = read_json(document, what="the signature")
        try:
            if said["mediaType"] != BUNDLE:
                raise SignatureError(f"the signature is a {str(said['mediaType'])[:200]!r}, not {BUNDLE}")
            material, envelope = said["verificationMaterial"], said["dsseEnvelope"]
            if "publicKey" not in material:
                raise SignatureError(
                    "the model is signed with a certificate or without a key, which needs Sigstore's services",
                    next_step="verify it with `model_signing verify`, or have it signed with a key",
                )
            [signature] = envelope["signatures"]
            if envelope["payloadType"] != PAYLOAD:
                raise SignatureError(f"the signed payload is a {str(envelope['payloadType'])[:200]!r}, not {PAYLOAD}")
            return cls(
                payload=_decoded(envelope["payload"]),
                signature=_decoded(signature["sig"]),
                hint=_hint(material["publicKey"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SignatureError(
                f"the signature is no bundle with one DSSE envelope: {type(error).__name__}: {str(error)[:200]}"
            ) from error

    def by(self, key: SSlibKey) -> bool:
        """Whether a key made this signature.

        Args:
            key: A trusted key of any kind.
        """
        from securesystemslib.exceptions import UnverifiedSignatureError
        from securesystemslib.signer import Signature

        if not _signs_models(key) or (self.hint and self.hint != hint_of(key)):
            return False
        try:
            key.verify_signature(Signature(key.keyid, self.signature.hex()), _envelope(self.payload).pae())
        except UnverifiedSignatureError:
            return False
        return True


def hint_of(key: SSlibKey) -> str:
    """How a bundle names a key: sha256 of its PEM."""
    return hashlib.sha256(pem_of(key).encode()).hexdigest()


def _signs_models(key: SSlibKey) -> bool:
    return key.keytype == "ecdsa" and key.scheme in SCHEMES


def _envelope(payload: bytes) -> Envelope:
    from securesystemslib.dsse import Envelope

    return Envelope(payload, PAYLOAD, {})


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} instead of base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error


def _hint(key: Any) -> str:
    hint = key.get("hint") or ""
    if not isinstance(hint, str):
        raise TypeError("the hint is no text")
    return hint
