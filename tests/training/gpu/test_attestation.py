"""A detached EAT counts when every signature, digest, nonce, time and measurement does, and never otherwise."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from tests.training.gpu.attester import CHAINS, NONCE, NOW, TRUE_CLAIMS, Attester, encoded, gpu_claims

from interlock.gate import EvidenceError, UsageError
from interlock.training.gpu.attestation import Attestation, MeasurementRules, new_nonce, verify_attestation
from interlock.training.gpu.tokens import PinnedKeys, read_keys

ATTESTER = Attester()
STRANGER = Attester()
OTHER_KEY = Attester(kid="nv-eat-kid-test-2")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> PinnedKeys:
    return read_keys(ATTESTER.write_keys(tmp_path_factory.mktemp("keys") / "jwks.json"))


def verified(bundle: Any, keys: PinnedKeys, **more: Any) -> Attestation:
    raw = bundle if isinstance(bundle, str) else json.dumps(bundle)
    return verify_attestation(raw, keys=keys, **{"nonce": NONCE, "now": NOW, **more})


def test_a_good_attestation_holds_and_says_what_it_attests(keys: PinnedKeys) -> None:
    found = verified(ATTESTER.bundle(gpu_claims(0), gpu_claims(1)), keys)
    assert found.verified
    assert found.problems == ()
    facts = found.facts()
    assert facts["verified"] is True
    assert facts["nonce"] == NONCE
    assert [gpu.name for gpu in found.devices] == ["GPU-0", "GPU-1"]
    assert {gpu.driver for gpu in found.devices} == {"580.95.05"}
    assert json.loads(json.dumps(facts)) == facts


def test_the_answer_of_nvattest_is_read_as_what_nras_gives(keys: PinnedKeys) -> None:
    said = {"result_code": 0, "result_message": "Ok", "claims": [], "detached_eat": ATTESTER.bundle()}
    assert verified(said, keys).verified
    assert not verified({**said, "detached_eat": ATTESTER.bundle({**gpu_claims(), "measres": "fail"})}, keys).verified


def test_the_local_verifier_s_spelling_counts(keys: PinnedKeys) -> None:
    """No nbf, no schema claims, and SHA256 without a hyphen."""
    claims = {name: value for name, value in gpu_claims().items() if "schema" not in name and name != "nbf"}
    token = ATTESTER.sign(claims)
    overall = ATTESTER.overall({"GPU-0": token})
    overall["submods"]["GPU-0"][1][0] = "SHA256"
    del overall["nbf"]
    assert verified([["JWT", ATTESTER.sign(overall)], {"GPU-0": token}], keys).verified


def unsigned(bundle: list[Any]) -> list[Any]:
    _, payload, _ = bundle[0][1].split(".")
    return [["JWT", f"{encoded({'alg': 'none', 'kid': ATTESTER.kid})}.{payload}."], bundle[1]]


def hmac_with_the_public_key(bundle: list[Any], algorithm: str) -> list[Any]:
    pem = ATTESTER.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = f"{encoded({'alg': algorithm, 'kid': ATTESTER.kid})}.{bundle[0][1].split('.')[1]}"
    mac = hmac.new(pem, body.encode(), {"HS256": "sha256", "HS384": "sha384"}[algorithm]).digest()
    return [["JWT", f"{body}.{encoded(mac)}"], bundle[1]]


def with_header(**header: Any) -> list[Any]:
    """Signed by the right key, under a header that says something else."""
    bundle = ATTESTER.bundle()
    _, payload, signature = bundle[0][1].split(".")
    return [["JWT", f"{encoded({'alg': 'ES384', 'kid': ATTESTER.kid, **header})}.{payload}.{signature}"], bundle[1]]


def without_kid() -> list[Any]:
    bundle = ATTESTER.bundle()
    _, payload, signature = bundle[0][1].split(".")
    return [["JWT", f"{encoded({'alg': 'ES384'})}.{payload}.{signature}"], bundle[1]]


def signed_by(attester: Attester, kid: str) -> list[Any]:
    """Whole, but by somebody else's key under the name of ours."""
    return Attester(kid=kid, key=attester.key).bundle()


