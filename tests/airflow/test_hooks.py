"""Both hooks and their Test buttons: a real ledger, a real OPA server on loopback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from interlock.airflow.hooks import InterlockHook, OpaHook
from interlock.gate.errors import MissingExtraError

Connect = Callable[..., str]

OPA = shutil.which("opa", path=os.pathsep.join([os.environ.get("PATH", ""), str(Path.home() / "go" / "bin")]))
needs_opa = pytest.mark.skipif(OPA is None, reason="needs the opa binary on PATH or in ~/go/bin")
POLICIES = Path(__file__).parents[2] / "policies"


@pytest.fixture
def connect(deployment: Path, monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Makes an Airflow connection from its fields, and returns its id."""

    def make(**fields: Any) -> str:
        monkeypatch.setenv("AIRFLOW_CONN_TRIED", json.dumps(fields))
        return "tried"

    return make


def ledger_at(path: Path) -> dict[str, Any]:
    return {"conn_type": "interlock", "host": f"sqlite:///{path}"}


def test_a_connection_says_where_the_ledger_is(connect: Connect, tmp_path: Path) -> None:
    settings = InterlockHook(connect(**ledger_at(tmp_path / "other.db"))).get_conn()
    assert settings.ledger_url == f"sqlite:///{tmp_path / 'other.db'}"


def test_the_deployments_own_ledger_wins_over_the_connection(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_LEDGER_URL", f"sqlite:///{tmp_path / 'ours.db'}")
    hook = InterlockHook(connect(**ledger_at(tmp_path / "theirs.db")))
    assert hook.get_conn().ledger_url.endswith("ours.db")
    works, message = hook.test_connection()
    assert works
    assert "ours.db" in message
    assert "the one of the connection is not used" in message
    assert not (tmp_path / "theirs.db").exists()


def test_a_connection_never_says_how_strictly(connect: Connect, tmp_path: Path) -> None:
    extra = json.dumps({"profile": "dev", "policy": "/tmp/lax", "trusted_keys": "/tmp/mine", "signer": "file:mine"})
    told = InterlockHook(connect(**ledger_at(tmp_path / "ledger.db"), extra=extra)).get_conn()
    untold = InterlockHook.settings_for(None)
    assert (told.profile, told.policy, told.trusted_keys, told.signer) == (
        (untold.profile, untold.policy, untold.trusted_keys, untold.signer)
    )


def test_without_a_connection_the_deployments_settings_are_used(deployment: Path) -> None:
    assert InterlockHook.settings_for(None).ledger_url == f"sqlite:///{deployment / 'ledger.db'}"


def test_login_and_password_go_into_the_url(connect: Connect) -> None:
    given = {"conn_type": "interlock", "host": "postgresql+pg8000://db.example/interlock"}
    settings = InterlockHook(connect(**given, login="writer", password="p@ss/word")).get_conn()
    assert settings.ledger_url == "postgresql+pg8000://writer:p%40ss%2Fword@db.example/interlock"


def test_the_test_of_a_ledger_walks_its_chain_and_shows_the_head(connect: Connect, tmp_path: Path) -> None:
    works, message = InterlockHook(connect(**ledger_at(tmp_path / "ledger.db"))).test_connection()
    assert works
    assert "The chain of 0 receipts" in message


def test_a_ledger_that_lost_its_tail_fails_the_test(connect: Connect, tmp_path: Path) -> None:
    noted = json.dumps({"noted_head": f"3:{'a' * 64}"})
    works, message = InterlockHook(connect(**ledger_at(tmp_path / "ledger.db"), extra=noted)).test_connection()
    assert not works
    assert message


def _no_database(path: Path) -> None:
    path.write_bytes(b"this is no database, and long enough to be taken for the header of one" * 20)


@pytest.mark.parametrize(
    "spoil",
    [pytest.param(_no_database, id="not-a-database"), pytest.param(lambda path: path.mkdir(), id="a-folder")],
)
def test_a_broken_ledger_fails_the_test_with_a_message(
    connect: Connect, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / "ledger.db")
    works, message = InterlockHook(connect(**ledger_at(tmp_path / "ledger.db"))).test_connection()
    assert not works
    assert "ledger.db" in message


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"host": ""}, id="no-url"),
        pytest.param({"host": "not a url"}, id="no-url-at-all"),
        pytest.param({"host": "mysql://db.example/x", "password": "geheim"}, id="other-database"),
        pytest.param(
            {"host": "postgresql+pg8000://127.0.0.1:1/x", "login": "u", "password": "geheim"}, id="server-down"
        ),
    ],
)
def test_a_ledger_that_cannot_be_used_is_told_without_the_password(connect: Connect, fields: dict[str, str]) -> None:
    works, message = InterlockHook(connect(conn_type="interlock", **fields)).test_connection()
    assert not works
    assert message
    assert "geheim" not in message


