"""A training in a container image: real podman, real bubblewrap, an image made of busybox."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from interlock.gate import OpenSubject, UnavailableError, UsageError
from interlock.training import BwrapSandbox, RlimitsSandbox, TrainingRun, run_training, training_spec
from interlock.training.images import HeldImage, hold_image, prepare

BUSYBOX = shutil.which("busybox")
PODMAN = shutil.which("podman")
needs_podman = pytest.mark.skipif(
    not (PODMAN and BUSYBOX), reason="podman or busybox is missing: apt-get install podman busybox-static"
)

Layer = Mapping[str, bytes | str]
"""Paths with their content; text is what a symbolic link points to, a path that ends with a slash a folder."""


def archive(layer: Layer) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in layer.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture(scope="session")
def podman_works() -> None:
    """Podman takes an image here; it cannot in every container."""
    name = f"localhost/interlock-test-{os.getpid()}-probe:1"
    tried = subprocess.run([str(PODMAN), "import", "-", name], input=archive({"opt/": ""}), capture_output=True)  # noqa: PLW1510
    if tried.returncode != 0:
        pytest.skip(f"podman takes no image here: {tried.stderr.decode(errors='replace').strip()[-200:]}")
    subprocess.run([str(PODMAN), "rmi", "--force", name], check=True, capture_output=True)


@pytest.fixture
def made(podman_works: None) -> Iterator[Callable[..., str]]:
    """Makes an image of podman's own store, and takes it away again."""
    names: list[str] = []

    def make(layer: Layer, *, change: str = "ENV MARK=of-the-image") -> str:
        name = f"localhost/interlock-test-{os.getpid()}-{len(names)}:1"
        names.append(name)
        subprocess.run(
            [str(PODMAN), "import", "--change", change, "-", name],
            input=archive(layer),
            check=True,
            capture_output=True,
        )
        said = subprocess.run([str(PODMAN), "image", "inspect", name], check=True, capture_output=True).stdout
        return f"{name.rpartition(':')[0]}@{json.loads(said)[0]['Digest']}"

    yield make
    subprocess.run([str(PODMAN), "rmi", "--force", *names], check=True, capture_output=True)


def busybox(**more: bytes | str) -> dict[str, bytes | str]:
    programs = ("sh", "cat", "ls", "id", "env", "touch", "wc", "wget")
    return {
        "bin/": "",
        "bin/busybox": Path(str(BUSYBOX)).read_bytes(),
        **{f"bin/{name}": "busybox" for name in programs},
        "opt/": "",
        "opt/of-the-image": b"42\n",
        **more,
    }


@pytest.fixture
def in_image(
    made: Callable[..., str], bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path
) -> Callable[..., tuple[TrainingRun, HeldImage]]:
    def run(script: str, *, layer: Layer | None = None) -> tuple[TrainingRun, HeldImage]:
        reference = made(busybox() if layer is None else layer)
        image = hold_image(reference, tmp_path / "images", bwrap)
        spec = training_spec(command=["sh", "-c", script, "sh", "{data}", "{out}"], image=reference)
        return run_training(spec, dataset, tmp_path / "box" / "out", sandbox=bwrap, image=image), image

    return run


@needs_podman
def test_a_training_sees_the_images_files_and_not_this_machines(
    in_image: Callable[..., tuple[TrainingRun, HeldImage]], tmp_path: Path
) -> None:
    run, image = in_image("cat /opt/of-the-image $1 > $2/m; env > $2/env; ls / > $2/root; id -u; cat /etc/hosts")
    assert run.exit_status == 0, run.log_tail
    out = tmp_path / "box" / "out"
    assert (out / "m").read_text() == "42\na,label\n1,0\n"
    assert "MARK=of-the-image" in (out / "env").read_text().splitlines()
    assert "usr" not in (out / "root").read_text().split()
    assert "127.0.0.1 localhost" in run.log_tail
    assert image.subject in run.materials
    assert ("podman", image.tools[0].version) in {(tool.name, tool.version) for tool in run.tools}


@needs_podman
@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param("touch /opt/x", id="write-into-the-image"),
        pytest.param("touch $1", id="write-the-data"),
        pytest.param("touch /interlock/x", id="write-beside-the-output"),
        pytest.param("wget -T 2 http://192.0.2.1/", id="network"),
        pytest.param("cat /root/.bashrc", id="home-of-this-machine"),
        pytest.param("ls /work", id="folders-of-this-machine"),
    ],
)
def test_an_image_is_held_as_tightly_as_a_script(
    attempt: str, in_image: Callable[..., tuple[TrainingRun, HeldImage]]
) -> None:
    run, _ = in_image(f"touch $2/m; if {attempt}; then echo it worked; fi")
    assert run.exit_status == 0, run.log_tail
    assert "it worked" not in run.log_tail


