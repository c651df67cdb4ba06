"""Settings, keys and a server of one signed bundle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.policy.bundles.bundle_server import BundleServer, bundle_server, make_authority
from tests.policy.bundles.bundle_tools import version, write_key

from interlock.gate import Settings


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `release.key`, trusted, and `stranger/release.key`, which is not."""
    folder = tmp_path_factory.mktemp("keys")
    write_key(folder, "release", ec.generate_private_key(ec.SECP256R1()))
    (folder / "stranger").mkdir()
    write_key(folder / "stranger", "release", ec.generate_private_key(ec.SECP256R1()))
    return folder


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def settings(keys: Path, home: Path) -> Settings:
    return replace(
        Settings.load({"INTERLOCK_HOME": str(home)}, system_file=Path("/nonexistent")),
        policy_keys=str(keys / "trusted"),
        policy_poll=3600.0,
    )


@pytest.fixture
def server(keys: Path, tls: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[BundleServer]:
    """A good server of version 1, whose CA this process trusts."""
    ca_file, certificate = tls
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    with bundle_server(certificate, content=version(keys, 1)) as state:
        yield state


@pytest.fixture
def named(settings: Settings, server: BundleServer) -> Settings:
    """Settings that name the server's bundle, and ask for it each time."""
    return replace(settings, policy=server.url, policy_poll=1e-9)
