"""The other steps of a KFP pipeline: train behind the guard, promote behind the guard, and what comes before both.

The guard runs inside the step, on the bytes that it holds. The receipts that are wired to it must each hold by
themselves, and then the ledger and policy are asked as in Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.kubeflow.code import embedded
from interlock.kubeflow.tasks import make_task
from interlock.kubeflow.wiring import kinds_of, receipt_channels

if TYPE_CHECKING:
    from kfp.dsl.pipeline_channel import PipelineArtifactChannel
    from kfp.dsl.pipeline_task import PipelineTask


def secure_train(
    *,
    data: PipelineArtifactChannel,
    requires: Sequence[PipelineTask],
    command: Sequence[str] | None = None,
    function: str | None = None,
    code: Sequence[str | Path] = (),
    image_code: Sequence[str] = (),
    training_image: str = "",
    environment: Mapping[str, str] | None = None,
    seed: int = 0,
    wall_clock: float = 3600.0,
    output_bytes: int = 10 * 2**30,
    team: str = "",
    budget: Mapping[str, Any] | None = None,
    restarts: int | None = None,
    checkpoints: str = "",
    deterministic: bool = False,
    check_determinism: bool = False,
    keep_pickles: bool = False,
    base: PipelineArtifactChannel | None = None,
    on_nan: str = "stop",
    on_spike: str = "warn",
    stall_seconds: float | None = None,
    gpus: int | Sequence[str] | None = None,
    confidential: bool = False,
    scrub: bool = False,
    epsilon: float | None = None,
    delta: float | None = None,
    max_grad_norm: float | None = None,
    image: str | None = None,
) -> PipelineTask:
    """Train in the sandbox, on a verified read-only copy of the data, once the guard is open.

    Args:
        data: Artifact with the dataset.
        requires: Tasks whose receipts speak for it; policy can require more gates, and the guard asks for them.
        command: What to run. ``{data}`` and ``{out}`` in it become the paths inside the sandbox, which the environment
            also holds as ``INTERLOCK_DATA`` and ``INTERLOCK_OUT``.
        function: Instead of a command: ``module:name`` of a function ``f(data: Path, out: Path)`` in the code.
        code: Files and folders of text that travel in the pipeline; read now.
        image_code: Absolute paths in the pod's image that the sandbox may read besides Python itself.
        training_image: ``registry/name@sha256:...`` of an image whose files the training sees in place of the pod's.
        environment: Names and values set inside; all of it stands in the receipt, so no secrets.
        seed: ``INTERLOCK_SEED`` and ``PYTHONHASHSEED`` inside.
        wall_clock: Seconds after which the run is ended.
        output_bytes: Largest output.
        team: Whose budget pays; policy says which pipelines may spend it.
        budget: What the run may use up at most, by ``gpu_hours``, ``energy_kwh`` and ``money``; more ends it.
        restarts: How often its workers may be started again.
        checkpoints: Folder for checkpoints that outlives the pod, on a mounted volume.
        deterministic: Ask the training to be repeatable.
        check_determinism: Run it twice, and compare what both runs wrote.
        keep_pickles: Let pickles leave as they are, where the artifact scan has nothing against them; otherwise what
            `torch.save` wrote leaves as proven safetensors only.
        base: Artifact with the model that the training starts from, which ``INTERLOCK_BASE`` names inside.
        on_nan: ``stop``, ``warn`` or ``ignore``: a loss that is no number.
        on_spike: The same for a loss or a gradient norm that leaps.
        stall_seconds: How long the code may tell of no step before it is ended; None waits for ever.
        gpus: How many GPUs, or which ones by index or UUID; 0 is none, and None leaves it unsaid. The pod must have
            them, too: ``task.set_accelerator_type(...)``.
        confidential: Whether they have to be in confidential mode.
        scrub: Whether their free memory is overwritten before and after.
        epsilon: With `delta`: train with differential privacy, spending so much at most.
        delta: Below 1 / rows.
        max_grad_norm: Clipping norm for the code.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``model``, ``receipt`` (its provenance, which opens a deployment's guard), ``report`` and
        ``Output``.

    Raises:
        UsageError: Something that says how strictly is no constant, a receipt is missing or opens no guard, or the code
            cannot be embedded.
    """
    options = {
        "command": list(command) if command is not None else None,
        "function": function,
        "code": embedded(code),
        "image_code": list(image_code),
        "image": training_image,
        "environment": environment,
        "seed": seed,
        "wall_clock": wall_clock,
        "output_bytes": output_bytes,
        "team": team,
        "budget": budget,
        "restarts": restarts,
        "checkpoints": checkpoints,
        "deterministic": deterministic,
        "check_determinism": check_determinism,
        "keep_pickles": keep_pickles,
        "on_nan": on_nan,
        "on_spike": on_spike,
        "stall_seconds": stall_seconds,
        "gpus": gpus,
        "confidential": confidential,
        "scrub": scrub,
        "epsilon": epsilon,
        "delta": delta,
        "max_grad_norm": max_grad_norm,
    }
    return _behind_guard("secure_train", requires, image=image, options=options, inputs={"data": data, "base": base})


def deploy_gate(
    *,
    model: PipelineArtifactChannel,
    to: str,
    requires: Sequence[PipelineTask],
    declared: Mapping[str, Any] | None = None,
    image: str | None = None,
) -> PipelineTask:
    """Promote a model to a registry alias, once the guard is open on exactly its bytes.

    Args:
        model: Artifact with the model.
        to: ``registry://<name>/<alias>``; may be a run parameter.
        requires: Tasks whose receipts speak for it; policy can require more gates, and the guard asks for them.
        declared: What policy may ask about the deployment: ``author``, ``image`` or ``images`` by digest, ``rollout``,
            ``manifests``. It says what is deployed, so it may hold run parameters; policy says whether that is enough.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt`` (the guard's), ``report`` and ``Output``.

    Raises:
        UsageError: A receipt is missing or opens no guard.
    """
    inputs = {"model": model, "to": to, "declared": dict(declared or {})}
    return _behind_guard("deploy_gate", requires, image=image, options={}, inputs=inputs)


def snapshot(*, uri: str, digest: str = "", image: str | None = None) -> PipelineTask:
    """Copy what lies at a URI into the pipeline, where no later step can be given other bytes than the one before.

    Args:
        uri: Path or URL; may be a run parameter.
        digest: ``sha256:...`` that these bytes must have; empty takes what is there.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``data`` (a Dataset) and ``Output``, its digest.

    Raises:
        UsageError: `digest` is no constant.
    """
    return make_task("snapshot", image=image, options={"digest": digest}, inputs={"uri": uri})


def verify(*, subject: PipelineArtifactChannel, requires: Sequence[str], image: str | None = None) -> PipelineTask:
    """Look up the receipts that the ledger already has for these bytes, from another run or from Airflow.

    Args:
        subject: Artifact with the bytes.
        requires: Kinds of gate; of each the newest receipt that holds must say ALLOW.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt`` and ``Output``. One of a single kind can be handed to a protected step in
        ``requires=`` in place of the gate.

    Raises:
        UsageError: `requires` is empty, names no kind of gate, or is no constant.
    """
    from interlock.gate import GATE_KINDS, UsageError

    if not requires or not set(requires) <= set(GATE_KINDS):
        raise UsageError(
            "verify needs the kinds of gate whose receipts it looks up",
            where=f"requires={list(requires)!r}",
            next_step=f"use {', '.join(GATE_KINDS)}",
        )
    return make_task("verify", image=image, options={"requires": list(requires)}, inputs={"subject": subject})


def _behind_guard(
    name: str,
    requires: Sequence[PipelineTask],
    *,
    image: str | None,
    options: Mapping[str, object],
    inputs: Mapping[str, object],
) -> PipelineTask:
    wires = receipt_channels(requires)
    kinds = [kind for task in requires for kind in kinds_of(task)]
    return make_task(name, image=image, options={**options, "requires": kinds}, inputs={**inputs, **wires})
