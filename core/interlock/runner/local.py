"""Gates, guards, training and promotion in this process, wired from the deployment's settings.

Every room is opened when it is first needed: a guard on a ledger does not start a policy engine that a snapshot would
not ask. Use it as a context manager, so that the engine's helper process ends with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from interlock.gate import (
    Decision,
    Gate,
    GateContext,
    GateOutcome,
    Leaving,
    Observation,
    Recorded,
    References,
    Referring,
    Report,
    RunIdentity,
    Sequel,
    Settings,
    Stage,
    Subject,
    UsageError,
    Verdict,
    run_gate,
    utc_now,
)
from interlock.gate.values import joined
from interlock.runner.catalogue import build_gate
from interlock.runner.renamed import Renamed, named
from interlock.runner.requests import (
    ApprovalQuestion,
    ApprovalRequest,
    DeployOutcome,
    DeployRequest,
    GateRequest,
    GuardRequest,
    SnapshotOutcome,
    TrainOutcome,
    TrainRequest,
)

if TYPE_CHECKING:
    from interlock.evidence import Guard, KeyRing, Ledger, Opened, ReceiptRecorder, ReceiptSource, Store
    from interlock.policy import FollowingDecider
    from interlock.training import Sandbox
    from interlock.training.images import HeldImage


class LocalRunner:
    """Runs everything here ("dev" and "team" of the design).

    Args:
        settings: Who may say how strictly; see `interlock.gate.settings`.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = ExitStack()

    @property
    def settings(self) -> Settings:
        """Who may say how strictly."""
        return self._settings

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @cached_property
    def ledger(self) -> Ledger:
        """The append-only store of receipts."""
        from interlock.evidence import Ledger

        return Ledger.open(self._settings.ledger_url)

    @cached_property
    def receipts(self) -> ReceiptSource:
        """The ledger, and the exports of others that the settings name."""
        from interlock.evidence import open_receipts

        return open_receipts(self._settings, self.ledger)

    @cached_property
    def keyring(self) -> KeyRing:
        """The public keys whose receipts count here."""
        from interlock.evidence import KeyRing

        _ = self.recorder  # first: on a fresh machine it makes the dev key that the ring reads
        return KeyRing.load(self._settings)

    @cached_property
    def decider(self) -> FollowingDecider:
        """OPA, as the settings name it, with what people signed; each decision goes into the ledger."""
        from interlock.evidence import GrantFolder
        from interlock.evidence.recorded_approvals import JoinedGrants, RecordedApprovals
        from interlock.policy import open_decider

        grants = JoinedGrants(
            GrantFolder(self._settings.exemptions, self.keyring),
            RecordedApprovals(
                self.receipts,
                self.keyring,
                bundles=lambda: {self.decider.bundle_digest, *self._settings.known_bundles},
            ),
        )
        decider = open_decider(self._settings, grants=grants, ledger=self.ledger.append_decision)
        self._open.callback(decider.close)
        return decider

    @cached_property
    def store(self) -> Store:
        """Where held copies of subjects lie."""
        from interlock.evidence import Store

        return Store(self._settings.store, region=self._settings.region)

    @cached_property
    def recorder(self) -> ReceiptRecorder:
        """Signs and stores receipts."""
        from interlock.evidence import ReceiptRecorder, load_signer

        signer = load_signer(self._settings)
        return ReceiptRecorder(signer, self.ledger, self._settings.receipt_lifetime, store=self.store)

    def run_gate(self, request: GateRequest) -> GateOutcome:
        """Run one gate; the receipt is durable before this returns. Does not raise for DENY.

        Raises:
            InterlockError: As `interlock.gate.run_gate` and `build_gate`.
        """
        gate = build_gate(request.kind, request.options)
        if isinstance(gate, Referring):
            gate.refer(self._references())
        context = self._context(request.run, Stage.GATE)
        return run_gate(
            gate,
            request.subject,
            context=context,
            opener=named(self.store, request.named),
            decider=self.decider,
            recorder=self.recorder,
            sequel=self._sequel(gate, request, context),
        )

    def _references(self) -> References:
        """What a gate may look up; ledger and keys are opened when it asks."""
        from interlock.evidence.references import LedgerReferences

        return LedgerReferences(
            self.store,
            receipts=lambda: self.receipts,
            keyring=lambda: self.keyring,
            profile=self._settings.profile,
        )

    def _sequel(self, gate: Gate, request: GateRequest, context: GateContext) -> Sequel | None:
        """What writes the outputs that a request asks for; None when it asks for none."""
        if not any(request.outputs.values()):
            return None
        if not isinstance(gate, Leaving):
            raise UsageError(f"{request.kind} leaves nothing behind beside its report", where=min(request.outputs))

        def derived(
            report: Report, decision: Decision, *, materials: Sequence[Subject], inputs: Sequence[Recorded]
        ) -> Recorded:
            return self.recorder.record(report, decision, context, materials=materials, inputs=inputs)

        return gate.sequel(request.outputs, derived)

    @contextmanager
    def open_guard(
        self, request: GuardRequest, *, beforehand: Callable[[Subject], Observation] | None = None
    ) -> Iterator[Opened]:
        """Hold the bytes still and open the guard on them.

        Args:
            request: What to open, for which step.
            beforehand: As in `Guard.open`.

        Raises:
            GuardError: The evidence does not suffice; the refusal is in the ledger.
        """
        with self._guarded(request, beforehand) as opened:
            yield opened

    @contextmanager
    def _guarded(
        self, request: GuardRequest, beforehand: Callable[[Subject], Observation] | None = None
    ) -> Iterator[Opened]:
        """The guard; what is measured beforehand comes from this runner and never from a request."""
        from interlock.policy import required_gates

        with self.decider.held() as decider:  # the guard asks what is newest once the bytes are here, and policy again
            required = required_gates(decider.bundle, self._settings.profile, request.kind)
        with self._guard(request.named).open(
            request.subject,
            kind=request.kind,
            requires=tuple(dict.fromkeys((*required, *request.requires))),
            context=self._context(request.run, Stage.GUARD),
            requested=request.requested,
            beforehand=beforehand,
        ) as opened:
            yield opened

    def train(
        self,
        request: TrainRequest,
        *,
        on_line: Callable[[str], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
        beforehand: Callable[[Subject], Observation] | None = None,
    ) -> TrainOutcome:
        """Guard, sandbox, provenance, publication, in this order. Does not raise for DENY of what came out.

        The output is published only after its provenance receipt is durable and policy allowed it, so a model without
        a receipt never appears at `request.out`.

        Args:
            request: What to train, and where its output goes.
            on_line: Gets each line that the training prints, unverified.
            on_progress: Gets a line about how far it is, about twice a second, unverified.
            beforehand: As in `Guard.open`, beside what the safeguards measure.

        Raises:
            GuardError: Training may not start.
            InterlockError: As `interlock.training.run_training` and `interlock.gate.run_gate`.
        """
        from interlock.runner.safeguards import safeguards_of
        from interlock.training import TrainingGate, best_sandbox, publish, run_training, staging_for

        sandbox = best_sandbox()
        with safeguards_of(request, self, say=on_line, on_progress=on_progress) as beside:
            asked = GuardRequest(
                kind="training",
                subject=request.data,
                named=request.data_named,
                requires=request.requires,
                # Without a safeguard for them no GPU is passed on, so none is asked for.
                requested={
                    "isolation": sandbox.level,
                    "command": list(request.spec.command),
                    "gpus": 0,
                    **({"image": request.spec.image} if request.spec.image else {}),
                    **beside.requested(),
                },
                run=request.run,
            )
            with (
                self._guarded(asked, _both(beside.beforehand, beforehand)) as opened,
                staging_for(request.out) as staging,
            ):
                image = self._image(request.spec.image, sandbox)
                training = run_training(
                    request.spec,
                    data=opened.subject,
                    out=staging,
                    sandbox=sandbox,
                    safeguards=beside,
                    checkpoints=Path(request.checkpoints).absolute() if request.checkpoints else None,
                    image=image,
                    on_line=on_line,
                )
                outcome = run_gate(
                    TrainingGate(training, request.spec),
                    str(staging),
                    context=self._context(request.run, Stage.GATE),
                    opener=Renamed(self.store, request.out_named or request.out),
                    decider=self.decider,
                    recorder=self.recorder,
                    requested=asked.requested,
                    materials=training.materials,
                )
                if outcome.decision.verdict is Verdict.ALLOW:
                    publish(staging, request.out)
        return TrainOutcome(guard=opened.recorded, outcome=outcome, training=training)

    def _image(self, reference: str, sandbox: Sandbox) -> HeldImage | None:
        """The image that a training runs in, held; fetched only once the guard is open."""
        from interlock.training.images import hold_image

        return hold_image(reference, self._settings.home / "images", sandbox) if reference else None

    def deploy(
        self, request: DeployRequest, *, beforehand: Callable[[Subject], Observation] | None = None
    ) -> DeployOutcome:
        """Guard, then promotion of exactly the held bytes.

        Args:
            request: What to promote, and where to.
            beforehand: As in `Guard.open`.

        Raises:
            GuardError: The model may not be deployed; the alias stays where it was.
        """
        from interlock.deployment import FolderRegistry

        asked = GuardRequest(
            kind="deployment",
            subject=request.model,
            named=request.named,
            requires=request.requires,
            requested={**request.declared, "to": request.to},
            run=request.run,
        )
        with self._guarded(asked, beforehand) as opened:
            receipts = tuple(receipt.receipt_id for receipt in opened.receipts)
            promotion = FolderRegistry(self._settings.registry).promote(
                opened.subject, to=request.to, receipts=receipts
            )
        return DeployOutcome(guard=opened.recorded, promotion=promotion)

    def question(self, subject: str, step: str) -> ApprovalQuestion:
        """What to show to whoever is asked to approve `step` of `subject`, and who may answer.

        Raises:
            SubjectError: The subject is missing, unreadable or unsafe.
            PolicyError: The policy has no list of approvers.
            UsageError: `step` is none that can be approved.
        """
        from interlock.deployment.approval import approvers_of, checked_step
        from interlock.evidence import speaks_for, take_snapshot

        approvers = approvers_of(self.decider.bundle.data, checked_step(step))
        taken = take_snapshot(subject).subject
        _, testimonies = speaks_for(self.receipts, self.keyring, taken.digest, now=utc_now())
        return ApprovalQuestion(subject=taken, testimonies=testimonies, approvers=approvers)

    def record_approval(self, request: ApprovalRequest) -> GateOutcome:
        """Judge an answer on the bytes as they are now; the receipt is durable before this returns.

        Raises:
            InterlockError: As `interlock.gate.run_gate`.
        """
        from interlock.deployment.approval import ApprovalGate

        return run_gate(
            ApprovalGate(request.answer),
            request.subject,
            context=self._context(request.run, Stage.GATE),
            opener=self.store,
            decider=self.decider,
            recorder=self.recorder,
        )

    def snapshot(self, subject: str, to: str = "") -> SnapshotOutcome:
        """Digest a subject and, with `to`, publish a copy named by that digest under it.

        Raises:
            SubjectError: The subject is missing, unreadable or unsafe.
        """
        from interlock.evidence import take_snapshot

        if not to:
            snapshot = take_snapshot(subject)
            return SnapshotOutcome(subject=snapshot.subject, files=len(snapshot.files), size=snapshot.size)
        with self.store.open(subject) as opened:
            target = f"{to.rstrip('/')}/sha256-{opened.subject.digest}"
            self.store.publish(opened.path, target)
            copied = take_snapshot(target)
        return SnapshotOutcome(subject=copied.subject, files=len(copied.files), size=copied.size)

    def _guard(self, name: str) -> Guard:
        from interlock.evidence import Guard

        return Guard(
            receipts=self.receipts,
            keyring=self.keyring,
            opener=named(self.store, name),
            decider=self.decider,
            recorder=self.recorder,
            known_bundles=self._settings.known_bundles,
        )

    def _context(self, run: RunIdentity, stage: Stage) -> GateContext:
        return GateContext(run=run, profile=self._settings.profile, stage=stage)


def _both(
    one: Callable[[Subject], Observation], other: Callable[[Subject], Observation] | None
) -> Callable[[Subject], Observation]:
    return one if other is None else lambda subject: joined((one(subject), other(subject)))
