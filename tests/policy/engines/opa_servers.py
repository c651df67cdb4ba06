"""A real OPA on loopback, with or without TLS, and the private authority that signs for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import IO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interlock.policy.engines.endpoint import Endpoint

OPA = shutil.which("opa", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin")]))
needs_opa = pytest.mark.skipif(OPA is None, reason="needs the opa program on PATH or in ~/go/bin")
DIGEST = "d" * 64


def opa_program() -> Path:
    if OPA is None:
        pytest.skip("needs the opa program on PATH or in ~/go/bin")
    return Path(OPA)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_opa(*arguments: str, port: int = 0) -> Iterator[int]:
    """An OPA server; its port."""
    port = port or free_port()
    command = [str(opa_program()), "run", "--server", f"--addr=127.0.0.1:{port}", "--skip-version-check"]
    with tempfile.TemporaryFile() as said:  # a pipe would fill up with decision logs
        process = subprocess.Popen([*command, "--log-level=error", *arguments], stdout=said, stderr=subprocess.STDOUT)
        try:
            _wait_for(port, process, said)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    for _ in range(400):
        if process.poll() is not None:
            said.seek(0)
            raise AssertionError(said.read().decode())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("opa does not listen")


def plain(port: int, **more: object) -> Endpoint:
    return Endpoint(**{"scheme": "http", "host": "127.0.0.1", "port": port, "timeout": 10.0, **more})  # type: ignore[arg-type]


def write_bundle(
    folder: Path, source: str, *, revision: str = f"test@sha256:{DIGEST}", roots: tuple[str, ...] = ("",)
) -> Path:
    """A bundle folder as `opa run --bundle` takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rule.rego").write_text(source)
    manifest: Mapping[str, object] = {"revision": revision, "roots": list(roots)}
    (folder / ".manifest").write_text(json.dumps(manifest))
    return folder


class Authority:
    """A private certificate authority that writes its PEM files into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Interlock test authority")])
        built = self._builder(self._name, self._key.public_key())
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = {name: name in {"key_cert_sign", "crl_sign"} for name in _USAGES}
        built = built.add_extension(x509.KeyUsage(**usage), critical=True)
        self.file = self._write("ca", built.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, *, address: str = "127.0.0.1") -> tuple[Path, Path]:
        """Certificate and key for a server at an address, or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        built = self._builder(subject, key.public_key()).add_extension(alternative, critical=False)
        certificate = built.add_extension(identity, critical=False).sign(self._key, hashes.SHA256())
        private = self._folder / f"{name}.key"
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return self._write(name, certificate), private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
