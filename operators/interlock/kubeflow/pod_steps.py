"""What runs in the pod of the steps that are no gates: train, promote, take a snapshot, look receipts up.

The two protected ones check the receipts that the pipeline handed to them inside their guard, on the bytes that it
holds, and then do only what Airflow's operators do: `LocalRunner.train` and `LocalRunner.deploy`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from interlock.gate.errors import DeniedError, EvidenceError, UndecidedError
from interlock.gate.values import Stage, Verdict, utc_now
from interlock.kubeflow.running import ArtifactFile, Pod, place_of, texts

if TYPE_CHECKING:
    from interlock.evidence import Testimony
    from interlock.gate import Json
    from interlock.kubeflow.presented import Presented

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 30.0
"""Between two lines of the log about how far a training is."""


def train(
    pod: Pod,
    data: ArtifactFile,
    model: ArtifactFile,
    receipts: Mapping[str, ArtifactFile],
    base: ArtifactFile | None = None,
) -> str:
    """Train behind the guard, in the sandbox; the model appears at its artifact's place, whole or not at all.

    Args:
        pod: Of the step.
        data: The dataset.
        model: Where the output goes; receipts name it by the artifact's URI.
        receipts: What the pipeline handed over, by the name of the input.
        base: The model that the training starts from.

    Returns:
        ``ALLOW``.

    Raises:
        GuardError: The training may not start; the guard's receipt and report are written.
        RefusedError: What came out may not leave; its receipt and report are written.
        InterlockError: As `LocalRunner.train`.
    """
    from interlock.kubeflow.code import unpacked
    from interlock.reporting import tell
    from interlock.runner import train_request
    from interlock.training.watching import Seldom

    requires = texts(pod.option("requires"))
    named = {"requires", "code", "image_code"}
    options: dict[str, Any] = {name: value for name, value in pod.options.items() if name not in named}
    with ExitStack() as stack:
        folder, parts = stack.enter_context(unpacked(pod.option("code")))
        request = train_request(
            data=place_of(data),
            data_named=data.uri,
            out=model.path,
            out_named=model.uri,
            run=pod.run,
            folder=folder,
            code=(*parts, *texts(pod.option("image_code"))),
            requires=requires,
            base=place_of(base) if base is not None else "",
            **options,
        )
        presented = _presented(pod, receipts, requires)
        stack.enter_context(pod.documented())
        stack.enter_context(presented.telling())
        trained = pod.runner.train(
            request,
            on_line=lambda line: log.info("training: %s", line),
            on_progress=Seldom(lambda line: log.info("progress: %s", line), PROGRESS_SECONDS),
            beforehand=presented.observe,
        )
    pod.leave(trained.outcome)
    tell(log, trained.outcome)
    trained.outcome.raise_unless_allowed()
    model.metadata.update({"digest": f"sha256:{trained.outcome.report.subject.digest}"})
    return trained.outcome.decision.verdict.value


def deploy(
    pod: Pod, model: ArtifactFile, to: str, receipts: Mapping[str, ArtifactFile], declared: Mapping[str, Json]
) -> str:
    """Promote a model behind the guard.

    Args:
        pod: Of the step.
        model: The model.
        to: ``registry://<name>/<alias>``; untrusted.
        receipts: What the pipeline handed over, by the name of the input.
        declared: What is said of the deployment; untrusted, and for policy to judge.

    Returns:
        ``ALLOW``.

    Raises:
        GuardError: It may not be deployed; the alias stays where it was, and receipt and report are written.
        InterlockError: As `LocalRunner.deploy`.
    """
    from interlock.runner import DeployRequest

    requires = texts(pod.option("requires"))
    request = DeployRequest(
        model=place_of(model), named=model.uri, to=to, declared=declared, requires=requires, run=pod.run
    )
    presented = _presented(pod, receipts, requires)
    with pod.documented(), presented.telling():
        deployed = pod.runner.deploy(request, beforehand=presented.observe)
    pod.leave_recorded(deployed.guard.receipt_id)
    log.info("%s now is sha256:%s", to, deployed.promotion.digest)
    return Verdict.ALLOW.value


def take(pod: Pod, uri: str, data: ArtifactFile) -> str:
    """Copy what lies at a URI into the pipeline.

    Args:
        pod: Of the step.
        uri: Path or URL; untrusted.
        data: Where the copy goes.

    Returns:
        ``sha256:<digest>``; later steps treat it as untrusted and digest again.

    Raises:
        EvidenceError: These are other bytes than the pipeline names.
        InterlockError: As `interlock.evidence.Store.open` and `publish`.
    """
    with pod.runner.store.open(uri) as held:
        digest = f"sha256:{held.subject.digest}"
        expected = str(pod.option("digest"))
        if expected not in ("", digest):
            raise EvidenceError(
                f"other bytes than the pipeline names: {digest}, and not {expected}",
                where=uri,
                next_step="find out who changed them, or name the new digest",
            )
        pod.runner.store.publish(held.path, data.path)
    data.metadata.update({"digest": digest, "source": uri})
    log.info("%s is %s", uri, digest)
    return digest


def find_receipts(pod: Pod, subject: ArtifactFile) -> str:
    """Ask the ledger for the receipts of an artifact's bytes: of each kind the newest that holds, which must allow.

    Returns:
        ``ALLOW``.

    Raises:
        DeniedError: The newest of a kind denies.
        UndecidedError: A kind has none that holds, or nobody could tell.
    """
    from interlock.evidence import speaks_for

    _, testimonies = speaks_for(pod.runner.receipts, pod.runner.keyring, place_of(subject), now=utc_now())
    requires = texts(pod.option("requires"))
    newest = {kind: _newest(kind, testimonies) for kind in requires}
    found = [one for one in newest.values() if one is not None]
    pod.leave_envelopes([pod.runner.receipts.get(one.receipt_id).envelope for one in found])
    for kind, one in newest.items():
        verdict = one.receipt.verdict if one is not None and one.receipt is not None else None
        log.info(
            "%s: %s", kind, "no receipt holds" if verdict is None else f"{verdict.value}, {one and one.receipt_id}"
        )
        if verdict is not Verdict.ALLOW:
            refused = DeniedError if verdict is Verdict.DENY else UndecidedError
            raise refused(
                f"no receipt of {kind} allows these bytes" if verdict is None else f"{verdict.value} at {kind}",
                where=subject.uri,
                next_step=f"run the {kind} gate on exactly these bytes",
                receipt_id=one.receipt_id if one is not None else "",
            )
    return Verdict.ALLOW.value


def _newest(kind: str, testimonies: tuple[Testimony, ...]) -> Testimony | None:
    from interlock.evidence import State

    held = [
        one
        for one in testimonies
        if one.state is State.VALID and one.whole and one.receipt is not None
        if one.receipt.gate == kind and one.receipt.stage is Stage.GATE
    ]
    return held[-1] if held else None


def _presented(pod: Pod, receipts: Mapping[str, ArtifactFile], requires: tuple[str, ...]) -> Presented:
    from interlock.kubeflow.presented import Presented

    files = {name: one.path for name, one in sorted(receipts.items())}
    return Presented(files, requires=requires, runner=pod.runner)
