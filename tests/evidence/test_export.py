"""Exported receipts stand without Interlock: checked here with openssl, securesystemslib and in-toto-verify alone."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner, SSlibKey
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from tests.evidence.bench import NOON, RUN, Bench, new_signer, trusted

from interlock.evidence import Exported, KeyRing, ReceiptSigner, export_ledger, verify_file
from interlock.evidence.testimony import State
from interlock.gate import LedgerError, SignatureError, Stage, UsageError, Verdict

IN_TOTO_VERIFY = Path(sys.executable).parent / "in-toto-verify"


@dataclass(frozen=True)
class Run:
    """A whole run: data through two gates into training, the model through a scan to deployment."""

    bench: Bench

    def finish(self, *, poisoned: bool = False, swapped: bool = False) -> Run:
        bench = self.bench
        data = bench.subject(bench.data())
        model = bench.subject(bench.data("model", "weights"))
        bench.receipt(data, "data-validation")
        bench.receipt(data, "data-poisoning", Verdict.DENY if poisoned else Verdict.ALLOW)
        bench.receipt(data, "training", stage=Stage.GUARD)
        bench.receipt(model, "training", materials=[data])
        bench.receipt(model, "artifact-scan")
        if swapped:
            model = bench.subject(bench.data("model", "other weights"))
        bench.receipt(model, "deployment", stage=Stage.GUARD)
        return self

    def export(self, signer: ReceiptSigner | None = None) -> Exported:
        target = self.bench.folder / "export"
        return self.bench.ledger.export(
            target, keyring=self.bench.keyring, signer=signer or self.bench.signer, run=RUN.run_id, now=NOON
        )


@dataclass(frozen=True)
class Ended:
    """How the stock command ended."""

    returncode: int
    stderr: str


def in_toto_verify(exported: Exported) -> Ended:
    """The stock command, in this process: it imports for seconds, and these tests call it often."""
    from in_toto.in_toto_verify import main  # type: ignore[import-untyped]  # not typed

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    log = logging.getLogger("in_toto")
    log.addHandler(handler)
    arguments = ["in-toto-verify", "-l", "root.layout", "--verification-keys", "signer.pem"]
    try:
        with chdir(exported.folder / "in-toto"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            with pytest.raises(SystemExit) as ended:
                main()
    finally:
        log.removeHandler(handler)
    return Ended(returncode=int(ended.value.code or 0), stderr=said.getvalue())


def in_toto_verify_command(exported: Exported) -> int:
    command = [sys.executable, str(IN_TOTO_VERIFY), "-l", "root.layout", "--verification-keys", "signer.pem"]
    return subprocess.run(command, cwd=exported.folder / "in-toto", capture_output=True, check=False).returncode


def openssl(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@needs_openssl
def test_plain_openssl_verifies_every_receipt(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    signatures = sorted((exported.folder / "openssl").glob("*.sig"))
    assert len(signatures) == exported.receipts == 6
    key = exported.folder / "keys" / f"{bench.signer.keyid[:8]}.pem"
    for signature in signatures:
        pae = signature.with_suffix(".pae")
        check = ("pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-sigfile", signature, "-in")
        assert openssl(*check, pae).returncode == 0
        pae.write_bytes(pae.read_bytes().replace(b"retrain", b"another"))
        assert openssl(*check, pae).returncode == 1


def ecdsa_signer() -> ReceiptSigner:
    signer = CryptoSigner(ec.generate_private_key(ec.SECP256R1()))
    return ReceiptSigner(signer=signer, public=signer.public_key, dev=False)


def rsa_signer() -> ReceiptSigner:
    signer = CryptoSigner(rsa.generate_private_key(65537, 2048))
    return ReceiptSigner(signer=signer, public=signer.public_key, dev=False)


@needs_openssl
@pytest.mark.parametrize("make", [new_signer, ecdsa_signer, rsa_signer], ids=["Ed25519", "ECDSA", "RSA"])
def test_exported_script_checks_with_openssl_and_notices_one_changed_byte(
    make: Callable[[], ReceiptSigner], bench: Bench
) -> None:
    signer = make()
    bench = replace(bench, signer=signer, keyring=KeyRing([trusted(signer)]))
    exported = Run(bench).finish().export()
    script = ["sh", str(exported.folder / "openssl" / "check.sh")]
    assert subprocess.run(script, capture_output=True, check=False).returncode == 0
    last = sorted((exported.folder / "openssl").glob("*.pae"))[-1]
    last.write_bytes(last.read_bytes()[:-1] + b" ")
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "DOES NOT HOLD" in ended.stderr


def test_securesystemslib_alone_verifies_every_receipt(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    (pem,) = (exported.folder / "keys").iterdir()
    key = SSlibKey.from_crypto(load_pem_public_key(pem.read_bytes()))
    lines = (exported.folder / "receipts.intoto.jsonl").read_text().splitlines()
    assert len(lines) == 6
    for line in lines:
        envelope = Envelope.from_dict(json.loads(line))
        envelope.verify([key], 1)
        assert json.loads(envelope.payload)["_type"] == "https://in-toto.io/Statement/v1"


def test_statement_names_single_files_so_that_sha256sum_is_enough(bench: Bench) -> None:
    data = bench.data()
    bench.receipt(bench.subject(data))
    exported = export_ledger(bench.ledger, bench.folder / "export", keyring=bench.keyring, now=NOON)
    (line,) = (exported.folder / "receipts.intoto.jsonl").read_text().splitlines()
    statement = json.loads(Envelope.from_dict(json.loads(line)).payload)
    digests = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert digests["train/part-0.csv"] == hashlib.sha256((data / "part-0.csv").read_bytes()).hexdigest()


def test_stock_in_toto_verify_accepts_a_run_that_was_allowed(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    links = sorted(path.name.split(".")[0] for path in (exported.folder / "in-toto").glob("*.link"))
    assert links == [
        "artifact-scan",
        "data-poisoning",
        "data-validation",
        "guard-deployment",
        "guard-training",
        "training",
    ]
    ended = in_toto_verify(exported)
    assert ended.returncode == 0, ended.stderr
    assert in_toto_verify_command(exported) == 0
    next((exported.folder / "in-toto").glob("*.link")).unlink()
    assert in_toto_verify_command(exported) == 1


@pytest.mark.parametrize("step", ["data-validation", "data-poisoning", "training", "artifact-scan", "guard-deployment"])
def test_stock_in_toto_verify_refuses_a_run_without_one_link(step: str, bench: Bench) -> None:
    exported = Run(bench).finish().export()
    (link,) = (exported.folder / "in-toto").glob(f"{step}.*.link")
    link.unlink()
    ended = in_toto_verify(exported)
    assert ended.returncode == 1
    assert "LinkNotFoundError" in ended.stderr


def by_another_key(place: Path, signer: ReceiptSigner) -> None:
    stranger = new_signer()
    envelope = Envelope.from_dict(json.loads(place.read_text()))
    envelope.signatures.clear()
    stranger.sign(envelope)
    place.write_text(json.dumps(envelope.to_dict()))


def by_another_key_under_the_same_id(place: Path, signer: ReceiptSigner) -> None:
    by_another_key(place, signer)
    document = json.loads(place.read_text())
    document["signatures"][0]["keyid"] = signer.keyid
    place.write_text(json.dumps(document))


def with_other_bytes(place: Path, signer: ReceiptSigner) -> None:
    envelope = Envelope.from_dict(json.loads(place.read_text()))
    document = json.loads(envelope.payload)
    for side in ("materials", "products"):
        document[side] = {name: {"sha256": "0" * 64} for name in document[side]}
    resigned = Envelope(json.dumps(document).encode(), envelope.payload_type, {})
    signer.sign(resigned)
    place.write_text(json.dumps(resigned.to_dict()))


@pytest.mark.parametrize("forge", [by_another_key, by_another_key_under_the_same_id, with_other_bytes])
def test_stock_in_toto_verify_refuses_a_forged_link(forge: Callable[[Path, ReceiptSigner], None], bench: Bench) -> None:
    exported = Run(bench).finish().export()
    (link,) = (exported.folder / "in-toto").glob("artifact-scan.*.link")
    forge(link, bench.signer)
    assert in_toto_verify(exported).returncode == 1


def test_stock_in_toto_verify_refuses_a_layout_of_another_key(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    (exported.folder / "in-toto" / "signer.pem").write_text(new_signer().public_pem)
    assert in_toto_verify(exported).returncode == 1


def test_run_that_was_denied_has_no_link_for_that_step_and_does_not_verify(bench: Bench) -> None:
    exported = Run(bench).finish(poisoned=True).export()
    assert not list((exported.folder / "in-toto").glob("data-poisoning.*.link"))
    assert "LinkNotFoundError" in in_toto_verify(exported).stderr


def test_run_whose_model_was_swapped_does_not_verify(bench: Bench) -> None:
    exported = Run(bench).finish(swapped=True).export()
    ended = in_toto_verify(exported)
    assert ended.returncode == 1
    assert "RuleVerificationError" in ended.stderr


def test_retry_takes_the_place_of_the_try_before(bench: Bench) -> None:
    run = Run(bench).finish(poisoned=True)
    run.finish()
    assert in_toto_verify(run.export()).returncode == 0


def test_export_holds_reports_chain_and_head(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    for report in (exported.folder / "reports").iterdir():
        assert report.stem == hashlib.sha256(report.read_bytes()).hexdigest()
    chain = json.loads((exported.folder / "ledger.json").read_text())
    assert chain["head"] == str(bench.ledger.head()) == str(exported.head)
    assert [entry["seq"] for entry in chain["entries"]] == [1, 2, 3, 4, 5, 6]
    for one in chain["entries"]:
        fields = {name: one[name] for name in one if name != "link"}
        spelled = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(spelled).hexdigest() == one["link"]
    assert str(exported.layout) in str(exported)


def test_exported_files_are_verified_by_verify_file(bench: Bench) -> None:
    exported = Run(bench).finish().export()
    many = verify_file(exported.folder / "receipts.intoto.jsonl", bench.keyring, now=NOON)
    assert [one.state for one in many] == [State.VALID] * 6
    single = next((exported.folder / "receipts").iterdir())
    assert [one.state for one in verify_file(single, bench.keyring, now=NOON)] == [State.VALID]


def test_whole_ledger_is_exported_without_a_signer_and_without_a_layout(bench: Bench) -> None:
    Run(bench).finish()
    exported = export_ledger(bench.ledger, bench.folder / "export", keyring=bench.keyring, now=NOON)
    assert (exported.receipts, exported.layout) == (6, None)
    assert not (exported.folder / "in-toto").exists()


def test_receipt_of_an_unknown_key_is_not_exported_and_nothing_is_left(bench: Bench) -> None:
    bench.receipt(bench.subject(bench.data()), signer=new_signer())
    with pytest.raises(SignatureError) as refused:
        export_ledger(bench.ledger, bench.folder / "export", keyring=bench.keyring, now=NOON)
    assert "entry 1" in refused.value.where
    assert not (bench.folder / "export").exists()


def test_damaged_ledger_is_not_exported(bench: Bench) -> None:
    Run(bench).finish()
    with create_engine(f"sqlite:///{bench.folder / 'ledger.db'}", poolclass=NullPool).begin() as db:
        db.execute(text("DROP TRIGGER interlock_entries_no_DELETE"))
        db.execute(text("DELETE FROM interlock_entries WHERE seq = 2"))
    with pytest.raises(LedgerError, match="entry 2 is missing"):
        Run(bench).export()
    assert not (bench.folder / "export").exists()


def test_export_that_cannot_be_made_is_a_usage_error(bench: Bench) -> None:
    run = Run(bench).finish()
    with pytest.raises(UsageError, match="needs a signer"):
        bench.ledger.export(bench.folder / "export", keyring=bench.keyring, run=RUN.run_id)
    with pytest.raises(UsageError, match="no such receipts"):
        bench.ledger.export(bench.folder / "export", keyring=bench.keyring, signer=bench.signer, run="none")
    run.export()
    with pytest.raises(UsageError, match="already there"):
        run.export()


def test_run_id_of_two_pipelines_is_a_usage_error(bench: Bench) -> None:
    run = Run(bench).finish()
    bench.receipt(bench.subject(bench.data()), run=replace(RUN, pipeline="other"))
    with pytest.raises(UsageError, match="several pipelines"):
        run.export()
