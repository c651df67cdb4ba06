"""A bundle server that wants to know who asks: what it is shown, and who never gets to see it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.policy.bundles.bundle_server import BundleServer, Handler, answering, bundle_server, make_authority
from tests.policy.bundles.bundle_tools import number, version

from interlock.gate import InterlockError, PolicyError, Settings, SettingsError, UnavailableError
from interlock.policy import load_policy
from interlock.policy.bundles.access import Access


def secret(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def token(tmp_path: Path) -> Path:
    return secret(tmp_path / "token", "hush-1\n")


@pytest.fixture
def admitted(named: Settings, server: BundleServer, token: Path) -> Settings:
    """Settings whose token the server takes."""
    server.token = "hush-1"
    return replace(named, policy_token_file=str(token))


def test_a_server_that_wants_a_token_is_shown_it(admitted: Settings, server: BundleServer) -> None:
    assert number(admitted) == 1
    assert number(admitted) == 1
    assert server.shown == ["Bearer hush-1"] * 2
    assert [bool(etag) for etag in server.asked] == [False, True]


def test_no_token_is_shown_where_none_is_set(named: Settings, server: BundleServer) -> None:
    number(named)
    assert server.shown == [""]


def test_a_token_is_read_for_each_request_so_that_it_may_be_rotated(
    admitted: Settings, server: BundleServer, token: Path
) -> None:
    number(admitted)
    server.token = "hush-2"
    with pytest.raises(PolicyError, match=r"401.*policy_token_file"):
        load_policy(admitted)
    secret(token, "hush-2")
    assert number(admitted) == 1
    assert server.shown == ["Bearer hush-1", "Bearer hush-1", "Bearer hush-2"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_does_not_take_the_token_stops_decisions_although_a_copy_is_kept(
    admitted: Settings, server: BundleServer, status: int
) -> None:
    number(admitted)
    server.misbehaviour = answering(status)
    with pytest.raises(PolicyError, match=str(status)) as refused:
        load_policy(admitted)
    assert "policy_token_file" in refused.value.next_step
    assert number(admitted, online=False) == 1


def folder_at(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe_at(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda path: path.unlink(), "No such file", id="missing"),
        pytest.param(lambda path: path.write_text(""), "no bearer token", id="empty"),
        pytest.param(lambda path: path.write_text("hush-1\nhush-2\n"), "no bearer token", id="two lines"),
        pytest.param(lambda path: path.write_text("hush-1\r\nX-Other: hush-2"), "no bearer token", id="a header more"),
        pytest.param(lambda path: path.write_text("hush-1\u00e9"), "no bearer token", id="no ASCII"),
        pytest.param(lambda path: path.write_bytes(b"x" * 70_000), "at most", id="too long"),
        pytest.param(folder_at, "directory|no file", id="a folder"),
        pytest.param(pipe_at, "no file", id="a pipe that nobody writes"),
        pytest.param(lambda path: path.chmod(0o640), "others can read.*chmod 600", id="the group may read it"),
        pytest.param(lambda path: path.chmod(0o604), "others can read.*chmod 600", id="everybody may read it"),
    ],
)
def test_a_token_that_cannot_be_used_is_a_mistake_in_the_settings_and_not_shown(
    admitted: Settings, server: BundleServer, token: Path, spoil: Callable[[Path], object], message: str
) -> None:
    number(admitted)
    asked = len(server.asked)
    spoil(token)
    with pytest.raises(SettingsError, match=message) as refused:
        load_policy(admitted)
    assert refused.value.where == str(token)
    assert refused.value.next_step
    assert "hush" not in str(refused.value)
    assert len(server.asked) == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_follows_no_redirect(
    admitted: Settings, server: BundleServer, tls: tuple[Path, Path], keys: Path, status: int
) -> None:
    with bundle_server(tls[1], content=version(keys, 2)) as elsewhere, bundle_server(None) as plain:
        for target in (elsewhere.url, plain.url, server.url):
            server.misbehaviour = answering(status, {"Location": target})
            with pytest.raises(PolicyError, match="redirects"):
                load_policy(admitted)
        assert elsewhere.shown == plain.shown == []
    assert len(server.shown) == 3


def test_a_token_goes_over_plain_http_to_this_machine_only(settings: Settings, token: Path, keys: Path) -> None:
    with_token = replace(settings, policy_token_file=str(token))
    with pytest.raises(SettingsError, match="plain http"):
        load_policy(replace(with_token, policy="http://bundles.example/b.tar.gz"))
    with bundle_server(None, content=version(keys, 1)) as state:
        state.token = "hush-1"
        assert number(replace(with_token, policy=state.url)) == 1


def test_credentials_are_for_one_server(admitted: Settings, server: BundleServer, tls: tuple[Path, Path]) -> None:
    with bundle_server(tls[1]) as other:
        with pytest.raises(SettingsError, match="would go to") as refused:
            load_policy(replace(admitted, policy_layers=(other.url,)))
        assert refused.value.where == "policy_token_file"
        with pytest.raises(SettingsError, match="would go to"):
            load_policy(replace(admitted, policy_token_file="", policy_client_cert="c", policy_layers=(other.url,)))
        assert other.asked == server.asked == []


def echoing(handler: Handler) -> None:
    """What a proxy in trouble may say: the request, where its answer should be."""
    handler.wfile.write(f"{handler.path} {handler.headers['Authorization']}\r\n\r\n".encode())
    handler.close_connection = True


@pytest.mark.parametrize(
    "misbehaviour",
    [
        pytest.param(echoing, id="says the request back"),
        pytest.param(answering(401, {"WWW-Authenticate": "Bearer hush-1"}), id="401"),
        pytest.param(answering(302, {"Location": "/?token=hush-1"}), id="redirects"),
        pytest.param(answering(503, {"Retry-After": "hush-1"}), id="503"),
        pytest.param(answering(200, {"X-Said": "hush-1"}), id="no bundle"),
    ],
)
def test_what_a_server_says_back_is_in_no_message_and_no_log(
    admitted: Settings, server: BundleServer, misbehaviour: Callable[[Handler], None], caplog: pytest.LogCaptureFixture
) -> None:
    signed = replace(admitted, policy=f"{server.url}?signature=hush-3")
    server.misbehaviour = misbehaviour
    with caplog.at_level(logging.DEBUG), pytest.raises(InterlockError) as refused:
        load_policy(signed)
    assert "hush" not in f"{refused.value} {caplog.text}"
    server.misbehaviour = None
    number(signed)
    server.misbehaviour = misbehaviour
    try:
        said = str(load_policy(signed).notes)
    except PolicyError as error:
        said = str(error)
    assert "hush" not in f"{said} {caplog.text}"


def test_a_token_is_not_in_what_is_kept(admitted: Settings) -> None:
    number(admitted)
    number(admitted)
    kept = list((admitted.home / "policy").iterdir())
    assert len(kept) == 2
    assert not any(b"hush" in path.read_bytes() for path in kept)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The CA of clients, a certificate that it signed, and a stranger's; each with its key in the same file."""
    folders = [tmp_path_factory.mktemp(name) for name in ("clients", "strangers")]
    (ca_file, known), (_, stranger) = (make_authority(folder) for folder in folders)
    for path in (known, stranger):
        path.chmod(0o600)
    return ca_file, known, stranger


