"""One PNG for those who read no HTML: a chat, a mail, a ticket. Verdict, galleries and charts of one gate outcome.

Pillow draws it. What is drawn quotes the dataset: text is cut to lines, `galleries` checks pictures, `charts` numbers.
"""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

from interlock.gate import GateOutcome, MissingExtraError, Verdict
from interlock.reporting.charts import BarChart, HistogramChart, QuoteChart, charts_of
from interlock.reporting.curves import HEIGHT as CURVE_HEIGHT
from interlock.reporting.curves import WIDTH as CURVE_WIDTH
from interlock.reporting.curves import CurveChart
from interlock.reporting.galleries import Gallery, Picture, galleries_of
from interlock.reporting.page import MAX_FACTS, shown_number

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

WIDTH = 1000
MARGIN = 28
MAX_HEIGHT = 16_000
"""Of the sheet; what does not fit is left out, and the last line says so."""

MAX_SIDE = 512
"""Of a picture in an attachment, so that a small file cannot ask for much memory."""

TILE = 84
CAPTION = 3 * 13
"""Room for a caption of three lines below a tile."""

HEIGHT_OF_BINS = 130
MAX_LINE = 130

INK, SOFT, LINE, PAPER, HOT, COLD = "#172033", "#59657a", "#dfe5ee", "#ffffff", "#b3261e", "#a9b1bf"
NOTHING = "#93a7c8"
"""Behind pixels that hold no value."""

COLOURS = {Verdict.ALLOW: "#17734a", Verdict.DENY: HOT}


