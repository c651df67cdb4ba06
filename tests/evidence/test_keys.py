"""Who signs and who is trusted: the dev key, key files, a KMS, and the folder of public keys."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_public_key
from moto.server import ThreadedMotoServer
from securesystemslib.dsse import Envelope
from tests.evidence.bench import LIFETIME, Bench, Clock, decision, new_signer, report, trusted
from tests.evidence.bench import RUN as RUN_OF_BENCH

from interlock.evidence import KeyRing, Ledger, ReceiptRecorder, fetch_public, load_signer, verify_receipt
from interlock.gate import GateContext, Settings, SettingsError, SignatureError, UnavailableError, UsageError


def settings_at(home: Path, **more: str) -> Settings:
    (home / "config.toml").touch()
    environ = {"INTERLOCK_CONFIG": str(home / "config.toml"), "INTERLOCK_HOME": str(home)}
    environ |= {f"INTERLOCK_{name.upper()}": value for name, value in more.items()}
    return Settings.load(environ, system_file=home / "none.toml")


def test_dev_key_is_made_once_private_and_says_that_it_is_dev(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    first, second = load_signer(settings), load_signer(settings)
    assert first.keyid == second.keyid
    assert first.dev
    assert stat.S_IMODE((tmp_path / "keys" / "dev.key").stat().st_mode) == 0o600
    assert (tmp_path / "keys" / "dev.pub").read_text() == first.public_pem
    load_pem_public_key(first.public_pem.encode())
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["dev.key", "dev.pub"]


def test_processes_that_make_the_dev_key_at_once_agree_on_one(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: load_signer(settings).keyid, range(8)))) == 1


def test_dev_key_is_trusted_where_it_was_made_and_marked_as_dev(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    signer = load_signer(settings)
    key = KeyRing.load(settings).get(signer.keyid)
    assert key is not None
    assert key.dev
    assert key.name == "dev"


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    load_signer(settings)
    (tmp_path / "keys" / "dev.key").chmod(0o640)
    with pytest.raises(SettingsError, match="others can read") as refused:
        load_signer(settings)
    assert str(tmp_path / "keys" / "dev.key") in str(refused.value)


def key_file(place: Path, kind: str) -> str:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    place.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    place.chmod(0o600)
    return f"file2:{place}"


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_key_file_signs_and_is_not_dev(kind: str, tmp_path: Path) -> None:
    signer = load_signer(settings_at(tmp_path, signer=key_file(tmp_path / "my.key", kind)))
    envelope = Envelope(b"x", "y", {})
    signer.sign(envelope)
    envelope.verify([trusted(signer).key], 1)
    assert not signer.dev


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        pytest.param("file2:/none/my.key", "/none/my.key", id="key file that is not there"),
        pytest.param("awskms:alias/interlock", "signer.pub", id="public half that is not there"),
        pytest.param("carrier-pigeon:coo", "awskms:", id="unknown scheme"),
        pytest.param("plain text", "use one of", id="no scheme"),
    ],
)
def test_signer_that_cannot_be_set_up_says_what_is_missing(uri: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load_signer(settings_at(tmp_path, signer=uri))
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        pytest.param("hsm:2", "securesystemslib[hsm]", id="HSM"),
        pytest.param("gcpkms:projects/p", "securesystemslib[gcpkms]", id="Google KMS"),
        pytest.param("hv:key/1", "securesystemslib[vault]", id="Vault"),
        pytest.param("azurekms://vault/key", "securesystemslib[azurekms]", id="Azure KMS"),
    ],
)
def test_signer_whose_package_is_missing_names_it(uri: str, package: str, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    key_file(tmp_path / "p256.key", "ecdsa")
    pem = load_signer(settings_at(tmp_path, signer=f"file2:{tmp_path / 'p256.key'}")).public_pem
    (tmp_path / "keys" / "signer.pub").write_text(pem)
    with pytest.raises(SettingsError) as refused:
        load_signer(settings_at(tmp_path, signer=uri))
    assert package in str(refused.value)


def _sign_digest(key: Any, message: bytes, _algorithm: str) -> bytes:
    """What KMS does with MessageType=DIGEST; moto 5.2 hashes the digest once more."""
    signature: bytes = key.private_key.sign(message, ec.ECDSA(Prehashed(SHA256())))
    return signature


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A key in AWS KMS, as moto's server serves it over HTTP."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    yield boto3.client("kms").create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    server.stop()


def test_kms_key_signs_receipts_that_verify(kms: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.kms.utils.ECDSAPrivateKey.sign", _sign_digest)
    settings = settings_at(tmp_path, signer=f"awskms:{kms}")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signer.pub").write_text(fetch_public(settings.signer))
    signer, clock, bench = load_signer(settings), Clock(), Bench.at(tmp_path)
    ledger = Ledger.open(settings.ledger_url)
    recorded = ReceiptRecorder(signer, ledger, LIFETIME, clock=clock).record(
        report(bench.subject(bench.data())), decision(), GateContext(run=RUN_OF_BENCH, profile="standard")
    )
    receipt = verify_receipt(ledger.get(recorded.receipt_id).envelope, KeyRing.load(settings), now=clock.now)
    assert (receipt.keyid, receipt.dev) == (signer.keyid, False)


def test_signature_that_does_not_fit_the_public_half_is_not_used(kms: str, tmp_path: Path) -> None:
    settings = settings_at(tmp_path, signer=f"awskms:{kms}")
    (tmp_path / "keys").mkdir()
    other = load_signer(settings_at(tmp_path, signer=key_file(tmp_path / "other.key", "ecdsa")))
    (tmp_path / "keys" / "signer.pub").write_text(other.public_pem)
    with pytest.raises(SettingsError, match="do not fit"):
        load_signer(settings).sign(Envelope(b"x", "y", {}))


def test_kms_that_does_not_answer_is_unavailable(kms: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_at(tmp_path, signer=f"awskms:{kms}")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "signer.pub").write_text(fetch_public(settings.signer))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    signer = load_signer(settings)
    with pytest.raises(UnavailableError, match="did not sign"):
        signer.sign(Envelope(b"x", "y", {}))
    with pytest.raises(UnavailableError, match="did not answer"):
        fetch_public(settings.signer)


def test_public_half_that_no_service_gives_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="azurekms"):
        fetch_public("azurekms://vault/key")


def test_folder_of_trusted_keys_that_is_not_there_trusts_nobody(tmp_path: Path) -> None:
    assert len(KeyRing.load(settings_at(tmp_path))) == 0


def ring_of(folder: Path, limits: object = None) -> KeyRing:
    keys = folder / "keys"
    keys.mkdir(exist_ok=True)
    (keys / "team.pub").write_text(new_signer().public_pem)
    if limits is not None:
        (keys / "team.json").write_text(limits if isinstance(limits, str) else json.dumps(limits))
    return KeyRing.load(settings_at(folder))


def test_key_may_be_limited_to_kinds_of_gate(tmp_path: Path) -> None:
    (key,) = ring_of(tmp_path, {"gates": ["data-validation"]})
    assert key.may_sign("data-validation")
    assert not key.may_sign("training")


def test_retired_key_signs_nothing_more(tmp_path: Path) -> None:
    (key,) = ring_of(tmp_path, {"gates": []})
    assert not key.may_sign("data-validation")


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param("{", id="no JSON"),
        pytest.param([], id="no object"),
        pytest.param({"gate": ["training"]}, id="misspelt field"),
        pytest.param({"gates": "training"}, id="text instead of a list"),
        pytest.param({"gates": ["trainings"]}, id="unknown gate"),
        pytest.param({"gates": None}, id="null"),
        pytest.param({"dev": "no"}, id="text instead of a truth value"),
    ],
)
def test_limits_that_cannot_be_read_are_a_settings_error_and_no_freedom(limits: object, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        ring_of(tmp_path, limits)
    assert "team.json" in str(refused.value)


def test_key_listed_twice_has_the_narrower_limits() -> None:
    signer = new_signer()
    wide, narrow = trusted(signer, "a"), trusted(signer, "b", ["training"])
    for keys in ([wide, narrow], [narrow, wide]):
        (key,) = KeyRing(keys)
        assert key.gates == frozenset({"training"})


def test_file_that_is_no_public_key_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    key_file(tmp_path / "keys" / "private.pem", "ecdsa")
    with pytest.raises(SettingsError, match=r"private\.pem"):
        KeyRing.load(settings_at(tmp_path))


@pytest.mark.parametrize("loop", [False, True])
def test_limits_behind_a_link_into_nowhere_are_a_settings_error_and_no_freedom(loop: bool, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "team.json").symlink_to("team.json" if loop else "gone")
    with pytest.raises(SettingsError, match=r"team\.json"):
        ring_of(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777], ids=oct)
def test_folder_that_everybody_may_write_is_refused(mode: int, tmp_path: Path) -> None:
    ring_of(tmp_path)
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(SettingsError, match="everybody"):
        KeyRing.load(settings_at(tmp_path))


def test_folder_that_is_mounted_read_only_is_read_whatever_its_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring_of(tmp_path)
    (tmp_path / "keys").chmod(0o1777)
    monkeypatch.setattr("interlock.evidence.keyring.os.statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert len(KeyRing.load(settings_at(tmp_path))) == 1


def test_empty_ring_verifies_nothing(bench: Bench) -> None:
    recorded = bench.receipt(bench.subject(bench.data()))
    with pytest.raises(SignatureError, match="no trusted key"):
        verify_receipt(bench.entry(recorded).envelope, KeyRing([]), now=bench.clock.now)
