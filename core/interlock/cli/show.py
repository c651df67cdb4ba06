"""How answers look: tables on a terminal, tab-separated lines in a pipe, one JSON object when asked.

rich is loaded once something is drawn on a terminal: most commands of a pipeline never are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

from interlock.gate.values import Json, Verdict

SELDOM = 10.0
"""Seconds between two lines about how far a training is, where they are not written over."""

_COLOURS = {Verdict.ALLOW: "green", Verdict.DENY: "red", Verdict.UNDECIDED: "yellow"}


def on_terminal() -> bool:
    """True when standard output is a person's terminal."""
    return sys.stdout.isatty()


def say(line: str, *, style: str = "", whole: bool = True) -> None:
    """One line of the answer. Untrusted text is shown as it is: no markup, control characters made visible.

    Args:
        line: Untrusted.
        style: Of rich, for a terminal.
        whole: False for a line that a terminal may cut at its width; a pipe gets all of it.
    """
    if on_terminal():
        from rich.console import Console
        from rich.text import Text

        text = Text(visible(line), style=style)
        Console().print(text, no_wrap=not whole, overflow=None if whole else "ellipsis")
    else:
        click.echo(visible(line))


def say_verdict(verdict: Verdict, line: str) -> None:
    """One line in the colour of its verdict, which is also its first word."""
    say(f"{verdict.value}  {line}", style=f"bold {_COLOURS[verdict]}")


def progress(line: str) -> None:
    """Something that happens, on standard error."""
    click.echo(visible(line), err=True)


@contextmanager
def working(line: str, *, quiet: bool = False) -> Iterator[None]:
    """A spinner on standard error while something long runs, with its pace, if that is a terminal.

    Args:
        line: What runs; untrusted.
        quiet: True when the answer is for a program.
    """
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    from interlock.cli.pace import Pace
    from interlock.gate.progress import listening

    pace = Pace(line)
    with (
        Console(stderr=True).status(Text(visible(line))) as status,
        listening(lambda progress: status.update(Text(visible(pace.heard(progress))))),
    ):
        yield


@contextmanager
def training(*, quiet: bool = False) -> Iterator[tuple[Callable[[str], None] | None, Callable[[str], None] | None]]:
    """Where a training's own lines go, and where the line about how far it is: all on standard error.

    On a terminal that line stays at the bottom and moves; elsewhere one is written every `SELDOM` seconds.

    Args:
        quiet: True when the answer is for a program.

    Yields:
        What takes the lines of the training, and what takes those about it; None when they are for nobody.
    """
    if quiet:
        yield None, None
    elif not sys.stderr.isatty():
        from interlock.training.watching import Seldom

        yield progress, Seldom(progress, SELDOM)
    else:
        from rich.console import Console
        from rich.text import Text

        console = Console(stderr=True)
        with console.status(Text("training")) as status:
            yield (
                lambda line: console.print(Text(visible(line)), soft_wrap=True),
                lambda line: status.update(Text(visible(line), overflow="ellipsis", no_wrap=True)),
            )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; in a pipe one line a row, tab-separated, whole.

    Args:
        columns: Their headings, for a terminal.
        rows: Cells as text, untrusted.
    """
    if not on_terminal():
        for row in rows:
            click.echo("\t".join(visible(cell).replace("\t", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        drawn.add_row(*(Text(visible(cell), style=_style(cell)) for cell in row))
    Console().print(drawn)


def say_json(document: Mapping[str, Json]) -> None:
    """Exactly one JSON object on standard output."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2 if on_terminal() else None))


def visible(text: str) -> str:
    r"""Control characters as ``\x1b``: a report is untrusted and must not drive the terminal."""
    return "".join(c if c.isprintable() or c in "\t" else c.encode("unicode_escape").decode() for c in text)


def _style(cell: str) -> str:
    return next((colour for verdict, colour in _COLOURS.items() if cell == verdict.value), "")
