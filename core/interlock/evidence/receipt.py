"""The receipt: a decision bound to bytes, run, report, policy and tools; and its form as an in-toto Statement v1.

One writer and one reader. The reader is given a payload only after a trusted key's signature over it was verified
(`interlock.evidence.verification`); it checks the published JSON Schema first and then what a schema cannot say: that
the standard predicate around the receipt tells the same story as the receipt.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from interlock.gate.documents import (
    canonical_json,
    decision_document,
    decision_from,
    moment_of,
    run_document,
    subject_document,
    timestamp,
    unambiguous_json,
)
from interlock.gate.errors import InterlockError, ReceiptError
from interlock.gate.protocols import Recorded
from interlock.gate.values import Decision, Json, Report, RunIdentity, Stage, Subject, Tool, Verdict

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION_SUMMARY = "https://slsa.dev/verification_summary/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
RECEIPT_SCHEMA = "urn:interlock:receipt:v1"

MAX_PARTS = 1000
"""Folders of more files get no subject per file: the statement would outgrow what other tools read."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A decision and everything that its signature binds.

    Args:
        receipt_id: ULID: 48 bits of time, 80 random bits.
        subject: The bytes that were judged.
        parts: The files of a folder, each by its own sha256; empty for large folders and single files.
        gate: Kind of gate.
        stage: Whether a gate or a guard decided; a guard's receipt opens no other guard.
        profile: Policy profile of the deployment.
        run: Which run of which pipeline.
        decision: What policy said, with engine and bundle digest.
        report_digest: sha256 of the report document, which the ledger keeps.
        configuration_digest: sha256 of how the gate was set.
        tools: What looked.
        materials: What the subject was made from.
        inputs: The receipts that this decision rests on.
        keyid: Whose signature it bears.
        dev: Whether that is a dev key.
        issued: UTC.
        expires: UTC; from then on it opens no guard.
    """

    receipt_id: str
    subject: Subject
    parts: tuple[Subject, ...] = ()
    gate: str
    stage: Stage
    profile: str
    run: RunIdentity
    decision: Decision
    report_digest: str
    configuration_digest: str
    tools: tuple[Tool, ...]
    materials: tuple[Subject, ...] = ()
    inputs: tuple[Recorded, ...] = ()
    keyid: str
    dev: bool
    issued: datetime
    expires: datetime

    @property
    def verdict(self) -> Verdict:
        """ALLOW, DENY or UNDECIDED."""
        return self.decision.verdict

    @property
    def bundle_digest(self) -> str:
        """sha256 of the policy bundle."""
        return self.decision.bundle_digest

    @property
    def engine(self) -> str:
        """Which engine decided."""
        return self.decision.engine

    @property
    def engine_version(self) -> str:
        """In which version."""
        return self.decision.engine_version

    @property
    def exemptions(self) -> tuple[str, ...]:
        """Exemptions that were used."""
        return self.decision.exemptions

    @property
    def predicate_type(self) -> str:
        """The standard predicate that carries this receipt."""
        if self.stage is Stage.GUARD or self.gate == "deployment":
            return VERIFICATION_SUMMARY
        return PROVENANCE if self.gate == "training" else TEST_RESULT


def new_receipt_id(moment: datetime) -> str:
    """A ULID: sorts by time, and cannot be guessed."""
    number = (int(moment.timestamp() * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -5, -5))


def own_tool() -> Tool:
    """This package and its version, for receipts."""
    try:
        return Tool(name="interlock", version=version("interlock"))
    except PackageNotFoundError:
        return Tool(name="interlock", version="unknown")


def statement_document(receipt: Receipt, report: Report) -> dict[str, Json]:
    """The in-toto Statement v1 of `receipt`.

    Args:
        receipt: What is bound.
        report: Gives the standard predicates what they ask for beyond the receipt: configuration and times.
    """
    predicate = {
        TEST_RESULT: lambda: _test_result(receipt),
        VERIFICATION_SUMMARY: lambda: _verification_summary(receipt),
        PROVENANCE: lambda: _provenance(receipt, report),
    }[receipt.predicate_type]()
    parts: list[Json] = [{"name": part.name, "digest": {"sha256": part.digest}} for part in receipt.parts]
    return {
        "_type": STATEMENT_TYPE,
        "subject": [subject_document(receipt.subject), *parts],
        "predicateType": receipt.predicate_type,
        "predicate": predicate | {"interlock_receipt": receipt_document(receipt)},
    }


def receipt_document(receipt: Receipt) -> dict[str, Json]:
    """The `interlock_receipt` of a predicate."""
    return {
        "schema": RECEIPT_SCHEMA,
        "receipt_id": receipt.receipt_id,
        "gate": receipt.gate,
        "stage": receipt.stage.value,
        "profile": receipt.profile,
        "run": run_document(receipt.run),
        "subject": subject_document(receipt.subject),
        "materials": [subject_document(material) for material in receipt.materials],
        "inputs": [
            {"receipt_id": one.receipt_id, "envelope": {"sha256": one.envelope_digest}} for one in receipt.inputs
        ],
        "report_digest": {"sha256": receipt.report_digest},
        "configuration_digest": {"sha256": receipt.configuration_digest},
        "decision": decision_document(receipt.decision),
        "tools": [{"name": tool.name, "version": tool.version} for tool in receipt.tools],
        "signer": {"keyid": receipt.keyid, "dev": receipt.dev},
        "issued": timestamp(receipt.issued),
        "expires": timestamp(receipt.expires),
    }


def receipt_from(payload: bytes) -> Receipt:
    """Read the payload of a verified envelope.

    Args:
        payload: Bytes under a trusted signature; still checked in every field, as keys outlive programs.

    Raises:
        ReceiptError: A field is missing, unknown, mistyped or contradicts another; says which.
    """
    statement = strict_json(payload, what="a receipt's payload")
    try:
        canonical_json(statement)
    except (ValueError, RecursionError) as error:
        raise ReceiptError("a receipt holds what cannot be written again", where="statement") from error
    fault = next(iter(sorted(_validator().iter_errors(statement), key=lambda error: len(error.absolute_path))), None)
    if fault is not None:
        where = "/".join(str(part) for part in fault.absolute_path) or "statement"
        raise ReceiptError(f"a receipt has another shape: {fault.message[:300]}", where=where)
    try:
        receipt = _receipt_of(statement)
    except (KeyError, TypeError, ValueError, InterlockError) as error:
        raise ReceiptError(f"a receipt has another shape: {error}", where="interlock_receipt") from error
    _refuse_contradictions(receipt, statement)
    return receipt


def strict_json(text: str | bytes, *, what: str) -> Any:
    """Parse JSON that has one meaning: no repeated names, no NaN, no bottomless nesting.

    Raises:
        ReceiptError: It is no such JSON.
    """
    try:
        return unambiguous_json(text)
    except ValueError as error:
        raise ReceiptError(f"{what} is no JSON: {error}", next_step="take the receipt from the ledger again") from error


def _receipt_of(statement: Mapping[str, Any]) -> Receipt:
    bound = statement["predicate"]["interlock_receipt"]
    run = bound["run"]
    return Receipt(
        receipt_id=bound["receipt_id"],
        subject=_subject_of(bound["subject"]),
        parts=tuple(_subject_of(part) for part in statement["subject"][1:]),
        gate=bound["gate"],
        stage=Stage(bound["stage"]),
        profile=bound["profile"],
        run=RunIdentity(
            orchestrator=run["orchestrator"],
            pipeline=run["pipeline"],
            run_id=run["run_id"],
            task_id=run["task_id"],
            attempt=run["attempt"],
            map_index=run["map_index"],
        ),
        decision=decision_from(bound["decision"]),
        report_digest=bound["report_digest"]["sha256"],
        configuration_digest=bound["configuration_digest"]["sha256"],
        tools=tuple(Tool(name=tool["name"], version=tool["version"]) for tool in bound["tools"]),
        materials=tuple(_subject_of(material) for material in bound["materials"]),
        inputs=tuple(
            Recorded(receipt_id=one["receipt_id"], envelope_digest=one["envelope"]["sha256"]) for one in bound["inputs"]
        ),
        keyid=bound["signer"]["keyid"],
        dev=bound["signer"]["dev"],
        issued=moment_of(bound["issued"]),
        expires=moment_of(bound["expires"]),
    )


def _refuse_contradictions(receipt: Receipt, statement: Mapping[str, Any]) -> None:
    predicate = statement["predicate"]
    result = predicate.get("result", predicate.get("verificationResult"))
    passed = {"PASSED": True, "WARNED": True, "FAILED": False}.get(result, receipt.verdict is Verdict.ALLOW)
    contradictions = {
        "subject": statement["subject"][0] != subject_document(receipt.subject),
        "predicateType": statement["predicateType"] != receipt.predicate_type,
        "result": passed != (receipt.verdict is Verdict.ALLOW),
        "expires": receipt.expires <= receipt.issued,
    }
    for field, contradicted in contradictions.items():
        if contradicted:
            raise ReceiptError("a receipt contradicts itself", where=field)


def _test_result(receipt: Receipt) -> dict[str, Json]:
    decision = receipt.decision
    allowed = receipt.verdict is Verdict.ALLOW
    passed = "WARNED" if decision.warnings else "PASSED"
    return {
        "result": passed if allowed else "FAILED",
        "configuration": [
            {"name": "configuration", "digest": {"sha256": receipt.configuration_digest}},
            *_bundle_resource(decision),
        ],
        "passedTests": [receipt.gate] if allowed else [],
        "warnedTests": [reason.id for reason in decision.warnings],
        "failedTests": [] if allowed else [reason.id for reason in decision.reasons] or [receipt.gate],
    }


def _verification_summary(receipt: Receipt) -> dict[str, Json]:
    decision = receipt.decision
    allowed = receipt.verdict is Verdict.ALLOW
    bundle = _bundle_resource(decision)
    policy: dict[str, Json] = {"uri": f"urn:interlock:bundle:sha256:{decision.bundle_digest}"}
    return {
        "verifier": {"id": f"urn:interlock:verifier:{receipt.keyid}", "version": _versions(receipt)},
        "timeVerified": timestamp(receipt.issued),
        "resourceUri": receipt.subject.uri,
        "policy": policy | ({"digest": {"sha256": decision.bundle_digest}} if bundle else {}),
        "inputAttestations": [
            {"uri": f"urn:interlock:receipt:{one.receipt_id}", "digest": {"sha256": one.envelope_digest}}
            for one in receipt.inputs
        ],
        "verificationResult": "PASSED" if allowed else "FAILED",
        # SLSA VSA v1 lets a verifier name its own levels; ours is the profile whose requirements were met.
        "verifiedLevels": [f"INTERLOCK_{receipt.profile.upper()}"] if allowed else [],
    }


def _provenance(receipt: Receipt, report: Report) -> dict[str, Json]:
    run = receipt.run
    return {
        "buildDefinition": {
            "buildType": "urn:interlock:training:v1",
            "externalParameters": _object(report.configuration),
            "internalParameters": {"profile": receipt.profile},
            "resolvedDependencies": [subject_document(material) for material in receipt.materials],
        },
        "runDetails": {
            "builder": {"id": f"urn:interlock:builder:{run.orchestrator}", "version": _versions(receipt)},
            "metadata": {
                "invocationId": f"{run.pipeline}/{run.run_id}/{run.task_id}/{run.attempt}",
                "startedOn": timestamp(report.started),
                "finishedOn": timestamp(report.finished),
            },
            "byproducts": [{"name": "report", "digest": {"sha256": receipt.report_digest}}],
        },
    }


def _bundle_resource(decision: Decision) -> list[Json]:
    if not _SHA256.match(decision.bundle_digest):
        return []  # no engine answered, so no policy was applied
    return [{"name": "policy", "digest": {"sha256": decision.bundle_digest}}]


def _versions(receipt: Receipt) -> dict[str, Json]:
    own = own_tool()
    return {own.name: own.version, receipt.engine or "engine": receipt.engine_version}


def _object(text: str) -> Mapping[str, Json]:
    value: Json = json.loads(text)
    return value if isinstance(value, Mapping) else {"configuration": value}


def _subject_of(document: Mapping[str, Any]) -> Subject:
    return Subject(name=document["name"], uri=document.get("uri", ""), digest=document["digest"]["sha256"])


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator

    schema: Any = json.loads((files("interlock.policies") / "schemas" / "receipt.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)


def parts_of(subject: Subject, paths: Sequence[tuple[str, str]]) -> tuple[Subject, ...]:
    """The files of a folder as subjects of their own, or none where there are too many.

    Args:
        subject: The folder.
        paths: Path and sha256 of each file.
    """
    if len(paths) > MAX_PARTS:
        return ()
    return tuple(Subject(name=f"{subject.name}/{path}", uri="", digest=digest) for path, digest in paths)
