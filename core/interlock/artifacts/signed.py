"""Who signed a model folder, by the signature in it, as a fact for policy (`model.signature`).

The signature has the format of OpenSSF model signing and lies in the folder as ``model.sig``. Whose signatures of
models count is the deployment's matter (`interlock.evidence.keyring`).
"""

from __future__ import annotations

from interlock.artifacts import record as rules
from interlock.artifacts.record import Record, shown
from interlock.gate.errors import SignatureError, UnknownSignerError
from interlock.gate.protocols import MODEL_SIGNATURE, OpenSubject, References
from interlock.gate.values import Json

NAMED = 5


def signature_facts(opened: OpenSubject, references: References | None, record: Record) -> dict[str, Json]:
    """``{"signature": {"verified": ..., "signer": ...}}``; nothing where there is no signature.

    Args:
        opened: The held model.
        references: Know whose signatures count; None where nobody said.
        record: Where findings go: a signature of other bytes is an error, one of a stranger a warning.

    Raises:
        SubjectError: The model cannot be read.
    """
    if references is None or MODEL_SIGNATURE not in opened.files:
        return {}
    try:
        signed = references.signature(opened, MODEL_SIGNATURE)
    except UnknownSignerError as error:
        record.warning(rules.SIGNATURE, error.what, MODEL_SIGNATURE)
        return _fact(verified=False)
    except SignatureError as error:
        record.error(rules.SIGNATURE, shown(error.what, 1000), MODEL_SIGNATURE)
        return _fact(verified=False)
    if signed.unsigned:
        some = ", ".join(shown(file) for file in signed.unsigned[:NAMED])
        more = ", ..." if len(signed.unsigned) > NAMED else ""
        record.warning(rules.SIGNATURE, f"the signature leaves out files of the model: {some}{more}", MODEL_SIGNATURE)
    return _fact(verified=not signed.unsigned, signer=signed.signer)


def _fact(*, verified: bool, signer: str = "") -> dict[str, Json]:
    return {"signature": {"verified": verified, "signer": signer}}
