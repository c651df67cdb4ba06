"""What a model was made from, and which receipts speak for each part of it: the other half of a deployment's evidence.

A receipt of a training binds the model's bytes to the data and the code. Whether that data passed its gates is written
in other receipts, about other bytes. This gathers them for policy, which decides what each role needs
(`policies/interlock/deployment`). Nothing here opens anything, and what cannot be read simply has no receipts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from interlock.evidence.examination import Witness
from interlock.evidence.receipt import Receipt
from interlock.evidence.receipt_sources import ReceiptSource
from interlock.gate.documents import subject_document
from interlock.gate.values import Json, Subject

_IMAGE = re.compile(r"(?P<name>[^@\s]{1,1000})@sha256:(?P<digest>[0-9a-f]{64})\Z")
_MOST_IMAGES = 100


class Role(Enum):
    """What a material was to the step."""

    DATA = "data"
    CODE = "code"
    IMAGE = "image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """One thing that the subject was made from, or runs in.

    Args:
        role: What it was.
        subject: Its name and digest, as the training's signed receipt or the step itself names them.
        witnesses: The receipts that count for those bytes.
    """

    role: Role
    subject: Subject
    witnesses: tuple[Witness, ...]

    def document(self) -> dict[str, Json]:
        """What a policy rule reads of it."""
        return {
            "role": self.role.value,
            "subject": subject_document(self.subject),
            "receipts": [witness.document() for witness in self.witnesses],
        }


def lineage(
    trainings: Iterable[Witness],
    requested: Mapping[str, Json],
    *,
    receipts: ReceiptSource,
    witnesses: Callable[[str], tuple[Witness, ...]],
) -> tuple[Material, ...]:
    """The materials behind a model that is about to be deployed.

    Args:
        trainings: The accepted receipts of gate ``training`` for the model.
        requested: What the deployment asks for; its ``image`` and ``images``, pinned by digest, are materials too.
            Untrusted.
        receipts: Keeps the trainings' reports.
        witnesses: Finds the receipts that count for a digest.

    Raises:
        LedgerError: The ledger is damaged where these receipts lie.
    """
    found: dict[tuple[Role, str], Subject] = {}
    for training in trainings:
        data = data_digest(training.receipt, receipts)
        for material in training.receipt.materials:
            role = Role.DATA if material.digest == data else Role.CODE
            found.setdefault((role, material.digest), material)
    found |= {(Role.IMAGE, image.digest): image for image in _images(requested)}
    return tuple(
        Material(role=role, subject=subject, witnesses=witnesses(digest)) for (role, digest), subject in found.items()
    )


def data_digest(training: Receipt, receipts: ReceiptSource) -> str:
    """Which material was the data, by the report that the receipt's signature binds; empty when it does not say.

    Args:
        training: An authentic receipt of gate ``training``.
        receipts: Keeps its report.

    Raises:
        LedgerError: The ledger is damaged where this receipt lies.
    """
    entry = receipts.get(training.receipt_id)
    if entry.report_digest != training.report_digest:
        return ""
    configuration = entry.report_document().get("configuration")
    data = configuration.get("data") if isinstance(configuration, Mapping) else None
    return str(data.get("digest", "")) if isinstance(data, Mapping) else ""


def _images(requested: Mapping[str, Json]) -> Iterator[Subject]:
    """The images that are pinned; policy refuses the others, and those beyond the first hundred are not looked up."""
    several = requested.get("images")
    for named in (requested.get("image"), *(several[:_MOST_IMAGES] if isinstance(several, list) else ())):
        match = _IMAGE.match(named) if isinstance(named, str) else None
        if match is not None:
            yield Subject(name=match["name"], uri=match[0], digest=match["digest"])
