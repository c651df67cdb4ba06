"""A deployment whose guard signs with a key of its own, and the webhook over it, asked as the API server asks."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner
from tests.policy.engines.opa_servers import Authority

from interlock.evidence import Ledger, ReceiptRecorder, ReceiptSigner
from interlock.evidence.keys import pem_of
from interlock.gate import (
    Coverage,
    Decision,
    GateContext,
    Observation,
    Reason,
    Report,
    RunIdentity,
    Settings,
    Severity,
    Stage,
    Subject,
    Tool,
    Verdict,
    utc_now,
)
from interlock.kubeflow_plugin.admission.judge import open_judge
from interlock.kubeflow_plugin.admission.server import Webhook, WebhookOptions
from interlock.policy import load_policy

SUBJECT = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
"""What the samples under tests/policy/rules/admission are annotated for."""


@dataclass(frozen=True)
class Deployment:
    """Settings, a trusted key that is no development key, and a ledger."""

    settings: Settings
    key: CryptoSigner

    @classmethod
    def made(cls, home: Path) -> Deployment:
        key = CryptoSigner.generate_ed25519()
        (home / "keys").mkdir(parents=True, mode=0o755)
        (home / "keys" / "guard.pub").write_text(pem_of(key.public_key))
        return cls(settings=Settings.load(), key=key)

    def receipt(
        self,
        *,
        gate: str = "training",
        stage: Stage = Stage.GUARD,
        verdict: Verdict = Verdict.ALLOW,
        digest: str = SUBJECT,
        key: CryptoSigner | None = None,
        age: timedelta = timedelta(0),
        bundle: str = "",
        dev: bool = False,
    ) -> str:
        """Sign and store a receipt by the real recorder; return its id."""
        signer = key or self.key
        no = Reason(id="x.no", title="No", severity=Severity.HIGH, message="no")
        decision = Decision(
            verdict=verdict,
            reasons=(no,) if verdict is Verdict.DENY else (),
            bundle_digest=bundle or load_policy(self.settings).digest,
            decision_id="d",
        )
        report = Report(
            gate=gate,
            subject=Subject(name="train.csv", uri="file:///train.csv", digest=digest),
            observation=Observation(coverage=Coverage(looked_at=("train.csv",))),
            tools=(Tool(name="interlock", version="1"),),
            configuration="{}",
            started=utc_now(),
            finished=utc_now(),
        )
        recorder = ReceiptRecorder(
            ReceiptSigner(signer=signer, public=signer.public_key, dev=dev),
            Ledger.open(self.settings.ledger_url),
            timedelta(hours=1),
            clock=lambda: utc_now() - age,
        )
        run = RunIdentity(orchestrator="kubeflow", pipeline="retrain", run_id="1", task_id=gate)
        return recorder.record(report, decision, GateContext(run=run, profile="standard", stage=stage)).receipt_id


@dataclass(frozen=True)
class Asking:
    """The API server's side."""

    port: int
    authority: Authority
    client: tuple[Path, Path] | None = None

    def post(self, body: bytes, *, path: str = "/admit", kind: str = "application/json") -> tuple[int, Any]:
        trust = ssl.create_default_context(cafile=str(self.authority.file))
        if self.client is not None:
            trust.load_cert_chain(*self.client)
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}{path}", data=body, headers={"Content-Type": kind}
        )
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            return answer.status, json.loads(answer.read())

    def __call__(self, review: Mapping[str, Any]) -> dict[str, Any]:
        _, document = self.post(json.dumps(review).encode())
        response: dict[str, Any] = document["response"]
        return response


@contextmanager
def webhook(settings: Settings, folder: Path, **changes: Any) -> Iterator[Asking]:
    """A webhook over TLS on loopback."""
    authority = Authority(folder)
    certificate, key = authority.issue("webhook")
    client = authority.issue("apiserver") if changes.pop("mutual", False) else None
    options = WebhookOptions(
        certificate=certificate,
        key=key,
        host="127.0.0.1",
        port=0,
        client_ca=authority.file if client else None,
        **changes,
    )
    with Webhook(open_judge(settings).answer, options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Asking(server.port, authority, client)
        finally:
            server.shutdown()
            thread.join(timeout=30)
