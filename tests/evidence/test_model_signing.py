"""Signatures of models: what `model_signing` signs is verified here, the reverse, and other files are refused."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from model_signing import signing, verifying

from interlock.evidence import KeyRing, ReceiptSigner, TrustedKey, load_signer
from interlock.evidence.keys import public_key_of
from interlock.evidence.model_signing import sign_model, verify_model
from interlock.gate import Settings
from interlock.gate.errors import SignatureError, UnknownSignerError, UsageError
from interlock.gate.protocols import MODEL_SIGNATURE

CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}


def settings(folder: Path, signer: str = "") -> Settings:
    environ = {"INTERLOCK_HOME": str(folder / "home"), "INTERLOCK_SIGNER": signer}
    return Settings.load(environ, system_file=folder / "none.toml")


class Signer:
    """One key as files."""

    def __init__(self, folder: Path, curve: str = "p256") -> None:
        private = ec.generate_private_key(CURVES[curve]())
        self.private, self.public = folder / f"{curve}.key", folder / f"{curve}.pub"
        self.private.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.private.chmod(0o600)
        self.public.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        self.key = TrustedKey(name="release", key=public_key_of(self.public.read_bytes(), where="test"), models=True)

    @property
    def ours(self) -> ReceiptSigner:
        return load_signer(settings(self.private.parent, f"file2:{self.private}"))


@pytest.fixture(params=CURVES)
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Signer:
    return Signer(tmp_path, request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Paths that are ordered otherwise by their text than by their parts, and files of git."""
    root = tmp_path / "model"
    for name in ("weights.safetensors", "a-b/x.json", "a/x.json", "a/b/y", "é/ü.txt", ".git/config", ".gitattributes"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode() * 3)
    return root


def signed_by_them(model: Path, signer: Signer, place: Path, **hashing: Any) -> bytes:
    from model_signing.hashing import Config

    config: Any = signing.Config()  # type: ignore[no-untyped-call]  # its authors left out the return type
    config.use_elliptic_key_signer(private_key=signer.private)
    if hashing:
        made: Any = Config()  # type: ignore[no-untyped-call]
        config.set_hashing_config(made.set_ignored_paths(**hashing))
    config.sign(model, place)
    return place.read_bytes()


def verified_by_them(model: Path, signer: Signer, place: Path) -> None:
    config: Any = verifying.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_verifier(public_key=signer.public).verify(model, place)


def test_they_verify_what_is_signed_here(model: Path, signer: Signer) -> None:
    place = model / MODEL_SIGNATURE
    place.write_bytes(sign_model(str(model), signer.ours))
    verified_by_them(model, signer, place)
    (model / "a/x.json").write_bytes(b"other")
    with pytest.raises(ValueError, match="Hash mismatch"):
        verified_by_them(model, signer, place)


def test_what_they_sign_is_verified_here(model: Path, signer: Signer, tmp_path: Path) -> None:
    found = verify_model(str(model), signed_by_them(model, signer, tmp_path / "sig"), [signer.key], own="")
    assert (found.signer, found.name, found.files) == ("release", "model", 5)
    assert found.unsigned == (".git/config", ".gitattributes")


def test_both_say_the_same_of_the_same_files(model: Path, signer: Signer, tmp_path: Path) -> None:
    def statement(bundle: bytes) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"]))
        found["predicate"]["serialization"]["ignore_paths"].sort()
        return found

    ours, theirs = sign_model(str(model), signer.ours, own=""), signed_by_them(model, signer, tmp_path / "sig")
    assert statement(ours) == statement(theirs)
    assert list(json.loads(ours)) == list(json.loads(theirs))
    assert json.loads(ours)["verificationMaterial"] == json.loads(theirs)["verificationMaterial"]


def test_a_single_file_is_signed_both_ways(signer: Signer, tmp_path: Path) -> None:
    model, place = tmp_path / "model.safetensors", tmp_path / "model.safetensors.sig"
    model.write_bytes(b"weights")
    place.write_bytes(sign_model(str(model), signer.ours, own=""))
    verified_by_them(model, signer, place)
    assert verify_model(str(model), signed_by_them(model, signer, place), [signer.key], own="").files == 1


def test_files_that_the_signer_left_out_are_named(model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    theirs = signed_by_them(model, signer, model / MODEL_SIGNATURE, paths=["a"], ignore_git_paths=False)
    assert verify_model(str(model), theirs, [signer.key]).unsigned == ("a/b/y", "a/x.json")
    ours = sign_model(str(model), signer.ours, ignored=["a"])
    (model / MODEL_SIGNATURE).write_bytes(ours)
    verified_by_them(model, signer, model / MODEL_SIGNATURE)
    assert "a/b/y" in verify_model(str(model), ours, [signer.key]).unsigned


def changed(model: Path) -> None:
    (model / "weights.safetensors").write_bytes(b"swapped")


def missing(model: Path) -> None:
    (model / "a/x.json").unlink()


def added(model: Path) -> None:
    (model / "pytorch_model.bin").write_bytes(b"a pickle")


def renamed(model: Path) -> None:
    (model / "a/x.json").rename(model / "a/z.json")


def exchanged(model: Path) -> None:
    one, other = model / "a/x.json", model / "a-b/x.json"
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed, "other bytes than were signed: weights.safetensors"),
        (missing, "missing: a/x.json"),
        (added, "not signed: pytorch_model.bin"),
        (renamed, "missing: a/x.json"),
        (exchanged, "other bytes than were signed: a-b/x.json, a/x.json"),
    ],
)
def test_a_model_that_changed_since_is_refused(
    change: Callable[[Path], None], said: str, model: Path, tmp_path: Path
) -> None:
    signer = Signer(tmp_path)
    signature = sign_model(str(model), signer.ours)
    change(model)
    with pytest.raises(SignatureError, match=said):
        verify_model(str(model), signature, [signer.key])


