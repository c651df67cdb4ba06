"""A zip is found wherever a reader would still open it, also with bytes behind it, and its members are looked at."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import called, raw_zip, safetensors, tensor, torch_entries
from tests.artifacts.corpus_checkpoints import with_end64
from tests.artifacts.corpus_containers import END, PACKERS, SAFE, block, skippable, tar
from tests.artifacts.looking import record_of

from interlock.artifacts.containers.zip_end import find_end
from interlock.artifacts.record import POLYGLOT, UNSAFE_GLOBAL, ZIP_STRUCTURE, Record
from interlock.gate import Level

PLAIN = raw_zip(torch_entries())
EVIL = raw_zip(torch_entries(called("os", "system")))
WIDE = with_end64(PLAIN)
# torch's reader fails on a file of less than a step of 4 KiB with more than that behind its end.
LARGE = raw_zip(torch_entries(storages={"0": bytes(10_000)}))
FARTHEST = 0xFFFF
FARTHEST_OF_TORCH = 69_562  # 4,096 and 16 steps of 4,093, without the record
ZIPS = {"plain": LARGE, "zip64": with_end64(LARGE)}


def rules_of(record: Record) -> set[str]:
    return {finding.rule_id for finding in record.findings if finding.level is Level.ERROR}


def in_a_tensor(content: bytes) -> bytes:
    size = len(content)
    return safetensors({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}, content)


def zipfile_reads(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read("archive/data.pkl") == tensor()
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError):
        return False


def torch_reads(data: bytes) -> bool:
    # From a file: over an object of Python it seeks to before the beginning.
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            reader = torch._C.PyTorchFileReader(file.name)
        except RuntimeError:
            return False
        return bool(reader.get_record("data.pkl") == tensor())


AROUND = [1000, 4000, FARTHEST - 1, FARTHEST, FARTHEST + 1, FARTHEST_OF_TORCH - 1, FARTHEST_OF_TORCH]


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(
    archive=st.sampled_from([PLAIN, WIDE, *ZIPS.values()]),
    before=st.sampled_from([0, 1, 8, 512, 4096]),
    behind=st.one_of(st.integers(0, 64), st.sampled_from(AROUND)),
    filler=st.sampled_from([b"\0", b"x", b"P", b"PK\x05\x06"]),
)
def test_whatever_zipfile_or_torch_reads_is_found(archive: bytes, before: int, behind: int, filler: bytes) -> None:
    data = b"\x01" * before + archive + (filler * behind)[:behind]
    if zipfile_reads(data) or torch_reads(data):
        assert find_end(data) is not None


@pytest.mark.parametrize("archive", ZIPS.values(), ids=ZIPS)
@pytest.mark.parametrize("behind", [1, 22, 5000, FARTHEST])
def test_readers_do_read_such_a_zip(archive: bytes, behind: int) -> None:
    assert zipfile_reads(bytes(9) + archive + bytes(behind))
    assert torch_reads(archive + bytes(behind))


def test_farther_from_the_end_than_any_reader_goes_it_is_none() -> None:
    assert torch_reads(LARGE + bytes(FARTHEST_OF_TORCH))
    data = LARGE + bytes(FARTHEST_OF_TORCH + 100)
    assert not zipfile_reads(data)
    assert not torch_reads(data)
    assert find_end(data) is None


HIDING = {
    "in-the-last-tensor": in_a_tensor(PLAIN + bytes(100)),
    "in-the-last-tensor-zip64": in_a_tensor(WIDE + bytes(100)),
    "far-from-the-end": in_a_tensor(PLAIN + bytes(FARTHEST)),
    "with-a-second-record-that-is-cut-off": in_a_tensor(PLAIN + b"PK\x05\x06"),
    "with-a-record-behind-that-leads-nowhere": in_a_tensor(PLAIN + b"PK\x05\x06" + bytes(50)),
    "behind-text": b"# a model card\n" * 9 + PLAIN + b"\n",
    "behind-an-array": np.lib.format.magic(1, 0) + b"junk" + PLAIN + bytes(7),
    "with-offsets-from-the-file's-beginning": safetensors({}) + raw_zip(torch_entries(), prefix=bytes(9)) + bytes(3),
}


@pytest.mark.parametrize("data", HIDING.values(), ids=HIDING)
def test_a_zip_with_bytes_behind_it_makes_a_file_two_things(data: bytes) -> None:
    assert POLYGLOT in rules_of(record_of(data))


@pytest.mark.parametrize("behind", [b"\0", b"x" * FARTHEST, PLAIN[-22:-1]], ids=["a zero", "all of it", "a cut end"])
def test_bytes_behind_an_archive_are_told_and_its_members_are_still_walked(behind: bytes) -> None:
    assert ZIP_STRUCTURE in rules_of(record_of(PLAIN + behind))
    assert {ZIP_STRUCTURE, UNSAFE_GLOBAL} <= rules_of(record_of(EVIL + behind))


def in_a_header(content: bytes) -> bytes:
    """A gzip whose extra field (RFC 1952, 2.3.1.1) is `content`."""
    packed = gzip.compress(SAFE, mtime=0)
    field = b"IL" + struct.pack("<H", len(content)) + content
    return packed[:3] + b"\x04" + packed[4:10] + struct.pack("<H", len(field)) + field + packed[10:]


def in_a_comment(content: bytes) -> bytes:
    """A tar whose extended header (pax, "Header Blocks") has `content` as a comment."""
    rest = b" comment=" + content + b"\n"
    length = next(n for n in range(len(rest), len(rest) + 9) if n == len(str(n)) + len(rest))
    return block("pax", str(length).encode() + rest, kind=b"x") + block("m", SAFE) + END


CARRIERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip-header": in_a_header,
    "zstd-skippable-frame": lambda content: skippable(content) + PACKERS["zstd"](SAFE),
    "lz4-skippable-frame": lambda content: skippable(content) + PACKERS["lz4"](SAFE),
    "gzip-without-compression": lambda content: gzip.compress(content, 0),
    "zlib-without-compression": lambda content: zlib.compress(content, 0),
    "zstd-of-what-does-not-shrink": PACKERS["zstd"],
    "last-of-a-tar": lambda content: tar([("notes.txt", b"hello\n"), ("model.pt", content)]),
}
"""Containers in which the bytes of a zip may stand as they are, near the end."""


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_zip_inside_of_a_container_is_looked_at_wherever_it_stands(carrier: str) -> None:
    seen = record_of(CARRIERS[carrier](EVIL))
    assert UNSAFE_GLOBAL in rules_of(seen)


@pytest.mark.parametrize("carrier", ["gzip-without-compression", "zlib-without-compression", "last-of-a-tar"])
def test_a_harmless_zip_that_a_container_packs_as_it_is_passes(carrier: str) -> None:
    out = io.BytesIO()
    np.savez(out, w=np.ones(9), v=np.zeros((2, 2)))
    for content in (out.getvalue(), PLAIN):
        seen = record_of(CARRIERS[carrier](content), profile="numpy" if content != PLAIN else "torch-checkpoint")
        assert rules_of(seen) == set(), [finding.message for finding in seen.findings]
        assert seen.clean, seen.failed


def test_a_comment_in_a_tar_that_is_a_zip_is_looked_at() -> None:
    data = in_a_comment(EVIL)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["m"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert "archive/data.pkl" in archive.namelist()
    assert not record_of(data).clean


def test_many_end_records_that_lead_nowhere_are_no_zip_and_cost_little() -> None:
    assert find_end(b"PK\x05\x06" * 30_000) is None
