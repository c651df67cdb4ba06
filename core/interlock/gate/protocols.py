"""What the run of a gate needs from other rooms, as protocols, so that `gate` depends on nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from interlock.gate.opened import OpenSubject as OpenSubject  # noqa: PLC0414 (it belongs to the protocols)
from interlock.gate.values import Decision, Json, Observation, Report, RunIdentity, Stage, Subject, Tool


class Opener(Protocol):
    """Opens a subject by URI and holds its bytes still for as long as the context lasts."""

    def open(self, uri: str) -> AbstractContextManager[OpenSubject]:
        """Copy and digest `uri`.

        Raises:
            SubjectError: The subject is missing, unreadable or unsafe.
            UnavailableError: The storage did not answer; try again.
        """
        ...


class Gate(Protocol):
    """One kind of look at a subject. It measures and finds; it never decides."""

    @property
    def kind(self) -> str:
        """One of `interlock.gate.values.GATE_KINDS`."""
        ...

    @property
    def tools(self) -> tuple[Tool, ...]:
        """The software that looks, with versions, for the receipt."""
        ...

    def configuration(self) -> Mapping[str, Json]:
        """How the gate is set (thresholds, suite, profile): it goes into the receipt."""
        ...

    def look(self, opened: OpenSubject) -> Observation:
        """Examine the opened subject.

        Raises:
            InterlockError: It could not be examined; the run turns that into an UNDECIDED report.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A receipt that allowed some bytes, for a gate that compares with them.

    Args:
        receipt_id: Of the receipt.
        issued: When, UTC.
        facts: Of the report that the receipt's signature binds, by name.
    """

    receipt_id: str
    issued: datetime
    facts: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A receipt of an earlier evaluation, for one that compares with the model that was accepted last.

    Args:
        receipt_id: Of the receipt.
        issued: When, UTC.
        subject: The model.
        allowed: Whether it says ALLOW, and needed no exemption for it.
        materials: The evaluation set, then what else was used.
        facts: Of the report that the receipt's signature binds, by name; empty unless it allows.
    """

    receipt_id: str
    issued: datetime
    subject: Subject
    allowed: bool
    materials: tuple[Subject, ...]
    facts: Mapping[str, Json]


MODEL_SIGNATURE = "model.sig"
"""The name that signers of models give the file, in the model's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBy:
    """Who signed a model.

    Args:
        signer: The name under which the key is trusted.
        unsigned: Files of the model that the signature leaves out, beside itself and git's own.
    """

    signer: str
    unsigned: tuple[str, ...] = ()


class References(Protocol):
    """What a gate may look up beside its subject. Implemented by `interlock.evidence`."""

    def open(self, uri: str) -> AbstractContextManager[OpenSubject]:
        """Hold other bytes still, as `Opener.open` does.

        Raises:
            SubjectError: They are missing, unreadable or unsafe.
            UnavailableError: The storage did not answer; try again.
        """
        ...

    def allowed(self, *, gate: str, digest: str) -> tuple[Allowed, ...]:
        """Every receipt of `gate` that allows the bytes of `digest`, oldest first; at least one.

        Expired ones count: nothing is opened by them. One that needed an exemption does not.

        Raises:
            EvidenceError: There is none, or the newest receipt says something else; says what to do.
            UnavailableError: The ledger did not answer; try again.
        """
        ...

    def evaluated(self, name: str) -> tuple[Evaluated, ...]:
        """The receipts of evaluations of one name under this deployment's profile, oldest first; expired ones too.

        Args:
            name: Of the evaluation, as its receipts call their first material.

        Raises:
            LedgerError: The ledger is damaged where these receipts lie.
            UnavailableError: The ledger did not answer; try again.
        """
        ...

    def materials(self, digest: str) -> tuple[Subject, ...]:
        """What the model of `digest` was made from, by its training receipts, and what that was made from in turn.

        Nothing where no training receipt is known.

        Raises:
            LedgerError, UnavailableError: As for `evaluated`.
        """
        ...

    def holders(self, digest: str) -> frozenset[str]:
        """Digests of everything with a receipt that is the file of `digest`, or a folder that holds it.

        Raises:
            LedgerError, UnavailableError: As for `evaluated`.
        """
        ...

    def signature(self, model: OpenSubject, place: str) -> SignedBy:
        """Who signed a model, by a signature that lies among its files.

        Args:
            model: Held.
            place: Of the signature, one of `model.files`.

        Raises:
            UnknownSignerError: Whoever signed it, it is nobody whose signature of models counts.
            SignatureError: The signature is malformed, or of other bytes.
        """
        ...


@runtime_checkable
class Referring(Protocol):
    """A gate that compares its subject with something else."""

    def refer(self, references: References) -> None:
        """Take what it may look up; called before `look`."""
        ...


@runtime_checkable
class Using(Protocol):
    """A gate that looks with the help of other bytes than its subject's."""

    def used(self) -> tuple[Subject, ...]:
        """Those bytes, asked after `look`: they stand in the receipt as its materials."""
        ...


