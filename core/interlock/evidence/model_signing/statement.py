"""The statement that a model's signature signs: a name, a root digest, and the sha256 of each file.

Format: in-toto Statement v1 with the predicate ``https://model_signing/signature/v1.0`` (sigstore/model-transparency,
``model_signing/_signing/signing.py``). The root digest is the sha256 over the files' digests in the order of their
paths, part by part (``a/x`` before ``a-b``). A file that is the model itself is called ``.``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.evidence.listing import checked_path
from interlock.evidence.receipt import strict_json
from interlock.evidence.snapshot import Snapshot
from interlock.gate.errors import ReceiptError, SignatureError, UnsafeSubjectError

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
ITSELF = "."
GIT = (".git", ".gitattributes", ".github", ".gitignore")
"""What signers of this format leave out unless they are told otherwise."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatement:
    """What is signed.

    Args:
        name: Of the model, for people; nothing checks it.
        files: sha256 by path, in the order of the root digest; ``.`` for a model that is one file.
        ignored: Paths that the signer left out, with all that is below them.
    """

    name: str
    files: Mapping[str, str]
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, snapshot: Snapshot, *, ignored: Iterable[str]) -> ModelStatement:
        """What would be signed of some bytes.

        Args:
            snapshot: The model.
            ignored: Paths to leave out.
        """
        if snapshot.single_file:
            return cls(name=snapshot.name, files={ITSELF: snapshot.digest})
        left_out = tuple(dict.fromkeys(ignored))
        files = {entry.path: entry.sha256 for entry in snapshot.files if not below(entry.path, left_out)}
        return cls(
            name=snapshot.name, files={path: files[path] for path in sorted(files, key=_parts)}, ignored=left_out
        )

    @property
    def root(self) -> str:
        """sha256 over all digests, lower-case hexadecimal."""
        return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in self.files.values())).hexdigest()

    def payload(self) -> bytes:
        """As it is signed."""
        serialization: dict[str, Any] = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
        if self.ignored:
            serialization["ignore_paths"] = list(self.ignored)
        resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in self.files.items()]
        statement = {
            "_type": STATEMENT,
            "subject": [{"name": self.name, "digest": {"sha256": self.root}}],
            "predicateType": PREDICATE,
            "predicate": {"serialization": serialization, "resources": resources},
        }
        return json.dumps(statement, indent=2).encode()

    @classmethod
    def read(cls, payload: bytes) -> ModelStatement:
        """The reverse of `payload`, of anybody's signature.

        Args:
            payload: Signed by a trusted key, and checked all the same.

        Raises:
            SignatureError: It is no such statement, or of a kind that is not verified here.
        """
        try:
            said = read_json(payload, what="the signed statement")
            if said["_type"] != STATEMENT or said["predicateType"] != PREDICATE:
                raise SignatureError(
                    f"the signed statement is a {str(said['predicateType'])[:200]!r}, not {PREDICATE}",
                    next_step="sign the model with model_signing 1.0 or later, or with `interlock artifacts sign`",
                )
            [subject] = said["subject"]
            predicate = said["predicate"]
            found = cls(
                name=_text(subject["name"]),
                files=_files(predicate["resources"]),
                ignored=_ignored(predicate["serialization"]),
            )
            expected = subject["digest"]["sha256"]
        except (KeyError, TypeError, ValueError, UnsafeSubjectError) as error:
            raise SignatureError(
                f"the signed statement does not say what was signed: {type(error).__name__}: {str(error)[:200]}"
            ) from error
        if found.root != expected:
            raise SignatureError("the signed statement contradicts itself: its files are not those of its root digest")
        return found


def read_json(text: bytes, *, what: str) -> Any:
    """JSON that has one meaning.

    Raises:
        SignatureError: It is none.
    """
    try:
        return strict_json(text, what=what)
    except ReceiptError as error:
        raise SignatureError(error.what, next_step="sign the model again") from error


def below(path: str, places: Iterable[str]) -> bool:
    """Whether a path is one of some places, or inside of one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _files(resources: object) -> dict[str, str]:
    if not isinstance(resources, list) or not resources:
        raise ValueError("no files are listed")
    found: dict[str, str] = {}
    for resource in resources:
        name, digest = _text(resource["name"]), _text(resource["digest"])
        if resource["algorithm"] != "sha256":
            raise SignatureError(
                f"the files are signed by {str(resource['algorithm'])[:40]!r}; only sha256 is verified here",
                next_step="sign the model with sha256",
            )
        if name in found or not _SHA256.match(digest):
            raise ValueError(f"{name[:200]!r} stands twice, or without a sha256")
        found[name] = digest
        if name != ITSELF:
            checked_path(name, "signed statement")
    if ITSELF in found and len(found) > 1:
        raise ValueError("a file and a folder at once")
    return found


def _parts(path: str) -> list[str]:
    return path.split("/")


def _ignored(serialization: Any) -> tuple[str, ...]:
    if serialization["method"] != "files" or serialization["hash_type"] != "sha256":
        raise SignatureError(
            f"the model is signed by {str(serialization['method'])[:40]!r} and "
            f"{str(serialization['hash_type'])[:40]!r}; whole files and sha256 are verified here",
            next_step="sign the model with the method `files` and sha256",
        )
    places = serialization.get("ignore_paths", [])
    if not isinstance(places, list):
        raise TypeError("ignore_paths is no list")
    return tuple(_text(place) for place in places)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} instead of a text")
    return value
