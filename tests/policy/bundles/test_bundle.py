"""Bundles: OPA's layout, a stable digest, and nothing that leaves the root."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate import PolicyError, SettingsError
from interlock.policy import Bundle, required_gates
from interlock.policy.bundles.bundle import packaged_folder

RULE = "package site.rule\n\nallow := true\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def archive(path: Path, files: dict[str, str], *, extra: Callable[[tarfile.TarFile], None] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        if extra:
            extra(tar)
    return path


def test_the_shipped_bundle_loads_and_names_the_required_gates() -> None:
    bundle = Bundle.load()
    assert bundle.revision
    assert required_gates(bundle, "dev", "training") == ("data-validation", "data-poisoning")
    assert required_gates(bundle, "strict", "deployment") == ("artifact-scan", "training")


def test_the_shipped_bundle_is_the_folder_of_the_repository() -> None:
    assert Bundle.load(packaged_folder()).digest == Bundle.load().digest


def test_a_folder_and_its_archive_have_one_digest(tmp_path: Path) -> None:
    files = {"site/rule/rule.rego": RULE, "site/data.json": '{"a": 1}', ".manifest": '{"revision": "7"}'}
    folder = Bundle.load(write(tmp_path / "folder", files))
    reverse = dict(reversed(files.items()))
    packed = Bundle.load(archive(tmp_path / "b.tar.gz", {f"./{name}": text for name, text in reverse.items()}))
    assert folder.digest == packed.digest
    assert folder.modules == packed.modules
    assert folder.data == packed.data == {"site": {"a": 1}}
    assert folder.revision == packed.revision == "7"


def test_tests_and_files_that_opa_does_not_load_leave_the_digest_alone(tmp_path: Path) -> None:
    bare = Bundle.load(write(tmp_path / "a", {"r.rego": RULE}))
    more = {"r.rego": RULE, "r_test.rego": "package site.rule_test\n", "README.md": "x", "schemas/x.json": "{"}
    fuller = Bundle.load(write(tmp_path / "b", more))
    assert bare.digest == fuller.digest
    assert [module.path for module in fuller.tests] == ["r_test.rego"]
    assert [module.path for module in fuller.with_tests().modules] == ["r.rego", "r_test.rego"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"r.rego": RULE + "\n"}, id="a rule changes by one byte"),
        pytest.param({"data.json": '{"a": 2}'}, id="data changes"),
        pytest.param({"s.rego": RULE}, id="a rule is added"),
        pytest.param({".manifest": '{"roots": ["site", "a"]}'}, id="the manifest changes"),
    ],
)
def test_what_takes_part_in_decisions_changes_the_digest(tmp_path: Path, change: dict[str, str]) -> None:
    files = {"r.rego": RULE, "data.json": '{"a": 1}'}
    before = Bundle.load(write(tmp_path / "a", files)).digest
    assert Bundle.load(write(tmp_path / "b", files | change)).digest != before


def test_data_lies_where_its_folder_says_and_files_merge(tmp_path: Path) -> None:
    files = {"r.rego": RULE, "data.json": '{"a": {"x": 1}}', "a/data.json": '{"y": 2}', "a/b/data.json": "[3]"}
    assert Bundle.load(write(tmp_path, files)).data == {"a": {"x": 1, "y": 2, "b": [3]}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param({"data.json": "{}"}, "the bundle is empty", id="neither rules nor data"),
        pytest.param({"r.rego": "allow := true"}, "without a package", id="no package"),
        pytest.param({"r.rego": RULE, "data.json": "{"}, "broken JSON", id="broken data"),
        pytest.param({"r.rego": RULE, "data.json": '{"a": NaN}'}, "NaN is no JSON", id="not a number in data"),
        pytest.param({"r.rego": RULE, "data.json": "[" * 100_000}, "broken JSON", id="data nested too deeply"),
        pytest.param({"r.rego": RULE, "data.json": "[]"}, "no object", id="data at the root is a list"),
        pytest.param(
            {"r.rego": RULE, "data.json": '{"a": 1}', "a/data.json": "{}"}, "say something of data.a", id="conflict"
        ),
        pytest.param({"r.rego": RULE, "a/data.yaml": "x: 1"}, "YAML", id="data that only OPA would load"),
        pytest.param({"r.rego": RULE, ".manifest": "[]"}, "no JSON object", id="manifest is a list"),
        pytest.param({"r.rego": RULE, ".manifest": '{"roots": "a"}'}, "roots", id="roots is a text"),
        pytest.param({"r.rego": RULE, ".manifest": '{"rego_version": 0}'}, "Rego v1", id="rego v0"),
        pytest.param(
            {"r.rego": RULE, ".manifest": '{"roots": ["other"]}'}, "outside the manifest", id="package outside roots"
        ),
        pytest.param(
            {"r.rego": RULE, "data.json": '{"x": 1}', ".manifest": '{"roots": ["site"]}'},
            "data.x is outside",
            id="data outside roots",
        ),
    ],
)
def test_a_broken_bundle_is_refused_with_its_file(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(PolicyError, match=message) as refused:
        Bundle.load(write(tmp_path / "b", files))
    assert str(tmp_path) in refused.value.where
    with pytest.raises(PolicyError, match=message):
        Bundle.load(archive(tmp_path / "b.tar.gz", files))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.rego").write_bytes(b"package a\n# \xff\n")
    with pytest.raises(PolicyError, match="not UTF-8"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("target", ["r.rego", "/etc/passwd", "folder", "nowhere"])
def test_a_link_in_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    write(tmp_path, {"r.rego": RULE, "folder/s.rego": RULE})
    (tmp_path / "link.rego").symlink_to(target)
    with pytest.raises(PolicyError, match="no links"):
        Bundle.load(tmp_path)


def test_a_pipe_in_a_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"r.rego": RULE})
    os.mkfifo(tmp_path / "p.rego")
    with pytest.raises(PolicyError, match="plain files"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["//r.rego", "/../r.rego", "../r.rego", "a/../../r.rego", "a\\..\\r.rego"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match="leaves the bundle"):
        Bundle.load(archive(tmp_path / "b.tar.gz", {"r.rego": RULE, name: RULE}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_device_in_an_archive_is_refused(tmp_path: Path, kind: bytes) -> None:
    def add(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("x.rego")
        member.type, member.linkname = kind, "r.rego"
        tar.addfile(member)

    with pytest.raises(PolicyError, match="plain files"):
        Bundle.load(archive(tmp_path / "b.tar.gz", {"r.rego": RULE}, extra=add))


@pytest.mark.parametrize("name", ["./r.rego", "/r.rego", "/./r.rego"])
def test_two_members_of_one_name_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match="two members"):
        Bundle.load(archive(tmp_path / "b.tar.gz", {"r.rego": RULE, name: RULE}))


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    def bomb(tar: tarfile.TarFile) -> None:
        member = tarfile.TarInfo("zeros.bin")
        member.size = 65 * 1024 * 1024
        tar.addfile(member, io.BytesIO(bytes(member.size)))

    with pytest.raises(PolicyError, match="too large"):
        Bundle.load(archive(tmp_path / "b.tar.gz", {"r.rego": RULE}, extra=bomb))


def test_a_rule_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.rego").write_bytes(RULE.encode() + b"#" * (16 * 1024 * 1024))
    with pytest.raises(PolicyError, match="too large"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a gzip", b"\x1f\x8b\x08\x00broken"])
def test_a_broken_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(PolicyError, match="cannot be unpacked"):
        Bundle.load(tmp_path / "b.tar.gz")


@given(cut=st.integers(min_value=1, max_value=200))
def test_a_truncated_archive_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    whole = archive(tmp_path_factory.mktemp("cut") / "b.tar.gz", {"r.rego": RULE, "data.json": '{"a": 1}'})
    content = whole.read_bytes()
    whole.write_bytes(content[: max(0, len(content) - cut)])
    with pytest.raises(PolicyError):
        Bundle.load(whole)


def test_an_archive_may_be_reached_by_a_link(tmp_path: Path) -> None:
    there = archive(tmp_path / "..data", {"r.rego": RULE})
    (tmp_path / "bundle.tar.gz").symlink_to(there)
    assert Bundle.load(tmp_path / "bundle.tar.gz").digest == Bundle.load(there).digest


def test_a_rule_alone_is_a_bundle_and_what_lies_beside_it_is_not(tmp_path: Path) -> None:
    write(tmp_path, {"r.rego": RULE, "s.rego": "broken", "data.json": "broken"})
    assert [module.path for module in Bundle.load(tmp_path / "r.rego").modules] == ["r.rego"]
    (tmp_path / "link.rego").symlink_to("r.rego")
    with pytest.raises(PolicyError, match="no links"):
        Bundle.load(tmp_path / "link.rego")


def test_a_missing_bundle_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no policy bundle"):
        Bundle.load(tmp_path / "none")


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"relaxed.*Next: use one of dev, standard, strict"):
        required_gates(Bundle.load(), "relaxed", "training")


@pytest.mark.parametrize("wrong", [None, [], "data-validation", [1], {}])
def test_a_profile_without_required_gates_is_refused(tmp_path: Path, wrong: object) -> None:
    data = json.dumps({"interlock": {"profiles": {"dev": {"required": {"training": wrong}}}}})
    bundle = Bundle.load(write(tmp_path, {"r.rego": RULE, "data.json": data}))
    with pytest.raises(PolicyError, match="names no gates for training"):
        required_gates(bundle, "dev", "training")


def test_bundles_join_unless_they_contradict_each_other(tmp_path: Path) -> None:
    ours = Bundle.load(write(tmp_path / "a", {"a/a.rego": RULE, "data.json": '{"x": {"a": 1}}'}))
    theirs = Bundle.load(write(tmp_path / "b", {"b/b.rego": RULE, "data.json": '{"x": {"b": 2}}'}))
    both = ours.joined(theirs)
    assert [module.path for module in both.modules] == ["a/a.rego", "b/b.rego"]
    assert both.data == {"x": {"a": 1, "b": 2}}
    assert ours.data == {"x": {"a": 1}}
    newer = Bundle.load(write(tmp_path / "c", {"c/c.rego": RULE, "data.json": '{"x": {"a": 2}}'}))
    assert ours.joined(newer).data == {"x": {"a": 2}}
    with pytest.raises(PolicyError, match="one path"):
        ours.joined(ours)


def test_a_copy_of_the_shipped_bundle_is_the_same_policy(tmp_path: Path) -> None:
    copy = shutil.copytree(packaged_folder() / "interlock", tmp_path / "b" / "interlock").parent
    shutil.copy(packaged_folder() / ".manifest", copy)
    assert Bundle.load(copy).digest == Bundle.load().digest