def of_gpu(**changes: Any) -> list[Any]:
    return ATTESTER.bundle({**gpu_claims(), **changes})


def with_tokens(change: Callable[[dict[str, str]], Any]) -> list[Any]:
    bundle = ATTESTER.bundle(gpu_claims(0), gpu_claims(1))
    change(bundle[1])
    return bundle


def swapped(tokens: dict[str, str]) -> None:
    tokens["GPU-0"], tokens["GPU-1"] = tokens["GPU-1"], tokens["GPU-0"]


def submod_of_a_stranger() -> list[Any]:
    """The overall token vouches for the digest, but a key that is not pinned signed the device's token."""
    token = Attester(kid=ATTESTER.kid).sign(gpu_claims())
    return [["JWT", ATTESTER.sign(ATTESTER.overall({"GPU-0": token}))], {"GPU-0": token}]


def names_twice(name: str, first: Any, second: Any) -> list[Any]:
    """A payload in which `name` stands twice, of which readers take either."""
    bundle = ATTESTER.bundle()
    claims = ATTESTER.overall(bundle[1])
    del claims[name]
    text = json.dumps(claims)[:-1] + f', "{name}": {json.dumps(first)}, "{name}": {json.dumps(second)}}}'
    return [["JWT", ATTESTER.sign(text)], bundle[1]]


def submods(value: Any) -> list[Any]:
    bundle = ATTESTER.bundle()
    return [["JWT", ATTESTER.sign(ATTESTER.overall(bundle[1], submods=value))], bundle[1]]


