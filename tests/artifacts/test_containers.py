"""Zip files, safetensors and numpy: damage is never allowed, limits end in a gap, large files stay small in memory."""

from __future__ import annotations

import os
import resource
import struct
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import Entry, raw_zip, safetensors, tensor, torch_entries
from tests.artifacts.corpus_readers import packed_tail
from tests.artifacts.looking import allowed, look, opened, record_of

from interlock.artifacts import ArtifactGate, Limits
from interlock.artifacts.containers import zip_container
from interlock.artifacts.containers.zip_container import fastest_crc32

ARCHIVE = raw_zip(torch_entries())
WEIGHTS = safetensors({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, struct.pack("<2f", 1, 2))


@pytest.mark.parametrize("whole", [ARCHIVE, WEIGHTS], ids=["torch-zip", "safetensors"])
def test_whole_file_is_allowed_and_no_cut_of_it_is(whole: bytes) -> None:
    assert record_of(whole).clean
    # One or two bytes of it are a text.
    assert [size for size in range(3, len(whole)) if record_of(whole[:size]).clean] == []


@pytest.mark.parametrize("whole", [ARCHIVE, WEIGHTS], ids=["torch-zip", "safetensors"])
def test_nothing_may_stand_before_or_behind_it(whole: bytes) -> None:
    assert not record_of(b"\0" + whole).clean
    assert not record_of(whole + b"\0").clean


@settings(max_examples=400, derandomize=True, database=None, deadline=None)
@given(position=st.integers(0, len(ARCHIVE) - 1), value=st.integers(0, 255))
def test_changed_byte_in_an_archive_is_seen_or_means_nothing(position: int, value: int) -> None:
    """The checksum covers contents; the headers hold fields that no reader of models looks at (versions, times)."""
    changed = ARCHIVE[:position] + bytes([value]) + ARCHIVE[position + 1 :]
    if record_of(changed).clean:
        import io
        import zipfile

        with zipfile.ZipFile(io.BytesIO(changed)) as archive:
            assert archive.read("archive/data.pkl") == tensor()


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        pytest.param(Limits(opcodes=10), b"\x80\x02]" + b"N0" * 50 + b".", "pickle opcodes", id="opcodes"),
        pytest.param(Limits(values=10), b"\x80\x02" + b"N" * 70_000 + b".", "values at a time", id="stack"),
        pytest.param(Limits(values=10), b"\x80\x02N" + b"\x94" * 70_000 + b".", "values at a time", id="memo"),
        pytest.param(Limits(depth=10), b"\x80\x02" + b"(" * 50 + b"t" * 50 + b".", "inside each other", id="depth"),
        pytest.param(Limits(text_bytes=10), b"\x80\x02X\x20\0\0\0" + b"a" * 32 + b".", "a text of", id="text"),
        pytest.param(Limits(text_bytes=10), b"a long text file without a magic\n", "a text of more", id="text-file"),
        pytest.param(Limits(members=2), ARCHIVE, "more than 2 members", id="members"),
        pytest.param(Limits(member_bytes=20), ARCHIVE, "a member of", id="member"),
        pytest.param(Limits(total_bytes=20), ARCHIVE, "bytes to read", id="bytes"),
        pytest.param(Limits(header_bytes=10), WEIGHTS, "a header of", id="header"),
        pytest.param(Limits(seconds=1e-9), ARCHIVE, "time limit", id="time"),
        pytest.param(
            Limits(), raw_zip([Entry(name="a/b", data=bytes(20 << 20), method=8)]), "zip bomb", id="expansion"
        ),
    ],
)
def test_limit_that_is_passed_is_a_gap_with_its_reason(limits: Limits, data: bytes, reason: str) -> None:
    record = record_of(data, limits=limits)
    assert not record.clean
    assert any(reason in gap.reason for gap in record.failed), record.failed


def test_archives_inside_each_other_end_in_a_gap() -> None:
    data = b"hello\n"
    for _ in range(8):
        data = raw_zip([Entry(name="x/y", data=data)])
    assert any("inside each other" in gap.reason for gap in record_of(data).failed)


def test_deflated_torch_archive_is_read() -> None:
    entries = [Entry(**(vars(entry) | {"method": 8})) for entry in torch_entries()]
    assert record_of(raw_zip(entries)).clean


def test_safetensors_of_ten_gigabytes_needs_no_memory_for_its_tensors(tmp_path: Path) -> None:
    size = 10 << 30
    head = safetensors({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}})
    path = tmp_path / "sparse"
    path.write_bytes(head)
    os.truncate(path, len(head) + size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    subject = opened(tmp_path, {"other": b"x"})
    seen = ArtifactGate(weights=False).look(type(subject)(subject=subject.subject, path=path, files=("",)))
    assert allowed(seen)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_stored_archive_of_a_large_tensor_is_checked_without_holding_it(tmp_path: Path) -> None:
    count = 24 << 20
    main = tensor(kind="ByteStorage", size=2).replace(b"K\x02tQ", b"J" + struct.pack("<i", count) + b"tQ")
    files = {"": raw_zip(torch_entries(main, storages={"0": bytes(count)})) if count else b""}
    assert allowed(look(tmp_path, files))


def test_flat_tensor_that_reads_as_an_endless_pickle_is_undecided_not_denied() -> None:
    main = tensor(kind="ByteStorage", count=200, size=2)
    archive = raw_zip(torch_entries(main, storages={"0": b"(" * 200}))
    assert record_of(archive).clean
    record = record_of(archive, limits=Limits(depth=50))
    assert "endless pickle" in record.failed[0].reason


def test_deflated_member_that_ends_with_a_piece_is_allowed_without_a_tail() -> None:
    assert record_of(packed_tail(b""), "numpy").clean


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(pieces=st.lists(st.binary(max_size=300), max_size=5))
def test_checksum_of_libdeflate_is_that_of_zlib(pieces: list[bytes]) -> None:
    fastest = fastest_crc32()
    assert fastest is not zlib.crc32
    crc = 0
    for piece in pieces:
        crc = fastest(piece, crc)
    assert crc == zlib.crc32(b"".join(pieces))


def test_without_libdeflate_the_checksum_is_computed_by_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deflate", None)
    assert fastest_crc32() is zlib.crc32
    monkeypatch.setattr(zip_container, "_crc32", fastest_crc32())
    assert record_of(ARCHIVE).clean
    assert not record_of(ARCHIVE.replace(b"little", b"bigger")).clean