def test_a_stranger_s_signature_does_not_count(model: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    signer, other = Signer(tmp_path), Signer(tmp_path / "other")
    with pytest.raises(UnknownSignerError, match="no trusted key"):
        verify_model(str(model), sign_model(str(model), other.ours), [signer.key])
    with pytest.raises(UnknownSignerError):
        verify_model(str(model), sign_model(str(model), signer.ours), [])


def test_a_key_of_another_kind_signs_no_model(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="P-256"):
        sign_model(str(model), load_signer(settings(tmp_path)))


def bundle_with(bundle: bytes, **changes: Any) -> bytes:
    return json.dumps(json.loads(bundle) | changes).encode()


def forged(bundle: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The same signature over another statement."""
    document = json.loads(bundle)
    statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    change(statement)
    document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps(document).encode()


TRICKS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "no-json": lambda _: b"\xff",
    "deep-json": lambda _: b"[" * 100_000,
    "no-object": lambda _: b"[]",
    "cut": lambda bundle: bundle[:-9],
    "other-type": lambda bundle: bundle_with(bundle, mediaType="application/vnd.dev.sigstore.bundle+json;version=0.1"),
    "a-name-twice": lambda bundle: bundle[:-1] + b',"mediaType":"x"}',
    "certificate": lambda bundle: bundle_with(bundle, verificationMaterial={"certificate": {"rawBytes": ""}}),
    "no-envelope": lambda bundle: bundle_with(bundle, dsseEnvelope={}),
    "no-signature": lambda bundle: bundle.replace(b'"signatures": [{', b'"signatures": [], "x": [{'),
    "no-base64": lambda bundle: bundle.replace(b'"sig": "', b'"sig": "!'),
    "other-payload-type": lambda bundle: bundle.replace(b"application/vnd.in-toto+json", b"text/plain"),
    "hint-of-another": lambda bundle: bundle_with(
        bundle, verificationMaterial={"publicKey": {"hint": hashlib.sha256(b"x").hexdigest()}, "tlogEntries": []}
    ),
    "other-statement": lambda bundle: forged(bundle, lambda said: said["predicate"]["resources"].pop()),
    "other-name": lambda bundle: forged(bundle, lambda said: said["subject"][0].update(name="x")),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_a_signature_that_is_none_is_refused(trick: str, model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    signature = sign_model(str(model), signer.ours)
    assert verify_model(str(model), signature, [signer.key]).files == 5
    with pytest.raises(SignatureError):
        verify_model(str(model), TRICKS[trick](signature), [signer.key])


def resigned(signer: Signer, model: Path, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A statement that a trusted key signed, however odd."""
    from interlock.evidence.model_signing.bundle import Bundle

    statement = json.loads(Bundle.read(sign_model(str(model), signer.ours)).payload)
    change(statement)
    return Bundle.signed(json.dumps(statement).encode(), signer.ours).document()


ODD: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other-predicate": lambda said: said.update(predicateType="https://slsa.dev/provenance/v1"),
    "before-1.0": lambda said: said.update(predicateType="https://model_signing/Digests/v0.1"),
    "no-subject": lambda said: said.update(subject=[]),
    "two-subjects": lambda said: said["subject"].append(said["subject"][0]),
    "root-of-other-files": lambda said: said["subject"][0].update(digest={"sha256": "0" * 64}),
    "no-files": lambda said: said["predicate"].update(resources=[]),
    "a-file-twice": lambda said: said["predicate"]["resources"].append(said["predicate"]["resources"][0]),
    "blake2b": lambda said: said["predicate"]["resources"][0].update(algorithm="blake2b"),
    "no-digest": lambda said: said["predicate"]["resources"][0].update(digest="00"),
    "a-path-outside": lambda said: said["predicate"]["resources"][0].update(name="../x"),
    "an-absolute-path": lambda said: said["predicate"]["resources"][0].update(name="/etc/passwd"),
    "a-file-and-a-folder": lambda said: said["predicate"]["resources"][0].update(name="."),
    "shards": lambda said: said["predicate"]["serialization"].update(method="shards"),
    "no-serialization": lambda said: said["predicate"].pop("serialization"),
    "ignores-a-number": lambda said: said["predicate"]["serialization"].update(ignore_paths=[1]),
}


@pytest.mark.parametrize("odd", ODD)
def test_a_statement_that_is_none_is_refused_although_it_is_signed(odd: str, model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    with pytest.raises(SignatureError):
        verify_model(str(model), resigned(signer, model, ODD[odd]), [signer.key])


def test_a_signature_of_an_older_signer_that_names_no_key_is_tried_with_all(model: Path, tmp_path: Path) -> None:
    signer = Signer(tmp_path)
    bundle = bundle_with(sign_model(str(model), signer.ours), verificationMaterial={"publicKey": {}})
    assert verify_model(str(model), bundle, [signer.key]).signer == "release"


def test_keys_are_trusted_for_models_only_where_it_is_said(tmp_path: Path) -> None:
    from interlock.evidence.model_signing import models_of

    signer = Signer(tmp_path)
    here = settings(tmp_path)
    here.trusted_keys.mkdir(parents=True)
    (here.trusted_keys / "release.pub").write_bytes(signer.public.read_bytes())
    assert models_of(KeyRing.load(here)) == ()
    (here.trusted_keys / "release.json").write_text('{"gates": [], "models": true}')
    [key] = models_of(KeyRing.load(here))
    assert key.name == "release"
    assert not key.may_sign("artifact-scan")
