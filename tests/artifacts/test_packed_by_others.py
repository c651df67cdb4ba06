"""7z and rar archives, unpacked by the real bsdtar in the real sandbox."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from tests.artifacts.corpus_containers import EVIL, SAFE
from tests.artifacts.looking import record_of

from interlock.artifacts import Limits
from interlock.artifacts.record import UNSAFE_GLOBAL
from interlock.training.bwrap import BwrapSandbox

pytestmark = [
    pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar (libarchive-tools) is not installed"),
    pytest.mark.skipif(not BwrapSandbox().probe().available, reason="bubblewrap does not work here"),
]


@pytest.fixture
def seven_zip(tmp_path: Path) -> Path:
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "model.safetensors").write_bytes(SAFE)
    (tmp_path / "link").symlink_to("/etc/passwd")
    return tmp_path


def pack(folder: Path, *names: str) -> bytes:
    """A 7z file of these members, by bsdtar."""
    subprocess.run(["bsdtar", "--format", "7zip", "-cf", "packed.7z", *names], cwd=folder, check=True)
    return (folder / "packed.7z").read_bytes()


def rar(name: bytes, content: bytes) -> bytes:
    """A rar file with one stored member (RAR 4 as its technical note tells)."""

    def block(kind: int, flags: int, fields: bytes, added: bytes = b"") -> bytes:
        header = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header + added

    sizes = struct.pack("<IIBII", len(content), len(content), 3, zlib.crc32(content), 0)
    member = sizes + struct.pack("<BBHI", 20, 0x30, len(name), 0o100644) + name
    blocks = (block(0x73, 0, bytes(6)), block(0x74, 0x8000, member, content), block(0x7B, 0x4000, b""))
    return b"Rar!\x1a\x07\x00" + b"".join(blocks)


@pytest.mark.parametrize("form", ["7z", "rar"])
def test_harmless_member_is_looked_at(form: str, seven_zip: Path) -> None:
    data = pack(seven_zip, "model.safetensors") if form == "7z" else rar(b"model.safetensors", SAFE)
    record = record_of(data)
    assert record.clean
    assert f"model!{form}!model.safetensors" in record.looked_at


@pytest.mark.parametrize("form", ["7z", "rar"])
def test_pickle_that_acts_is_found_inside(form: str, seven_zip: Path) -> None:
    data = pack(seven_zip, "model.safetensors", "evil.pkl") if form == "7z" else rar(b"evil.pkl", EVIL)
    found = {finding.location.path for finding in record_of(data).findings if finding.rule_id == UNSAFE_GLOBAL}
    assert found == {f"model!{form}!evil.pkl"}


def test_link_is_no_member_that_passes(seven_zip: Path) -> None:
    assert not record_of(pack(seven_zip, "model.safetensors", "link")).clean


@pytest.mark.parametrize("form", ["7z", "rar"])
def test_no_cut_of_an_archive_passes(form: str, seven_zip: Path) -> None:
    whole = pack(seven_zip, "model.safetensors") if form == "7z" else rar(b"model.safetensors", SAFE)
    passed = [size for size in range(7, len(whole) - 7, 17) if record_of(whole[:size]).clean]
    assert not passed


def test_archive_in_which_nothing_is_found_stays_open() -> None:
    record = record_of(b"Rar!\x1a\x07\x01\x00junk")
    assert record.failed[0].reason.startswith("bsdtar found nothing in the rar: unpack it and scan")


def test_what_expands_too_much_stays_open(seven_zip: Path) -> None:
    (seven_zip / "zeros").write_bytes(bytes(1 << 20))
    record = record_of(pack(seven_zip, "zeros"), limits=Limits(expanded_bytes=1 << 16))
    assert not record.clean
    assert "could not unpack the 7z whole" in record.failed[0].reason
