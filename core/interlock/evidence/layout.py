"""An in-toto layout and links for one run, so that stock ``in-toto-verify`` can check a run as a whole.

``in-toto-verify`` knows layouts and links, not Statements, so the exporter translates: each step of the run that was
allowed becomes a signed link, and the layout demands them all - the same bytes from gate to gate, and a model that
training made from them. A step that was refused has no link, and a subject whose bytes changed between two steps fits
no rule: either way the verification of that run fails, as it should. The links name the receipts they stand for.

The formats are in-toto specification 1.0, sections 4.3 (layout) and 4.4 (link), in DSSE (ITE-5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from interlock.evidence.keys import ReceiptSigner
from interlock.evidence.ledger_check import LedgerEntry
from interlock.evidence.receipt import Receipt
from interlock.evidence.verification import PAYLOAD_TYPE
from interlock.gate.errors import UsageError
from interlock.gate.values import Json, Stage, Subject, Verdict

LAYOUT_FILE = "root.layout"
LAYOUT_LIFETIME = timedelta(days=365)

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One step of the run: its newest receipt, and what it took and gave, by artifact name."""

    name: str
    entry: LedgerEntry
    receipt: Receipt
    materials: dict[str, str]
    products: dict[str, str]


def write_layout(
    folder: Path, run: Sequence[tuple[LedgerEntry, Receipt]], *, signer: ReceiptSigner, now: datetime
) -> None:
    """Write ``root.layout``, ``signer.pem`` and a link for each step that was allowed.

    Args:
        folder: Made here.
        run: Verified receipts of one run, oldest first.
        signer: Signs layout and links.
        now: UTC.

    Raises:
        UsageError: The receipts are of several pipelines.
        UnavailableError: The key service did not answer.
    """
    pipelines = sorted({f"{receipt.run.orchestrator} {receipt.run.pipeline}" for _, receipt in run})
    if len(pipelines) > 1:
        raise UsageError(f"several pipelines have a run of that name: {', '.join(pipelines)}", where="run")
    steps = _steps(run)
    folder.mkdir(parents=True)
    (folder / "signer.pem").write_text(signer.public_pem, encoding="ascii")
    _write_signed(folder / LAYOUT_FILE, _layout(steps, signer=signer, now=now), signer)
    for step in steps:
        if step.receipt.verdict is Verdict.ALLOW:
            _write_signed(folder / f"{step.name}.{signer.keyid[:8]}.link", _link(step), signer)


def _steps(run: Sequence[tuple[LedgerEntry, Receipt]]) -> list[_Step]:
    names = _ArtifactNames([receipt for _, receipt in run])
    newest: dict[tuple[str, str, Stage, str], tuple[LedgerEntry, Receipt]] = {}
    for entry, receipt in run:
        key = (f"{receipt.run.task_id}/{receipt.run.map_index}", receipt.gate, receipt.stage, names.of(receipt.subject))
        newest.pop(key, None)  # a retry takes the place of the try before, and its place in the order
        newest[key] = (entry, receipt)
    steps: list[_Step] = []
    taken: set[str] = set()
    for entry, receipt in newest.values():
        name = _free(receipt.gate if receipt.stage is Stage.GATE else f"guard-{receipt.gate}", taken)
        subject = {names.of(receipt.subject): receipt.subject.digest}
        made = {names.of(material): material.digest for material in receipt.materials}
        steps.append(_Step(name=name, entry=entry, receipt=receipt, materials=made or subject, products=subject))
    return steps


class _ArtifactNames:
    """One name for one thing: subjects of the same place, or of the same bytes, are the same artifact.

    That two receipts of one place name different bytes must stay visible as one artifact that changed.
    """

    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self._known: dict[str, str] = {}
        taken: set[str] = set()
        for receipt in receipts:
            for subject in (*receipt.materials, receipt.subject):
                name = self._known.get(subject.uri) or self._known.get(subject.digest)
                name = name or _free(_UNSAFE.sub("_", subject.name) or "subject", taken)
                self._known[subject.uri] = self._known[subject.digest] = name

    def of(self, subject: Subject) -> str:
        return self._known[subject.uri]


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(free)
    return free


def _layout(steps: Sequence[_Step], *, signer: ReceiptSigner, now: datetime) -> dict[str, Json]:
    run = steps[0].receipt.run
    made_by: dict[str, str] = {}
    described: list[Json] = []
    for step in steps:
        described.append(_described(step, made_by, signer.keyid))
        made_by |= dict.fromkeys(step.products, step.name)
    key: dict[str, Json] = {"keyid": signer.keyid, **signer.public.to_dict()}
    return {
        "_type": "layout",
        "expires": (now + LAYOUT_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "inspect": [],
        "keys": {signer.keyid: key},
        "readme": f"{run.orchestrator} {run.pipeline} {run.run_id}: every step allowed, on the same bytes throughout",
        "steps": described,
    }


def _described(step: _Step, made_by: dict[str, str], keyid: str) -> dict[str, Json]:
    materials: list[Json] = [
        ["MATCH", name, "WITH", "PRODUCTS", "FROM", made_by[name]] if name in made_by else ["ALLOW", name]
        for name in step.materials
    ]
    products: list[Json] = [
        ["MATCH", name, "WITH", "MATERIALS", "FROM", step.name] if name in step.materials else ["CREATE", name]
        for name in step.products
    ]
    required: list[Json] = [["REQUIRE", name] for name in step.products]
    return {
        "_type": "step",
        "name": step.name,
        "expected_command": [],
        "expected_materials": [*materials, ["DISALLOW", "*"]],
        "expected_products": [*required, *products, ["DISALLOW", "*"]],
        "pubkeys": [keyid],
        "threshold": 1,
    }


def _link(step: _Step) -> dict[str, Json]:
    receipt = step.receipt
    return {
        "_type": "link",
        "name": step.name,
        "command": [],
        "materials": {name: {"sha256": digest} for name, digest in step.materials.items()},
        "products": {name: {"sha256": digest} for name, digest in step.products.items()},
        "byproducts": {
            "receipt_id": receipt.receipt_id,
            "envelope": {"sha256": step.entry.envelope_digest},
            "verdict": receipt.verdict.value,
            "signer": receipt.keyid,
        },
        "environment": {"task_id": receipt.run.task_id, "attempt": receipt.run.attempt},
    }


def _write_signed(place: Path, document: dict[str, Json], signer: ReceiptSigner) -> None:
    from securesystemslib.dsse import Envelope

    envelope = Envelope(json.dumps(document, sort_keys=True).encode(), PAYLOAD_TYPE, {})
    signer.sign(envelope)
    place.write_text(json.dumps(envelope.to_dict(), sort_keys=True), encoding="utf-8")
