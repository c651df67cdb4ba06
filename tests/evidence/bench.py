"""The workbench of these tests: real keys, a real ledger and store, and a decider that says what it is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from interlock.evidence import (
    Guard,
    KeyRing,
    Ledger,
    LedgerEntry,
    ReceiptRecorder,
    ReceiptSigner,
    ReceiptSource,
    Store,
    TrustedKey,
)
from interlock.gate import (
    Coverage,
    Decision,
    Finding,
    GateContext,
    Json,
    Measure,
    Observation,
    Reason,
    Recorded,
    Report,
    RunIdentity,
    Severity,
    Stage,
    Subject,
    Tool,
    Verdict,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUN = RunIdentity(orchestrator="airflow", pipeline="retrain", run_id="manual__1", task_id="train")
BUNDLE = "b" * 64
LIFETIME = timedelta(hours=1)
PAYLOAD_TYPE = "application/vnd.in-toto+json"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


@dataclass
class ToldDecider:
    """Answers what it was told; keeps what it was asked. Implements `BundledDecider`."""

    verdict: Verdict = Verdict.ALLOW
    bundle: str = BUNDLE
    asked: list[Mapping[str, Json]] = field(default_factory=list)

    @property
    def bundle_digest(self) -> str:
        return self.bundle

    @contextmanager
    def held(self) -> Iterator[ToldDecider]:
        yield self

    def decide(self, document: Mapping[str, Json]) -> Decision:
        self.asked.append(document)
        return decision(self.verdict, bundle=self.bundle)


def decision(verdict: Verdict = Verdict.ALLOW, *, bundle: str = BUNDLE) -> Decision:
    refuses = Reason(id="told.no", title="Told", severity=Severity.HIGH, message="told to refuse", remediation="ask")
    return Decision(
        verdict=verdict,
        reasons=(refuses,) if verdict is Verdict.DENY else (),
        errors=("told to doubt",) if verdict is Verdict.UNDECIDED else (),
        engine="told",
        engine_version="1",
        bundle_digest=bundle,
        decision_id="d-1",
    )


def report(subject: Subject, gate: str = "data-validation", *findings: Finding) -> Report:
    return Report(
        gate=gate,
        subject=subject,
        observation=Observation(
            findings=findings,
            measures=(Measure(name="rows", value=100, unit="rows"),),
            coverage=Coverage(looked_at=(subject.name,)),
        ),
        tools=(Tool(name="tool", version="1"),),
        configuration='{"min_rows":1}',
        started=NOON,
        finished=NOON,
    )


def new_signer(*, dev: bool = False) -> ReceiptSigner:
    signer = CryptoSigner.generate_ed25519()
    return ReceiptSigner(signer=signer, public=signer.public_key, dev=dev)


def trusted(signer: ReceiptSigner, name: str = "signer", gates: Sequence[str] | None = None) -> TrustedKey:
    return TrustedKey(
        name=name, key=signer.public, gates=frozenset(gates) if gates is not None else None, dev=signer.dev
    )


def signed(statement: Any, *signers: ReceiptSigner, payload_type: str = PAYLOAD_TYPE) -> str:
    """An envelope over any payload: what an attacker with a key of their own can make."""
    payload = statement if isinstance(statement, bytes) else json.dumps(statement).encode()
    envelope = Envelope(payload, payload_type, {})
    for signer in signers:
        signer.sign(envelope)
    return json.dumps(envelope.to_dict())


def statement_in(envelope: str) -> Any:
    return json.loads(base64.b64decode(json.loads(envelope)["payload"]))


@dataclass
class Bench:
    """Everything that a test of evidence needs, in one folder."""

    folder: Path
    clock: Clock
    signer: ReceiptSigner
    keyring: KeyRing
    ledger: Ledger
    store: Store
    decider: ToldDecider

    @classmethod
    def at(cls, folder: Path) -> Bench:
        clock, signer = Clock(), new_signer()
        return cls(
            folder=folder,
            clock=clock,
            signer=signer,
            keyring=KeyRing([trusted(signer)]),
            ledger=Ledger.open(f"sqlite:///{folder / 'ledger.db'}", clock=clock),
            store=Store(folder / "store"),
            decider=ToldDecider(),
        )

    def data(self, name: str = "train", text: str = "a,b\n1,2\n") -> Path:
        folder = self.folder / "lake" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "part-0.csv").write_text(text)
        return folder

    def subject(self, path: Path) -> Subject:
        with self.store.open(str(path)) as opened:
            return opened.subject

    def recorder(self, signer: ReceiptSigner | None = None) -> ReceiptRecorder:
        return ReceiptRecorder(signer or self.signer, self.ledger, LIFETIME, store=self.store, clock=self.clock)

    def receipt(
        self,
        subject: Subject,
        gate: str = "data-validation",
        verdict: Verdict = Verdict.ALLOW,
        *,
        run: RunIdentity = RUN,
        stage: Stage = Stage.GATE,
        profile: str = "standard",
        bundle: str = BUNDLE,
        signer: ReceiptSigner | None = None,
        materials: Sequence[Subject] = (),
    ) -> Recorded:
        context = GateContext(run=replace(run, task_id=gate), profile=profile, stage=stage)
        judged = decision(verdict, bundle=bundle)
        return self.recorder(signer).record(report(subject, gate), judged, context, materials=materials)

    def entry(self, recorded: Recorded) -> LedgerEntry:
        return self.ledger.get(recorded.receipt_id)

    def guard(
        self,
        *,
        keyring: KeyRing | None = None,
        known_bundles: Sequence[str] = (),
        receipts: ReceiptSource | None = None,
    ) -> Guard:
        return Guard(
            receipts=receipts or self.ledger,
            keyring=keyring or self.keyring,
            opener=self.store,
            decider=self.decider,
            recorder=self.recorder(),
            known_bundles=known_bundles,
            clock=self.clock,
        )
