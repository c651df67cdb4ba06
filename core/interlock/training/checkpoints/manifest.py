"""What a checkpoint is made of, said in one signed file.

``manifest.json`` is canonical JSON; ``manifest.dsse.json`` is an in-toto statement about exactly its bytes in a DSSE
envelope. Decides whether a manifest speaks for a lineage; whether the files are those of the manifest, `store` decides.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from interlock.gate.documents import canonical_json, unambiguous_json
from interlock.gate.errors import ReceiptError, SignatureError, SubjectError
from interlock.gate.values import Json
from interlock.training.checkpoints.keys import LineageKey

MANIFEST = "manifest.json"
SIGNATURE = "manifest.dsse.json"
FORMAT = 1
LARGEST = 1 << 20
"""Bytes of a manifest, and of its envelope: more is nobody's."""

_KIND = "urn:interlock:checkpoint:v1"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}(\.safetensors|\.json)(\.sealed)?\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file: its name, and the sha256 and the number of its bytes as they lie on the disk, sealed or not."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One checkpoint's content.

    Args:
        sequence: Its number in the folder, from 1; never used twice, however often a step is.
        step: How far the training was, as it counts itself.
        files: All files beside the manifest and its signature.
        parent: sha256 of the manifest before this one; empty for the first.
        created: RFC 3339, the clock of the training; unverified.
        scheme: How the files are sealed, so that their digests are those of the sealed bytes; empty when they are not.
    """

    sequence: int
    step: int
    files: tuple[StoredFile, ...]
    parent: str
    created: str
    scheme: str = ""

    @property
    def content(self) -> bytes:
        """The bytes of ``manifest.json``."""
        return canonical_json(
            {
                "created": self.created,
                "files": [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in self.files],
                "format": FORMAT,
                "parent": self.parent,
                "sealed": self.scheme,
                "sequence": self.sequence,
                "step": self.step,
            }
        )

    @property
    def digest(self) -> str:
        """sha256 of `content`: the checkpoint's name by content, for it names every other byte."""
        return sha256(self.content).hexdigest()

    @property
    def folder(self) -> str:
        """The name of the checkpoint's folder."""
        return f"{self.sequence:08d}-step-{self.step}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def signed(manifest: Manifest, key: LineageKey) -> bytes:
    """The bytes of ``manifest.dsse.json``."""
    from securesystemslib.dsse import Envelope

    from interlock.evidence.receipt import STATEMENT_TYPE
    from interlock.evidence.verification import PAYLOAD_TYPE

    statement: dict[str, Json] = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": MANIFEST, "digest": {"sha256": manifest.digest}}],
        "predicateType": _KIND,
        "predicate": {"step": manifest.step},
    }
    envelope = Envelope(canonical_json(statement), PAYLOAD_TYPE, {})
    key.signer.sign(envelope)
    return json.dumps(envelope.to_dict(), sort_keys=True).encode()


def verified(content: bytes, envelope: bytes, key: LineageKey, *, where: str) -> Manifest:
    """The manifest, once its signature holds.

    Args:
        content: Of ``manifest.json``; untrusted.
        envelope: Of ``manifest.dsse.json``; untrusted.
        key: The lineage's.
        where: The checkpoint's folder, for messages.

    Raises:
        SignatureError: The lineage's key did not sign exactly these bytes.
        SubjectError: It signed something that is no manifest.
    """
    _check_signature(content, envelope, key, where=where)
    try:
        return _manifest_of(unambiguous_json(content))
    except (KeyError, TypeError, ValueError) as error:
        step = "read it with the version of Interlock that wrote it"
        raise SubjectError(f"a manifest has another shape: {error}", where=where, next_step=step) from error


def _check_signature(content: bytes, envelope: bytes, key: LineageKey, *, where: str) -> None:
    from securesystemslib.exceptions import VerificationError

    from interlock.evidence.verification import open_envelope

    step = "resume with the key of the lineage that wrote it; if that is the one, somebody changed it"
    try:
        opened = open_envelope(envelope)
        opened.verify([key.signer.public], 1)
    except (ReceiptError, VerificationError) as error:
        raise SignatureError("no key of this lineage signed the checkpoint", where=where, next_step=step) from error
    statement: Any = json.loads(opened.payload)
    expected = [{"name": MANIFEST, "digest": {"sha256": sha256(content).hexdigest()}}]
    if statement.get("predicateType") != _KIND or statement.get("subject") != expected:
        raise SignatureError("the signature is of another manifest", where=where, next_step=step)


def _manifest_of(document: Any) -> Manifest:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}, where this version reads {FORMAT}")
    manifest = Manifest(
        sequence=document["sequence"],
        step=document["step"],
        files=tuple(StoredFile(**file) for file in document["files"]),
        parent=document["parent"],
        created=document["created"],
        scheme=document["sealed"],
    )
    for file in manifest.files:
        if not _NAME.match(file.name) or not _DIGEST.match(file.sha256) or type(file.size) is not int or file.size < 0:
            raise ValueError(f"a file {file.name[:80]!r} that no checkpoint has")
    return manifest
