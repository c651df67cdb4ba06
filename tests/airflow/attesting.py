"""A deployment that verifies its DAG files: real keys, real receipts in a real ledger, real git repositories."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

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
from interlock.policy import load_policy

DAG_FILE = """
from pathlib import Path
from airflow.sdk import DAG, task

Path({marker!r}).touch()

with DAG({dag_id!r}, schedule=None) as dag:

    @task
    def say():
        print("said")

    say()
"""


@dataclass
class Deployment:
    """One set of settings, as `environment` names them, with a key for lint receipts in its ring.

    Args:
        home: Folder of all that is kept.
        policy: Folder of the policy; the shipped one when not given.
    """

    home: Path
    policy: str = ""
    lint_key: CryptoSigner = field(default_factory=CryptoSigner.generate_ed25519)

    def __post_init__(self) -> None:
        keys = self.home / "keys"
        keys.mkdir(parents=True, exist_ok=True, mode=0o755)
        (keys / "lint.pub").write_text(pem_of(self.lint_key.public_key))

    @property
    def environment(self) -> dict[str, str]:
        return {"INTERLOCK_HOME": str(self.home)} | ({"INTERLOCK_POLICY": self.policy} if self.policy else {})

    @property
    def settings(self) -> Settings:
        return Settings.load(os.environ | self.environment)

    @property
    def ledger(self) -> Ledger:
        return Ledger.open(self.settings.ledger_url)

    def attest(
        self,
        content: str | bytes,
        *,
        verdict: Verdict = Verdict.ALLOW,
        gate: str = "pipeline",
        stage: Stage = Stage.GATE,
        key: CryptoSigner | None = None,
        age: timedelta = timedelta(0),
        lifetime: timedelta = timedelta(hours=1),
        bundle: str = "",
    ) -> str:
        """Write a receipt as lint does, by the real recorder; return its id."""
        content = content.encode() if isinstance(content, str) else content
        subject = Subject(name="dag.py", uri="file:///dag.py", digest=hashlib.sha256(content).hexdigest())
        signer = key or self.lint_key
        no = Reason(id="pipeline.no", title="No", severity=Severity.HIGH, message="a protected step is not gated")
        decision = Decision(
            verdict=verdict,
            reasons=(no,) if verdict is Verdict.DENY else (),
            errors=("no answer",) if verdict is Verdict.UNDECIDED else (),
            engine="opa",
            engine_version="1",
            bundle_digest=bundle or load_policy(self.settings).digest,
            decision_id="d",
        )
        report = Report(
            gate=gate,
            subject=subject,
            observation=Observation(coverage=Coverage(looked_at=("dag.py",))),
            tools=(Tool(name="interlock lint", version="1"),),
            configuration="{}",
            started=utc_now(),
            finished=utc_now(),
        )
        recorder = ReceiptRecorder(
            ReceiptSigner(signer=signer, public=signer.public_key, dev=False),
            self.ledger,
            lifetime,
            clock=lambda: utc_now() - age,
        )
        run = RunIdentity(orchestrator="cli", pipeline="lint", run_id="1", task_id="lint")
        return recorder.record(report, decision, GateContext(run=run, profile="standard", stage=stage)).receipt_id


class Repository:
    """A git repository of a team, with commits signed as each says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        who = {
            f"GIT_{role}_{what}": "team@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        ours = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "file"}
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            env=os.environ | who | ours | dict(environment or {}),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes], *, key: Path | None) -> str:
        """Commit files, signed with an SSH key or not at all; return the commit."""
        for path, content in files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        return self.sign_off(key)

    def sign_off(self, key: Path | None) -> str:
        """Commit what is in the index."""
        how = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit", "-S"] if key else ["commit"]
        self.git(*how, "--quiet", "--allow-empty", "--message", "change")
        return self.git("rev-parse", "HEAD")


def ssh_key(folder: Path, name: str) -> Path:
    """A fresh Ed25519 key of somebody."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    return folder / name


def allow(signers: Path, *keys: Path) -> Path:
    """An allowed-signers file that lists the public halves."""
    signers.write_text("".join(f"{key.name}@example.org {key.with_suffix('.pub').read_text()}" for key in keys))
    signers.chmod(0o644)
    return signers
