"""`interlock deploy ...`: what serves a model in a cluster, rendered behind the guard and checked afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli import show
from interlock.cli.gates import cli_run, settings_with
from interlock.cli.out import OutFile
from interlock.gate import GATE_KINDS, Json, UsageError
from interlock.gate.errors import EXIT_ALLOW, EXIT_DENY

if TYPE_CHECKING:
    from interlock.runner.serving import ServeOutcome

_MOST_BYTES = 8 * 1024 * 1024


@click.group()
def deploy() -> None:
    """Serve a model with KServe, and only one whose bytes have their receipts."""


def _serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """What serves it."""
    for option in (
        click.option("--out", type=OutFile(), help="Write the manifests to this file."),
        click.option("--format", "format_", type=click.Choice(("yaml", "json")), default="yaml", show_default=True),
        click.option("--profile", help="Policy profile; the deployment's own settings when not given."),
        click.option(
            "--requires", multiple=True, type=click.Choice(GATE_KINDS), help="On top of what policy requires."
        ),
        click.option("--storage", multiple=True, metavar="CIDR", help="Network of the storage, for the pods' policy."),
        click.option("--caller", "callers", multiple=True, metavar="NAMESPACE", help="Whose pods may talk to it."),
        click.option("--canary", "canary_percent", type=click.IntRange(0, 100), help="Percent of the traffic."),
        click.option("--max-replicas", type=click.IntRange(min=1), default=1, show_default=True),
        click.option("--min-replicas", type=click.IntRange(min=0), default=1, show_default=True),
        click.option("--gpu-resource", default="nvidia.com/gpu", show_default=True),
        click.option("--gpus", type=click.IntRange(min=0), default=0, show_default=True),
        click.option("--memory", default="8Gi", show_default=True, help="Request and limit."),
        click.option("--cpu", default="2", show_default=True, help="Request and limit."),
        click.option("--unchecked-storage", is_flag=True, help="KServe's own loader, which compares no digest."),
        click.option("--image", default="", metavar="NAME@sha256:...", help="What serves, in place of the runtime's."),
        click.option("--runtime", default="", metavar="NAME", help="ServingRuntime; KServe chooses when not given."),
        click.option("--storage-uri", default="", metavar="URL", help="The same bytes, as the cluster reads them."),
        click.option("--model-format", required=True, metavar="NAME", help="KServe's name for it, such as onnx."),
        click.option("--namespace", required=True),
        click.option("--name", required=True, help="Of the InferenceService."),
    ):
        command = option(command)
    return command


@deploy.command()
@click.argument("model")
@_serving
def render(*, model: str, **what: Any) -> int:
    """Render the InferenceService of MODEL with its receipts: a path, a URL, or registry://NAME/ALIAS.

    The deployment guard opens on the bytes first, and policy judges the very manifests. Exit status 1 and no manifest
    when it stays shut.
    """
    from interlock.deployment import FolderRegistry
    from interlock.runner import LocalRunner
    from interlock.runner.serving import Choice, promoted

    settings = settings_with(what["profile"])
    with LocalRunner(settings) as runner:
        to = model if model.startswith("registry://") else ""
        chosen = promoted(FolderRegistry(settings.registry), to) if to else None
        if chosen is None:
            subject = runner.snapshot(model).subject
            chosen = Choice(uri=model, digest=subject.digest, other="")
        outcome = _rendered(runner, chosen, to, what)
    return _written(outcome, what["format_"], what["out"])


@deploy.command()
@click.argument("alias")
@_serving
def rollback(*, alias: str, **what: Any) -> int:
    """Let ALIAS (registry://NAME/ALIAS) name the version before, and render what serves that one.

    The guard opens on the former version's bytes as they are now; the alias moves only when it does. Where its receipts
    have expired, run its gates again.
    """
    from interlock.deployment import FolderRegistry
    from interlock.runner import LocalRunner
    from interlock.runner.serving import promoted

    settings = settings_with(what["profile"])
    registry = FolderRegistry(settings.registry)
    with LocalRunner(settings) as runner:
        chosen = promoted(registry, alias, before=True)

        def back() -> None:
            moved = registry.rollback(alias)
            if moved.digest != chosen.digest:
                raise UsageError(
                    f"the alias was moved meanwhile and names sha256:{moved.digest} now",
                    where=alias,
                    next_step="look at the registry, then try again",
                )

        outcome = _rendered(runner, chosen, alias, what, opened_for=back)
    return _written(outcome, what["format_"], what["out"])


def _rendered(
    runner: Any, chosen: Any, to: str, what: Mapping[str, Any], *, opened_for: Callable[[], None] | None = None
) -> ServeOutcome:
    from interlock.deployment.kserve import LOADER
    from interlock.runner.serving import ServeRequest, render_served, served_model
    from interlock.training.cluster import Resources

    names = ("name", "namespace", "model_format", "storage_uri", "runtime", "image", "canary_percent")
    values = {
        **{name: what[name] for name in (*names, "min_replicas", "max_replicas", "callers", "storage")},
        "loader": "" if what["unchecked_storage"] else LOADER,
        "resources": Resources(**{name: what[name] for name in ("cpu", "memory", "gpus", "gpu_resource")}, disk="10Gi"),
    }
    request = ServeRequest(
        model=chosen.uri,
        served=served_model(values, uri=chosen.uri, digest=chosen.digest),
        to=to,
        rollback_to=chosen.other,
        requires=what["requires"],
        run=cli_run("deployment"),
    )
    return render_served(runner, request, opened_for=opened_for)


@deploy.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unchecked-storage", is_flag=True, help="Let KServe load it without comparing a digest.")
@click.option("--format", "format_", type=click.Choice(("table", "json")), default="table", show_default=True)
def check(file: Path, format_: str, *, unchecked_storage: bool) -> int:
    """Say whether each InferenceService in FILE (YAML or JSON) is as it was rendered. Exit status 1 when one is not."""
    from interlock.deployment.kserve_check import served_findings

    services = [one for one in _documents(file) if isinstance(one, dict) and one.get("kind") == "InferenceService"]
    if not services:
        raise UsageError("there is no InferenceService in it", where=str(file))
    found = [
        (str(one.get("metadata", {}).get("name", "")), weak)
        for one in services
        for weak in served_findings(one, unchecked_storage=unchecked_storage)
    ]
    if format_ == "json":
        findings: list[Json] = [
            {"service": name, "requirement": w.requirement, "where": w.where, "message": w.message} for name, w in found
        ]
        show.say_json({"services": len(services), "findings": findings})
    else:
        show.table(
            ("service", "requirement", "where", "what"),
            [(name, weak.requirement, weak.where, weak.message) for name, weak in found],
        )
        show.progress(f"{len(services)} InferenceService(s), {len(found)} finding(s)")
    return EXIT_DENY if found else EXIT_ALLOW


@deploy.command()
@click.argument("place")
@click.argument("folder", type=click.Path(path_type=Path))
def load(place: str, folder: Path) -> int:
    """Copy the model at PLACE into FOLDER if its bytes are those of its step sha256-...; otherwise leave nothing.

    For KServe: a ClusterStorageContainer runs it before the model server.
    """
    from interlock.deployment.loading import load_model

    copy = load_model(place, folder)
    click.echo(f"sha256:{copy.digest} {len(copy.files)} files {copy.size} bytes {folder}", err=True)
    return EXIT_ALLOW


@deploy.command("storage-container")
@click.option("--image", required=True, metavar="NAME@sha256:...", help="Image with Interlock in it.")
def storage_container(image: str) -> int:
    """Print the ClusterStorageContainer by which KServe loads only bytes that their place is named by."""
    from interlock.deployment.kserve import storage_container as rendered

    click.echo(yaml_of([rendered(image)]), nl=False)
    return EXIT_ALLOW


def _written(outcome: ServeOutcome, format_: str, out: Path | None) -> int:
    from interlock.reporting import write_whole

    document: dict[str, Json] = {
        "guard": outcome.guard.receipt_id,
        "digest": {"sha256": outcome.digest},
        "manifests": [dict(manifest) for manifest in outcome.manifests],
    }
    text = json.dumps(document, indent=2) + "\n" if format_ == "json" else yaml_of(outcome.manifests)
    if out is not None:
        write_whole(out, text)
    else:
        click.echo(text, nl=False)
    show.progress(f"guard open on sha256:{outcome.digest}, receipt {outcome.guard.receipt_id}")
    return EXIT_ALLOW


def yaml_of(manifests: Sequence[Mapping[str, Json]]) -> str:
    """Objects of Kubernetes as one YAML stream."""
    import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

    # Through JSON, which has no references to what stands twice.
    plain = json.loads(json.dumps([dict(manifest) for manifest in manifests]))
    text: str = yaml.safe_dump_all(plain, sort_keys=False, allow_unicode=True)
    return text


def _documents(file: Path) -> list[Any]:
    import yaml

    if file.stat().st_size > _MOST_BYTES:
        raise UsageError(f"a file of manifests is larger than {_MOST_BYTES} bytes", where=str(file))
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"no manifests can be read there: {error}", where=str(file)) from error
