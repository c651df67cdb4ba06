"""Signs detached EATs of the form that NRAS gives, with keys of its own, and spoils them on request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jws
from joserfc.jwk import ECKey

NONCE = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"
NOW = 1_795_800_000.0
KID = "nv-eat-kid-test-1"
ISSUER = "https://nras.attestation.nvidia.com"
GOOD_CHAIN = {
    "x-nvidia-cert-status": "valid",
    "x-nvidia-cert-ocsp-status": "good",
    "x-nvidia-cert-expiration-date": "9999-12-31T23:59:59Z",
    "x-nvidia-cert-revocation-reason": None,
}
TRUE_CLAIMS = (
    "secboot",
    "x-nvidia-gpu-arch-check",
    "x-nvidia-gpu-attestation-report-parsed",
    "x-nvidia-gpu-attestation-report-nonce-match",
    "x-nvidia-gpu-attestation-report-signature-verified",
    "x-nvidia-gpu-attestation-report-cert-chain-fwid-match",
    "x-nvidia-gpu-driver-rim-fetched",
    "x-nvidia-gpu-driver-rim-schema-validated",
    "x-nvidia-gpu-driver-rim-signature-verified",
    "x-nvidia-gpu-driver-rim-version-match",
    "x-nvidia-gpu-driver-rim-measurements-available",
    "x-nvidia-gpu-vbios-rim-fetched",
    "x-nvidia-gpu-vbios-rim-schema-validated",
    "x-nvidia-gpu-vbios-rim-signature-verified",
    "x-nvidia-gpu-vbios-rim-version-match",
    "x-nvidia-gpu-vbios-rim-measurements-available",
    "x-nvidia-gpu-vbios-index-no-conflict",
)
CHAINS = (
    "x-nvidia-gpu-attestation-report-cert-chain",
    "x-nvidia-gpu-driver-rim-cert-chain",
    "x-nvidia-gpu-vbios-rim-cert-chain",
)


def times() -> dict[str, Any]:
    return {"iat": int(NOW) - 30, "nbf": int(NOW) - 30, "exp": int(NOW) + 3570, "iss": ISSUER, "jti": "1"}


def gpu_claims(number: int = 0) -> dict[str, Any]:
    return {
        **times(),
        "eat_nonce": NONCE,
        "measres": "success",
        "dbgstat": "disabled",
        "hwmodel": "GH100 A01 GSP BROM",
        "ueid": str(478176379286082186618948445787393647364802107249 + number),
        "oemid": "5703",
        "x-nvidia-gpu-driver-version": "580.95.05",
        "x-nvidia-gpu-vbios-version": "96.00.9F.00.01",
        "x-nvidia-attestation-warning": None,
        **dict.fromkeys(TRUE_CLAIMS, True),
        **dict.fromkeys(CHAINS, GOOD_CHAIN),
    }


@dataclass
class Attester:
    """One attestation service."""

    kid: str = KID
    key: EllipticCurvePrivateKey = field(default_factory=lambda: generate_private_key(SECP384R1()))

    @property
    def _jose(self) -> ECKey:
        return ECKey.import_key(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def public_key(self, **further: Any) -> dict[str, Any]:
        return {**self._jose.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": "ES384", **further}

    def write_keys(self, path: Path, *further: Mapping[str, Any]) -> Path:
        path.write_text(json.dumps({"keys": [self.public_key(), *further]}))
        return path

    def sign(self, claims: Mapping[str, Any] | str, **header: Any) -> str:
        payload = claims if isinstance(claims, str) else json.dumps(claims)
        return jws.serialize_compact({"alg": "ES384", "kid": self.kid, **header}, payload, self._jose, ["ES384"])

    def overall(self, tokens: Mapping[str, str], **changes: Any) -> dict[str, Any]:
        digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in tokens.items()}
        return {
            **times(),
            "sub": "NVIDIA-PLATFORM-ATTESTATION",
            "x-nvidia-ver": "3.0",
            "x-nvidia-overall-att-result": True,
            "eat_nonce": NONCE,
            "submods": {name: ["DIGEST", ["SHA-256", digest]] for name, digest in digests.items()},
            **changes,
        }

    def bundle(self, *gpus: Mapping[str, Any], **changes: Any) -> list[Any]:
        """A detached EAT over `gpus`; the claims of one good GPU when none are given."""
        tokens = {f"GPU-{index}": self.sign(claims) for index, claims in enumerate(gpus or (gpu_claims(),))}
        return [["JWT", self.sign(self.overall(tokens, **changes))], tokens]


def encoded(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
