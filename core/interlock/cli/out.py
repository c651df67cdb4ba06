"""The option `--out`: refused before the work is done, where the result could not be written without harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class OutFile(click.Path):
    """A path to write a report to: not a folder, and nothing that a report must not take the place of."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take the path as click does, then look at what lies there.

        Raises:
            UsageError: It is a device, a pipe or a socket, also behind a link.
        """
        from interlock.reporting.writing import target_of

        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        target_of(path)
        return path