@pytest.fixture
def asking(tls: tuple[Path, Path], clients: tuple[Path, Path, Path], keys: Path) -> Iterator[BundleServer]:
    """A server that wants to see a client certificate."""
    with bundle_server(tls[1], content=version(keys, 1), client_ca=clients[0]) as state:
        yield state


@pytest.fixture
def shown(
    settings: Settings, asking: BundleServer, tls: tuple[Path, Path], clients: tuple[Path, Path, Path]
) -> Settings:
    """Settings by which the server believes us and we believe it."""
    return replace(
        settings,
        policy=asking.url,
        policy_poll=1e-9,
        policy_ca_file=str(tls[0]),
        policy_client_cert=str(clients[1]),
    )


def test_a_server_that_wants_a_client_certificate_is_shown_it(shown: Settings, tmp_path: Path) -> None:
    assert number(shown) == 1
    pem = Path(shown.policy_client_cert).read_text()
    certificate, _, key = pem.partition("-----BEGIN PRIVATE")
    apart = replace(
        shown,
        policy_client_cert=str(secret(tmp_path / "client.pem", certificate, 0o644)),
        policy_client_key=str(secret(tmp_path / "client.key", f"-----BEGIN PRIVATE{key}")),
    )
    assert number(apart) == 1


@pytest.mark.parametrize("which", ["none", "a stranger's"])
def test_a_server_that_does_not_take_the_client_certificate_gives_nothing(
    shown: Settings, clients: tuple[Path, Path, Path], which: str
) -> None:
    wrong = replace(shown, policy_client_cert=str(clients[2]) if which != "none" else "")
    with pytest.raises(UnavailableError, match=r"ends TLS: .*alert") as refused:
        load_policy(wrong)
    assert "policy_client_cert" in refused.value.next_step
    number(shown)
    assert "ends TLS" in load_policy(wrong).notes[0]  # like any server that cannot be asked


