"""The protected steps as operators: train behind the guard, promote behind the guard; and the snapshot before both.

The guard runs inside the step, on the bytes as they are opened now, so clearing, marking success or a forged XCom
upstream changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from interlock.airflow.base import InterlockOperator, open_runner, pointer, run_identity

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.gate import Json


PROGRESS_SECONDS = 30.0
"""Between two lines of the task log about how far a training is."""


class SnapshotOperator(InterlockOperator):
    """Digests a dataset or model and, with `to`, publishes a copy named by that digest.

    Args:
        subject: Path or URL (templated).
        to: Folder or URL under which ``sha256-<digest>`` appears (templated); empty digests only.
    """

    template_fields: Collection[str] = ("subject", "to")

    def __init__(self, *, subject: str, to: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject = subject
        self.to = to

    def execute(self, context: Context) -> dict[str, str]:  # noqa: ARG002 (Airflow passes it)
        """Returns the URI and the digest; later steps treat both as untrusted and digest again."""
        with open_runner(self.interlock_conn_id) as runner:
            taken = runner.snapshot(self.subject, self.to)
        self.log.info("sha256:%s, %d files, %d bytes", taken.subject.digest, taken.files, taken.size)
        return {"uri": taken.subject.uri, "digest": taken.subject.digest}


class SecureTrainOperator(InterlockOperator):
    """Trains in the sandbox, on a verified read-only copy of the data, once the guard is open.

    Args:
        data: Path or URL of the dataset (templated).
        out: Path or URL where the output appears, whole or not at all (templated).
        command: What to run. ``{data}`` and ``{out}`` in it become the paths inside the sandbox, which the
            environment also holds as ``INTERLOCK_DATA`` and ``INTERLOCK_OUT``.
        function: Instead of a command: ``module:name`` or a function ``f(data: Path, out: Path)``; tensors that it
            returns are saved as safetensors.
        code: Files and folders that the sandbox may read besides Python itself.
        image: ``registry/name@sha256:...`` of a container image whose files the training sees in place of the worker's.
        visible: Further folders of the worker, shown read-only where they are.
        environment: Names and values set inside; all of it stands in the receipt, so no secrets.
        seed: ``INTERLOCK_SEED`` and ``PYTHONHASHSEED`` inside.
        wall_clock: Seconds after which the run is ended.
        output_bytes: Largest output.
        requires: Gate kinds on top of those that policy requires.
        team: Whose budget pays; policy says which pipelines may spend it.
        budget: What the run may use up at most, by ``gpu_hours``, ``energy_kwh`` and ``money``; more ends it.
        restarts: How often its workers may be started again; with `checkpoints`, also how often all of it is started
            again, from a checkpoint that it left when it died.
        checkpoints: Folder for checkpoints, which outlives a try: the next one goes on from there.
        deterministic: Ask the training to be repeatable.
        check_determinism: Run it twice, and compare what both runs wrote; policy can require that they are equal.
        keep_pickles: Let pickles leave as they are, where the artifact scan has nothing against them; otherwise what
            `torch.save` wrote leaves as proven safetensors, and no other pickle leaves.
        base: Path or URL of the model that the training starts from, which ``INTERLOCK_BASE`` names inside (templated).
        on_nan: ``stop``, ``warn`` or ``ignore``: a loss that is no number (see `interlock.training.watching`).
        on_spike: The same for a loss or a gradient norm that leaps.
        stall_seconds: How long the code may tell of no step before it is ended; None waits for ever.
        losses: File on the worker where recorded losses go, out of the output (templated); empty leaves them there.
        gpus: How many GPUs, or which ones by index or UUID; 0 is none, and None leaves it unsaid.
        confidential: Whether they have to be in confidential mode.
        scrub: Whether their free memory is overwritten before and after.
        epsilon: With `delta`: train with differential privacy, spending so much at most; the code calls
            `interlock.training.privacy.private`.
        delta: Below 1 / rows.
        max_grad_norm: Clipping norm for the code.
    """

    template_fields: Collection[str] = ("data", "out", "checkpoints", "base", "losses")
    interlock_protects: ClassVar[str] = "training"
    interlock_step: ClassVar[str] = "interlock.airflow.steps.SecureTrainOperator"
    custom_operator_name = "SecureTrainOperator"  # a mapped subclass is known to the scheduler by it
    ui_color = "#f7ead9"

    def __init__(
        self,
        *,
        data: str,
        out: str,
        command: Sequence[str] | None = None,
        function: str | Callable[..., object] | None = None,
        code: Sequence[str] = (),
        image: str = "",
        visible: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        seed: int = 0,
        wall_clock: float = 3600.0,
        output_bytes: int = 10 * 2**30,
        requires: Sequence[str] = (),
        team: str = "",
        budget: Mapping[str, Json] | None = None,
        restarts: int | None = None,
        checkpoints: str = "",
        deterministic: bool = False,
        check_determinism: bool = False,
        keep_pickles: bool = False,
        base: str = "",
        on_nan: str = "stop",
        on_spike: str = "warn",
        stall_seconds: float | None = None,
        losses: str = "",
        gpus: int | Sequence[str] | None = None,
        confidential: bool = False,
        scrub: bool = False,
        epsilon: float | None = None,
        delta: float | None = None,
        max_grad_norm: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data = data
        self.out = out
        self.command = command
        self.function = function
        self.code = code
        self.image = image
        self.visible = visible
        self.environment = environment
        self.seed = seed
        self.wall_clock = wall_clock
        self.output_bytes = output_bytes
        self.requires = requires
        self.team = team
        self.budget = budget if budget is not None else {}
        self.restarts = restarts
        self.checkpoints = checkpoints
        self.deterministic = deterministic
        self.check_determinism = check_determinism
        self.keep_pickles = keep_pickles
        self.base = base
        self.on_nan = on_nan
        self.on_spike = on_spike
        self.stall_seconds = stall_seconds
        self.losses = losses
        self.gpus = gpus
        self.confidential = confidential
        self.scrub = scrub
        self.epsilon = epsilon
        self.delta = delta
        self.max_grad_norm = max_grad_norm

    def execute(self, context: Context) -> dict[str, str]:
        """Guard, sandbox, provenance receipt, publication."""
        from interlock.reporting import tell
        from interlock.runner import train_request
        from interlock.training.watching import Seldom

        with open_runner(self.interlock_conn_id) as runner:
            request = train_request(
                data=self.data,
                out=self.out,
                command=self.command,
                function=self.function,
                code=self.code,
                image=self.image,
                visible=self.visible,
                environment=self.environment,
                seed=self.seed,
                wall_clock=self.wall_clock,
                output_bytes=self.output_bytes,
                requires=self.requires,
                team=self.team,
                budget=self.budget,
                restarts=self.restarts,
                checkpoints=self.checkpoints,
                deterministic=self.deterministic,
                check_determinism=self.check_determinism,
                keep_pickles=self.keep_pickles,
                base=self.base,
                on_nan=self.on_nan,
                on_spike=self.on_spike,
                stall_seconds=self.stall_seconds,
                losses=self.losses,
                gpus=self.gpus,
                confidential=self.confidential,
                scrub=self.scrub,
                epsilon=self.epsilon,
                delta=self.delta,
                max_grad_norm=self.max_grad_norm,
                run=run_identity(context),
            )
            trained = runner.train(
                request,
                on_line=lambda line: self.log.info("training: %s", line),
                on_progress=Seldom(lambda line: self.log.info("progress: %s", line), PROGRESS_SECONDS),
            )
            tell(self.log, trained.outcome)
            trained.outcome.raise_unless_allowed()
        return pointer(trained.outcome.recorded)


class DeployGateOperator(InterlockOperator):
    """Promotes a model to a registry alias, once the guard is open on exactly its bytes.

    Args:
        model: Path or URL of the model (templated).
        to: ``registry://<name>/<alias>`` (templated).
        declared: What policy may ask about the deployment: ``author``, ``image`` or ``images`` by digest, ``rollout``
            (``canary_percent``, ``rollback_to``), ``manifests`` (Kubernetes objects). Templated: it says what is
            deployed, and policy says whether that is enough.
        requires: Gate kinds on top of those that policy requires.
    """

    template_fields: Collection[str] = ("model", "to", "declared")
    interlock_protects: ClassVar[str] = "deployment"
    interlock_step: ClassVar[str] = "interlock.airflow.steps.DeployGateOperator"
    custom_operator_name = "DeployGateOperator"  # a mapped subclass is known to the scheduler by it
    ui_color = "#dff0e2"

    def __init__(
        self,
        *,
        model: str,
        to: str,
        declared: Mapping[str, Json] | None = None,
        requires: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.to = to
        self.declared = declared if declared is not None else {}
        self.requires = requires

    def execute(self, context: Context) -> dict[str, str]:
        """Guard, then promotion of the held bytes."""
        from interlock.runner import DeployRequest

        request = DeployRequest(
            model=self.model,
            to=self.to,
            declared=self.declared,
            requires=tuple(self.requires),
            run=run_identity(context),
        )
        with open_runner(self.interlock_conn_id) as runner:
            deployed = runner.deploy(request)
        self.log.info("%s now is sha256:%s", self.to, deployed.promotion.digest)
        return pointer(deployed.guard)
