"""A training that is an image: its root file system, held under the image's digest.

Podman fetches and verifies the image (OCI image-spec, content addressed) and lays it flat; tar unpacks it inside of the
sandbox, because an image is somebody else's archive; from then on the sandbox shows the unpacked root as ``/``,
read-only. Nothing of the image runs outside of the sandbox, and neither a container daemon nor a container runtime has
a part in the run. An image is named by digest only: a tag can point to other bytes tomorrow.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from interlock.gate import Subject, Tool, UnavailableError, UsageError
from interlock.training.bwrap import HOSTS
from interlock.training.sandbox import Folders, Job, Sandbox
from interlock.training.spec import GIB, Limits, image_digest

UNPACK = Limits(wall_seconds=1800, output_bytes=64 * GIB, output_files=2_000_000)
"""What unpacking one image may use."""

_GET = "apt-get install podman"
# Where the sandbox mounts something of its own: they have to be there, as nothing can be made in a read-only root.
_MOUNT_POINTS = ("proc", "dev", "tmp", "interlock")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldImage:
    """An unpacked image.

    Args:
        reference: As it was asked for, with its digest.
        digest: sha256 of its manifest, hexadecimal.
        root: Its root file system; content untrusted.
        environment: What the image sets, untrusted; the training's own variables win.
        working_folder: Where the image starts, inside.
        tools: What fetched it.
    """

    reference: str
    digest: str
    root: Path
    environment: tuple[tuple[str, str], ...]
    working_folder: str
    tools: tuple[Tool, ...]

    @property
    def subject(self) -> Subject:
        """The image as a material of what it makes."""
        return Subject(name=self.reference.partition("@")[0], uri=f"oci://{self.reference}", digest=self.digest)


def hold_image(reference: str, store: Path, sandbox: Sandbox, *, program: str = "podman") -> HeldImage:
    """Fetch the image if it is not here, and unpack it under its digest if it is not yet.

    Args:
        reference: ``registry/name@sha256:...``.
        store: Folder that keeps unpacked images; ours alone.
        sandbox: Where it is unpacked.
        program: Podman.

    Raises:
        UsageError: It is not named by digest, or there is no podman.
        UnavailableError: It cannot be fetched or unpacked.
    """
    from interlock.evidence.claims import claimed, locked

    digest = image_digest(reference)
    podman = Podman(program)
    described = podman.describe(reference)
    place = store / digest
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(store / f"{digest}.lock"):
        if not place.exists():
            with claimed(store, ".unpacking-") as work:
                root = unpacked(podman, reference, work, sandbox)
                # Whole or not at all: the folder gets its name when everything below it is durable.
                os.sync()
                root.rename(place)
    return HeldImage(
        reference=reference,
        digest=digest,
        root=place,
        environment=described.environment,
        working_folder=described.working_folder,
        tools=(podman.tool,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What an image's own configuration says (OCI image-spec, config.md); untrusted."""

    environment: tuple[tuple[str, str], ...]
    working_folder: str


