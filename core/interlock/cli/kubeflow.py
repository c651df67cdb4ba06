"""`interlock kubeflow ...`: the components for a Kubeflow cluster, with the image that it pulls.

What the components are lies in `interlock.kubeflow`, which is imported when a command runs.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from interlock.cli import show
from interlock.gate.errors import EXIT_ALLOW


@click.group()
def kubeflow() -> None:
    """Interlock's steps as Kubeflow components."""


@kubeflow.command()
@click.option("--image", required=True, metavar="REG/NAME@sha256:...", help="Image of the steps, by digest.")
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Where the YAMLs go."
)
def components(image: str, out: Path) -> int:
    """Write the compiled components with an image, for kfp's load_component_from_file.

    Turn caching off on each task that you make of one: `task.set_caching_options(False)`.
    """
    written = import_module("interlock.kubeflow.published").write_components(out, image)
    for place in written:
        show.say(str(place))
    show.progress(f"{len(written)} components name {image}")
    return EXIT_ALLOW
