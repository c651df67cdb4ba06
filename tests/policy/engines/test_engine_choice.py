"""Which engine answers: the named one or none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.policy.engines.opa_servers import plain

from interlock.gate import MissingExtraError, Settings, SettingsError
from interlock.policy import Bundle, EmbeddedEngine, EngineMissingError, Library, open_engine
from interlock.policy.engines.binary import BinaryEngine
from interlock.policy.engines.server import ServerEngine


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine with nothing on it."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("INTERLOCK_OPA_LIB", raising=False)
    monkeypatch.setattr("interlock.policy.engines.install.BESIDE_PYTHON", tmp_path / "environment")
    return replace(Settings.load({}, system_file=tmp_path / "none"), home=tmp_path / "home")


@pytest.fixture
def with_library(settings: Settings, monkeypatch: pytest.MonkeyPatch, library: Library) -> Library:
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    return library


@pytest.fixture
def with_program(settings: Settings, tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "opa"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return program


def test_a_url_means_the_server(settings: Settings, bundle: Bundle, with_library: Library, with_program: Path) -> None:
    for engine in ("auto", "server"):
        opened = open_engine(replace(settings, engine=engine, opa_url="https://opa.example"), bundle)
        assert isinstance(opened, ServerEngine)
        assert opened.endpoint.base == "https://opa.example:8181"


def test_without_a_url_it_is_the_library_and_without_that_the_program(
    settings: Settings, bundle: Bundle, with_program: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(open_engine(settings, bundle), BinaryEngine)
    monkeypatch.setenv("INTERLOCK_OPA_LIB", str(library.path))
    assert isinstance(open_engine(settings, bundle), EmbeddedEngine)


def test_with_nothing_there_the_command_that_brings_it_is_named(settings: Settings, bundle: Bundle) -> None:
    with pytest.raises(EngineMissingError, match="interlock policy install-engine"):
        open_engine(settings, bundle)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"engine": "server"}, "opa_url", id="server without a url"),
        pytest.param({"engine": "binary"}, "no opa program is on PATH", id="binary without a program"),
        pytest.param({"engine": "binary", "opa_binary": "/nowhere/opa"}, "/nowhere/opa", id="binary that is not there"),
    ],
)
def test_a_named_engine_that_is_missing_is_never_replaced(
    settings: Settings, bundle: Bundle, with_library: Library, changes: dict[str, Any], error: str
) -> None:
    with pytest.raises(SettingsError, match=error):
        open_engine(replace(settings, **changes), bundle)


def test_the_embedded_engine_that_is_missing_is_not_replaced_by_a_program(
    settings: Settings, bundle: Bundle, with_program: Path
) -> None:
    with pytest.raises(EngineMissingError):
        open_engine(replace(settings, engine="embedded"), bundle)


def test_a_program_that_the_settings_name_and_that_is_not_there_is_an_error_with_auto_too(
    settings: Settings, bundle: Bundle, with_program: Path
) -> None:
    with pytest.raises(SettingsError, match="/nowhere/opa"):
        open_engine(replace(settings, opa_binary="/nowhere/opa"), bundle)


def test_without_the_client_the_extra_is_named(
    settings: Settings, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opa_client.opa", None)
    with pytest.raises(MissingExtraError, match=r"interlock\[opa\]"):
        open_engine(replace(settings, opa_url="https://opa.example"), bundle)


def test_the_servers_own_bundle_is_the_policy_unless_the_settings_name_one(settings: Settings, bundle: Bundle) -> None:
    served = replace(settings, opa_url="https://opa.example")
    expected = {
        "": open_engine(served, bundle),
        "named": open_engine(replace(served, policy="/policies"), bundle),
        "layered": open_engine(replace(served, policy_layers=("/ours",)), bundle),
        "exactly": open_engine(served, bundle, exactly=True),
    }
    digests = {name: engine._expected for name, engine in expected.items() if isinstance(engine, ServerEngine)}
    assert digests == {"": "", "named": bundle.digest, "layered": bundle.digest, "exactly": bundle.digest}


def test_the_settings_reach_the_endpoint(settings: Settings, bundle: Bundle) -> None:
    said: dict[str, Any] = {
        "opa_url": "opa.example:443",
        "opa_token_file": "/token",
        "opa_ca_file": "/ca",
        "opa_client_cert": "/cert",
        "opa_client_key": "/key",
        "opa_retries": 7,
        "engine_deadline": 3.5,
    }
    opened = open_engine(replace(settings, **said), bundle)
    assert isinstance(opened, ServerEngine)
    found = opened.endpoint
    assert found.base == "https://opa.example:443"
    assert (found.token_file, found.ca_file, found.certificate) == ("/token", "/ca", ("/cert", "/key"))
    assert (found.retries, found.timeout) == (7, 3.5)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://opa.example", id="another scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://opa.example/behind/a/path", id="a path"),
        pytest.param("https://user:pass@opa.example", id="a login"),
        pytest.param("https://@opa.example", id="an empty login"),
        pytest.param("https://opa.example?x=1", id="a query"),
        pytest.param("https://opa.example#x", id="a fragment"),
        pytest.param("https://opa.example:port", id="port is text"),
        pytest.param("https://opa.example:99999", id="no such port"),
        pytest.param("https://opa example", id="a blank"),
        pytest.param("https://good.example\\@evil.example", id="a backslash"),
        pytest.param("https://opa.example%2f@evil", id="an escape"),
        pytest.param("https://\u043epa.example", id="a letter that looks like another"),
        pytest.param("unix:///run/opa.sock", id="a socket"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused(settings: Settings, bundle: Bundle, url: str) -> None:
    with pytest.raises(SettingsError):
        open_engine(replace(settings, engine="server", opa_url=url), bundle)


def test_a_token_travels_encrypted_or_not_at_all(settings: Settings, bundle: Bundle) -> None:
    token = replace(settings, opa_token_file="/token")
    for url in ("http://opa.example", "http://10.0.0.1:8181", "http://127.0.0.1.evil.example"):
        with pytest.raises(SettingsError, match="unencrypted"):
            open_engine(replace(token, opa_url=url), bundle)
    for url in ("http://127.0.0.1:8181", "http://localhost", "http://[::1]:8181", "https://opa.example"):
        assert isinstance(open_engine(replace(token, opa_url=url), bundle), ServerEngine)


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(SettingsError, match="without its certificate"):
        plain(1, client_key="/key")