class Decider(Protocol):
    """Asks policy. Implemented by `interlock.policy`."""

    def decide(self, document: Mapping[str, Json]) -> Decision:
        """Evaluate one input document (``policies/schemas/decision_input.json``).

        Never raises for an answer that cannot be used: undefined, error, timeout and wrong shape are UNDECIDED.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What people signed for one question, as policy reads it.

    Args:
        exemptions: Verified exemptions for this gate and subject (`exemption` of the input document's schema).
        approvals: Verified approvals of this step for exactly these bytes (`approval` there).
        refused: What was there for this question and does not count, each with the reason.
    """

    exemptions: tuple[Mapping[str, Json], ...] = ()
    approvals: tuple[Mapping[str, Json], ...] = ()
    refused: tuple[str, ...] = ()


class Grants(Protocol):
    """Knows the signed exemptions and approvals. Implemented by `interlock.evidence`."""

    def holding(self, *, gate: str, name: str, digest: str, profile: str) -> Granted:
        """What holds now for one gate, subject and profile. Never raises: what cannot be read does not hold.

        Args:
            gate: Kind of gate, or of protected step.
            name: The subject's name.
            digest: The subject's sha256.
            profile: Policy profile of the deployment.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A receipt that is signed and durably stored.

    Args:
        receipt_id: ULID-like unique id.
        envelope_digest: sha256 of the stored DSSE envelope.
    """

    receipt_id: str
    envelope_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Something that a gate left behind beside its report, or why it did not.

    Args:
        name: Which output it is.
        place: Where it is now; empty when it was not written.
        subject: What its bytes are, where something may use them later.
        receipt_id: The receipt that says where it came from; empty when there is none of its own.
        note: For people.
    """

    name: str
    place: str = ""
    subject: Subject | None = None
    receipt_id: str = ""
    note: str = ""

    def __str__(self) -> str:
        digest = f" (sha256:{self.subject.digest})" if self.subject is not None else ""
        receipt = f"; receipt {self.receipt_id}" if self.receipt_id else ""
        return f"{self.name}: {self.place}{digest}{', ' if self.place else ''}{self.note}{receipt}"


class Derived(Protocol):
    """Writes the receipt of something that a gate made from its subject."""

    def __call__(
        self, report: Report, decision: Decision, *, materials: Sequence[Subject], inputs: Sequence[Recorded]
    ) -> Recorded:
        """Sign and store; returns only after it is durable.

        Args:
            report: How it was made.
            decision: Never ALLOW: nobody has looked at it.
            materials: What it was made from.
            inputs: The receipts that this rests on.

        Raises:
            EvidenceError: The key or the ledger cannot be used.
            UnavailableError: The ledger did not answer; try again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GateContext:
    """Who asks and under which rules. `profile` comes from the deployment's settings, never from a pipeline."""

    run: RunIdentity
    profile: str
    stage: Stage = Stage.GATE


class Recorder(Protocol):
    """Signs and stores. Implemented by `interlock.evidence`."""

    def record(
        self, report: Report, decision: Decision, context: GateContext, *, materials: Sequence[Subject] = ()
    ) -> Recorded:
        """Write one receipt to the ledger; returns only after it is durable.

        Args:
            report: What was seen.
            decision: What policy said of it.
            context: Run, profile and stage; all three go into the receipt.
            materials: What the subject was made from (the data snapshot behind a model); SLSA's
                ``resolvedDependencies``.

        Raises:
            EvidenceError: The key or the ledger cannot be used.
            UnavailableError: The ledger did not answer; try again.
        """
        ...
