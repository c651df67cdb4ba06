"""GGUF: files that the real package wrote, and every way to break one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus_gguf import ARRAY, EIGHT, ONE, STRING, U8, U32, W, Writer
from tests.artifacts.corpus_templates import PAYLOADS
from tests.artifacts.harmless_hf import gguf_file
from tests.artifacts.looking import allowed, look, record_of

from interlock.artifacts import Limits
from interlock.artifacts.limits import Budget
from interlock.artifacts.pickles.profiles import profile_named
from interlock.artifacts.record import MALFORMED_GGUF, UNSAFE_TEMPLATE, Record
from interlock.artifacts.scan import scan_file


@pytest.fixture(scope="module")
def good() -> bytes:
    return gguf_file()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_small_file_of_each_version_passes(version: int) -> None:
    w = Writer(version=version)
    pairs = [w.pair("a", U8, b"\x07"), w.pair("b", ARRAY, w.strings([b"x", b"\xff"]))]
    record = record_of(w.file(pairs, [w.tensor(b"a", [8])], EIGHT))
    assert record.clean, record.findings


def test_tensors_may_stand_in_any_order_and_end_without_padding() -> None:
    infos = [W.tensor(b"b", [4, 1], offset=32), ONE, W.tensor(b"none", [0], offset=64)]
    assert record_of(W.file([], infos, EIGHT + bytes(32))).clean
    assert record_of(W.file([], infos[:2], EIGHT + bytes(16))).clean


def test_alignment_of_the_metadata_counts() -> None:
    pair = W.pair("general.alignment", U32, W.u32(64))
    infos = [ONE, W.tensor(b"b", [8], offset=64)]
    assert record_of(W.file([pair], infos, EIGHT + bytes(32) + EIGHT, alignment=64)).clean


def test_ten_gigabytes_of_tensors_are_not_read(tmp_path: Path) -> None:
    size = 10 << 30
    with (tmp_path / "m").open("wb") as file:
        file.write(W.file([], [W.tensor(b"a", [size // 4])]))
        file.truncate(file.tell() + size)
    budget = Budget(Limits(total_bytes=1 << 20))
    record = Record(budget)
    scan_file(tmp_path / "m", "m", profile=profile_named("numpy"), record=record)
    assert record.clean, (record.findings, record.failed)


def test_metadata_longer_than_is_read_is_a_gap() -> None:
    pair = W.pair("a", STRING, W.text(b"x" * 5_000))
    record = record_of(W.file([pair]), limits=Limits(header_bytes=4_096))
    assert "more than 4,096 bytes" in record.failed[0].reason


def test_more_array_elements_than_are_read_is_a_gap() -> None:
    record = record_of(W.file([W.pair("a", ARRAY, W.strings([b""] * 9_000))]), limits=Limits(values=8_000))
    assert "more than 8,000 elements" in record.failed[0].reason


@pytest.mark.parametrize("at", ["key", "name"])
def test_hostile_names_are_escaped_in_findings(at: str) -> None:
    name = b"\x1b[2J\xff"
    content = W.file([W.pair(name, U8, b"\x01")]) if at == "key" else W.file([], [W.tensor(name, [9])], b"")
    (finding,) = [finding for finding in record_of(content).findings if finding.rule_id == MALFORMED_GGUF]
    assert finding.message.isprintable()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_truncation_is_refused(good: bytes, data: st.DataObject) -> None:
    # The last tensor ends in padding, which readers do not need.
    length = data.draw(st.integers(5, len(good) - 33))
    assert not record_of(good[:length]).clean


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_mutation_is_scanned_without_a_crash(good: bytes, data: st.DataObject) -> None:
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(4, len(good) - 1))] = data.draw(st.integers(0, 255))
    record_of(bytes(changed), limits=Limits(seconds=30))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_scanned_without_a_crash(body: bytes) -> None:
    record_of(b"GGUF\x03\0\0\0" + body)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_hostile_template_is_never_allowed_whatever_else_changes(data: st.DataObject) -> None:
    lipsum = PAYLOADS["cve-2026-5760-lipsum"].encode()
    before = data.draw(st.lists(st.sampled_from([W.pair(f"k{i}", U8, b"\x01") for i in range(9)]), unique=True))
    content = bytearray(W.file([*before, W.pair("tokenizer.chat_template", STRING, W.text(lipsum))], [ONE], EIGHT))
    start = content.index(b"tokenizer.chat_template")
    spared = range(start - 8, start + 23 + 12 + len(lipsum))
    at = data.draw(st.integers(4, len(content) - 1).filter(lambda offset: offset not in spared))
    content[at] ^= data.draw(st.integers(1, 255))
    assert not record_of(bytes(content)).clean


def test_every_template_of_a_file_is_judged(tmp_path: Path) -> None:
    fine, bad = "{{ bos_token }}", PAYLOADS["cycler-globals"]
    content = gguf_file(template=[{"name": "default", "template": fine}, {"name": "rag", "template": bad}])
    seen = look(tmp_path, {"model.gguf": content})
    assert not allowed(seen)
    messages = [finding.message for finding in seen.findings if finding.rule_id == UNSAFE_TEMPLATE]
    assert messages
    assert all("tokenizer.chat_template.rag" in message for message in messages)