REFUSED: dict[str, tuple[Callable[[], list[Any]], str]] = {
    "alg-none": (lambda: unsigned(ATTESTER.bundle()), "signed by 'none'"),
    "alg-hs256-with-public-key": (lambda: hmac_with_the_public_key(ATTESTER.bundle(), "HS256"), "signed by 'HS256'"),
    "alg-hs384-with-public-key": (lambda: hmac_with_the_public_key(ATTESTER.bundle(), "HS384"), "signed by 'HS384'"),
    "alg-other": (lambda: with_header(alg="ES256"), "signed by 'ES256'"),
    "alg-missing": (lambda: with_header(alg=None), "signed by None"),
    "changed-header": (lambda: with_header(typ="JWT"), "signature does not hold"),
    "key-in-the-header": (lambda: with_header(jwk=STRANGER.public_key()), "more than counts here: jwk"),
    "key-by-url": (lambda: with_header(jku="https://evil.example/jwks"), "more than counts here: jku"),
    "critical-extension": (lambda: with_header(crit=["b64"], b64=False), "more than counts here: b64, crit"),
    "kid-missing": (without_kid, "does not name its key"),
    "kid-not-pinned": (lambda: signed_by(OTHER_KEY, OTHER_KEY.kid), "key is not pinned"),
    "kid-of-ours-key-of-a-stranger": (lambda: signed_by(STRANGER, ATTESTER.kid), "signature does not hold"),
    "expired": (lambda: ATTESTER.bundle(exp=int(NOW)), "overall: it has expired"),
    "expired-device": (lambda: of_gpu(exp=int(NOW)), "GPU-0: it has expired"),
    "from-the-future": (lambda: ATTESTER.bundle(iat=int(NOW) + 61, nbf=int(NOW)), "does not count yet"),
    "not-before": (lambda: ATTESTER.bundle(nbf=int(NOW) + 61), "does not count yet"),
    "not-before-as-text": (lambda: ATTESTER.bundle(nbf="now"), "nbf is no number"),
    "for-ever": (lambda: ATTESTER.bundle(exp=int(NOW) + 10**9), "longer than a day"),
    "no-expiry": (lambda: ATTESTER.bundle(exp=None), "from when until when"),
    "expiry-as-truth": (lambda: ATTESTER.bundle(exp=True), "from when until when"),
    "other-nonce": (lambda: ATTESTER.bundle(eat_nonce="0" * 64), "overall: it answers another nonce"),
    "no-nonce": (lambda: ATTESTER.bundle(eat_nonce=None), "overall: it answers another nonce"),
    "other-nonce-in-a-device": (lambda: of_gpu(eat_nonce="0" * 64), "GPU-0: it answers another nonce"),
    "overall-false": (lambda: ATTESTER.bundle(**{"x-nvidia-overall-att-result": False}), "overall result"),
    "overall-as-text": (lambda: ATTESTER.bundle(**{"x-nvidia-overall-att-result": "true"}), "overall result"),
    "overall-true-but-measres-fail": (lambda: of_gpu(measres="fail"), "GPU-0: measres is 'fail'"),
    "second-gpu-s-measres-fail": (
        lambda: ATTESTER.bundle(gpu_claims(), {**gpu_claims(1), "measres": "fail"}),
        "GPU-1: measres",
    ),
    "debug-enabled": (lambda: of_gpu(dbgstat="enabled"), "dbgstat"),
    "mismatch-records": (
        lambda: of_gpu(**{"x-nvidia-mismatch-measurement-records": [{"index": 9}]}),
        "differ from their reference",
    ),
    "schema-not-valid": (lambda: of_gpu(**{"x-nvidia-gpu-vbios-rim-schema-validated": False}), "schema"),
    "no-ueid": (lambda: of_gpu(ueid=""), "ueid is not said"),
    "driver-no-text": (lambda: of_gpu(**{"x-nvidia-gpu-driver-version": 580}), "driver-version is not said"),
    "other-issuer-in-a-device": (lambda: of_gpu(iss="https://evil.example"), "another issuer"),
    "no-issuer": (lambda: ATTESTER.bundle(iss=None), "names no issuer"),
    "other-subject": (lambda: ATTESTER.bundle(sub="SOMETHING-ELSE"), "sub is"),
    "swapped-submods": (lambda: with_tokens(swapped), "GPU-0: its token is another one"),
    "extra-submod": (lambda: with_tokens(lambda t: t.update({"GPU-2": t["GPU-0"]})), "GPU-2: a token that the overall"),
    "missing-submod": (lambda: with_tokens(lambda t: t.pop("GPU-1")), "GPU-1: its token is gone"),
    "one-device-twice": (lambda: ATTESTER.bundle(gpu_claims(0), gpu_claims(0)), "stands twice"),
    "no-submods": (lambda: [["JWT", ATTESTER.sign(ATTESTER.overall({}))], {}], "speaks of no device"),
    "submods-no-object": (lambda: submods([]), "speaks of no device"),
    "submod-without-digest": (lambda: submods({"GPU-0": ["DIGEST", ["SHA-1", "0" * 40]]}), "no SHA-256"),
    "submod-is-a-switch": (
        lambda: [["JWT", ATTESTER.sign(ATTESTER.overall({"SWITCH-0": "x"}))], {"SWITCH-0": "x"}],
        "not named as a GPU",
    ),
    "submod-of-a-stranger": (submod_of_a_stranger, "GPU-0: the token's signature does not hold"),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_an_attack_is_refused(attack: str, keys: PinnedKeys) -> None:
    make, problem = REFUSED[attack]
    found = verified(make(), keys)
    assert not found.verified
    assert problem in "\n".join(found.problems)
    assert found.facts()["verified"] is False


@pytest.mark.parametrize("claim", [*TRUE_CLAIMS, *CHAINS, "measres", "dbgstat", "eat_nonce", "iat", "exp", "iss"])
@pytest.mark.parametrize("value", [None, False, "true", 1, []], ids=repr)
def test_a_claim_of_a_device_that_is_not_as_it_has_to_be_is_refused(claim: str, value: Any, keys: PinnedKeys) -> None:
    found = verified(of_gpu(**{claim: value}), keys)
    assert not found.verified
    assert found.devices == ()


@pytest.mark.parametrize("claim", [name for name in gpu_claims() if name not in ("jti", "oemid", "nbf")])
def test_a_claim_of_a_device_that_is_missing_is_refused(claim: str, keys: PinnedKeys) -> None:
    claims = gpu_claims()
    del claims[claim]
    optional = claim == "x-nvidia-attestation-warning" or "schema" in claim
    assert verified(ATTESTER.bundle(claims), keys).verified is optional


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("claim", ["x-nvidia-cert-status", "x-nvidia-cert-ocsp-status"])
def test_a_revoked_or_expired_certificate_is_refused(chain: str, claim: str, keys: PinnedKeys) -> None:
    spoiled = {**gpu_claims()[chain], claim: "revoked"}
    assert chain in verified(of_gpu(**{chain: spoiled}), keys).problems[0]


BIG = 70_000
UNREADABLE: dict[str, Callable[[], Any]] = {
    "no-json": lambda: "{",
    "no-array": dict,
    "one-part": lambda: [["JWT", "a.b.c"]],
    "other-kind": lambda: [["CWT", "a.b.c"], {}],
    "no-texts": lambda: [["JWT", "a.b.c"], {"GPU-0": 3}],
    "two-parts": lambda: [["JWT", "a.b"], {}],
    "header-no-base64": lambda: [["JWT", "§.b.c"], {}],
    "header-no-object": lambda: [["JWT", f"{encoded([])}.b.c"], {}],
    "huge-bundle": lambda: "[" + " " * 2**20 + "]",
    "huge-token": lambda: ATTESTER.bundle(padding="x" * BIG),
    "too-many-devices": lambda: [["JWT", "a.b.c"], {f"GPU-{i}": "a.b.c" for i in range(65)}],
    "nested-without-end": lambda: "[" * 100_000,
    "name-twice-in-the-bundle": lambda: '[["JWT", "a.b.c"], {"GPU-0": "a", "GPU-0": "b"}]',
    "name-twice-in-the-claims": lambda: names_twice("x-nvidia-overall-att-result", False, True),
    "name-twice-in-the-header": lambda: [["JWT", encoded(b'{"alg":"none","alg":"ES384"}') + ".b.c"], {}],
}


@pytest.mark.parametrize("attack", UNREADABLE)
def test_what_is_no_attestation_is_an_error_and_no_verdict(attack: str, keys: PinnedKeys) -> None:
    with pytest.raises(EvidenceError):
        verified(UNREADABLE[attack](), keys)


def test_measurement_rules_narrow_what_counts(keys: PinnedKeys) -> None:
    bundle = ATTESTER.bundle()
    good = MeasurementRules(
        issuers=("https://nras.attestation.nvidia.com",),
        models=("GH100 A01 GSP BROM",),
        drivers=("580.95.05",),
        vbioses=("96.00.9F.00.01",),
    )
    assert verified(bundle, keys, rules=good).verified
    for name in MeasurementRules.__dataclass_fields__:
        other = MeasurementRules(**{name: ("other",)})
        assert "none of other" in verified(bundle, keys, rules=other).problems[0]


def test_one_minute_of_skew_is_borne_at_the_start_and_none_at_the_end(keys: PinnedKeys) -> None:
    bundle = ATTESTER.bundle()
    issued, expires = NOW - 30, NOW + 3570
    assert verified(bundle, keys, now=issued - 60).verified
    assert not verified(bundle, keys, now=issued - 61).verified
    assert verified(bundle, keys, now=expires - 1).verified
    assert not verified(bundle, keys, now=expires).verified


@pytest.mark.parametrize("nonce", ["", "00", "x" * 64, "0" * 63, "0" * 66])
def test_a_nonce_that_is_none_is_refused(nonce: str, keys: PinnedKeys) -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        verified(ATTESTER.bundle(eat_nonce=nonce), keys, nonce=nonce)


def test_nonces_are_new_each_time() -> None:
    assert len({new_nonce() for _ in range(50)}) == 50
    assert all(len(bytes.fromhex(new_nonce())) == 32 for _ in range(5))


@given(st.data())
def test_no_single_changed_byte_of_a_token_passes(data: st.DataObject) -> None:
    keys = PinnedKeys(keys={ATTESTER.kid: ECKey.import_key(ATTESTER.public_key())}, where="test")
    bundle = json.dumps(_BUNDLE)
    start, end = (bundle.index(f"{_BUNDLE[0][1]}"), bundle.index(f"{_BUNDLE[0][1]}") + len(_BUNDLE[0][1]))
    place = data.draw(st.integers(start, end - 1))
    other = data.draw(st.sampled_from("ABCDwxyz0189-_."))
    changed = bundle[:place] + other + bundle[place + 1 :]
    try:
        found = verified(changed, keys)
    except EvidenceError:
        return
    # The last digit of base64 holds bits that nobody reads; every other change is seen.
    assert not found.verified or changed == bundle or place == end - 1


_BUNDLE = ATTESTER.bundle()


def certificate(attester: Attester) -> str:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA384
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(attester.key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=1))
        .sign(attester.key, SHA384())
    )
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


