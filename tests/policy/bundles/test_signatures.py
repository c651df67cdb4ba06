"""Signed bundles: what OPA signs verifies here, what is signed here verifies in OPA, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.bundles.bundle_tools import RULE, opa_server, run_opa, tar_gz, untar, write, write_key

from interlock.cli import main
from interlock.gate import PolicyError, SettingsError, UsageError
from interlock.policy import Bundle
from interlock.policy.bundles.archive import packed
from interlock.policy.bundles.files import BundleFile
from interlock.policy.bundles.keys import BundleKey, PolicyKeys, load_signing_key
from interlock.policy.bundles.signatures import check_signature, signed

ODD = {"text": "<>&\u2028\u2029\u0007\b\x7f\u20ac\U0001f600", "numbers": [1.0, 1e3, -0.0, 10**40], "none": None}
FILES = {
    "site/r.rego": RULE,
    "site/data.json": json.dumps(ODD).replace("1000.0", "1E+3"),
    ".manifest": '{"roots": ["site"], "rego_version": 1, "revision": "7"}',
}


@pytest.fixture(scope="module")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of every kind that signs, and of some that do not."""
    folder = tmp_path_factory.mktemp("keys")
    write_key(folder, "release", rsa.generate_private_key(65537, 2048))
    write_key(folder, "curve", ec.generate_private_key(ec.SECP256R1()))
    write_key(folder, "curve384", ec.generate_private_key(ec.SECP384R1()))
    write_key(folder, "curve521", ec.generate_private_key(ec.SECP521R1()))
    other = folder / "other"
    other.mkdir()
    write_key(other, "release", rsa.generate_private_key(65537, 2048))
    write_key(other, "stranger", ec.generate_private_key(ec.SECP256R1()))
    return folder


@pytest.fixture(scope="module")
def keys(key_folder: Path) -> PolicyKeys:
    return PolicyKeys.load(key_folder / "trusted")


@pytest.fixture(scope="module")
def release(key_folder: Path) -> BundleKey:
    return load_signing_key(key_folder / "release.key")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.load(write(tmp_path / "source", FILES))


def part(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def token_of(files: dict[str, bytes]) -> list[Any]:
    """Header, payload and signature of a signed bundle."""
    head, body, signature = json.loads(files[".signatures.json"])["signatures"][0].split(".")
    return [json.loads(base64.urlsafe_b64decode(text + "==")) for text in (head, body)] + [signature]


def with_token(files: dict[str, bytes], token: str) -> bytes:
    return tar_gz(files | {".signatures.json": json.dumps({"signatures": [token]}).encode()})


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("release", "RS256"),
        ("release", "RS384"),
        ("release", "RS512"),
        ("release", "PS256"),
        ("release", "PS384"),
        ("release", "PS512"),
        ("curve", "ES256"),
        ("curve384", "ES384"),
        ("curve521", "ES512"),
    ],
)
def test_a_bundle_signed_here_verifies_here_and_in_opa(
    key_folder: Path, keys: PolicyKeys, tmp_path: Path, name: str, algorithm: str
) -> None:
    bundle = Bundle.load(write(tmp_path / "source", FILES))
    key = load_signing_key(key_folder / f"{name}.key", algorithm=algorithm)
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(packed(bundle, key=key))
    assert Bundle.load(archive, keys=keys).digest == bundle.digest
    public = str(key_folder / "trusted" / f"{name}.pem")
    verify = ("--verification-key", public, "--verification-key-id", name, "--signing-alg", algorithm)
    with opa_server("-b", str(archive), *verify):
        pass


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"site/r.rego": (RULE + "\n").encode()}, id="a rule changed by one byte"),
        pytest.param({"site/data.json": b"{}"}, id="data changed"),
        pytest.param({"site/s.rego": RULE.encode()}, id="a rule came in"),
        pytest.param({"README.md": b"hello"}, id="a file came in that is not even read"),
    ],
)
def test_a_bundle_changed_after_signing_is_refused_here_and_by_opa(
    bundle: Bundle, key_folder: Path, keys: PolicyKeys, tmp_path: Path, change: dict[str, bytes]
) -> None:
    release = load_signing_key(key_folder / "release.key")
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(tar_gz(untar(packed(bundle, key=release)) | change))
    with pytest.raises(PolicyError, match=r"not the one that was signed|does not speak of|names digest"):
        Bundle.load(archive, keys=keys)
    public = ("--verification-key", str(key_folder / "trusted" / "release.pem"), "--verification-key-id", "release")
    with pytest.raises(RuntimeError, match=r"digest mismatch|not included"), opa_server("-b", str(archive), *public):
        pass