AUTHZ = """package system.authz
default allow := false
allow if input.identity == "the-token"
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def opa_server(*arguments: str) -> Iterator[int]:
    assert OPA is not None
    port = free_port()
    command = [OPA, "run", "--server", f"--addr=127.0.0.1:{port}", "--log-level=error", "--skip-version-check"]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1].decode())
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("opa does not listen")


@pytest.fixture(scope="module")
def opa() -> Iterator[int]:
    """OPA with Interlock's bundle."""
    with opa_server("--bundle", str(POLICIES)) as port:
        yield port


def told(connect: Connect, **fields: Any) -> tuple[bool, str]:
    extra = fields.pop("extra", None)
    more = {"extra": json.dumps(extra)} if extra else {}
    return OpaHook(connect(conn_type="opa", **fields, **more)).test_connection()


@needs_opa
def test_the_test_of_an_opa_with_our_bundle_succeeds(connect: Connect, opa: int) -> None:
    works, message = told(connect, host="http://127.0.0.1", port=opa)
    assert works, message
    assert f"OPA at http://127.0.0.1:{opa} is healthy and answers data.interlock.decision.result" in message


@needs_opa
def test_the_port_may_stand_in_the_url(connect: Connect, opa: int) -> None:
    works, message = told(connect, host=f"http://localhost:{opa}/")
    assert works, message


@needs_opa
def test_an_opa_without_our_policy_fails_the_test(connect: Connect) -> None:
    """Trap: an undefined rule is 200 with an empty object."""
    with opa_server() as port:
        works, message = told(connect, host="http://127.0.0.1", port=port)
    assert not works
    assert "no Interlock policy" in message


@needs_opa
@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param('result := {"allow": true}', "would allow anything", id="allows-everything"),
        pytest.param('result := {"allow": "false"}', "of another shape", id="allow-is-text"),
        pytest.param("result := false", "of another shape", id="not-an-object"),
    ],
)
def test_a_policy_that_is_not_ours_fails_the_test(connect: Connect, tmp_path: Path, rule: str, said: str) -> None:
    (tmp_path / "other.rego").write_text(f"package interlock.decision\n{rule}\n")
    with opa_server(str(tmp_path / "other.rego")) as port:
        works, message = told(connect, host="http://127.0.0.1", port=port)
    assert not works
    assert said in message


@needs_opa
def test_only_the_right_token_is_let_in(connect: Connect, tmp_path: Path) -> None:
    authz = tmp_path / "authz"
    authz.mkdir()
    (authz / "authz.rego").write_text(AUTHZ)
    (authz / ".manifest").write_text('{"roots": ["system"]}')
    demanding = ("--authentication=token", "--authorization=basic", "--bundle", str(POLICIES), str(authz))
    with opa_server(*demanding) as port:
        right = told(connect, host="http://127.0.0.1", port=port, password="the-token")
        wrong = told(connect, host="http://127.0.0.1", port=port, password="another")
        none = told(connect, host="http://127.0.0.1", port=port)
    assert right[0], right[1]
    for works, message in (wrong, none):
        assert not works
        assert "OPA refuses us (401)" in message
        assert "another" not in message


