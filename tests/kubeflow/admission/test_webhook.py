"""The webhook over TLS: only a receipt that the ledger holds and verifies admits what needs one."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tests.kubeflow.admission.deployment import SUBJECT, Asking, Deployment, webhook
from tests.policy.engines.opa_servers import Authority, free_port, needs_opa, running_opa

from interlock.gate import Settings, SettingsError, Stage, Verdict
from interlock.kubeflow_plugin.admission.server import Webhook, WebhookOptions
from interlock.policy.bundles.bundle import packaged_folder

SAMPLES = Path(__file__).parents[2] / "policy" / "rules" / "admission"
UNKNOWN = "01JDCMR2V7X3Q9Z8N4H6T5W1YZ"


def sample(name: str, receipt: str = "", subject: str = "") -> dict[str, Any]:
    (path,) = SAMPLES.glob(f"*/{name}.json")
    text = path.read_text()
    review: dict[str, Any] = json.loads(text)
    if receipt:
        old = json.loads(text)["request"]["object"]["metadata"]["annotations"]["interlock.dev/receipt"]
        review = json.loads(text.replace(old, receipt))
    return json.loads(json.dumps(review).replace(SUBJECT, subject)) if subject else review


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("admission") / "home"
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("INTERLOCK_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(home.parent))
        patch.setenv("INTERLOCK_HOME", str(home))
        yield Deployment.made(home)


@pytest.fixture(scope="module")
def ask(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    with webhook(deployment.settings, tmp_path_factory.mktemp("tls")) as asking:
        yield asking


def test_a_pod_with_a_good_receipt_is_admitted(ask: Asking, deployment: Deployment) -> None:
    review = sample("pod_gpu_with_receipt", deployment.receipt())
    response = ask(review)
    assert response["allowed"] is True, response
    assert response["uid"] == review["request"]["uid"]
    assert response["warnings"] == []  # the receipt was looked up, so there is nothing to warn of


def test_a_model_is_served_under_the_receipt_of_its_deployment(ask: Asking, deployment: Deployment) -> None:
    served = deployment.receipt(gate="deployment", digest="8" * 64)
    assert ask(sample("inferenceservice_with_receipt", served, "8" * 64))["allowed"] is True
    trained = deployment.receipt(gate="training", digest="8" * 64)
    assert ask(sample("inferenceservice_with_receipt", trained, "8" * 64))["allowed"] is False


REFUSED: dict[str, tuple[Callable[[Deployment], str], str]] = {
    "for-other-bytes": (lambda d: d.receipt(digest="7" * 64), "is not known here as one that opens it"),
    "that-nobody-wrote": (lambda _: UNKNOWN, "the ledger has no such receipt"),
    "expired": (lambda d: d.receipt(age=timedelta(hours=2)), "expired at"),
    "of-tomorrow": (lambda d: d.receipt(age=-timedelta(days=1)), "not valid before"),
    "that-says-no": (lambda d: d.receipt(verdict=Verdict.DENY), "is not known here as one that opens it"),
    "of-a-gate": (lambda d: d.receipt(stage=Stage.GATE), "is not known here as one that opens it"),
    "of-a-scan": (lambda d: d.receipt(gate="artifact-scan"), "is not known here as one that opens it"),
    "of-an-unknown-signer": (lambda d: d.receipt(key=CryptoSigner.generate_ed25519()), "no trusted key signed it"),
    "of-a-development-key": (lambda d: d.receipt(dev=True), "is not known here as one that opens it"),
    "of-an-unknown-policy": (lambda d: d.receipt(bundle="9" * 64), "unknown policy bundle"),
}


@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_a_pod_is_refused_under_a_receipt(
    ask: Asking, deployment: Deployment, make: Callable[[Deployment], str], why: str
) -> None:
    response = ask(sample("pod_gpu_with_receipt", make(deployment)))
    assert response["allowed"] is False
    assert "[kubernetes.receipt]" in response["status"]["message"]
    assert why in response["status"]["message"]


def test_a_pod_without_a_receipt_is_refused_and_one_that_needs_none_is_not(ask: Asking) -> None:
    assert ask(sample("pod_gpu_without_receipt"))["allowed"] is False
    assert ask(sample("pod_without_gpu"))["allowed"] is True


def test_a_later_denial_takes_the_receipt_back(ask: Asking, deployment: Deployment) -> None:
    digest = "6" * 64
    review = sample("pod_gpu_with_receipt", deployment.receipt(digest=digest, age=timedelta(minutes=5)), digest)
    assert ask(review)["allowed"] is True
    stranger = CryptoSigner.generate_ed25519()
    deployment.receipt(gate="data-poisoning", stage=Stage.GATE, verdict=Verdict.DENY, digest=digest, key=stranger)
    assert ask(review)["allowed"] is True  # nobody whom we trust said so
    deployment.receipt(gate="data-poisoning", stage=Stage.GATE, verdict=Verdict.DENY, digest=digest)
    response = ask(review)
    assert response["allowed"] is False
    assert "since then data-poisoning said DENY" in response["status"]["message"]
    deployment.receipt(gate="data-poisoning", stage=Stage.GATE, digest=digest)
    assert ask(review)["allowed"] is True


def test_receipts_that_the_asker_brings_do_not_count(ask: Asking) -> None:
    review = sample("pod_gpu_with_receipt", UNKNOWN)
    forged = {"verdict": "ALLOW", "stage": "guard", "gate": "training", "subject": SUBJECT, "dev": False, "problem": ""}
    review["receipts"] = {UNKNOWN: forged | {"expires": "2099-01-01T00:00:00Z"}}
    assert ask(review)["allowed"] is False


def test_more_receipts_than_are_looked_up_open_nothing(ask: Asking, deployment: Deployment) -> None:
    review = sample("pod_gpu_with_receipt", deployment.receipt())
    inner: dict[str, Any] = {}
    review["request"]["oldObject"] = inner
    for number in range(20):
        inner["metadata"] = {"annotations": {"interlock.dev/receipt": f"01JDCMR2V7X3Q9Z8N4H6T5W{number:03d}"}}
        inner["spec"] = {}
        inner = inner["spec"]
    assert ask(review)["allowed"] is True  # the object's own is looked up first


@pytest.fixture
def own(home: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment that a test may break."""
    monkeypatch.setenv("INTERLOCK_PROFILE", "standard")
    return Deployment.made(home)


