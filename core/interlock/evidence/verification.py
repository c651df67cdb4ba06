"""From untrusted bytes to a `Receipt`: signature first, then shape, then time. Nothing unverified leaves this module.

The order matters. The envelope's own shape is checked without looking into the payload; then every signature by a
trusted key must hold over the DSSE pre-authentication encoding (securesystemslib does the arithmetic); only then is
the payload parsed, and the key that it names must be the one that signed.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from interlock.evidence.keyring import KeyRing, TrustedKey
from interlock.evidence.receipt import Receipt, receipt_from, strict_json
from interlock.gate.documents import timestamp
from interlock.gate.errors import ReceiptError, SignatureError

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

PAYLOAD_TYPE = "application/vnd.in-toto+json"

CLOCK_SKEW = timedelta(seconds=60)
"""How far in the future a receipt may be issued, for clocks that differ; expiry has no such grace."""

MAX_ENVELOPE_BYTES = 32 << 20
MAX_SIGNATURES = 16

_KEYID = re.compile(r"[\x21-\x7e]{1,256}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentic:
    """A receipt under a trusted signature, whether or not it still opens anything, and the key that signed it."""

    receipt: Receipt
    key: TrustedKey


def verify_receipt(envelope: bytes | str, keyring: KeyRing, *, now: datetime) -> Receipt:
    """Verify signature, shape and time of one receipt.

    Args:
        envelope: A DSSE envelope as JSON, untrusted.
        keyring: Whose signatures count.
        now: UTC.

    Raises:
        SignatureError: No trusted key signed it, a trusted key's signature does not hold, or that key may not sign
            this kind of gate.
        ReceiptError: It is malformed, expired, or not valid yet.
    """
    found = authentic(envelope, keyring)
    check_key(found)
    check_time(found.receipt, now)
    return found.receipt


def authentic(envelope: bytes | str, keyring: KeyRing) -> Authentic:
    """Verify signature and shape, but not time and not what the key may sign: for people who look back.

    Raises:
        SignatureError: No trusted key signed it, or a trusted key's signature does not hold.
        ReceiptError: It is malformed.
    """
    opened = open_envelope(envelope)
    signers = verified_signers(opened, keyring)
    receipt = receipt_from(opened.payload)
    key = signers.get(receipt.keyid)
    if key is None:
        raise ReceiptError("a receipt names another signer than the one who signed it", where=receipt.receipt_id)
    return Authentic(receipt=replace(receipt, dev=receipt.dev or key.dev), key=key)


def check_key(found: Authentic) -> None:
    """Refuse a receipt of a gate that its key may not sign.

    Raises:
        SignatureError: The key is trusted for other gates only.
    """
    if not found.key.may_sign(found.receipt.gate):
        raise SignatureError(
            f"key {found.key.name!r} may not sign {found.receipt.gate} receipts",
            where=found.receipt.receipt_id,
            next_step=f"run the gate with another signer, or widen {found.key.name}.json",
        )


def check_time(receipt: Receipt, now: datetime) -> None:
    """Refuse a receipt that is expired or not valid yet.

    Raises:
        ReceiptError: Says since when, or from when.
    """
    if now >= receipt.expires:
        raise ReceiptError(
            f"expired at {timestamp(receipt.expires)}",
            where=receipt.receipt_id,
            next_step=f"run the {receipt.gate} gate again",
        )
    if receipt.issued > now + CLOCK_SKEW:
        raise ReceiptError(
            f"not valid before {timestamp(receipt.issued)}",
            where=receipt.receipt_id,
            next_step="set the clocks of both machines",
        )


def open_envelope(envelope: bytes | str) -> Envelope:
    """Check an envelope's own shape; the payload stays closed.

    Raises:
        ReceiptError: It is no DSSE envelope of an in-toto statement.
    """
    from securesystemslib.dsse import Envelope

    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise ReceiptError(f"an envelope is larger than {MAX_ENVELOPE_BYTES} bytes")
    document: Any = strict_json(envelope, what="an envelope")
    if not isinstance(document, dict) or set(document) != {"payload", "payloadType", "signatures"}:
        raise ReceiptError("an envelope has exactly payload, payloadType and signatures", where="envelope")
    if document["payloadType"] != PAYLOAD_TYPE:
        raise ReceiptError(f"an envelope's payloadType is not {PAYLOAD_TYPE}", where="payloadType")
    if not isinstance(document["payload"], str):
        raise ReceiptError("an envelope's payload is no text", where="payload")
    _check_signatures(document["signatures"])
    try:
        return Envelope.from_dict(document)
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise ReceiptError(f"an envelope cannot be decoded: {error}", where="envelope") from error


def _check_signatures(signatures: Any) -> None:
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise ReceiptError(f"an envelope has 1 to {MAX_SIGNATURES} signatures", where="signatures")
    for place, signature in enumerate(signatures):
        if (
            not isinstance(signature, dict)
            or set(signature) != {"keyid", "sig"}
            or not all(isinstance(value, str) for value in signature.values())
            or not _KEYID.match(signature["keyid"])
        ):
            raise ReceiptError("a signature is a keyid and a sig", where=f"signatures/{place}")


def verified_signers(envelope: Envelope, keyring: KeyRing) -> dict[str, TrustedKey]:
    """The trusted keys that signed an envelope, by key id.

    Raises:
        SignatureError: There is none, or a trusted key's signature does not hold.
    """
    from securesystemslib.exceptions import UnverifiedSignatureError

    signers: dict[str, TrustedKey] = {}
    pae = envelope.pae()
    for keyid, signature in envelope.signatures.items():
        key = keyring.get(keyid)
        if key is None:
            continue
        try:
            key.key.verify_signature(signature, pae)
        except UnverifiedSignatureError as error:
            raise SignatureError(
                f"the signature of key {key.name!r} does not hold", where=keyid[:16], next_step="trust nothing of it"
            ) from error
        signers[keyid] = key
    if not signers:
        strangers = ", ".join(keyid[:16] for keyid in envelope.signatures)
        raise SignatureError(
            f"no trusted key signed it, only {strangers}",
            next_step="if that key should count, put its public half into the folder `trusted_keys`",
        )
    return signers
