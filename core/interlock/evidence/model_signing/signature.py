"""Sign a model, and say who signed one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from interlock.evidence.keyring import KeyRing, TrustedKey
from interlock.evidence.keys import ReceiptSigner
from interlock.evidence.model_signing.bundle import LARGEST, Bundle
from interlock.evidence.model_signing.statement import GIT, ModelStatement, below
from interlock.evidence.snapshot import Snapshot, take_snapshot
from interlock.gate.errors import SignatureError, UnknownSignerError
from interlock.gate.protocols import MODEL_SIGNATURE


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedModel:
    """A model whose signature holds.

    Args:
        signer: The name under which its key is trusted.
        key: That key.
        name: What the signer called the model.
        files: How many files are signed.
        unsigned: Files of the model that the signature does not cover, beside itself; whoever can write them can change
            them.
    """

    signer: str
    key: TrustedKey
    name: str
    files: int
    unsigned: tuple[str, ...] = ()


def sign_model(uri: str, signer: ReceiptSigner, *, ignored: Iterable[str] = (), own: str = MODEL_SIGNATURE) -> bytes:
    """Hash a model and sign what was found.

    Args:
        uri: Of a file or folder.
        signer: With an elliptic curve key.
        ignored: Paths of the folder that are left out, beside git's own files.
        own: Where in the folder the signature will lie, left out; empty when it will lie elsewhere.

    Returns:
        The signature, to be written as a file.

    Raises:
        SubjectError: The model cannot be read.
        SignatureError: All of its files are left out.
        UsageError: The key is of another kind.
        UnavailableError: The key service or the storage did not answer.
    """
    statement = ModelStatement.of(take_snapshot(uri), ignored=(*([own] if own else ()), *GIT, *ignored))
    if not statement.files:
        raise SignatureError("nothing is left to sign", where=uri, next_step="ignore fewer paths")
    return Bundle.signed(statement.payload(), signer).document()


def verify_model(
    uri: str, signature: bytes, keyring: Iterable[TrustedKey], *, own: str = MODEL_SIGNATURE
) -> SignedModel:
    """Check a signature against the bytes of a model.

    Args:
        uri: Of a file or folder, untrusted.
        signature: The content of the signature file, untrusted.
        keyring: Whose signatures count.
        own: Where in the folder the signature lies; empty when it lies elsewhere.

    Raises:
        UnknownSignerError: None of these keys made it.
        SignatureError: The signature is malformed, or of other bytes; says which files differ.
        SubjectError: The model cannot be read.
        UnavailableError: The storage did not answer.
    """
    bundle = Bundle.read(signature)
    key = next((one for one in keyring if bundle.by(one.key)), None)
    if key is None:
        raise UnknownSignerError(
            f"no trusted key made this signature (key {bundle.hint[:16] or 'without a name'})",
            where=uri,
            next_step="give the signer's public key with --key, or trust it: interlock keys trust --models",
        )
    statement = ModelStatement.read(bundle.payload)
    unsigned = _compared(take_snapshot(uri), statement, own=own, where=uri)
    return SignedModel(signer=key.name, key=key, name=statement.name, files=len(statement.files), unsigned=unsigned)


def read_signature(place: Path) -> bytes:
    """The content of a signature file.

    Raises:
        SignatureError: It is not there, cannot be read, or is larger than any signature.
    """
    try:
        with place.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise SignatureError(f"the signature cannot be read: {error.strerror}", where=str(place)) from error
    if len(content) > LARGEST:
        raise SignatureError(f"the signature is larger than {LARGEST} bytes", where=str(place))
    return content


def models_of(keyring: KeyRing) -> tuple[TrustedKey, ...]:
    """The keys of a ring that may sign models."""
    return tuple(key for key in keyring if key.models)


def _compared(snapshot: Snapshot, statement: ModelStatement, *, own: str, where: str) -> tuple[str, ...]:
    """The files that the statement does not cover.

    Raises:
        SignatureError: A file is missing, has other bytes, or is there and was not when the model was signed.
    """
    whole = ModelStatement.of(snapshot, ignored=())
    seen, signed = whole.files, statement.files
    left_out = [path for path in seen if path not in signed]
    differing = sorted(path for path in signed if path in seen and seen[path] != signed[path])
    missing = sorted(path for path in signed if path not in seen)
    new = sorted(path for path in left_out if path != own and not below(path, statement.ignored))
    for what, files in (("other bytes than were signed", differing), ("missing", missing), ("not signed", new)):
        if files:
            raise SignatureError(
                f"the model is not what was signed, {what}: {', '.join(files[:5])}{', ...' if len(files) > 5 else ''}",
                where=where,
                next_step="get the model again from where it was signed, or have it signed as it is",
            )
    return tuple(sorted(path for path in left_out if path != own))