@needs_opa
def test_a_private_certificate_authority_is_used_and_needed(connect: Connect, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = (f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}", "--bundle", str(POLICIES))
    with opa_server(*tls) as port:
        trusted = told(
            connect, host="127.0.0.1", port=port, password="sent-over-tls", extra={"ca_file": str(certificate)}
        )
        unknown = told(connect, host="https://127.0.0.1", port=port)
        plain = told(connect, host="http://127.0.0.1", port=port)
    assert trusted[0], trusted[1]
    assert "https://127.0.0.1" in trusted[1]
    assert not unknown[0]
    assert "certificate" in unknown[1].lower()
    assert not plain[0]


def test_an_opa_that_is_down_fails_the_test(connect: Connect) -> None:
    works, message = told(connect, host="http://127.0.0.1", port=free_port())
    assert not works
    assert "OPA cannot be asked: [Errno 111] Connection refused" in message


@needs_opa
def test_a_proxy_of_the_environment_is_not_asked(connect: Connect, opa: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    works, message = told(connect, host="http://127.0.0.1", port=opa)
    assert works, message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        pytest.param({"host": ""}, "names no OPA server", id="no-host"),
        pytest.param({"host": "http://opa.example", "password": "t"}, "unencrypted", id="token-over-plain-http"),
        pytest.param({"host": "ftp://opa.example"}, "is no address", id="other-scheme"),
        pytest.param({"host": "https://opa.example/behind/a/path"}, "scheme, host and port only", id="path"),
        pytest.param({"host": "https://user:pass@opa.example"}, "scheme, host and port only", id="login-in-url"),
        pytest.param({"host": "https://opa.example:port"}, "cannot be read", id="port-is-text"),
        pytest.param({"host": "opa.example", "extra": {"timeout": "soon"}}, "number of seconds", id="timeout-is-text"),
        pytest.param({"host": "opa.example", "extra": {"timeout": -1}}, "number of seconds", id="timeout-negative"),
        pytest.param({"host": "127.0.0.1", "extra": {"ca_file": "/nowhere.pem"}}, "/nowhere.pem", id="ca-file-missing"),
        pytest.param(
            {"host": "127.0.0.1", "extra": {"client_cert": "/nowhere.pem"}}, "/nowhere.pem", id="client-cert-missing"
        ),
    ],
)
def test_a_connection_that_cannot_be_used_is_one_clear_message(
    connect: Connect, fields: dict[str, Any], said: str
) -> None:
    works, message = told(connect, **fields)
    assert not works
    assert said in message


def test_a_host_without_a_scheme_means_https(connect: Connect) -> None:
    with OpaHook(connect(conn_type="opa", host="opa.example")).get_conn() as client:
        assert client.root_url == "https://opa.example:8181/v1"


def test_redirects_are_not_followed(connect: Connect) -> None:
    with OpaHook(connect(conn_type="opa", host="opa.example")).get_conn() as client:
        assert client._session.max_redirects == 0


def test_without_opa_python_client_the_extra_is_named(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opa_client.opa", None)
    hook = OpaHook(connect(conn_type="opa", host="opa.example"))
    with pytest.raises(MissingExtraError, match=r"interlock\[opa\]"):
        hook.get_conn()
    assert hook.test_connection() == (False, "opa-python-client is not installed. Next: pip install 'interlock[opa]'")


def test_a_connection_of_an_unknown_name_is_not_taken_for_none(deployment: Path) -> None:
    from airflow.sdk.exceptions import AirflowNotFoundException

    with pytest.raises(AirflowNotFoundException):
        InterlockHook.settings_for("nowhere")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "opa")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
