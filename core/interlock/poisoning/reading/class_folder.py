"""Image folders: ``cat/001.png`` is an image of the class ``cat``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from interlock.poisoning.batches import Block, Columns
from interlock.poisoning.reading.census import Census
from interlock.poisoning.reading.folder import Folder
from interlock.poisoning.reading.idx import refuse_columns
from interlock.poisoning.reading.images import Picture, draw, sizes
from interlock.poisoning.reading.limits import rows_per_block, values_in


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFolder:
    """The images of one folder; its name is their label.

    Args:
        file: The folder, relative to the subject; empty for images beside class folders, which have no label.
        folder: The held subject.
        images: The images, relative to the subject, sorted.
    """

    file: str
    folder: Folder
    images: tuple[str, ...] = field(repr=False)

    @property
    def name(self) -> str:
        """The folder."""
        return self.file

    def held(self, _columns: Columns) -> tuple[str, ...]:
        """The images."""
        return self.images

    def blocks(self, columns: Columns) -> Iterator[Block]:
        """Its images, in order of name.

        Raises:
            SubjectError: A column was named.
            MissingExtraError: Pillow is not installed.
        """
        refuse_columns(columns, self.name, "class folders have no columns")
        label = posixpath.basename(self.file) or None
        step = rows_per_block(values_in(columns.drawn_to))
        for at in range(0, len(self.images), step):
            files = self.images[at : at + step]
            drawn = draw([self._picture(file) for file in files], columns.drawn_to)
            yield Block(
                features=drawn.features,
                labels=[label] * len(files),
                ids=files,
                unread=drawn.unread,
                resized=drawn.resized,
            )

    def encoded(self, _columns: Columns) -> bool:
        """True when reading it decodes pictures."""
        return True

    def image(self, row: int) -> str:
        """The image itself."""
        return self.images[row]

    def left_out(self, _columns: Columns) -> tuple[str, ...]:
        """Nothing: all of it is looked at."""
        return ()

    def census(self, _columns: Columns) -> Census:
        """The sizes of its images."""
        return Census.of(sizes(self._picture(file) for file in self.images))

    def _picture(self, file: str) -> Picture:
        return Picture(name=file, content=self.folder.path / file if file else self.folder.path)
