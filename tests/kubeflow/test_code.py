"""Code that travels in a compiled pipeline: it arrives as it was reviewed, or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from interlock.gate import EvidenceError, Json, UsageError
from interlock.kubeflow.code import MAX_BYTES, embedded, unpacked


def test_files_and_folders_arrive_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "package" / "deep").mkdir(parents=True)
    (tmp_path / "train.py").write_text("a = 'ü'\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "package" / "deep" / "net.py").write_bytes(b"b\r\n")
    (tmp_path / "package" / ".env").write_text("TOKEN=secret\n")
    code = embedded(["train.py", "run.sh", "./package"], folder=tmp_path)
    assert "secret" not in repr(code)
    with unpacked(code) as (folder, parts):
        assert parts == ("train.py", "run.sh", "package")
        assert (folder / "train.py").read_text() == "a = 'ü'\n"
        assert (folder / "package" / "deep" / "net.py").read_bytes() == b"b\r\n"
        assert os.access(folder / "run.sh", os.X_OK)
        assert not os.access(folder / "train.py", os.X_OK)
    assert not folder.exists()


def test_an_absolute_path_keeps_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    assert embedded([tmp_path / "train.py"])["parts"] == ["train.py"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.py", None, "not below"),
        ("binary.py", b"\xff\xfe", "UTF-8"),
        ("large.py", b"x" * (MAX_BYTES + 1), "a pipeline carries"),
        ("../outside.py", b"pass", "not below"),
    ],
)
def test_code_that_cannot_travel_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    if content is not None:
        (inside / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        embedded([name], folder=inside)


def test_a_link_among_the_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="link"):
        embedded(["train.py"], folder=tmp_path)


EMPTY = {"sha256": hashlib.sha256(b"").hexdigest(), "text": ""}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param({"parts": [], "files": {"/tmp/above.py": EMPTY}}, id="absolute"),
        pytest.param({"parts": [], "files": {"../above.py": EMPTY}}, id="above"),
        pytest.param({"parts": [], "files": {"a/../../above.py": EMPTY}}, id="above by a detour"),
        pytest.param({"parts": ["/etc"], "files": {}}, id="a part elsewhere"),
        pytest.param({"parts": [], "files": {"a.py": {**EMPTY, "text": "import os"}}}, id="changed"),
        pytest.param({"parts": [], "files": {"a.py": {"text": ""}}}, id="without a digest"),
        pytest.param({"parts": [], "files": {"a.py": "import os"}}, id="no file"),
        pytest.param({"files": {}}, id="without parts"),
        pytest.param(["a.py"], id="a list"),
    ],
)
def test_code_that_nobody_embedded_like_this_is_refused(code: Json) -> None:
    with pytest.raises(EvidenceError, match="embedded code"), unpacked(code):
        pass
