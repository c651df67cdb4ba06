"""Where a result goes: refused before the work is done, where it could not be written whole or without harm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.gate.errors import UsageError

if TYPE_CHECKING:
    from interlock.gate import Settings


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


def keep_one_document(settings: Settings, format_: str, out: Path | None) -> None:
    """Refuse to print a document where the decision log prints its lines: a reader would get two.

    Args:
        settings: Say where decisions are logged.
        format_: Of what is printed; lines between those of a table do no harm.
        out: The file that it goes to; standard output when there is none.

    Raises:
        UsageError: Both would go to standard output.
    """
    if format_ != "table" and out is None and settings.decision_log == "-":
        raise UsageError(
            f"the report (--format {format_}) and the decision log would both go to standard output",
            where="setting `decision_log` is -",
            next_step="add --out FILE for the report, or set `decision_log` (INTERLOCK_DECISION_LOG) to a file",
        )