@pytest.mark.parametrize("gone", ["site/r.rego", "data.json", ".manifest"])
def test_a_bundle_from_which_a_signed_file_is_missing_is_refused(
    bundle: Bundle, keys: PolicyKeys, release: BundleKey, gone: str
) -> None:
    files = untar(packed(bundle, key=release))
    del files[gone]
    with pytest.raises(PolicyError, match="is missing"):
        Bundle.unpack(tar_gz(files), origin="bundle", keys=keys)


def test_what_is_not_signed_is_refused_but_the_shipped_bundle(bundle: Bundle, keys: PolicyKeys, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"is not signed.*opa sign"):
        Bundle.unpack(packed(bundle), origin="bundle", keys=keys)
    with pytest.raises(PolicyError, match="is not signed"):
        Bundle.load(write(tmp_path / "folder", FILES), keys=keys)
    with pytest.raises(PolicyError, match="is not signed"):
        Bundle.load(tmp_path / "folder" / "site" / "r.rego", keys=keys)
    assert Bundle.load(keys=keys).digest == Bundle.load().digest


def hs256(header: str, body: str, key_folder: Path) -> str:
    """What a verifier would take that lets the token choose between a key and a secret."""
    secret = (key_folder / "trusted" / "release.pem").read_bytes()
    return part(hmac.digest(secret, f"{header}.{body}".encode(), hashlib.sha256))


def by_stranger(key_folder: Path, name: str) -> str:
    token: str = json.loads(signed([], load_signing_key(key_folder / "other" / f"{name}.key")).content)["signatures"][0]
    return token


def forgeries(files: dict[str, bytes], key_folder: Path) -> dict[str, str]:
    """Tokens that somebody without a trusted key can make."""
    header, payload, signature = token_of(files)
    body, symmetric = part(payload), part({"alg": "HS256", "kid": "release"})
    return {
        "alg none": f"{part({'alg': 'none', 'kid': 'release'})}.{body}.",
        "HS256 with the public key": f"{symmetric}.{body}.{hs256(symmetric, body, key_folder)}",
        "another key of the same name": by_stranger(key_folder, "release"),
        "a key of another name": by_stranger(key_folder, "stranger"),
        "another payload under the signature": f"{part(header)}.{part(payload | {'files': []})}.{signature}",
        "a key in the header": f"{part(header | {'jwk': {'kty': 'oct', 'k': 'AA'}})}.{body}.{signature}",
        "a payload outside the signature": f"{part(header | {'b64': False, 'crit': ['b64']})}.{body}.{signature}",
        "another algorithm of the key": f"{part(header | {'alg': 'PS256'})}.{body}.{signature}",
        "a key id that is no text": f"{part(header | {'kid': ['release']})}.{body}.{signature}",
        "a key id that is a path": f"{part(header | {'kid': '../trusted/release'})}.{body}.{signature}",
        "a payload that is a list": f"{part(header)}.{part([])}.{signature}",
        "a payload nested without end": f"{part(header)}.{part(b'[' * 99_999)}.{signature}",
        "a header that is a list": f"{part([])}.{body}.{signature}",
        "a cut signature": f"{part(header)}.{body}.{signature[:-4]}",
    }


FORGERIES = (
    "alg none",
    "HS256 with the public key",
    "another key of the same name",
    "a key of another name",
    "another payload under the signature",
    "a key in the header",
    "a payload outside the signature",
    "another algorithm of the key",
    "a key id that is no text",
    "a key id that is a path",
    "a payload that is a list",
    "a payload nested without end",
    "a header that is a list",
    "a cut signature",
)


@pytest.mark.parametrize("kind", [*FORGERIES, "no token", "", "a.b", "a.b.c", "..", "\u20ac.\u20ac.\u20ac"])
def test_a_forged_signature_is_refused(
    bundle: Bundle, key_folder: Path, keys: PolicyKeys, release: BundleKey, kind: str
) -> None:
    files = untar(packed(bundle, key=release))
    with pytest.raises(PolicyError) as refused:
        Bundle.unpack(with_token(files, forgeries(files, key_folder).get(kind, kind)), origin="bundle", keys=keys)
    assert "bundle" in refused.value.where
    assert refused.value.next_step


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"signatures": []}',
        b'{"signatures": ["a", "b"]}',
        b'{"signatures": [1]}',
        b'{"signatures": "a.b.c"}',
        b'{"signatures": ["a.b.c"], "plugin": "custom"}',
        b"[" * 9999,
        b"\xff",
    ],
)
def test_a_file_of_signatures_of_another_shape_is_refused(bundle: Bundle, keys: PolicyKeys, document: bytes) -> None:
    with pytest.raises(PolicyError, match=r"not exactly one signature"):
        Bundle.unpack(tar_gz(untar(packed(bundle)) | {".signatures.json": document}), origin="bundle", keys=keys)


