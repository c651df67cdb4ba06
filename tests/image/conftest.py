"""The image that `make image-test` built, and how a cluster that trusts nobody would run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

HARDENED = (
    "--rm", "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:rw,mode=1777,nosuid,nodev",
    "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none",
)  # fmt: skip
"""What the Restricted pod security standard asks of a container, and a root file system that nobody can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What `image/build` left.

    Args:
        reference: Name and digest.
        folder: With ``image.json`` and ``sbom.cdx.json``.
    """

    reference: str
    folder: Path


@pytest.fixture(scope="session")
def built() -> Built:
    folder = os.environ.get("INTERLOCK_TEST_IMAGE", "")
    if not folder:
        pytest.skip("no image to test: `make image-test` builds one, where containers can run")
    said = json.loads((Path(folder) / "image.json").read_text())
    return Built(reference=said["image"], folder=Path(folder))


Inside = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def inside(built: Built) -> Inside:
    """Runs a command in the image as its own user, hardened."""

    def run(*command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: PLW1510 (tests read the status)
            ["podman", "run", *HARDENED, *options, built.reference, *command], capture_output=True, text=True
        )

    return run
