"""Signatures of models in the format of OpenSSF model signing, version 1.0, with the keys of this deployment.

A signature is a Sigstore bundle (v0.3) around a DSSE envelope around an in-toto statement that lists the sha256 of
every file. What ``model_signing`` (sigstore/model-transparency, 1.1) signs with a key is verified here, and the
reverse. Nothing is asked of a network.
"""

from interlock.evidence.model_signing.signature import (
    SignedModel,
    models_of,
    read_signature,
    sign_model,
    verify_model,
)

__all__ = ["SignedModel", "models_of", "read_signature", "sign_model", "verify_model"]
