"""What a pipeline step asks of a runner, and what it gets back.

Requests say *what* to check. How strictly is the deployment's business (`interlock.gate.Settings`, the policy bundle),
which is why no request carries a profile, a key or a threshold that policy owns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from interlock.gate import GateOutcome, Json, Recorded, RunIdentity, Subject

if TYPE_CHECKING:
    from interlock.deployment import Promotion
    from interlock.deployment.approval import Answer
    from interlock.evidence import Opened, Testimony
    from interlock.training import TrainingRun, TrainingSpec
    from interlock.training.gpu import GpuRequest
    from interlock.training.privacy import PrivacyTarget
    from interlock.training.watching import WatchOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRequest:
    """Run one gate on one subject.

    Args:
        kind: One of `interlock.runner.catalogue.gate_kinds()`.
        subject: Path or URL, untrusted.
        options: The gate's options, JSON values.
        outputs: Where what the gate leaves behind beside its report goes, by name of the output. Untrusted.
        named: Path or URL by which receipts name the subject, when it lies at `subject` only for this step. Untrusted.
        run: Which run asks.
    """

    kind: str
    subject: str
    options: Mapping[str, Json] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    named: str = ""
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRequest:
    """Open a protected step on one subject.

    Args:
        kind: ``training`` or ``deployment``.
        subject: Path or URL of what the step is about to use.
        requires: Gate kinds on top of those that policy requires; it can add, never take away.
        requested: What the step asks for (isolation, image, resources), for policy to judge.
        named: As in `GateRequest`.
        run: Which run asks.
    """

    kind: str
    subject: str
    requires: tuple[str, ...] = ()
    requested: Mapping[str, Json] = field(default_factory=dict)
    named: str = ""
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """Train behind the guard, in the sandbox.

    Args:
        data: Path or URL of the dataset.
        out: Path or URL where the output appears, whole or not at all.
        spec: What to run and its limits.
        requires: As in `GuardRequest`.
        team: Whose budget pays; policy says which pipelines may spend it. Empty when nobody's.
        budget: What the run may use up at most, by ``gpu_hours``, ``energy_kwh`` and ``money``.
        restarts: How often its workers may be started again; None is no limit. With `checkpoints`, also how often all
            of it is started again from a checkpoint that it left when it died; None is never.
        checkpoints: Folder for checkpoints, which outlives the run; empty where it keeps none.
        deterministic: Ask the training to be repeatable: seeds, deterministic kernels, a fixed number of threads.
        check_determinism: Run it twice, and compare what both runs wrote.
        keep_pickles: Let pickles leave as they are, where the artifact scan has nothing against them. Otherwise what
            `torch.save` wrote leaves as proven safetensors, and no other pickle leaves.
        base: Path or URL of the model that the training starts from, which ``INTERLOCK_BASE`` names inside; empty when
            it starts from none.
        watch: How the watch on its losses answers; its defaults when not given.
        gpus: Which GPUs it gets; None where the step does not say, which policy may not take for none.
        privacy: The epsilon and delta that it may spend; None for a training without differential privacy.
        data_named: As `named` in `GateRequest`, for the dataset.
        out_named: The same for the output.
        run: Which run asks.
    """

    data: str
    out: str
    spec: TrainingSpec
    requires: tuple[str, ...] = ()
    team: str = ""
    budget: Mapping[str, Json] = field(default_factory=dict)
    restarts: int | None = None
    checkpoints: str = ""
    deterministic: bool = False
    check_determinism: bool = False
    keep_pickles: bool = False
    base: str = ""
    watch: WatchOptions | None = None
    gpus: GpuRequest | None = None
    privacy: PrivacyTarget | None = None
    data_named: str = ""
    out_named: str = ""
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployRequest:
    """Promote a model behind the guard.

    Args:
        model: Path or URL of the model.
        to: ``registry://<name>/<alias>``.
        declared: What is said of the deployment, for policy to judge: ``author``, ``image`` or ``images``, ``rollout``,
            ``manifests`` (`requested` of the input document's schema). Untrusted.
        requires: As in `GuardRequest`.
        named: As in `GateRequest`.
        run: Which run asks.
    """

    model: str
    to: str
    declared: Mapping[str, Json] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    named: str = ""
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """Judge and record what a person answered about a subject.

    Args:
        subject: Path or URL of what the question was about; its bytes are taken anew.
        answer: What the orchestrator's own record says, read by the caller.
        run: Which run asks.
    """

    subject: str
    answer: Answer
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalQuestion:
    """What a person is shown before they answer.

    Args:
        subject: The bytes as they are now.
        testimonies: The receipts that speak for them, oldest first.
        approvers: Who may answer, by policy data.
    """

    subject: Subject
    testimonies: tuple[Testimony, ...]
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOutcome:
    """A snapshot that was taken.

    Args:
        subject: Its name, URI and digest.
        files: How many files it holds.
        size: Bytes.
    """

    subject: Subject
    files: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """A training that ran.

    Args:
        guard: The receipt of the guard that let it start.
        outcome: Report, decision and provenance receipt over the output.
        training: How the run in the sandbox went.
    """

    guard: Recorded
    outcome: GateOutcome
    training: TrainingRun


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployOutcome:
    """A promotion that happened.

    Args:
        guard: The receipt of the guard that let it happen.
        promotion: What the registry wrote.
    """

    guard: Recorded
    promotion: Promotion


class Runner(Protocol):
    """Where gates run: in this process, or behind a service. A DAG does not change between them."""

    def run_gate(self, request: GateRequest) -> GateOutcome:
        """Run one gate; the receipt is durable before this returns. Does not raise for DENY."""
        ...

    def open_guard(self, request: GuardRequest) -> AbstractContextManager[Opened]:
        """Hold the bytes still and open the guard on them, or raise `GuardError`."""
        ...

    def train(
        self,
        request: TrainRequest,
        *,
        on_line: Callable[[str], None] | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> TrainOutcome:
        """Guard, sandbox, provenance, publication, in this order.

        `on_line` gets what the training prints, `on_progress` a line about how far it is, about twice a second.
        Nothing is published without ALLOW; does not raise for DENY of what came out.
        """
        ...

    def deploy(self, request: DeployRequest) -> DeployOutcome:
        """Guard, then promotion of exactly the held bytes."""
        ...

    def question(self, subject: str, step: str) -> ApprovalQuestion:
        """What to show to whoever is asked to approve `step`, and who may answer."""
        ...

    def record_approval(self, request: ApprovalRequest) -> GateOutcome:
        """Judge an answer; the receipt is durable before this returns. Does not raise for DENY."""
        ...

    def snapshot(self, subject: str, to: str = "") -> SnapshotOutcome:
        """Digest a subject and, with `to`, publish a copy named by that digest under it."""
        ...
