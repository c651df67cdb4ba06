"""The manifest of a served model, behind the guard: nothing is rendered for bytes that it does not open on.

Policy judges the very objects that are going to be created, before they carry a receipt; then the guard opens on the
bytes, and the objects are rendered once more with what it left. The registry decides which version is meant, and moves
only once the guard is open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interlock.deployment.kserve import ServedModel, ServingEvidence, inference_service, serving_policy
from interlock.gate import Json, Recorded, RunIdentity, UsageError
from interlock.runner.requests import GuardRequest, Runner
from interlock.training.cluster import Opening

if TYPE_CHECKING:
    from interlock.deployment import FolderRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """Render what serves one model.

    Args:
        model: Path or URL of the model's bytes.
        served: What serves it; its digest is that of `model`.
        to: ``registry://<name>/<alias>`` that it is served as, for policy to judge; empty when none.
        rollback_to: What is gone back to when it fails, for policy to judge; empty when nothing.
        declared: What else is said of the deployment, as in `DeployRequest`. Untrusted.
        requires: As in `GuardRequest`.
        run: Which run asks.
    """

    model: str
    served: ServedModel
    to: str = ""
    rollback_to: str = ""
    declared: Mapping[str, Json] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    run: RunIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOutcome:
    """What may be created now.

    Args:
        guard: The receipt of the guard that let it.
        digest: sha256 of the model that is served.
        manifests: The InferenceService with its receipts, and the network policy around its pods.
    """

    guard: Recorded
    digest: str
    manifests: tuple[Mapping[str, Json], ...]


def render_served(
    runner: Runner, request: ServeRequest, *, opened_for: Callable[[], None] | None = None
) -> ServeOutcome:
    """Open the deployment guard on the model, and render what serves it.

    Args:
        runner: Where the guard runs.
        request: What to serve.
        opened_for: Done while the guard is open, before the manifests count, such as moving an alias.

    Raises:
        GuardError: The model may not be deployed, or the objects are not as policy wants them.
        UsageError: `request.served` is of other bytes.
    """
    served = request.served
    before: list[Json] = [inference_service(served), serving_policy(served)]
    requested: dict[str, Json] = {**request.declared, "manifests": before, **_rollout(request)}
    if served.image:
        requested["image"] = served.image
    if request.to:
        requested["to"] = request.to
    asked = GuardRequest(
        kind="deployment", subject=request.model, requires=request.requires, requested=requested, run=request.run
    )
    with runner.open_guard(asked) as opened:
        evidence = ServingEvidence(
            opening=Opening.left_by(opened),
            receipts=tuple(receipt.receipt_id for receipt in opened.receipts),
            bundle=opened.bundle,
        )
        manifests = (inference_service(served, evidence), serving_policy(served))
        if opened_for is not None:
            opened_for()
    return ServeOutcome(guard=opened.recorded, digest=served.digest, manifests=manifests)


def _rollout(request: ServeRequest) -> dict[str, Json]:
    """What policy reads of the rollout; without a way back there is nothing to say."""
    if not request.rollback_to:
        return {}
    percent = request.served.canary_percent
    return {"rollout": {"canary_percent": 100 if percent is None else percent, "rollback_to": request.rollback_to}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The version that an alias stands for, or stood for before.

    Args:
        uri: Where its bytes lie.
        digest: Its sha256.
        other: ``<alias>@sha256:<digest>`` of what is served when this one fails; empty when there is nothing.
    """

    uri: str
    digest: str
    other: str


def promoted(registry: FolderRegistry, to: str, *, before: bool = False) -> Choice:
    """The version that an alias points to, or, with `before`, the one that a rollback goes back to.

    Raises:
        UsageError: There is nothing to go back to.
        SubjectNotFoundError: Nothing was promoted there.
        InterlockError: As `FolderRegistry.history`.
    """
    history = registry.history(to)
    if before and len(history) < 2:
        raise UsageError("there is no former version to go back to", where=to, next_step="promote another one")
    chosen = history[1] if before else history[0]
    others = [version.digest for version in history[2 if before else 1 :] if version.digest != chosen.digest]
    return Choice(
        uri=registry.place_of(to, chosen),
        digest=chosen.digest,
        other=f"{to}@sha256:{others[0]}" if others else "",
    )


def served_model(values: Mapping[str, Any], *, uri: str, digest: str) -> ServedModel:
    """A served model from options: its place is the registry's own where nobody names another.

    Args:
        values: Fields of `ServedModel`, without its digest.
        uri: Where the bytes lie that the guard opens on.
        digest: Their sha256.

    Raises:
        UsageError: It could not be rendered, or KServe could not load it from `uri` and no place is named.
    """
    place = values.get("storage_uri") or uri
    if "://" not in place or place.startswith("file://"):
        raise UsageError(
            "a cluster cannot load a model from this machine's disk",
            where=place,
            next_step="name the same bytes in an object store, by --storage-uri",
        )
    return ServedModel(**{**values, "storage_uri": place, "digest": digest})
