"""Encoded pictures to rows of pixels. Whatever a decoder does to hostile bytes ends here, as a reason for one row.

Only the decoders in `DECODERS` run, a file's size and sides are looked at before one pixel is decoded, and Pillow's
own switches for lenient reading are off while it reads.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.gate import MissingExtraError, UsageError
from interlock.poisoning.batches import Unread
from interlock.poisoning.reading.limits import MAX_FEATURES, first_line, shape_text, values_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
DECODERS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
MAX_IMAGE_BYTES = 64 * 2**20
MAX_SIDE = 16_384
MAX_PIXELS = 50_000_000
"""Pixels of one picture: Pillow warns from 89 million on, and a host may have switched that off."""

GREY = ("1", "L", "LA", "La")


class Undecodable(Exception):  # noqa: N818 (it never leaves this package: it becomes a row that is `Unread`)
    """One picture cannot be read; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One encoded picture of untrusted content.

    Args:
        name: What names it for people; empty when only its row does.
        content: Its bytes, the file that holds them, or None when there is nothing.
        reason: Why there is nothing.
    """

    name: str = ""
    content: bytes | Path | None
    reason: str = "there is no image"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Height and width in pixels, and whether there is colour."""

    height: int
    width: int
    colour: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Pictures as rows of features.

    Args:
        features: float32 array (n, d), 0 to 255; NaN for what cannot be read.
        unread: By place in the given sequence.
        resized: How many had another size, or lost their colour.
    """

    features: NDArray[np.float32]
    unread: tuple[Unread, ...]
    resized: int


def draw(pictures: Sequence[Picture], shape: tuple[int, ...]) -> Drawn:
    """Decode pictures to one shape.

    Args:
        pictures: Untrusted.
        shape: Height, width and, for colour, 3.

    Raises:
        UsageError: Nothing can be drawn to that shape.
        MissingExtraError: Pillow is not installed.
    """
    import numpy as np

    if values_in(shape) > MAX_FEATURES or (*shape, 1)[2] not in (1, 3):
        raise UsageError(
            f"images cannot be drawn to {shape_text(shape)}",
            where="image_shape",
            next_step=f"give at most {MAX_FEATURES} values, and 1 or 3 channels",
        )
    features = np.full((len(pictures), values_in(shape)), np.nan, dtype=np.float32)
    unread, resized = [], 0
    with _strict():
        for row, picture in enumerate(pictures):
            try:
                with _opened(picture) as image:
                    pixels, changed = _pixels(image, shape)
            except Undecodable as reason:
                unread.append(Unread(row=row, name=picture.name, reason=str(reason)))
                continue
            features[row] = pixels
            resized += changed
    return Drawn(features=features, unread=tuple(unread), resized=resized)


def sizes(pictures: Iterator[Picture]) -> Iterator[Size]:
    """The sizes that headers claim, of those that have one that can be read.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    for picture in pictures:
        try:
            with _strict(), _opened(picture) as image:
                size = Size(height=image.height, width=image.width, colour=_colour(image))
        except Undecodable:
            continue  # the pass that decodes names it
        yield size


@contextmanager
def _strict() -> Iterator[None]:
    """Pillow without lenience: no half pictures, and no warning where there should be a refusal."""
    try:
        from PIL import Image, ImageFile
    except ModuleNotFoundError as error:
        raise MissingExtraError("pillow", extra="torch") from error
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


@contextmanager
def _opened(picture: Picture) -> Iterator[Any]:
    """The picture with its header read and its limits checked; every trouble inside is `Undecodable`."""
    from PIL import Image, UnidentifiedImageError

    content = picture.content
    if content is None:
        raise Undecodable(picture.reason)
    try:
        _check_length(len(content) if isinstance(content, bytes) else content.stat().st_size)
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content, formats=DECODERS) as image:
            _check_sides(image.height, image.width)
            yield image
    except Undecodable:
        raise
    except UnidentifiedImageError as error:
        raise Undecodable(f"it is none of {', '.join(DECODERS)}") from error
    except Exception as error:  # decoders raise anything at all on hostile bytes; it becomes a finding
        raise Undecodable(f"it cannot be decoded: {first_line(error)}") from error


def _check_length(length: int) -> None:
    if length > MAX_IMAGE_BYTES:
        raise Undecodable(f"its {length} bytes are more than {MAX_IMAGE_BYTES}")


def _check_sides(height: int, width: int) -> None:
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise Undecodable(f"it is {height}x{width} pixels, more than {MAX_SIDE} a side or {MAX_PIXELS} in all")


def _pixels(image: Any, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], bool]:
    """The first frame as values row by row, channels last, and whether its size had to change or colour was lost."""
    import numpy as np
    from PIL import Image

    height, width = shape[:2]
    mode = "RGB" if len(shape) == 3 and shape[2] == 3 else "L"
    changed = (image.height, image.width) != (height, width) or (mode == "L" and _colour(image))
    image.draft(mode, (width, height))  # a JPEG that is much too large is decoded at a fraction of its size
    if image.mode in ("I", "F"):
        raise Undecodable(f"its pixels are of 32 bits (mode {image.mode}), and their range is anybody's guess")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert(mode)
    if (image.height, image.width) != (height, width):
        shrinks = image.height >= height and image.width >= width
        image = image.resize((width, height), Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(-1), changed


def _colour(image: Any) -> bool:
    if image.mode in GREY or image.mode.startswith(("I", "F")):
        return False
    if image.mode != "P":
        return True
    palette = image.getpalette("RGB") or []
    return palette[0::3] != palette[1::3] or palette[1::3] != palette[2::3]
