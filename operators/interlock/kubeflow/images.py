"""Which image Interlock's steps run in: named by digest, by whoever compiles the pipeline.

kfp.local's subprocess runner looks at no image at all. A cluster pulls it, so without a name a pipeline still compiles,
with a placeholder that no registry serves; `interlock lint` says so.
"""

from __future__ import annotations

import os
import re

from interlock.gate.errors import UsageError

VARIABLE = "INTERLOCK_KUBEFLOW_IMAGE"
PLACEHOLDER = "interlock.invalid/interlock-python@sha256:" + "0" * 64
"""Stands for the image in the shipped components. ``.invalid`` resolves nowhere (RFC 2606), and kfp.local warns of an
image without ``python`` in its name."""

_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


def gate_image(image: str | None = None) -> str:
    """The image of a step.

    Args:
        image: ``registry/name@sha256:...`` as the pipeline's author gave it; None takes the variable
            ``INTERLOCK_KUBEFLOW_IMAGE``, and where that is empty the placeholder.

    Raises:
        UsageError: It is not named by digest.
    """
    named = image if image is not None else os.environ.get(VARIABLE, "") or PLACEHOLDER
    if not _PINNED.fullmatch(named):
        raise UsageError(
            "the image of a gate is named by its digest: registry/name@sha256:...",
            where=named if image is not None else f"{VARIABLE}={named}",
            next_step="a tag can be moved to another image after the pipeline was checked",
        )
    return named
