"""Code that travels in a compiled pipeline: it arrives as it was reviewed, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.gate import EvidenceError, UsageError
from interlock.kubeflow.code import MAX_BYTES, embedded, unpacked


def test_files_and_folders_arrive_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "package" / "deep").mkdir(parents=True)
    (tmp_path / "train.py").write_text("a = 'ü'\n")
    (tmp_path / "package" / "deep" / "net.py").write_text("b\r\n")
    files = embedded(["train.py", "package"], folder=tmp_path)
    assert set(files) == {"train.py", "package/deep/net.py"}
    with unpacked(files) as folder:
        assert (folder / "train.py").read_text() == "a = 'ü'\n"
        assert (folder / "package" / "deep" / "net.py").read_bytes() == b"b\r\n"
    assert not folder.exists()


def test_an_absolute_path_keeps_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    assert set(embedded([tmp_path / "train.py"])) == {"train.py"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.py", None, "not there"),
        ("binary.py", b"\xff\xfe", "UTF-8"),
        ("large.py", b"x" * (MAX_BYTES + 1), "a pipeline carries"),
        ("../outside.py", b"pass", "below"),
    ],
)
def test_code_that_cannot_travel_is_refused(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    if content is not None:
        (inside / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        embedded([name], folder=inside)


@pytest.mark.parametrize("name", ["/etc/passwd", "../above.py", "a/../../above.py"])
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    text = {"sha256": "ab", "text": ""}
    with pytest.raises(EvidenceError, match="leaves its folder"), unpacked({name: text}):
        pass


def test_changed_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("pass\n")
    files = embedded(["train.py"], folder=tmp_path)
    spoiled = {name: {**dict(one), "text": "import os\n"} for name, one in files.items() if isinstance(one, dict)}
    with pytest.raises(EvidenceError, match="digest"), unpacked(spoiled):
        pass
