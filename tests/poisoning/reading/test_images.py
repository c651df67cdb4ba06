"""Images of any size and colour, and those that cannot be read."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from benchmarks.poisoning.attacks import Dataset
from PIL import Image
from tests.poisoning.conftest import Hold
from tests.poisoning.reading.writers import (
    PICTURE,
    as_idx,
    as_manifest,
    grey,
    measures,
    png,
    put,
    read,
)

from interlock.poisoning import Batch, Columns, PoisoningGate, Source, Survey
from interlock.poisoning.reading import images as pictures
from interlock.poisoning.spool import spooled


def test_mixed_sizes_are_drawn_to_the_most_frequent_one_and_named(tmp_path: Path, hold: Hold) -> None:
    for row in range(40):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", grey(row, 16 if row < 3 else 8))
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    found = {finding.rule_id.partition(".")[2]: finding.message for finding in seen.findings}
    assert measures(seen)["features"] == 64
    assert measures(seen)["resized_images"] == 3
    assert "3 of 40 images have another size or colour than 8x8" in found["resized-images"]


def test_one_coloured_image_makes_the_set_coloured(tmp_path: Path, hold: Hold) -> None:
    for row in range(6):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", grey(row))
    put(tmp_path / "set/a/red.png", png(np.full((8, 8, 3), (255, 0, 0), dtype=np.uint8)))
    features, _, source = read(tmp_path / "set", hold)
    assert source.columns.image_shape == (8, 8, 3)
    assert features[3].reshape(8, 8, 3)[0, 0].tolist() == [255, 0, 0]
    assert sum(batch.resized for batch in source.batches()) == 0


def test_large_images_are_drawn_within_64_pixels_a_side_and_keep_their_proportions(tmp_path: Path, hold: Hold) -> None:
    for row in range(4):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row}.png", png(np.full((100, 200), 10 * row, dtype=np.uint8)))
    features, _, source = read(tmp_path / "set", hold)
    assert source.columns.image_shape == (32, 64)
    assert sorted(features[:, 0].tolist()) == [0, 10, 20, 30]


def test_a_given_shape_is_kept(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    features, _, _ = read(as_manifest(few, tmp_path), hold, image_shape=(4, 4, 3), **PICTURE)
    assert features.shape == (12, 48)


ENCODINGS = [
    ("PNG", "RGBA"),
    ("PNG", "I;16"),
    ("JPEG", "RGB"),
    ("JPEG", "CMYK"),
    ("BMP", "L"),
    ("GIF", "P"),
    ("WEBP", "RGB"),
    ("TIFF", "L"),
]


@pytest.mark.parametrize(("kind", "mode"), ENCODINGS)
def test_every_listed_decoder_reads(kind: str, mode: str, tmp_path: Path, hold: Hold) -> None:
    image = Image.fromarray(np.full((8, 8), 128 << 8, dtype=np.uint16)) if mode == "I;16" else None
    content = io.BytesIO()
    (image or Image.new("L", (8, 8), 128).convert(mode)).save(content, kind)
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.{'tif' if kind == 'TIFF' else kind.lower()}", content.getvalue())
    features, _, _ = read(tmp_path / "set", hold)
    assert abs(float(features.mean()) - 128) < 3


def header_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    body = b"IDAT" + zlib.compress(b"")
    return head + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def postscript() -> bytes:
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "EPS")
    return content.getvalue()


def floating() -> bytes:
    content = io.BytesIO()
    Image.new("F", (8, 8)).save(content, "TIFF")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "none of PNG", id="empty"),
        pytest.param(b"no picture", "none of PNG", id="text"),
        pytest.param(grey(7)[:-30], "cannot be decoded", id="ends-in-the-middle"),
        pytest.param(header_of(40_000, 8), "8x40000 pixels", id="40000-pixels-wide"),
        pytest.param(header_of(40_000, 40_000), "pixel", id="40000-pixels-square"),
        pytest.param(header_of(16_000, 16_000), "pixel", id="decompression-bomb"),
        pytest.param(postscript(), "none of PNG", id="decoder-that-is-not-listed"),
        pytest.param(floating(), "32 bits", id="floating-point-pixels"),
    ],
)
def test_an_image_that_cannot_be_read_is_a_finding_and_never_looked_at(
    content: bytes, reason: str, tmp_path: Path, hold: Hold
) -> None:
    for row in range(40):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row:02d}.png", grey(row))
    put(tmp_path / "set/a/39.png", content)
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    (finding,) = (one for one in seen.findings if one.rule_id == "data-poisoning.unreadable-images")
    assert reason in finding.message
    assert finding.location.path == "a/39.png"
    assert json.loads(finding.evidence)["rows"] == 1
    assert [gap.path for gap in seen.coverage.failed if "images were not looked at" in gap.reason] == ["a/39.png"]
    assert measures(seen)["unreadable_images"] == 1
    assert measures(seen)["unlabelled_rows"] == measures(seen)["incomplete_rows"] == 0


def test_an_image_of_too_many_bytes_is_not_opened(tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_IMAGE_BYTES", 50)
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.png", grey(1))
    source = Source.of(hold(tmp_path / "set"), Columns())
    assert ["more than 50" in one.reason for batch in source.batches() for one in batch.unread] == [True, True]


def test_a_set_of_images_that_nobody_can_read_is_not_looked_at(tmp_path: Path, hold: Hold) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"set/{name}/1.png", b"no picture")
    seen = PoisoningGate().look(hold(tmp_path / "set"))
    assert seen.coverage.nothing_looked_at
    assert "no image of a row with a label can be read" in seen.coverage.failed[-1].reason


def test_the_hosts_lenience_is_off_while_images_are_read_and_as_before_after(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    put(tmp_path / "set/a/1.png", grey(7)[:-30])
    put(tmp_path / "set/b/1.png", header_of(16_000, 16_000))
    source = Source.of(hold(tmp_path / "set"), Columns())
    assert sum(len(batch.unread) for batch in source.batches()) == 2
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_the_first_unread_rows_are_the_same_however_the_rows_were_split(tmp_path: Path, hold: Hold) -> None:
    for row in range(60):
        put(tmp_path / f"set/{'ab'[row % 2]}/{row:02d}.png", grey(row) if row % 2 else b"")
    (one,) = (list(Source.of(hold(tmp_path / "set"), Columns()).batches())[:1],)
    survey = Survey(seed=0, one_scale=True)
    states = [survey.partial(batch) for batch in Source.of(hold(tmp_path / "set"), Columns()).batches()]
    forwards, backwards = (survey.merge(*pair) for pair in (states, states[::-1]))
    assert one[0].unread[:20] == forwards.first_unread == backwards.first_unread
    assert forwards.unread == backwards.unread == 30


def folder_with_holes(folder: Path) -> Path:
    for row in range(30):
        content = b"" if row % 7 == 3 else grey(8 * row, 16 if row % 5 == 1 else 8)
        put(folder / f"set/{'ab'[row % 2]}/{row:02d}.png", content)
    return folder / "set"


def same_batches(one: Batch, other: Batch) -> bool:
    pixels = np.array_equal(one.features, other.features, equal_nan=True)
    about = [(b.start, b.file, b.labels.tolist(), b.vocabulary, b.ids, b.unread, b.resized) for b in (one, other)]
    return pixels and about[0] == about[1] and one.features.dtype == other.features.dtype


def test_pictures_are_decoded_once_and_the_rows_stay_the_same(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.of(hold(folder_with_holes(tmp_path)), Columns())
    with spooled(source, here=True) as rows:
        whole = list(source.batches())
        readings = [list(rows.batches())]
        monkeypatch.setattr(pictures, "draw", None)
        monkeypatch.setattr("interlock.poisoning.reading.class_folder.draw", None)
        readings += [list(rows.batches()), list(rows.batches())]
    for reading in readings:
        assert all(map(same_batches, whole, reading))
    assert sum(len(batch.unread) for batch in whole) == 4


def test_a_reading_that_was_not_finished_is_no_spool(tmp_path: Path, hold: Hold) -> None:
    source = Source.of(hold(folder_with_holes(tmp_path)), Columns())
    with spooled(source, here=True) as rows:
        next(iter(rows.batches()))
        assert all(map(same_batches, source.batches(), rows.batches()))
        assert all(map(same_batches, source.batches(), rows.batches()))


def test_without_room_for_a_spool_every_reading_decodes(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.poisoning.spool.MAX_SPOOL_BYTES", 10)
    source = Source.of(hold(folder_with_holes(tmp_path)), Columns())
    with spooled(source, here=True) as rows:
        for _ in range(2):
            assert all(map(same_batches, source.batches(), rows.batches()))


def test_only_pictures_are_spooled(few: Dataset, tmp_path: Path, hold: Hold) -> None:
    source = Source.of(hold(as_idx(few, tmp_path)), Columns())
    with spooled(source, here=True) as rows:
        assert rows is source
