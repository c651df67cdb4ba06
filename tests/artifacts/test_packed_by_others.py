"""7z archives, unpacked by the real bsdtar in the real sandbox; rar archives, which nobody here reads."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from tests.artifacts.corpus_containers import EVIL, SAFE
from tests.artifacts.looking import record_of

from interlock.artifacts import Limits
from interlock.artifacts.boxed import BoxError, boxed
from interlock.artifacts.record import POLYGLOT, UNSAFE_GLOBAL
from interlock.training.bwrap import BwrapSandbox
from interlock.training.spec import Limits as RunLimits

pytestmark = [
    pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar (libarchive-tools) is not installed"),
    pytest.mark.skipif(not BwrapSandbox().probe().available, reason="bubblewrap does not work here"),
]
PASSWORD = 0x04


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


def rar(*members: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """A rar file with stored members (RAR 4 as its technical note tells)."""

    def block(kind: int, flags: int, fields: bytes, added: bytes = b"") -> bytes:
        header = struct.pack("<BHH", kind, flags, 7 + len(fields)) + fields
        return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header + added

    blocks = [block(0x73, 0, bytes(6))]
    for name, content in members:
        sizes = struct.pack("<IIBII", len(content), len(content), 3, zlib.crc32(content), 0)
        member = sizes + struct.pack("<BBHI", 20, 0x30, len(name), 0o100644) + name
        blocks.append(block(0x74, 0x8000 | flags, member, content))
    return b"Rar!\x1a\x07\x00" + b"".join([*blocks, block(0x7B, 0x4000, b"")])


def iso(folder: Path, name: str, front: bytes) -> bytes:
    """An ISO 9660 image with one member, its unused first sectors filled with another archive."""
    subprocess.run(["bsdtar", "--format", "iso9660", "-cf", "packed.iso", name], cwd=folder, check=True)
    return front + (folder / "packed.iso").read_bytes()[len(front) :]


def test_harmless_member_is_looked_at(seven_zip: Path) -> None:
    record = record_of(pack(seven_zip, "model.safetensors"))
    assert record.clean
    assert "model!7z!model.safetensors" in record.looked_at


def test_pickle_that_acts_is_found_inside(seven_zip: Path) -> None:
    record = record_of(pack(seven_zip, "model.safetensors", "evil.pkl"))
    found = {finding.location.path for finding in record.findings if finding.rule_id == UNSAFE_GLOBAL}
    assert found == {"model!7z!evil.pkl"}


def test_link_is_no_member_that_passes(seven_zip: Path) -> None:
    assert not record_of(pack(seven_zip, "model.safetensors", "link")).clean


def test_no_cut_of_an_archive_passes(seven_zip: Path) -> None:
    whole = pack(seven_zip, "model.safetensors")
    passed = [size for size in range(7, len(whole) - 7, 17) if record_of(whole[:size]).clean]
    assert not passed


def test_image_behind_a_7z_is_refused(seven_zip: Path) -> None:
    data = iso(seven_zip, "model.safetensors", pack(seven_zip, "evil.pkl"))
    assert [finding.rule_id for finding in record_of(data).findings if "ISO 9660" in finding.message] == [POLYGLOT]


@pytest.mark.parametrize("behind", [b"", b"\n"], ids=["at-the-end", "a-byte-behind"])
def test_zip_behind_a_7z_does_not_pass(behind: bytes, seven_zip: Path) -> None:
    packed = io.BytesIO(pack(seven_zip, "model.safetensors"))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("evil.pkl", EVIL)
    record = record_of(packed.getvalue() + behind)
    assert "readers may find a zip" in record.failed[0].reason


def test_what_bsdtar_leaves_out_with_a_word_is_not_passed(seven_zip: Path) -> None:
    with (
        pytest.raises(BoxError, match="left out"),
        boxed(
            seven_zip / "model.safetensors",
            lambda data, _, result: ("/bin/sh", "-c", f"cp {data} {result}; echo left out >&2"),
            sandbox=BwrapSandbox(),
            limits=RunLimits(wall_seconds=20.0),
            silent=True,
        ),
    ):
        pass


def test_what_expands_too_much_stays_open(seven_zip: Path) -> None:
    (seven_zip / "zeros").write_bytes(bytes(1 << 20))
    record = record_of(pack(seven_zip, "zeros"), limits=Limits(expanded_bytes=1 << 16))
    assert not record.clean
    assert "could not unpack the 7z whole" in record.failed[0].reason


RARS = {
    "harmless": rar((b"model.safetensors", SAFE)),
    "pickle-that-acts": rar((b"evil.pkl", EVIL)),
    "second-member-of-one-name": rar((b"model.pkl", b"N."), (b"model.pkl", EVIL)),
    "member-with-a-password": rar((b"model.pkl", b"N."), flags=PASSWORD),
    "junk": b"Rar!\x1a\x07\x01\x00junk",
}


@pytest.mark.parametrize("data", RARS.values(), ids=RARS)
def test_rar_stays_open(data: bytes) -> None:
    assert "pack it as tar or zip" in record_of(data).failed[0].reason


def test_rar_that_is_also_an_image_stays_open(seven_zip: Path) -> None:
    data = iso(seven_zip, "model.safetensors", RARS["pickle-that-acts"])
    assert "pack it as tar or zip" in record_of(data).failed[0].reason
