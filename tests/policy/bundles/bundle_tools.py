"""What the tests of bundles share: folders and archives to load, keys to sign with, and the stock `opa` beside us."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from interlock.gate import Settings
from interlock.policy import Bundle, load_policy
from interlock.policy.bundles.archive import packed
from interlock.policy.bundles.kept import place_of
from interlock.policy.bundles.keys import load_signing_key

RULE = "package site.rule\n\nallow := true\n"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def write(root: Path, files: Mapping[str, str]) -> Path:
    """A folder of text files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """An archive as a stranger would pack it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def untar(packed: bytes) -> dict[str, bytes]:
    """The members of an archive."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        return {member.name: stream.read() for member in tar if (stream := tar.extractfile(member)) is not None}


def write_key(folder: Path, name: str, key: PrivateKey) -> Path:
    """`name`.key with the private half, readable by its owner, and trusted/`name`.pem with the public one."""
    private = folder / f"{name}.key"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    public = folder / "trusted" / f"{name}.pem"
    public.parent.mkdir(parents=True, exist_ok=True)
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private


def opa_program() -> str:
    """The stock `opa`; the test is skipped where there is none."""
    found = shutil.which("opa") or shutil.which("opa", path=Path("~/go/bin").expanduser())
    if found is None:
        pytest.skip("needs the opa program on PATH: go install github.com/open-policy-agent/opa@v1.20.2")
    return found


def run_opa(*arguments: str, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [opa_program(), *arguments], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def opa_server(*arguments: str) -> Iterator[str]:
    """A stock `opa run --server` on loopback; its base URL once it is healthy.

    Raises:
        RuntimeError: It ended, with what it said.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        opa_program(),
        "run",
        "--server",
        "--addr",
        address,
        "--skip-version-check",
        "--log-level",
        "error",
        *arguments,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            _wait_until_healthy(process, f"http://{address}")
            yield f"http://{address}"
        finally:
            process.kill()


def _wait_until_healthy(process: subprocess.Popen[str], url: str) -> None:
    for _ in range(600):
        if process.poll() is not None:
            assert process.stdout is not None
            raise RuntimeError(process.stdout.read())
        try:
            with urllib.request.urlopen(f"{url}/health?bundles") as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("opa is not healthy after 30 seconds")


def ask_server(url: str, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a server's REST API, with provenance."""
    body = json.dumps({"input": document}).encode()
    request = urllib.request.Request(f"{url}/v1/data/{path}?provenance=true", data=body, method="POST")
    with urllib.request.urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def as_root() -> bool:
    """Whether rights of files mean nothing to this process."""
    return os.geteuid() == 0


def version(keys: Path, number: int, *, signer: str = "release") -> bytes:
    """A signed bundle whose data tells its number."""
    files = {"r.rego": RULE.encode(), "data.json": f'{{"number": {number}}}'.encode()}
    return packed(Bundle.unpack(tar_gz(files), origin="made"), key=load_signing_key(keys / f"{signer}.key"))


def number(settings: Settings, *, online: bool = True) -> object:
    return load_policy(settings, online=online).data["number"]


def age(settings: Settings, seconds: float) -> None:
    """Let the kept copy be older: put back when it was sent, and forget when it was confirmed."""
    place = place_of(settings.home, settings.policy)
    confirmed = place.with_suffix(".confirmed")
    line, _, content = place.read_bytes().partition(b"\n")
    about = json.loads(line)
    if confirmed.exists():
        about["confirmed"] = json.loads(confirmed.read_text())["confirmed"]
        confirmed.unlink()
    about["confirmed"] -= seconds
    place.write_bytes(json.dumps(about).encode() + b"\n" + content)