def test_a_private_authority_is_named_by_the_settings(
    named: Settings, tls: tuple[Path, Path], clients: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UnavailableError, match=r"(?i)certificate"):
        load_policy(named)
    with pytest.raises(UnavailableError, match=r"(?i)certificate"):
        load_policy(replace(named, policy_ca_file=str(clients[0])))
    assert number(replace(named, policy_ca_file=str(tls[0]))) == 1


def encrypt(key: Path) -> None:
    """With a passphrase, for which OpenSSL would ask on the terminal."""
    private = load_pem_private_key(key.read_bytes(), None)
    locked = BestAvailableEncryption(b"hush-4")
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda cert, key: key.chmod(0o640), "others can read the key", id="the group may read the key"),
        pytest.param(lambda cert, key: key.unlink(), "the key.*No such file", id="no key"),
        pytest.param(lambda cert, key: cert.unlink(), "client certificate.*No such file", id="no certificate"),
        pytest.param(lambda cert, key: cert.write_text("no PEM"), "client certificate", id="no PEM"),
        pytest.param(lambda cert, key: encrypt(key), "client certificate", id="a key with a passphrase"),
    ],
)
def test_a_client_certificate_that_cannot_be_used_is_a_mistake_in_the_settings(
    shown: Settings, tmp_path: Path, spoil: Callable[[Path, Path], object], message: str
) -> None:
    certificate, _, key = Path(shown.policy_client_cert).read_text().partition("-----BEGIN PRIVATE")
    cert_file = secret(tmp_path / "client.pem", certificate, 0o644)
    key_file = secret(tmp_path / "client.key", f"-----BEGIN PRIVATE{key}")
    spoil(cert_file, key_file)
    with pytest.raises(SettingsError, match=message) as refused:
        load_policy(replace(shown, policy_client_cert=str(cert_file), policy_client_key=str(key_file)))
    assert refused.value.next_step


def test_a_key_of_another_certificate_is_a_mistake_in_the_settings(
    shown: Settings, clients: tuple[Path, Path, Path]
) -> None:
    with pytest.raises(SettingsError, match="key values mismatch"):
        load_policy(replace(shown, policy_client_key=str(clients[2])))


def test_a_key_without_its_certificate_is_a_mistake_in_the_settings(shown: Settings) -> None:
    with pytest.raises(SettingsError, match="without its certificate"):
        load_policy(replace(shown, policy_client_cert="", policy_client_key="key.pem"))


def test_a_certificate_whose_file_holds_the_key_is_held_like_a_key(shown: Settings, tmp_path: Path) -> None:
    open_file = secret(tmp_path / "both.pem", Path(shown.policy_client_cert).read_text(), 0o644)
    with pytest.raises(SettingsError, match="others can read the key"):
        load_policy(replace(shown, policy_client_cert=str(open_file)))


@pytest.mark.parametrize("content", [None, "no PEM"])
def test_an_authority_that_cannot_be_read_is_a_mistake_in_the_settings(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"the CA of the bundle server.*policy_ca_file"):
        Access(ca_file=str(path)).tls()
