"""Built bundles: the same bytes, the same digest as the source, and what a stock OPA decides by."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.bundles.bundle_tools import RULE, ask_server, opa_server, run_opa, tar_gz, untar, write

from interlock.cli import main
from interlock.gate import PolicyError
from interlock.policy import Bundle, EmbeddedEngine, Library, layered
from interlock.policy.bundles.archive import packed
from interlock.policy.bundles.bundle import packaged_folder, revision_with

ACME = Path(__file__).parents[3] / "policies_examples" / "acme"
RESULT = "interlock/decision/result"

names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
documents = st.dictionaries(
    names, st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
)
packages = st.lists(names, min_size=1, max_size=4, unique=True)


def encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(rules=packages, data=documents.filter(encodable), revision=st.text(alphabet="abc1. @+-", max_size=8))
def test_a_built_bundle_is_the_policy_of_its_folder(
    tmp_path_factory: pytest.TempPathFactory, rules: list[str], data: Mapping[str, Any], revision: str
) -> None:
    files = {f"{name}/{name}.rego": f"package rules.{name}\n\nallow := true\n" for name in rules}
    files |= {"site/data.json": json.dumps(data), ".manifest": json.dumps({"revision": revision})}
    source = Bundle.load(write(tmp_path_factory.mktemp("folder"), files))
    content = packed(source)
    built = Bundle.unpack(content, origin="built")
    assert built.digest == source.digest
    assert (built.modules, built.data) == (source.modules, source.data)
    assert built.revision == revision_with(revision, source.digest)
    assert packed(built) == packed(source) == content


def test_how_data_is_spread_over_files_leaves_the_digest_alone(tmp_path: Path) -> None:
    spread = {"r.rego": RULE, "data.json": '{"a": {"x": 1}}', "a/data.json": ' {"y" : [2] }', ".manifest": "{}"}
    one = {"r.rego": RULE, "data.json": '{"a": {"y": [2], "x": 1}}', ".manifest": '{"revision": "7"}'}
    assert Bundle.load(write(tmp_path / "a", spread)).digest == Bundle.load(write(tmp_path / "b", one)).digest


def test_nothing_of_the_machine_is_in_the_archive() -> None:
    content = packed(Bundle.load())
    assert content[4:8] == bytes(4)  # no time in the head of gzip
    assert str(packaged_folder()).encode() not in gzip.decompress(content)


def test_tests_are_left_out_and_when_they_are_not_no_digest_is_named(tmp_path: Path) -> None:
    files = {"r.rego": RULE, "r_test.rego": "package site.rule_test\n", ".manifest": '{"revision": "7"}'}
    bundle = Bundle.load(write(tmp_path, files))
    assert untar(packed(bundle)).keys() == {".manifest", "r.rego"}
    fuller = packed(bundle, with_tests=True)
    assert untar(fuller).keys() == {".manifest", "r.rego", "r_test.rego"}
    assert Bundle.unpack(fuller, origin="fuller").revision == "7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"r.rego": RULE.encode() + b"deny := 1\n"}, "the revision names digest", id="a rule was changed"),
        pytest.param({"x_test.rego": b"package site.x\n\nallow := true\n"}, "tests", id="a rule came in as a test"),
    ],
)
def test_an_archive_that_names_another_digest_is_refused(
    tmp_path: Path, change: dict[str, bytes], message: str
) -> None:
    built = untar(packed(Bundle.load(write(tmp_path, {"r.rego": RULE}))))
    with pytest.raises(PolicyError, match=message):
        Bundle.unpack(tar_gz(built | change), origin="changed")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("patch.json", b'{"data": []}', id="a delta, which OPA loads unsigned"),
        pytest.param("policy.wasm", b"\0asm", id="compiled rules"),
        pytest.param("a/plan.json", b"{}", id="planned rules"),
        pytest.param(".manifest.pb", b"", id="a second manifest"),
        pytest.param("a/.manifest", b"{}", id="a manifest further down"),
        pytest.param("other.manifest", b"{}", id="a file that OPA takes for the manifest"),
        pytest.param("a/.signatures.json", b"{}", id="signatures further down"),
        pytest.param(".manifest", b'{"file_rego_versions": {"r.rego": 0}}', id="a rule in another Rego"),
        pytest.param(".manifest", b'{"Roots": ["b"]}', id="a key that OPA reads in any case"),
        pytest.param(".manifest", b'{"rego_version": true}', id="a version that is no number"),
        pytest.param(".manifest", b'{"revision": 7}', id="a revision that is no text"),
        pytest.param("data.json", b'{"a": 1e999}', id="a number that cannot be held"),
        pytest.param("data.json", b'{"a": "\\ud800"}', id="a text that cannot be written"),
        pytest.param("s.rego", b'package site["rule"]\n', id="a package in another spelling"),
        pytest.param("s.rego", b"package\nsite.rule\n", id="a package over two lines"),
        pytest.param("s.rego", b"package site . rule\n", id="a package with gaps"),
        pytest.param("s.rego", b'x := "\npackage site.rule\n"\n', id="a package in a text"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(PolicyError) as refused:
        Bundle.unpack(tar_gz({"r.rego": RULE.encode(), name: content}), origin="bundle")
    assert refused.value.where
    assert refused.value.next_step


def test_rules_behind_a_broken_header_are_not_left_out_in_silence() -> None:
    unpacked = bytearray(gzip.decompress(tar_gz({"a.rego": RULE.encode(), "b.rego": b"package site.other\n"})))
    unpacked[1024 + 148 : 1024 + 156] = b"7777777\0"  # the checksum in the second header
    with pytest.raises(PolicyError, match="a member is broken"):
        Bundle.unpack(gzip.compress(bytes(unpacked)), origin="bundle")


@pytest.mark.parametrize(
    "head",
    ["", "# package other\n", "\n\n#\n\t\n", "# METADATA\r\n# title: x\r\n", "  "],
    ids=["alone", "after a comment", "after blank lines", "after comments of Windows", "indented"],
)
def test_a_package_in_its_plain_spelling_is_read(head: str) -> None:
    found = Bundle.unpack(tar_gz({"r.rego": f"{head}package site.rule # why\n".encode()}), origin="bundle")
    assert found.modules[0].package == "site.rule"


def decisions_of(
    bundle: Bundle, archive: Path, library: Library, document: Mapping[str, Any]
) -> tuple[object, object, object, str]:
    """What the embedded engine, `opa eval` and a stock server say, and the server's revision."""
    engine = EmbeddedEngine(bundle, library=library, deadline=30)
    try:
        embedded = engine.evaluate("interlock.decision.result", document).value
    finally:
        engine.close()
    command = ("eval", "-b", str(archive), "--stdin-input", "--format", "raw", "data.interlock.decision.result")
    program = json.loads(run_opa(*command, stdin=json.dumps(document)).stdout)
    with opa_server("-b", str(archive)) as url:
        answer = ask_server(url, RESULT, document)
    (revision,) = (said["revision"] for said in answer["provenance"]["bundles"].values())
    return embedded, program, answer["result"], revision