def test_a_key_given_as_a_certificate_only_is_taken_out_of_it(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{"kty": "EC", "kid": ATTESTER.kid, "x5c": [certificate(ATTESTER)]}]}))
    assert verified(ATTESTER.bundle(), read_keys(path)).verified
    path.write_text(json.dumps({"keys": [ATTESTER.public_key(x5c=[certificate(ATTESTER)])]}))
    assert verified(ATTESTER.bundle(), read_keys(path)).verified


def test_keys_of_other_kinds_and_uses_are_passed_over(tmp_path: Path) -> None:
    other = {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB"}
    path = ATTESTER.write_keys(tmp_path / "jwks.json", other, {**OTHER_KEY.public_key(), "use": "enc"})
    assert set(read_keys(path).keys) == {ATTESTER.kid}


def p256() -> dict[str, Any]:
    pem = generate_private_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {**ECKey.import_key(pem).as_dict(private=False), "kid": "p256"}


KEY_SETS: dict[str, Callable[[], Any]] = {
    "no-json": lambda: "{",
    "no-keys": dict,
    "empty": lambda: {"keys": []},
    "key-no-object": lambda: {"keys": [3]},
    "only-other-kinds": lambda: {"keys": [{"kty": "RSA"}]},
    "kid-twice": lambda: {"keys": [ATTESTER.public_key(), Attester(kid=ATTESTER.kid).public_key()]},
    "kid-missing": lambda: {"keys": [{**ATTESTER.public_key(), "kid": ""}]},
    "private-key": lambda: {"keys": [{**ATTESTER.public_key(), "d": "x"}]},
    "shared-key": lambda: {"keys": [{"kty": "oct", "k": "x", "kid": "x"}, ATTESTER.public_key()]},
    "other-curve": lambda: {"keys": [p256()]},
    "point-off-the-curve": lambda: {"keys": [{**ATTESTER.public_key(), "x": encoded(b"\x01" * 48)}]},
    "certificate-of-another-key": lambda: {"keys": [ATTESTER.public_key(x5c=[certificate(STRANGER)])]},
    "certificate-no-base64": lambda: {"keys": [{"kty": "EC", "kid": "x", "x5c": ["§"]}]},
    "certificate-no-array": lambda: {"keys": [{"kty": "EC", "kid": "x", "x5c": "x"}]},
    "huge": lambda: {"keys": [ATTESTER.public_key()], "padding": "x" * 2**20},
}


@pytest.mark.parametrize("attack", KEY_SETS)
def test_a_key_set_that_does_not_count_is_refused(attack: str, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    made = KEY_SETS[attack]()
    path.write_text(made if isinstance(made, str) else json.dumps(made))
    with pytest.raises(UsageError, match="no key set that counts"):
        read_keys(path)


def test_a_missing_key_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read.*none\.json"):
        read_keys(tmp_path / "none.json")


def test_the_digest_of_a_submod_is_over_the_token_as_it_stands(keys: PinnedKeys) -> None:
    bundle = ATTESTER.bundle()
    digest = ATTESTER.overall(bundle[1])["submods"]["GPU-0"][1][1]
    assert digest == hashlib.sha256(bundle[1]["GPU-0"].encode()).hexdigest()
