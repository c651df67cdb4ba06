"""Characters that nobody sees: which ones a text holds, and whether they stand where nobody would put them.

Unicode's own words (Unicode 16, chapters 9, 23 and UTS #39): zero-width and other default-ignorable characters, bidi
controls, tag characters, unusual spaces, and letters of one script that look like those of another inside a word
(Boucher, Shumailov, Anderson and Papernot, 2022, "Bad Characters"; Boucher and Anderson, 2023, "Trojan Source").
A joiner between Persian letters, an override around Hebrew, a tag behind the black flag, a byte-order mark at the
beginning and a soft hyphen are where they belong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_LETTER = "A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u052f\u1e00-\u1eff0-9"
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SPACES = "\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u3164\uffa0\u2800"
_SEEN = re.compile(
    f"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    f"\ufff9-\ufffb\U000e0000-\U000e0fff{_SPACES}\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f]"
)
_INSIDE = re.compile(
    f"(?<=[{_LETTER}])[\u034f\u180e\u200b-\u200f\u2060-\u2064\u206a-\u206f\ufeff\x00-\x08\x0b\x0e-\x1f\x7f]+(?=[{_LETTER}])"
)
_ASCII_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_CONTROL = re.compile("[\u202a-\u202e\u2066-\u2069]")
_TAG = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+")
_MARKED = re.compile("[\U000e0100-\U000e01ef]")
_WORD = re.compile(r"\w{3,}")
_LATIN = re.compile("[A-Za-z]")
_ALIKE = re.compile(
    "[\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0455\u0458\u04bb\u0501\u051b\u051d\u0410\u0412\u0415\u0405"
    "\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c"
    "\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf\u03f2\u0585\u0578\u057d\u0570\u13a0-\u13f4"
    "\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff]"
)
_FOREIGN = re.compile("[^\\W\\d_A-Za-z\u00aa\u00b5\u00ba-\u024f\u1e00-\u1eff]")

LOOK_ALIKES = 0x110000
"""Stands for letters that look like those of another script."""

ANY = 0x110001
"""Stands for all that is out of place, whichever it is: an attack may draw another sign for every row."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign that a text holds.

    Args:
        sign: A code point, or `LOOK_ALIKES`, or `ANY`.
        out_of_place: True where nobody would put it honestly.
    """

    sign: int
    out_of_place: bool

    @property
    def code(self) -> int:
        """One number for it."""
        return 2 * self.sign + self.out_of_place

    @classmethod
    def of(cls, code: int) -> Mark:
        """The mark of a number."""
        return cls(code // 2, out_of_place=bool(code % 2))

    @property
    def name(self) -> str:
        """For people."""
        if self.sign == LOOK_ALIKES:
            return "letters that look like those of another script"
        if self.sign == ANY:
            return "invisible characters and look-alikes"
        said = unicodedata.name(chr(self.sign), "control character").lower()
        return f"U+{self.sign:04X} {said}" + (" where it has no use" if self.out_of_place else "")


def marks(text: str) -> frozenset[Mark]:
    """What a text holds; empty for ASCII without control characters."""
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return frozenset()
    found = {Mark(_grouped(ord(sign)), out_of_place=False) for sign in _SEEN.findall(text.removeprefix("\ufeff"))}
    odd = {Mark(_grouped(ord(sign)), out_of_place=True) for run in _out_of_place(text) for sign in run}
    if _ALIKE.search(text) and any(_mixed(word) for word in _WORD.findall(text)):
        odd.add(Mark(LOOK_ALIKES, out_of_place=True))
    if odd:
        odd.add(Mark(ANY, out_of_place=True))
    return frozenset(found | odd)


def _grouped(sign: int) -> int:
    """Tags, and variation selectors beyond the first, count as one sign each: they spell messages."""
    if 0xE0000 <= sign <= 0xE007F:
        return 0xE0001
    return 0xE0100 if 0xE0100 <= sign <= 0xE01EF else sign


def _out_of_place(text: str) -> Iterator[str]:
    yield from _INSIDE.findall(text)
    yield from _TAG.findall(text)
    if _CONTROL.search(text) and not _RIGHT_TO_LEFT.search(text):
        yield from _CONTROL.findall(text)
    if len(selectors := _MARKED.findall(text)) > 1:
        yield from selectors


def _mixed(word: str) -> bool:
    """True for a word of Latin letters in which letters of other scripts stand that all look like Latin ones."""
    if word.isascii() or not _LATIN.search(word):
        return False
    foreign = _FOREIGN.findall(word)
    return bool(foreign) and all(_ALIKE.match(sign) for sign in foreign)


def shown(text: str, mark: Mark, around: int = 24) -> str:
    """A piece of a text around the first such sign, every unseen character spelled out."""
    at = _first(text, mark)
    piece = text[max(0, at - around) : at + around]
    return "".join(f"<U+{ord(sign):04X}>" if _spelled(sign) else sign for sign in piece)


def _spelled(sign: str) -> bool:
    return bool(_SEEN.match(sign) or _ALIKE.match(sign) or _MARKED.match(sign))


def _first(text: str, mark: Mark) -> int:
    if mark.sign == LOOK_ALIKES:
        return next((word.start() for word in _WORD.finditer(text) if _mixed(word.group())), 0)
    if mark.sign == ANY:
        return next((at for at, sign in enumerate(text) if _spelled(sign)), 0)
    return next((at for at, sign in enumerate(text) if _grouped(ord(sign)) == mark.sign), 0)