@needs_podman
def test_an_image_is_unpacked_once(made: Callable[..., str], bwrap: BwrapSandbox, tmp_path: Path) -> None:
    reference = made(busybox())
    first = hold_image(reference, tmp_path / "images", bwrap)
    (first.root / "opt" / "seen").write_text("x")
    assert hold_image(reference, tmp_path / "images", bwrap) == first
    assert (first.root / "opt" / "seen").exists()
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [first.digest, f"{first.digest}.lock"]


@needs_podman
@pytest.mark.parametrize("name", ["proc", "dev", "tmp", "etc", "interlock"])
def test_an_image_with_a_link_where_a_folder_has_to_be_is_refused(
    name: str, made: Callable[..., str], bwrap: BwrapSandbox, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    reference = made(busybox(**{name: os.fspath(outside)}))
    with pytest.raises(UnavailableError, match=f"the image's /{name} is no folder"):
        hold_image(reference, tmp_path / "images", bwrap)
    assert not any(outside.iterdir())
    assert not any(path.is_dir() for path in (tmp_path / "images").iterdir())


@needs_podman
def test_another_image_under_the_same_name_is_refused(
    made: Callable[..., str], bwrap: BwrapSandbox, tmp_path: Path
) -> None:
    name = made(busybox()).partition("@")[0]
    with pytest.raises(UnavailableError):
        hold_image(f"{name}@sha256:{'0' * 64}", tmp_path / "images", bwrap)


@needs_podman
def test_a_program_that_the_image_lacks_is_named(
    made: Callable[..., str], bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    reference = made(busybox())
    image = hold_image(reference, tmp_path / "images", bwrap)
    spec = training_spec(command=["python", "/opt/train.py"], image=reference)
    with pytest.raises(UsageError, match="cannot be started"):
        run_training(spec, dataset, tmp_path / "box" / "out", sandbox=bwrap, image=image)


@needs_podman
def test_the_filter_is_there_in_an_image_too_and_the_report_says_that_it_does_not_tell(
    made: Callable[..., str], bwrap: BwrapSandbox, dataset: OpenSubject, tmp_path: Path
) -> None:
    reference = made(busybox())
    image = hold_image(reference, tmp_path / "images", bwrap)
    spec = training_spec(command=["cat", "/proc/self/status"], image=reference)
    run = run_training(spec, dataset, tmp_path / "box" / "out", sandbox=bwrap, image=image)
    assert "Seccomp:\t2" in run.log_tail
    assert run.refused == ()
    assert "as for an image, does not tell" in run.unwatched


def test_hosts_are_never_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "hosts").symlink_to(outside)
    prepare(root)
    assert outside.read_text() == "mine"
    assert (root / "etc" / "hosts").read_text().startswith("127.0.0.1 localhost")


@pytest.mark.parametrize("reference", ["python:3.11", "python", "python@sha256:12", f"-v@sha256:{'0' * 64}", ""])
def test_an_image_is_named_by_digest(reference: str) -> None:
    if not reference:
        assert training_spec(command=["true"], image=reference).image == ""
        return
    with pytest.raises(UsageError, match="named by its digest"):
        training_spec(command=["true"], image=reference)


def test_an_image_shows_no_folders_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="shows its own files only"):
        training_spec(command=["true"], image=f"a/b@sha256:{'0' * 64}", visible=[tmp_path])


def test_an_image_wants_namespaces(dataset: OpenSubject, tmp_path: Path) -> None:
    reference = f"a/b@sha256:{'0' * 64}"
    image = HeldImage(reference=reference, digest="0" * 64, root=tmp_path, environment=(), working_folder="/", tools=())
    spec = training_spec(command=["true"], image=reference)
    with pytest.raises(UsageError, match="bwrap"):
        run_training(spec, dataset, tmp_path / "box" / "out", sandbox=RlimitsSandbox(), image=image)


def test_podman_that_is_missing_is_named(bwrap: BwrapSandbox, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs podman"):
        hold_image(f"a/b@sha256:{'0' * 64}", tmp_path, bwrap, program="podman-that-is-missing")