@pytest.mark.parametrize("layers", [(), (ACME,)], ids=["without a layer", "with a layer"])
def test_a_stock_opa_decides_by_the_archive_as_the_embedded_engine_by_the_folder(
    tmp_path: Path,
    library: Library,
    examples: Callable[[], Mapping[str, dict[str, Any]]],
    layers: tuple[Path, ...],
) -> None:
    bundle = layered(Bundle.load(), [Bundle.load(layer) for layer in layers])
    archive = tmp_path / "bundle.tar.gz"
    archive.write_bytes(packed(bundle))
    document = examples()["validation"] | {"profile": "acme" if layers else "standard"}
    document["subject"]["uri"] = document["report"]["subject"]["uri"] = "s3://acme-landing/train.parquet"
    embedded, program, served, revision = decisions_of(bundle, archive, library, document)
    assert embedded == program == served
    assert isinstance(embedded, dict)
    assert {reason["id"] for reason in embedded["reasons"]} == ({"dataset.acme-landing"} if layers else set())
    assert revision.endswith(f"@sha256:{bundle.digest}")


def test_the_command_builds_the_same_bytes_twice(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tar.gz", "b.tar.gz"):
        with pytest.raises(SystemExit, match="0"):
            main(["policy", "bundle", "--layer", str(ACME), "--out", str(tmp_path / name), "--format", "json"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    expected = layered(Bundle.load(), [Bundle.load(ACME)]).digest
    assert said[0]["digest"] == said[1]["digest"] == expected
    assert said[0]["revision"] == f"0.1.0+acme-1@sha256:{expected}"


@pytest.mark.parametrize("option", [("--key-id", "a"), ("--scope", "b"), ("--valid-days", "3")])
def test_an_option_of_the_signature_without_a_key_is_a_mistake(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["policy", "bundle", "--out", str(tmp_path / "b.tar.gz"), *option])
    assert "name the private key" in capsys.readouterr().err
    assert not (tmp_path / "b.tar.gz").exists()


def test_a_disk_that_is_full_leaves_the_old_bundle_and_says_so(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "bundle.tar.gz"
    out.write_bytes(b"the old one")
    data = json.dumps({"noise": os.urandom(20_000).hex()})
    source = write(tmp_path / "source", {"r.rego": RULE, "data.json": data})
    command = [sys.executable, "-m", "interlock.cli.app", "policy", "bundle", str(source), "--out", str(out)]

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # a write beyond fails as on a full disk

    full = subprocess.run(command, preexec_fn=small, capture_output=True, text=True, check=False)
    assert full.returncode == 2
    assert "the file cannot be written" in full.stderr
    assert out.read_bytes() == b"the old one"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".bundle")] == []
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert Bundle.load(out).digest == Bundle.load(source).digest
