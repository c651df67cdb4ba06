"""The PNG sheet: drawn from what is untrusted, of limited size, and never broken by it."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.reporting.test_charts import BARS, HISTOGRAM, QUOTES
from tests.reporting.test_reports import outcome

from interlock.reporting import render_png
from interlock.reporting.sheet import MAX_HEIGHT, WIDTH, _Sheet


def png(side: int = 8, mode: str = "RGB") -> str:
    buffer = io.BytesIO()
    Image.new(mode, (side, side), "red").save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def gallery(picture: str, *, pairs: int = 1, caption: str = "label 3, row 2904") -> dict[str, object]:
    shown = {"png": picture, "caption": caption, "box": [0.5, 0.5, 0.25, 0.25]}
    return {
        "title": "t",
        "note": "n",
        "trigger": {"png": picture, "caption": "rebuilt"},
        "pairs": [{"flagged": shown, "neighbour": shown}] * pairs,
    }


def drawn(galleries: list[object] | None = None, charts: list[object] | None = None, text: str = "a") -> Image.Image:
    attachments = (("p", json.dumps({"galleries": galleries or []})), ("c", json.dumps({"charts": charts or []})))
    image = Image.open(io.BytesIO(render_png(outcome(text, attachments))), formats=("PNG",))
    image.load()
    return image


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    found = image.getcolors(maxcolors=2**24)
    assert found is not None
    return {colour for _, colour in found if isinstance(colour, tuple)}


def test_pictures_and_charts_make_the_sheet_longer_and_red() -> None:
    empty, full = drawn(), drawn([gallery(png())], [HISTOGRAM, BARS, QUOTES])
    assert empty.width == full.width == WIDTH
    assert full.height > empty.height + 400
    assert (255, 0, 0) in colours(full) - colours(empty)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode(), id="no-picture-behind-the-signature"),
        pytest.param(png()[:60], id="ends-in-the-middle"),
        pytest.param(png(4000), id="larger-than-any-gate-makes"),
    ],
)
def test_a_broken_picture_leaves_its_place_empty(broken: str) -> None:
    assert (255, 0, 0) not in colours(drawn([gallery(broken)]))


def test_a_sheet_of_too_much_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    write = _Sheet._write

    def noted(sheet: _Sheet, text: str, at: tuple[float, float], **how: Any) -> None:
        said.append(text)
        write(sheet, text, at, **how)

    monkeypatch.setattr(_Sheet, "_write", noted)
    many = [gallery(png(), pairs=24)] * 20
    full = drawn([*many], [QUOTES | {"lines": [["a", "b", "c"]] * 40}] * 24)
    assert full.height <= MAX_HEIGHT
    assert "parts did not fit; the HTML report has them" in said[-1]
    drawn([gallery(png())])
    assert "did not fit" not in said[-1]


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_sheet(text: str) -> None:
    quotes = {"kind": "quotes", "title": text, "lines": [[text, text, text]]}
    assert drawn([gallery(png(), caption=text)], [quotes], text or "a").width == WIDTH