def resigned(release: BundleKey, bundle: Bundle, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A bundle whose payload the trusted key itself signed, changed."""
    from joserfc import jws

    files = untar(packed(bundle, key=release))
    header, payload, _ = token_of(files)
    change(payload)
    return with_token(files, jws.serialize_compact(header, json.dumps(payload), release.key, algorithms=["RS256"]))


NOW = time.time()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda said: said.update(exp=NOW - 1), "has expired", id="expired"),
        pytest.param(lambda said: said.update(exp="never"), "no number", id="an expiry that is no number"),
        pytest.param(lambda said: said.update(exp=True), "no number", id="an expiry that is a truth"),
        pytest.param(lambda said: said.update(exp=None), "no number", id="an expiry that is nothing"),
        pytest.param(lambda said: said.update(nbf=NOW + 90_000), "not count yet", id="not valid yet"),
        pytest.param(lambda said: said.update(scope="prod"), "for scope 'prod'", id="another scope"),
        pytest.param(lambda said: said.update(scope=1), "no JWT", id="a scope that is no text"),
        pytest.param(lambda said: said.pop("files"), "names no files", id="no files"),
        pytest.param(lambda said: said.update(files=[]), "does not speak of", id="an empty list of files"),
        pytest.param(lambda said: said["files"].append(said["files"][0]), "twice", id="a file named twice"),
        pytest.param(lambda said: said["files"][0].update(algorithm="MD5"), "'MD5' does not count", id="MD5"),
        pytest.param(lambda said: said["files"][0].update(algorithm="SHA-1"), "'SHA-1' does not count", id="SHA-1"),
        pytest.param(lambda said: said["files"][0].pop("algorithm"), "names no files", id="no algorithm"),
        pytest.param(lambda said: said["files"][0].update(hash=""), "not the one that was signed", id="no hash"),
    ],
)
def test_a_signature_of_the_right_key_over_the_wrong_words_is_refused(
    bundle: Bundle, keys: PolicyKeys, release: BundleKey, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(PolicyError, match=message):
        Bundle.unpack(resigned(release, bundle, change), origin="bundle", keys=keys)


def test_a_signature_counts_until_it_expires(bundle: Bundle, keys: PolicyKeys, release: BundleKey) -> None:
    content = packed(bundle, key=release, expires=int(NOW) + 90_000)
    assert Bundle.unpack(content, origin="bundle", keys=keys).digest == bundle.digest
    files = [BundleFile(path=name, content=text) for name, text in untar(content).items()]
    with pytest.raises(PolicyError, match="has expired"):
        check_signature(files, keys, where="bundle", now=NOW + 100_000)


@given(which=st.integers(min_value=0), where=st.integers(min_value=0), flip=st.integers(min_value=1, max_value=255))
def test_no_byte_of_a_signed_bundle_can_change_what_it_decides(
    keys: PolicyKeys, release: BundleKey, which: int, where: int, flip: int
) -> None:
    source = Bundle.unpack(tar_gz({name: text.encode() for name, text in FILES.items()}), origin="source")
    files = untar(packed(source, key=release))
    name = sorted(files)[which % len(files)]
    changed = bytearray(files[name])
    changed[where % len(changed)] ^= flip
    try:
        found = Bundle.unpack(tar_gz(files | {name: bytes(changed)}), origin="changed", keys=keys)
    except PolicyError:
        return
    assert found.digest == source.digest  # a blank in JSON


def test_a_bundle_of_many_files_can_be_signed(keys: PolicyKeys, release: BundleKey) -> None:
    files = {f"rules/rule_{number}.rego": b"package rules.rule_%d\n" % number for number in range(2000)}
    many = Bundle.unpack(tar_gz(files), origin="many")
    assert Bundle.unpack(packed(many, key=release), origin="many", keys=keys).digest == many.digest


def test_a_key_of_one_scope_signs_nothing_of_another(bundle: Bundle, key_folder: Path, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted"
    (trusted / "prod").mkdir(parents=True)
    shutil.copy(key_folder / "trusted" / "release.pem", trusted / "prod")
    shutil.copy(key_folder / "trusted" / "curve.pem", trusted)
    keys = PolicyKeys.load(trusted)
    for name, scope, counts in (
        ("release", "prod", True),
        ("release", "", False),
        ("release", "staging", False),
        ("curve", "", True),
        ("curve", "prod", False),
    ):
        key = load_signing_key(key_folder / f"{name}.key", scope=scope)
        if counts:
            assert Bundle.unpack(packed(bundle, key=key), origin="bundle", keys=keys).digest == bundle.digest
        else:
            with pytest.raises(PolicyError, match="not trusted"):
                Bundle.unpack(packed(bundle, key=key), origin="bundle", keys=keys)


@pytest.mark.parametrize("scope", ["", "prod"])
def test_opa_holds_a_scope_against_ours(
    bundle: Bundle, key_folder: Path, release: BundleKey, tmp_path: Path, scope: str
) -> None:
    key = load_signing_key(key_folder / "release.key", scope=scope)
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(packed(bundle, key=key))
    public = ("--verification-key", str(key_folder / "trusted" / "release.pem"), "--verification-key-id", "release")
    with opa_server("-b", str(archive), *public, *(["--scope", scope] if scope else [])):
        pass
    with pytest.raises(RuntimeError, match="scope"), opa_server("-b", str(archive), *public, "--scope", "other"):
        pass


@pytest.mark.parametrize("algorithm", ["RS256", "PS384"])
def test_a_folder_that_opa_signed_verifies_here(
    key_folder: Path, keys: PolicyKeys, tmp_path: Path, algorithm: str
) -> None:
    folder = write(tmp_path / "folder", FILES | {"README.md": "hello", "site/r_test.rego": "package site.rule_test\n"})
    key = str(key_folder / "release.key")
    done = run_opa("sign", "--signing-key", key, "--signing-alg", algorithm, "-b", ".", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert Bundle.load(folder, keys=keys).digest == Bundle.load(folder).digest
    (folder / "README.md").write_text("hullo")
    with pytest.raises(PolicyError, match="not the one that was signed"):
        Bundle.load(folder, keys=keys)


def test_a_bundle_that_opa_built_verifies_here(key_folder: Path, keys: PolicyKeys, tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    claims = tmp_path / "claims.json"
    claims.write_text('{"keyid": "release"}')
    sign = ("--signing-key", str(key_folder / "release.key"), "--claims-file", str(claims))
    done = run_opa("build", "-b", str(folder), "-o", str(tmp_path / "b.tar.gz"), *sign)
    assert done.returncode == 0, done.stderr
    found = Bundle.load(tmp_path / "b.tar.gz", keys=keys)
    assert found.data == {"site": json.loads(FILES["site/data.json"])}


texts = st.text().filter(lambda text: not any("\ud800" <= letter <= "\udfff" for letter in text))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(before=json_values, after=json_values)
def test_data_is_signed_by_what_it_says(before: object, after: object) -> None:
    first, again, other = (
        BundleFile(path="data.json", content=json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode())
        for value, indent, ascii_only in ((before, None, True), (before, 3, False), (after, None, True))
    )
    from interlock.policy.bundles.signatures import _hash

    assert _hash(first, "SHA-256") == _hash(again, "SHA-256")
    if json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True):
        assert _hash(first, "SHA-256") != _hash(other, "SHA-256")


def test_folders_of_keys_that_sign_no_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no keys"):
        PolicyKeys.load(tmp_path / "nowhere")
    for name, key, message in (
        ("ed", ed25519.Ed25519PrivateKey.generate(), "not Ed25519"),
        ("short", rsa.generate_private_key(65537, 1024), "1024 bits is too short"),
        ("koblitz", ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        write_key(folder, name, key)
        with pytest.raises(SettingsError, match=message):
            PolicyKeys.load(folder / "trusted")
        with pytest.raises(UsageError, match=message):
            load_signing_key(folder / f"{name}.key")


def test_a_mounted_secret_of_links_names_each_key_once(key_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    shutil.copy(key_folder / "trusted" / "curve.pem", tmp_path / "..2026")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "curve.pem").symlink_to("..data/curve.pem")
    assert PolicyKeys.load(tmp_path).keys.keys() == {("", "curve")}


def test_a_private_key_among_the_trusted_ones_is_refused(key_folder: Path, tmp_path: Path) -> None:
    shutil.copy(key_folder / "release.key", tmp_path / "release.pem")
    with pytest.raises(SettingsError, match="no public key"):
        PolicyKeys.load(tmp_path)


def test_a_signing_key_that_others_can_read_is_refused(key_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(key_folder / "release.key", tmp_path / "k.pem"))
    copy.chmod(0o644)
    with pytest.raises(UsageError, match="others can read"):
        load_signing_key(copy)
    copy.chmod(0o600)
    with pytest.raises(UsageError, match="does not fit"):
        load_signing_key(copy, algorithm="ES256")
    copy.write_text("no key")
    with pytest.raises(UsageError, match="no private key in PEM"):
        load_signing_key(copy)


def test_the_command_signs(
    key_folder: Path, keys: PolicyKeys, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.tar.gz"
    sign = ("--signing-key", str(key_folder / "curve.key"), "--valid-days", "2", "--format", "json")
    with pytest.raises(SystemExit, match="0"):
        main(["policy", "bundle", "--out", str(out), *sign])
    assert json.loads(capsys.readouterr().out)["signed_by"] == "curve"
    assert Bundle.load(out, keys=keys).digest == Bundle.load().digest
    _, payload, _ = token_of(untar(out.read_bytes()))
    assert NOW + 86_400 < payload["exp"] < NOW + 3 * 86_400
