"""Key pairs and tokens that OPA did not make, so that its verification is checked against another's signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

CLAIMS = {"sub": "someone", "aud": "gate", "exp": 4102444800}
SECRET = "a secret of more than thirty-two bytes, as HS256 wants it"

Sign = Callable[[bytes], bytes]


def keys() -> dict[str, dict[str, str]]:
    """For each algorithm a ``token``, the ``public`` part of its key, and one ``forged`` by a key of its own."""
    return {
        "hs256": {"token": _token("HS256", _hmac), "public": SECRET},
        "rs256": _pair("RS256", lambda: _rsa(rsa.generate_private_key(public_exponent=65537, key_size=2048))),
        "es256": _pair("ES256", lambda: _ecdsa(ec.generate_private_key(ec.SECP256R1()))),
        "eddsa": _pair("EdDSA", lambda: _eddsa(ed25519.Ed25519PrivateKey.generate())),
        "none": {"token": _token("none", lambda _said: b""), "public": ""},
    }


def _pair(algorithm: str, fresh: Callable[[], tuple[Sign, str]]) -> dict[str, str]:
    (sign, public), (forge, _) = fresh(), fresh()
    return {"token": _token(algorithm, sign), "forged": _token(algorithm, forge), "public": public}


def _token(algorithm: str, sign: Sign) -> str:
    said = f"{_code(json.dumps({'alg': algorithm, 'typ': 'JWT'}).encode())}.{_code(json.dumps(CLAIMS).encode())}"
    return f"{said}.{_code(sign(said.encode()))}"


def _code(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hmac(said: bytes) -> bytes:
    return hmac.new(SECRET.encode(), said, hashlib.sha256).digest()


def _rsa(key: rsa.RSAPrivateKey) -> tuple[Sign, str]:
    return lambda said: key.sign(said, padding.PKCS1v15(), hashes.SHA256()), _pem(key.public_key())


def _ecdsa(key: ec.EllipticCurvePrivateKey) -> tuple[Sign, str]:
    def sign(said: bytes) -> bytes:
        r, s = utils.decode_dss_signature(key.sign(said, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return sign, _pem(key.public_key())


def _eddsa(key: ed25519.Ed25519PrivateKey) -> tuple[Sign, str]:
    return key.sign, _pem(key.public_key())


def _pem(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()
