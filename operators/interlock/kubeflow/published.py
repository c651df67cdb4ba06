"""The compiled components: one YAML a component, which kfp loads without Interlock being installed beside it.

They are what the factories make tasks of, so that a pipeline holds the same source and command whatever version of kfp
compiles it, and `interlock lint` knows a genuine gate by comparing with these files.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import yaml  # type: ignore[import-untyped]  # its stubs are a package of their own

from interlock.gate.errors import UsageError
from interlock.kubeflow.images import PLACEHOLDER, gate_image

if TYPE_CHECKING:
    from kfp.dsl.structures import ComponentSpec

NAMES = (
    "validate_data",
    "scan_poisoning",
    "scan_model",
    "check_policy",
    "secure_train",
    "deploy_gate",
    "snapshot",
    "verify",
)


def shipped(name: str) -> str:
    """The YAML of a component, as it is installed.

    Args:
        name: One of `NAMES`.
    """
    return files("interlock.kubeflow").joinpath("components", f"{name}.yaml").read_text(encoding="utf-8")


@cache
def shipped_spec(name: str) -> ComponentSpec:
    """The same, loaded by kfp; to be copied before it is changed."""
    from kfp.components import load_component_from_text

    spec: ComponentSpec = load_component_from_text(shipped(name)).component_spec
    return spec


def write_components(folder: Path, image: str) -> tuple[Path, ...]:
    """Write the components with an image, for `kfp.components.load_component_from_file` or KFP's UI.

    Args:
        folder: Made when it is not there; files of these names are replaced.
        image: ``registry/name@sha256:...``.

    Raises:
        UsageError: The image is not named by digest, or the folder cannot be written.
    """
    from interlock.reporting import write_whole

    named = gate_image(image)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from error
    written = []
    for name in NAMES:
        place = folder / f"{name}.yaml"
        write_whole(place, shipped(name).replace(PLACEHOLDER, named))
        written.append(place)
    return tuple(written)


def compiled(name: str) -> str:
    """The YAML of a component from its function, by the kfp that is installed; its own run is cached by nobody.

    Args:
        name: One of `NAMES`.
    """
    from tempfile import TemporaryDirectory

    from kfp.compiler import Compiler

    from interlock.kubeflow import components

    with TemporaryDirectory() as folder:
        place = Path(folder) / f"{name}.yaml"
        Compiler().compile(getattr(components, name), str(place))
        text = place.read_text(encoding="utf-8")
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    document = yaml.safe_load(text)
    for task in document["root"]["dag"]["tasks"].values():
        task["cachingOptions"] = {}
    return head + str(yaml.safe_dump(document, sort_keys=True, allow_unicode=True))
