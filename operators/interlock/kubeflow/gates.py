"""The gates as steps of a KFP pipeline, the twins of Airflow's `interlock.airflow.gates`.

What is checked are artifacts. How strictly is fixed when the pipeline is compiled: a value that comes from a run
parameter is refused there, because whoever starts a run must not set the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.kubeflow.tasks import make_task, suite_of

if TYPE_CHECKING:
    from kfp.dsl.pipeline_channel import PipelineArtifactChannel
    from kfp.dsl.pipeline_task import PipelineTask


def validate_data(
    *,
    subject: PipelineArtifactChannel,
    suite: str | Path | Mapping[str, Any],
    min_rows: int = 1,
    required: Sequence[str] = (),
    file_format: str = "auto",
    image: str | None = None,
) -> PipelineTask:
    """Validate a dataset with a Great Expectations suite.

    Args:
        subject: Artifact with Parquet, CSV, or a folder of either.
        suite: Path of a GX suite file, which is read now, or the suite itself as a mapping.
        min_rows: Fewer rows than this is a DENY.
        required: Expectations that the suite must contain, ``<type>`` or ``<type>:<column>``.
        file_format: ``auto``, ``parquet`` or ``csv``; KFP gives an artifact that is one file no ending to tell by.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt``, ``report`` and ``Output``, which is never anything but ``ALLOW``.

    Raises:
        UsageError: The suite cannot be read, or something that says how strictly is no constant.
    """
    options = {
        "suite_json": suite_of(suite, where="validate_data"),
        "min_rows": min_rows,
        "required": list(required),
        "file_format": file_format,
    }
    return make_task("validate_data", image=image, options=options, inputs={"subject": subject})


def scan_poisoning(
    *,
    subject: PipelineArtifactChannel,
    label: str | None = None,
    image_column: str | None = None,
    image_shape: Sequence[int] | None = None,
    text: Sequence[str] = (),
    features: Sequence[str] | None = None,
    embedding: str | None = None,
    source: str | None = None,
    id: str | None = None,  # noqa: A002 (the word that a user would look for)
    seed: int = 0,
    device: str = "cpu",
    engine: str = "local",
    ray_address: str | None = None,
    also: Sequence[str] = (),
    with_training: bool = False,
    accepted: PipelineArtifactChannel | None = None,
    clean: PipelineArtifactChannel | None = None,
    losses: PipelineArtifactChannel | None = None,
    outputs: Sequence[str] = (),
    image: str | None = None,
) -> PipelineTask:
    """Scan a labelled dataset for poison: backdoor triggers and wrong labels.

    Args:
        subject: Artifact with Parquet, Arrow, CSV, JSON Lines, npz, IDX, a saved Hugging Face dataset, class folders of
            images, or images with a manifest.
        label: The label column; class folders and IDX files need none.
        image_column: Column of images: paths in the dataset, or bytes (`image` is the container's here).
        image_shape: Height and width (and channels) that images are drawn to; without `image_column`, of the one image
            that the feature columns, in order, are.
        text: Columns of running text.
        features: Feature columns; all numeric columns but the label when not given.
        embedding: Column of lists of numbers, in place of feature columns.
        source: Column that says who contributed a row.
        id: Column that names a row for people.
        seed: Seed of everything random in the scan.
        device: Where torch computes: ``cpu``, ``cuda``, ``cuda:1``.
        engine: Where rows are read: ``local`` is the pod, ``ray`` workers of a cluster.
        ray_address: ``host:port`` of the cluster's head, or ``auto``.
        also: Other projects' detectors to look as well, for comparison only.
        with_training: Train a small network on the dataset too, and look at what it learned.
        accepted: Profile of the last accepted snapshot, to compare with. It counts only when a receipt vouches for it.
        clean: Small clean set in the form of the dataset.
        losses: What `interlock.poisoning.models.LossRecorder` wrote in another training.
        outputs: What to leave behind beside receipt and report: ``flagged`` (the flagged rows), ``cleaned`` (the
            dataset without them, which is allowed by nothing: scan it before anything uses it) and ``profile`` (of this
            snapshot, if it is allowed).
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt``, ``report`` and ``Output``, and those of `outputs`.

    Raises:
        UsageError: Something that says how strictly is no constant.
    """
    options = {
        "label": label,
        "image": image_column,
        "image_shape": image_shape,
        "text": text,
        "features": features,
        "embedding": embedding,
        "source": source,
        "id": id,
        "seed": seed,
        "device": device,
        "engine": engine,
        "ray_address": ray_address,
        "with_training": with_training,
        "also": also,
    }
    inputs = {"subject": subject, "accepted": accepted, "clean": clean, "losses": losses}
    return make_task("scan_poisoning", image=image, options=options, inputs=inputs, outputs=tuple(outputs))


def scan_model(
    *,
    subject: PipelineArtifactChannel,
    scanner_profile: str = "torch-state-dict",
    also: Sequence[str] = (),
    look_for: Sequence[str] = (),
    weights: bool | None = None,
    accepted: PipelineArtifactChannel | None = None,
    image: str | None = None,
) -> PipelineTask:
    """Scan a model file or folder for code that could run when it is loaded.

    Args:
        subject: Artifact with the model.
        scanner_profile: Named allow-list of what a pickle may refer to.
        also: Other scanners to ask as well (``picklescan``, ``modelaudit``); what they say is a warning.
        look_for: What texts must not hold: ``secrets``, ``personal-data``, both or neither.
        weights: Read the tensors, too; None for wherever numpy is installed.
        accepted: The last accepted version, whose tensors are compared with. It counts only when a receipt of this gate
            allows its bytes.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt``, ``report`` and ``Output``.

    Raises:
        UsageError: Something that says how strictly is no constant.
    """
    options = {"profile": scanner_profile, "also": also, "look_for": look_for, "weights": weights}
    return make_task("scan_model", image=image, options=options, inputs={"subject": subject, "accepted": accepted})


def check_policy(
    *,
    subject: PipelineArtifactChannel,
    step: str,
    requires: Sequence[str] = (),
    image: str | None = None,
) -> PipelineTask:
    """Ask policy whether the evidence so far would let a step start, before anything waits for a GPU.

    It opens the guard of that step on the subject and shuts it again. The step asks once more when it starts, and the
    guard's receipt opens nothing.

    Args:
        subject: Artifact that the step is going to use.
        step: ``training`` or ``deployment``.
        requires: Gate kinds on top of those that policy requires.
        image: As for `interlock.kubeflow.images.gate_image`.

    Returns:
        A task with outputs ``receipt``, ``report`` and ``Output``. Order it with ``.after(...)``: it has no wires to
        the gates.

    Raises:
        UsageError: Something that says how strictly is no constant.
    """
    options = {"step": step, "requires": list(requires)}
    return make_task("check_policy", image=image, options=options, inputs={"subject": subject})
