"""Secrets and personal data in texts: found by libraries in the sandbox, told by kind and line, never by value."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from tests.artifacts.harmless_templates import TEMPLATES
from tests.artifacts.looking import errors, opened
from tests.cli.conftest import call

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.privacy import child, rule_cache
from interlock.artifacts.privacy import look as room
from interlock.artifacts.privacy.texts import Texts
from interlock.artifacts.record import LEAK, PERSONAL_DATA
from interlock.gate import Finding, Level, MissingExtraError, Observation, UsageError

BOTH = ("secrets", "personal-data")
# Put together here, so that nobody who looks through this repository takes them for real.
HUGGING_FACE = "hf_" + "qRtYuIoPaSdFgHjKlZxCvBnMqWeRtYuIoP"
GITHUB = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
CARD = "4539 5787 " + "6362 1486"


def private_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def a_tar(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as file:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        file.addfile(member, io.BytesIO(content))
    return whole.getvalue()


PEM = private_key()
SECRETS = {
    "a-token-in-a-model-card": ("README.md", f"# Model\n\nlogin(token='{HUGGING_FACE}')\n", "huggingface-access-token"),
    "a-token-in-source": ("train.py", f"import os\nTOKEN = '{GITHUB}'\n", "github-pat"),
    "a-token-in-dotenv": (".env", f"HF_TOKEN={HUGGING_FACE}\n", "huggingface-access-token"),
    "a-key-by-itself": ("weights.txt", PEM, "private-key"),
    "a-key-in-a-notebook": ("run.ipynb", json.dumps({"cells": [{"source": [PEM]}]}), "private-key"),
    "in-base64": ("notes.txt", base64.b64encode(f"token {GITHUB} ".encode()).decode(), "github-pat"),
    "told-to-be-ignored": ("a.py", f"T = '{GITHUB}'  # kingfisher:ignore gitleaks:allow\n", "github-pat"),
    "under-the-name-of-a-vocabulary": ("vocab.json", json.dumps({GITHUB: 1, "the": 2}), "github-pat"),
    "under-the-name-of-a-lock-file": ("package-lock.json", json.dumps({"a": GITHUB}), "github-pat"),
    "behind-long-lines": ("long.txt", "a " * 20_000 + GITHUB + " b" * 20_000, "github-pat"),
}
PERSONAL = {
    "a-card": ("card.txt", f"paid with {CARD}\n", {"payment-card": 1}),
    "a-card-in-one-run": ("run.txt", "visa: " + CARD.replace(" ", ""), {"payment-card": 1}),
    "the-same-card-twice": ("twice.txt", f"{CARD}\n{CARD.replace(' ', '-')}", {"payment-card": 1}),
    "an-account": ("iban.txt", "IBAN: DE89 3704 " + "0044 0532 0130 00", {"iban": 1}),
    "a-number-of-social-security": ("ssn.csv", "name,SSN\nx,SSN 219-09-" + "9999", {"us-social-security-number": 1}),
    "telephone": ("call.md", "Call +49 30 " + "901820 or (+1 650-253-" + "0000).", {"phone-number": 2}),
    "a-list-of-people": (
        "train.jsonl", "".join(json.dumps({"m": f"p{n}@uni-{n}.de"}) + "\n" for n in range(12)), {"email-address": 12}
    ),
}  # fmt: skip
HARMLESS = {
    "whom-to-write-to": "Written by Ada <ada@analytical.org> and Charles <charles@difference.org>.",
    "nobody-to-write-to": "".join(f"user{n}@example.com, bot{n}@users.noreply.github.com\n" for n in range(30)),
    "a-wrong-check-digit": f"{CARD[:-1]}7 and DE89 3704 0044 0532 0130 01",
    "digits-of-a-float": f"[0.{CARD.replace(' ', '')}, 4539578763621486.0]",
    "an-id": '{"id": 4539578763621486}',
    "no-number-of-any-plan": "+1 000 000 0000, +49 1, 1e+10000000000, @@ -1,7 +1,9 @@ +999999999999",
    "decorators": "".join(f"y{n} = a{n}@b.dot(c)\n" for n in range(30)),
    "a-placeholder": "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx and export OPENAI_API_KEY=sk-... or <YOUR_TOKEN>",
    "an-example-of-a-url": "postgresql://user:pass@localhost/db and https://user:password@host.com/path",
    "a-public-key": "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n",
    "digests": "\n".join(f"{n:064x}  model-{n:05}.safetensors" for n in range(1, 200)),
    "a-vocabulary": json.dumps({f"Ġ{chr(97 + n % 26)}{n}": n for n in range(5000)}),
    "chat-templates": "\n".join(TEMPLATES.values()),
}
FILES = {
    **{f"secret/{case}/{name}": text for case, (name, text, _) in SECRETS.items()},
    **{f"personal/{case}/{name}": text for case, (name, text, _) in PERSONAL.items()},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which the rules are compiled once for all tests."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERLOCK_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def seen(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Observation:
    """What the gate sees of all files of these tests."""
    files = {name: text.encode() for name, text in FILES.items()}
    files["archive.tar"] = a_tar("inner/notes.txt", f"token {GITHUB}\n".encode())
    return ArtifactGate(look_for=BOTH).look(opened(tmp_path_factory.mktemp("model"), files))


def of(seen: Observation, path: str, *rules: str) -> list[Finding]:
    return [one for one in seen.findings if one.location.path == path and one.rule_id in (rules or (LEAK,))]


@pytest.mark.parametrize("case", SECRETS)
def test_a_secret_is_an_error_that_names_its_kind(seen: Observation, case: str) -> None:
    name, _, kind = SECRETS[case]
    found = of(seen, f"secret/{case}/{name}")
    assert [one.level for one in found] == [Level.ERROR]
    assert json.loads(found[0].evidence)["kind"] == kind


def test_a_secret_is_told_by_its_line_and_beginning(seen: Observation) -> None:
    [found] = of(seen, "secret/a-token-in-a-model-card/README.md")
    assert found.message == "a secret in line 3: huggingface-access-token, it begins with hf_q"
    assert json.loads(found.evidence) == {"kind": "huggingface-access-token", "line": 3}


def test_texts_in_archives_are_looked_at(seen: Observation) -> None:
    [found] = of(seen, "archive.tar!inner/notes.txt")
    assert found.level is Level.ERROR


@pytest.mark.parametrize("case", PERSONAL)
def test_personal_data_is_a_warning_with_kinds_and_counts(seen: Observation, case: str) -> None:
    name, _, kinds = PERSONAL[case]
    [found] = of(seen, f"personal/{case}/{name}", PERSONAL_DATA)
    assert found.level is Level.WARNING
    assert json.loads(found.evidence) == kinds


@pytest.fixture(scope="module")
def said(kept: Path) -> Callable[[str], dict[str, Any]]:
    """What the child says of a text, asked in this process."""
    rule_cache.compiled()
    [entry] = (kept / "cache").iterdir()
    scanners = child.secret_scanner(entry), child.personal_data_scanner(room.PERSONAL_RULES)
    return lambda text: child.said(text.encode(), *scanners)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_resembles_them_is_nothing(said: Callable[[str], dict[str, Any]], case: str) -> None:
    assert said(HARMLESS[case]) == {"secrets": {"count": 0, "first": []}, "personal-data": {}}


@pytest.mark.parametrize("text", [f"{CARD} " * 1000, "DE89 " * 5000, f"{GITHUB}\n" * 1000])
def test_a_text_that_takes_too_long_is_told_and_not_half_told(
    said: Callable[[str], dict[str, Any]], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "SECONDS", 1e-9)
    assert said(text) == {"why": "TimeoutError: scan deadline exceeded"}


def test_the_report_holds_no_value(seen: Observation) -> None:
    whole = repr(seen)
    for value in (HUGGING_FACE, GITHUB, PEM.split("\n")[1], CARD, "901820", "219-09-9999", "p1@uni-1.de"):
        assert value not in whole


def test_policy_gets_the_numbers(seen: Observation) -> None:
    numbers = {measure.name: measure.value for measure in seen.measures}
    assert numbers["secrets"] == len(SECRETS) + 1
    assert numbers["personal_data"] == sum(sum(kinds.values()) for _, _, kinds in PERSONAL.values())
    assert not seen.coverage.failed


def test_measures_of_weights_stay_beside_those_of_texts(kept: Path, tmp_path: Path) -> None:
    files = {"model.safetensors": save({"w": np.zeros(3, np.float32)}, {"token": GITHUB}), "README.md": b"# Card\n"}
    seen = ArtifactGate(look_for=BOTH, weights=True).look(opened(tmp_path, files))
    assert {"secrets", "personal_data", "tensors", "nan_tensors"} <= {measure.name for measure in seen.measures}
    assert [found.location.path for found in of(seen, "model.safetensors", LEAK)] == ["model.safetensors"]


def test_rules_are_compiled_once_and_loaded_in_the_sandbox(kept: Path, seen: Observation) -> None:
    [entry] = (kept / "cache").iterdir()
    assert list(rule_cache.compiled()) == [path.name for path in entry.iterdir()]
    assert child.secret_rules(entry).cache_status == "loaded"


def test_nobody_looks_unasked(tmp_path: Path) -> None:
    gate = ArtifactGate()
    seen = gate.look(opened(tmp_path, {"README.md": GITHUB.encode()}))
    assert not errors(seen)
    assert {"secrets", "personal_data"}.isdisjoint(measure.name for measure in seen.measures)
    assert gate.configuration()["look_for"] == []


def test_what_looked_stands_in_the_receipt() -> None:
    gate = ArtifactGate(look_for=("personal-data", "secrets", "secrets"))
    assert gate.configuration()["look_for"] == ["personal-data", "secrets"]
    assert len(str(gate.configuration()["personal_data_rules"])) == 64
    assert {"kingfisher-secret-scanner", "phonenumbers"} <= {tool.name for tool in gate.tools}
    assert "personal_data_rules" not in ArtifactGate(look_for=["secrets"]).configuration()


def test_an_unknown_look_and_a_missing_library_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="nobody looks for 'trouble'"):
        ArtifactGate(look_for=["trouble"])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="kingfisher_sdk"):
        ArtifactGate(look_for=["secrets"])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("raise SystemExit(3)", id="it-fails"),
        pytest.param("out.write_text('[]')", id="no-object"),
        pytest.param("out.write_text('{}')", id="says-nothing-of-a-file"),
        pytest.param("out.write_text('{\"0\": 1}')", id="a-number"),
        pytest.param("out.write_text('{\"0\": {}}')", id="says-nothing-of-a-kind"),
        pytest.param('out.write_text(\'{"0": {"secrets": {"count": 1, "first": [{}]}}}\')', id="half-a-secret"),
        pytest.param('out.write_text(\'{"0": {"why": "TimeoutError"}}\')', id="out-of-time"),
        pytest.param("import time; time.sleep(60)", id="no-end"),
    ],
)
def test_a_look_that_does_not_end_well_is_undecided(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text(f"import pathlib, sys\nout = pathlib.Path(sys.argv[2])\n{answer}\n")
    monkeypatch.setattr(room, "CHILD", tmp_path / "child.py")
    monkeypatch.setattr(room, "SECONDS", 2.0)
    monkeypatch.setattr(rule_cache, "compiled", dict)
    seen = ArtifactGate(look_for=["secrets"]).look(opened(tmp_path / "m", {"a.txt": b"text"}))
    [gap] = seen.coverage.failed
    assert gap.path == "a.txt"
    assert gap.reason.startswith("looking for secrets did not end well: ")


def test_texts_beyond_the_room_are_undecided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interlock.artifacts.privacy.texts.LARGEST", 8)
    monkeypatch.setattr(rule_cache, "compiled", dict)
    gate = ArtifactGate(look_for=["personal-data"])
    seen = gate.look(opened(tmp_path, {"a.txt": b"first", "b.txt": b"second"}))
    assert [gap.path for gap in seen.coverage.failed] == ["b.txt"]


def test_a_flood_is_counted_and_the_first_are_told(kept: Path, tmp_path: Path) -> None:
    tokens = "".join(f"{GITHUB[:-4]}{n:04}\n" for n in range(300))
    gate = ArtifactGate(look_for=["secrets"], limits=Limits(findings=50))
    seen = gate.look(opened(tmp_path, {"a.txt": tokens.encode()}))
    assert {measure.name: measure.value for measure in seen.measures}["secrets"] == 300
    assert len([one for one in seen.findings if one.level is Level.ERROR]) == 50


def test_a_repository_is_looked_at_as_a_whole(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(tmp_path, {"a/README.md": f"\n{GITHUB}".encode(), "b/notes.txt": b"nothing", "b/c.py": GITHUB.encode()})
    monkeypatch.chdir(tmp_path)
    done = call(capsys, "artifacts", "scan", "--look-for", "secrets", "a", "b/notes.txt")
    assert done.status == 1
    assert done.out == f"error\t{LEAK}\ta/README.md\ta secret in line 2: github-pat, it begins with ghp_\n"


def test_rules_that_cannot_be_kept_are_compiled_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "file"))
    assert rule_cache.compiled() == {}


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_text_is_kept_as_it_is(text: str) -> None:
    with Texts(prefix="p/") as texts:
        texts.add(text, "a")
        assert texts.folder is not None
        assert (texts.folder / "0").read_bytes() == text.encode()
        assert texts.paths == ["p/a"]
    assert texts.folder is None or not texts.folder.exists()