def render_png(outcome: GateOutcome) -> bytes:
    """Draw the sheet.

    Args:
        outcome: Of any gate.

    Returns:
        A PNG of `WIDTH` pixels and as much height as it needs, at most `MAX_HEIGHT`.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise MissingExtraError("pillow", extra="torch") from error
    sheet = _Sheet(Image.new("RGB", (WIDTH, MAX_HEIGHT), PAPER))
    sheet.head(outcome)
    for gallery in galleries_of(outcome.report.observation):
        sheet.gallery(gallery)
    for chart in charts_of(outcome.report.observation):
        if isinstance(chart, HistogramChart):
            sheet.histogram(chart)
        elif isinstance(chart, BarChart):
            sheet.bars(chart)
        elif isinstance(chart, CurveChart):
            sheet.curve(chart)
        elif isinstance(chart, QuoteChart):
            sheet.quotes(chart)
    return sheet.png()


class _Sheet:
    """A long page that is drawn from the top down."""

    def __init__(self, canvas: Image.Image) -> None:
        from PIL import ImageDraw

        self._canvas = canvas
        self._draw: ImageDraw.ImageDraw = ImageDraw.Draw(canvas)
        self._at = MARGIN
        self._left_out = 0

    def head(self, outcome: GateOutcome) -> None:
        """Gate, subject, verdict, digest, receipt, the telling measures and the reasons."""
        report, decision = outcome.report, outcome.decision
        self._text(f"{report.gate}: {report.subject.name}", size=24)
        self._text(decision.verdict.value, size=19, colour=COLOURS.get(decision.verdict, SOFT))
        self._text(f"sha256:{report.subject.digest} · receipt {outcome.recorded.receipt_id}", size=12, colour=SOFT)
        measures = report.observation.measures[:MAX_FACTS]
        facts = [f"{one.name.replace('_', ' ')} {shown_number(one.value)}" for one in measures]
        if facts:
            self._text(" · ".join(facts), size=14)
        for said in (*decision.errors, *(f"{one.severity.value}: {one.message}" for one in decision.reasons)):
            for line in textwrap.wrap(said, MAX_LINE, max_lines=2, placeholder=" …"):
                self._text(line, size=13, colour=HOT)

    def gallery(self, gallery: Gallery) -> None:
        """Its trigger, then pairs, as many in a line as there is room for."""
        self._title(gallery.title, gallery.note)
        tiles = [(gallery.trigger, None)] if gallery.trigger else []
        across = 2 * TILE + 20
        per_line = (WIDTH - 2 * MARGIN) // across
        pairs = [*tiles, *gallery.pairs]
        for start in range(0, len(pairs), per_line):
            if not self._room(TILE + CAPTION):
                return
            for place, (flagged, beside) in enumerate(pairs[start : start + per_line]):
                left = MARGIN + place * across
                self._tile(flagged, left, HOT)
                if beside is not None:
                    self._tile(beside, left + TILE + 4, SOFT)
            self._at += TILE + CAPTION + 4

    def histogram(self, chart: HistogramChart) -> None:
        """Bins in logarithmic height, flagged rows on top, the threshold as a line."""
        note = f"{chart.rest:,} rows not flagged, {chart.flagged:,} flagged; {chart.axis}; logarithmic height"
        self._title(chart.title, note)
        if not self._room(HEIGHT_OF_BINS + 22):
            return
        wide, floor = (WIDTH - 2 * MARGIN) / len(chart.bins), self._at + HEIGHT_OF_BINS
        for place, one in enumerate(chart.bins):
            left, right = MARGIN + place * wide, MARGIN + (place + 1) * wide - 1
            middle = floor - one.rest * HEIGHT_OF_BINS
            if one.rest:
                self._draw.rectangle((left, middle, right, floor), fill=COLD)
            if one.flagged:
                self._draw.rectangle((left, middle - one.flagged * HEIGHT_OF_BINS, right, middle), fill=HOT)
        self._draw.line((MARGIN, floor, WIDTH - MARGIN, floor), fill=SOFT)
        if chart.threshold is not None:
            x = MARGIN + chart.threshold * (WIDTH - 2 * MARGIN)
            self._draw.line((x, self._at, x, floor), fill=INK, width=2)
        self._at = floor + 3
        end = f"{chart.high:.3g}"
        self._write(end, (WIDTH - MARGIN - self._font(12).getlength(end), self._at), size=12, colour=SOFT)
        self._text(f"{chart.low:.3g}", size=12, colour=SOFT)

    def bars(self, chart: BarChart) -> None:
        """A line for each group: its name, its share as a bar, and both counts."""
        rest = f"{chart.more:,} more with smaller shares; " if chart.more else ""
        self._title(chart.title, f"{rest}{chart.none:,} others without any" if chart.more or chart.none else "")
        for bar in chart.bars:
            if not self._room(20):
                return
            self._write(bar.name[:28], (MARGIN, self._at), size=13)
            left, length = MARGIN + 220, bar.length * (WIDTH - 2 * MARGIN - 420)
            if bar.flagged:
                self._draw.rectangle((left, self._at + 3, left + max(1, length), self._at + 14), fill=HOT)
            said = f"{bar.flagged:,} of {bar.rows:,} · {bar.share:.2%}"
            self._write(said, (WIDTH - MARGIN - self._font(13).getlength(said), self._at), size=13)
            self._at += 20

    def curve(self, chart: CurveChart) -> None:
        """The means as a line, and a dot for each spike."""
        height = "logarithmic height, " if chart.logarithmic else ""
        spikes = f", {len(chart.marks)} spike{'s' if len(chart.marks) > 1 else ''}" if chart.marks else ""
        self._title(chart.title, f"{chart.unit} {height}{chart.low:.4g} to {chart.high:.4g}{spikes}".strip())
        if not self._room(HEIGHT_OF_BINS + 22):
            return
        across, down, top = (WIDTH - 2 * MARGIN) / CURVE_WIDTH, HEIGHT_OF_BINS / CURVE_HEIGHT, self._at
        places = [(MARGIN + x * across, top + y * down) for x, y in chart.line]
        self._draw.line(places, fill=INK, width=2)
        for x, y in chart.marks:
            left, upper = MARGIN + x * across, top + y * down
            self._draw.ellipse((left - 4, upper - 4, left + 4, upper + 4), fill=HOT)
        self._at += HEIGHT_OF_BINS
        self._draw.line((MARGIN, self._at, WIDTH - MARGIN, self._at), fill=SOFT)
        self._at += 3
        self._text(f"{chart.axis} {chart.first:g} to {chart.last:g}", size=12, colour=SOFT)

    def quotes(self, chart: QuoteChart) -> None:
        """A line for each place, the phrase in red."""
        self._title(chart.title, "")
        for before, phrase, after in chart.lines:
            if not self._room(20):
                return
            x: float = MARGIN
            for part, colour in ((before[-60:], INK), (phrase[:60], HOT), (after[:60], INK)):
                self._write(part, (x, self._at), size=13, colour=colour)
                x += self._font(13).getlength(_line(part))
            self._at += 20

    def png(self) -> bytes:
        """The sheet, cut below the last line."""
        if self._left_out:
            self._at = min(self._at, MAX_HEIGHT - 40)
            self._write(f"{self._left_out} parts did not fit; the HTML report has them", (MARGIN, self._at), size=13)
            self._at += 20
        buffer = io.BytesIO()
        self._canvas.crop((0, 0, WIDTH, min(MAX_HEIGHT, self._at + MARGIN))).save(buffer, format="PNG", optimize=True)
        return buffer.getvalue()

    def _tile(self, picture: Picture, left: int, colour: str) -> None:
        drawn = _opened(picture)
        if drawn is None:
            return
        drawn = drawn.resize((TILE, TILE), resample=0)  # pixels stay pixels
        self._draw.rectangle((left, self._at, left + TILE - 1, self._at + TILE - 1), fill=NOTHING)
        self._canvas.paste(drawn.convert("RGB"), (left, self._at), drawn if drawn.mode == "RGBA" else None)
        if picture.box:
            top, start, height, width = (side / 100 * TILE for side in picture.box)
            frame = (left + start, self._at + top, left + start + width - 1, self._at + top + height - 1)
            self._draw.rectangle(frame, outline=HOT, width=2)
        for place, line in enumerate(textwrap.wrap(picture.caption, 16, max_lines=3, placeholder="…")):
            self._write(line, (left, self._at + TILE + 1 + 12 * place), size=10, colour=colour)

    def _title(self, title: str, note: str) -> None:
        if not self._room(60):
            return
        self._at += 16
        self._draw.line((MARGIN, self._at, WIDTH - MARGIN, self._at), fill=LINE)
        self._at += 8
        self._text(title, size=16)
        if note:
            self._text(note, size=12, colour=SOFT)
        self._at += 4

    def _text(self, text: str, *, size: int, colour: str = INK) -> None:
        """One line."""
        if self._room(size + 8):
            self._write(text, (MARGIN, self._at), size=size, colour=colour)
            self._at += size + 8

    def _write(self, text: str, at: tuple[float, float], *, size: int, colour: str = INK) -> None:
        self._draw.text(at, _line(text), font=self._font(size), fill=colour)

    def _font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        from PIL import ImageFont

        return ImageFont.load_default(size)

    def _room(self, height: int) -> bool:
        fits = self._at + height <= MAX_HEIGHT - 3 * MARGIN
        self._left_out += not fits
        return fits


def _opened(picture: Picture) -> Image.Image | None:
    """The picture, unless it is broken or larger than any that a gate makes."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(picture.png), formats=("PNG",)) as opened:
            if max(opened.size) > MAX_SIDE:
                return None
            return opened.convert("RGBA" if opened.mode in ("RGBA", "LA", "P") else "RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError):  # Pillow's PNG reader raises all of them
        return None


def _line(text: str) -> str:
    """Text on one line, cut; the default font has no other letters than Latin ones, and draws a box for the rest."""
    one = " ".join(text.split()) if text.strip() else ""
    lead = " " if text[:1].isspace() else ""
    tail = " " if text[-1:].isspace() and one else ""
    return (lead + one + tail)[:MAX_LINE]