class Podman:
    """Fetches images and lays them flat; runs nothing of them.

    Args:
        program: Name or path.

    Raises:
        UsageError: It is not there.
    """

    def __init__(self, program: str) -> None:
        found = shutil.which(program)
        if found is None:
            raise UsageError("a training in an image needs podman", where=program, next_step=_GET)
        self._program = found
        self.tool = Tool(name="podman", version=self._said("--version").split()[-1])

    def describe(self, reference: str) -> Described:
        """Fetch the image if it is not here, and read its configuration.

        Raises:
            UnavailableError: It cannot be fetched, or is not what its digest says.
        """
        digest = image_digest(reference)
        if self._ran("image", "exists", reference).returncode != 0:
            self._said("pull", "--quiet", reference)
        (image,) = json.loads(self._said("image", "inspect", reference))
        known = {text.rpartition("@sha256:")[2] for text in image.get("RepoDigests") or ()}
        known.add(str(image.get("Digest", "")).removeprefix("sha256:"))
        if digest not in known:
            raise UnavailableError(f"podman has another image under this name: {sorted(known)}", where=reference)
        config = image.get("Config") or {}
        pairs = (text.partition("=") for text in config.get("Env") or () if "=" in text)
        return Described(
            environment=tuple((name, value) for name, _, value in pairs),
            working_folder=str(config.get("WorkingDir") or "/"),
        )

    def flatten(self, reference: str, target: Path) -> None:
        """Write the image's root file system as one tar.

        Raises:
            UnavailableError: Podman could not.
        """
        # A container that is made and never started is how podman names a flattened image.
        container = self._said("create", "--pull", "never", "--network", "none", reference, "/never-started").strip()
        try:
            self._said("export", "--output", os.fspath(target), container)
        finally:
            self._ran("rm", "--force", container)

    def _ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: PLW1510 (the caller reads the status)
            [self._program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3600
        )

    def _said(self, *words: str) -> str:
        try:
            ended = self._ran(*words)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UnavailableError(f"podman does not run: {error}", where=self._program) from error
        if ended.returncode != 0:
            last = (ended.stderr.strip() or f"status {ended.returncode}").splitlines()[-1]
            raise UnavailableError(
                f"podman {words[0]} failed: {last[-500:]}", where=words[-1], next_step="podman login, or check the name"
            )
        return ended.stdout


def unpacked(podman: Podman, reference: str, work: Path, sandbox: Sandbox) -> Path:
    """Unpack an image inside of the sandbox, so that no name in it can lead out of its folder.

    Args:
        podman: Lays it flat.
        reference: Which image.
        work: Empty folder of ours.
        sandbox: Where tar runs.

    Returns:
        Its root file system, below `work`.

    Raises:
        UnavailableError: It could not be unpacked.
    """
    flat = work / "image.tar"
    podman.flatten(reference, flat)
    outside = Folders(data=flat, code=work / "code", out=work / "root", scratch=work / "tmp")
    for folder in (outside.code, outside.out, outside.scratch):
        folder.mkdir()
    inside = sandbox.inside(outside)
    tar = shutil.which("tar") or "/bin/tar"
    words = ("--extract", "--file", os.fspath(inside.data), "--directory", os.fspath(inside.out))
    kept = ("--no-same-owner", "--no-same-permissions", "--delay-directory-restore", "--exclude=dev/*")
    ended = sandbox.run(
        Job(
            argv=(tar, *words, *kept),
            environment=(("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin:/bin")),
            folders=outside,
            visible=(),
            limits=UNPACK,
            working_folder=inside.scratch,
        )
    )
    if ended.failed:
        why = ended.limit.value if ended.limit else ended.log_tail.strip()[-500:]
        raise UnavailableError(f"the image cannot be unpacked: {why}", where=reference)
    prepare(outside.out)
    return outside.out


def prepare(root: Path) -> None:
    """Make what the sandbox mounts over, and let the machine's own name be found; never through a link of the image.

    Args:
        root: The unpacked root; untrusted, and nobody else's any more.

    Raises:
        UnavailableError: A link stands where a folder has to be.
    """
    root.chmod(0o755)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in _MOUNT_POINTS:
            with suppress(FileExistsError):
                os.mkdir(name, 0o755, dir_fd=folder)
            _refuse_link(name, folder)
        with suppress(FileExistsError):
            os.mkdir("etc", 0o755, dir_fd=folder)
        _refuse_link("etc", folder)
        etc = os.open("etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        try:
            with suppress(FileNotFoundError):
                os.unlink("hosts", dir_fd=etc)
            hosts = os.open("hosts", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=etc)
            with os.fdopen(hosts, "wb") as stream:
                stream.write(HOSTS.encode())
        finally:
            os.close(etc)
    finally:
        os.close(folder)


def _refuse_link(name: str, folder: int) -> None:
    try:
        os.close(os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder))
    except OSError as error:
        raise UnavailableError(f"the image's /{name} is no folder: {error.strerror}", where=name) from error
