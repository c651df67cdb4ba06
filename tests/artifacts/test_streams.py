"""Compressed streams: every form expands to what is scanned, damage and limits are never silence."""

from __future__ import annotations

import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.corpus import safetensors
from tests.artifacts.corpus_containers import EVIL, PACKERS, SAFE
from tests.artifacts.looking import record_of

from interlock.artifacts import Limits
from interlock.artifacts.record import FORMAT
from interlock.gate import Level

FORMS = sorted(PACKERS)
quick = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("form", FORMS)
def test_no_cut_of_a_stream_is_allowed(form: str) -> None:
    packed = PACKERS[form](SAFE * 20)
    # The first bytes of bzip2 are a text.
    assert not [size for size in range(10 if form == "bzip2" else 2, len(packed)) if record_of(packed[:size]).clean]


@quick
@given(form=st.sampled_from(FORMS), position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_changed_byte_never_hides_a_pickle_that_acts(form: str, position: int, value: int) -> None:
    packed = bytearray(PACKERS[form](EVIL))
    packed[position % len(packed)] = value
    assert not record_of(bytes(packed)).clean


@quick
@given(form=st.sampled_from(FORMS), content=st.binary(max_size=300), cut=st.integers(0, 300))
def test_any_bytes_behind_a_stream_s_first_bytes_never_crash(form: str, content: bytes, cut: int) -> None:
    record_of(PACKERS[form](SAFE)[:cut] + content)


@quick
@given(content=st.binary(min_size=1, max_size=300), form=st.sampled_from(FORMS))
def test_expanded_bytes_are_judged_as_the_file_itself_would_be(content: bytes, form: str) -> None:
    plain, packed = record_of(content), record_of(PACKERS[form](content))
    assert plain.clean == packed.clean
    assert {f.rule_id for f in plain.findings} <= {f.rule_id for f in packed.findings}


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        pytest.param(Limits(expansion=2), zlib.compress(bytes(17 << 20)), "a bomb", id="expansion"),
        pytest.param(Limits(expanded_bytes=99), zlib.compress(SAFE * 99), "expands to more than 99", id="held"),
        pytest.param(Limits(total_bytes=200), zlib.compress(SAFE * 99), "bytes to read", id="bytes"),
        pytest.param(Limits(members=3), PACKERS["gzip"](b"") * 9, "streams in a row", id="streams"),
        pytest.param(Limits(seconds=1e-9), PACKERS["xz"](SAFE), "time limit", id="time"),
    ],
)
def test_limit_that_is_passed_is_a_gap_with_its_reason(limits: Limits, data: bytes, reason: str) -> None:
    record = record_of(data, limits=limits)
    assert not record.clean
    assert any(reason in gap.reason for gap in record.failed), record.failed


def test_stream_that_wants_much_memory_is_undecided() -> None:
    import zstandard

    window = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1)
    writer = zstandard.ZstdCompressor(compression_params=window).compressobj()
    packed = writer.compress(bytes(1000)) + writer.flush()
    assert "window" in record_of(packed).failed[0].reason


@pytest.mark.parametrize(("form", "module"), [("lz4", "lz4.frame"), ("zstd", "zstandard")])
def test_stream_whose_package_is_missing_is_undecided_and_says_what_to_install(
    form: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = PACKERS[form](SAFE)
    monkeypatch.setitem(sys.modules, module, None)
    record = record_of(packed)
    assert not record.clean
    assert "install interlock[artifacts]" in record.failed[0].reason


def test_large_content_is_scanned_from_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    from interlock.artifacts import source

    monkeypatch.setattr(source, "_SMALL", 1000)
    weights = safetensors({"w": {"dtype": "U8", "shape": [5000], "data_offsets": [0, 5000]}}, bytes(5000))
    record = record_of(zlib.compress(weights))
    assert record.clean
    assert {finding.location.path for finding in record.findings if finding.rule_id == FORMAT} == {
        "model",
        "model!zlib",
    }
    assert not record_of(zlib.compress(EVIL + bytes(5000))).clean


def test_streams_in_a_row_are_a_warning() -> None:
    record = record_of(PACKERS["bzip2"](SAFE[:9]) + PACKERS["bzip2"](SAFE[9:]))
    assert record.clean
    assert [finding.rule_id for finding in record.findings if finding.level is Level.WARNING] == [
        "artifact-scan.several-streams"
    ]