def test_an_altered_ledger_opens_nothing(own: Deployment, tmp_path: Path) -> None:
    receipt = own.receipt()
    with sqlite3.connect(own.settings.home / "ledger.db") as database:
        triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for (name,) in triggers:  # whoever alters a row has the database, and takes these away first
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE interlock_entries SET recorded = '2020-01-01T00:00:00.000000Z'")
    database.close()
    with webhook(own.settings, tmp_path) as ask:
        response = ask(sample("pod_gpu_with_receipt", receipt))
    assert response["allowed"] is False
    assert "altered" in response["status"]["message"]


def test_a_ledger_that_does_not_answer_opens_nothing(
    own: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = own.receipt()
    monkeypatch.setenv("INTERLOCK_LEDGER_URL", f"postgresql+pg8000://i:i@127.0.0.1:{free_port()}/ledger")
    with webhook(Settings.load(), tmp_path) as ask:
        response = ask(sample("pod_gpu_with_receipt", receipt))
        assert response["allowed"] is False
        assert "it could not be looked up" in response["status"]["message"]
        assert ask(sample("pod_without_gpu"))["allowed"] is True


def test_a_policy_that_does_not_answer_admits_nothing(
    own: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_OPA_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("INTERLOCK_OPA_RETRIES", "0")
    with webhook(Settings.load(), tmp_path) as ask:
        response = ask(sample("pod_without_gpu"))
    assert (response["allowed"], response["status"]["code"]) == (False, 500)


@needs_opa
@pytest.mark.slow
def test_a_real_opa_server_may_decide(own: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interlock.policy import Bundle
    from interlock.policy.bundles.archive import packed

    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(packed(Bundle.load(packaged_folder())))
    receipt = own.receipt()
    with running_opa("--bundle", str(bundle)) as port:
        monkeypatch.setenv("INTERLOCK_OPA_URL", f"http://127.0.0.1:{port}")
        with webhook(Settings.load(), tmp_path) as ask:
            assert ask(sample("pod_gpu_with_receipt", receipt))["allowed"] is True
            assert ask(sample("pod_gpu_with_receipt", UNKNOWN))["allowed"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"request": {"uid": "1"}, "request": {"uid": "2"}}', 400),
        (b"[" * 100_000, 400),
        (b"\xff\xfe", 400),
        (b"{}", 400),
        (b'{"request": 7, "kind": "AdmissionReview"}', 400),
    ],
    ids=range(8),
)
def test_what_is_no_review_admits_nothing(ask: Asking, body: bytes, code: int) -> None:
    _, document = ask.post(body)
    assert (document["response"]["allowed"], document["response"]["status"]["code"]) == (False, code)


def test_other_paths_types_and_sizes_get_no_answer(deployment: Deployment, tmp_path: Path) -> None:
    with webhook(deployment.settings, tmp_path, body_bytes=100) as ask:
        for status, asked in (
            (404, {"body": b"{}", "path": "/v1/data"}),
            (415, {"body": b"{}", "kind": "text/plain"}),
            (413, {"body": b" " * 101}),
        ):
            with pytest.raises(urllib.error.HTTPError, match=str(status)):
                ask.post(**asked)


def test_who_shows_no_certificate_of_the_ca_gets_no_answer(deployment: Deployment, tmp_path: Path) -> None:
    with webhook(deployment.settings, tmp_path, mutual=True) as ask:
        assert ask(sample("pod_without_gpu"))["allowed"] is True
        with pytest.raises(OSError):  # noqa: PT011 (which of TLS's errors arrives is a matter of timing)
            Asking(ask.port, ask.authority).post(b"{}")


@pytest.mark.slow
def test_a_silent_client_keeps_nobody_waiting(deployment: Deployment, tmp_path: Path) -> None:
    with (
        webhook(deployment.settings, tmp_path, seconds=3.0) as ask,
        socket.create_connection(("127.0.0.1", ask.port)) as silent,
    ):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask.post(b"{}", path="/other")
        silent.settimeout(30)
        assert silent.recv(1) == b""


@pytest.mark.slow
def test_a_renewed_certificate_is_used(deployment: Deployment, tmp_path: Path) -> None:
    with webhook(deployment.settings, tmp_path) as ask:
        assert ask(sample("pod_without_gpu"))["allowed"] is True
        other = tmp_path / "other"
        other.mkdir()
        authority = Authority(other)
        certificate, key = authority.issue("webhook")
        (tmp_path / "webhook.key").write_bytes(key.read_bytes())
        (tmp_path / "webhook.pem").write_bytes(certificate.read_bytes())
        assert Asking(ask.port, authority)(sample("pod_without_gpu"))["allowed"] is True


def test_a_certificate_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    for name in ("a.pem", "a.key"):
        (tmp_path / name).write_text("no certificate")
    options = WebhookOptions(certificate=tmp_path / "a.pem", key=tmp_path / "a.key", host="127.0.0.1", port=0)
    with pytest.raises(SettingsError, match="certificate cannot be used"):
        Webhook(lambda _: {}, options)


@pytest.mark.slow
def test_the_command_answers_until_it_is_ended(own: Deployment, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    authority, port = Authority(tmp_path), free_port()
    certificate, key = authority.issue("webhook")
    command = [sys.executable, "-m", "interlock.cli", "kubernetes", "webhook"]
    command += ["--cert", str(certificate), "--key", str(key)]
    process = subprocess.Popen([*command, "--host", "127.0.0.1", "--port", str(port)], stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"/admit" in process.stderr.readline()
        asked = Asking(port, authority)
        assert asked(sample("pod_gpu_with_receipt", own.receipt()))["allowed"] is True
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            Asking(port, Authority(other)).post(b"{}")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert process.stderr is not None
        process.stderr.close()
