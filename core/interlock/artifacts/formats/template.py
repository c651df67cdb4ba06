"""Scans chat templates: Jinja programs that come with a model and run whenever somebody talks to it.

They stand in GGUF metadata, in ``tokenizer_config.json``, ``chat_template.json`` and ``*.jinja``. A template is parsed
and judged, never rendered.
"""

from __future__ import annotations

import re
import warnings
from functools import cache
from typing import TYPE_CHECKING, Final

from interlock.artifacts import record as rules
from interlock.artifacts.limits import LimitPassedError
from interlock.artifacts.record import Record, shown

if TYPE_CHECKING:
    from jinja2 import Environment, nodes

    from interlock.artifacts.formats.template_walk import Objection

LONGEST: Final = 128 << 10
"""Characters of a template that is judged. The longest of a well-known model has about 20,000."""
_TAG: Final = re.compile(r"\{[{%]")
_MOST_TOLD = 10


class UnreadableTemplateError(Exception):
    """Jinja cannot parse it; `str()` says why."""


def looks_like_template(text: str) -> bool:
    """Whether a text has anything in it that Jinja would run."""
    return bool(_TAG.search(text))


def scan_template(text: str, *, path: str, record: Record, where: str) -> None:
    """Judge a chat template; what cannot be judged is a gap.

    Args:
        text: The template, unverified.
        path: For findings.
        record: Where findings go.
        where: What holds it, a key for example; safe to print.
    """
    try:
        found = _judged(text, record)
    except (UnreadableTemplateError, LimitPassedError) as error:
        record.fail(path, f"{where}: {error}")
        return
    for objection in found[:_MOST_TOLD]:
        message = f"{where}, line {objection.line}: {objection.what}"
        record.error(rules.UNSAFE_TEMPLATE, message, path, line=objection.line, objections=len(found))


def scan_text_as_template(text: str, *, path: str, record: Record) -> None:
    """Look at a text that nobody calls a template: it may still be given to a loader as one.

    Only what reaches for Python behind the template is an error, since any text may hold braces.
    """
    if len(text) > LONGEST or not looks_like_template(text):
        return
    try:
        found = _judged(text, record)
    except (UnreadableTemplateError, LimitPassedError):
        return
    for objection in [one for one in found if one.escapes][:_MOST_TOLD]:
        record.error(rules.UNSAFE_TEMPLATE, f"line {objection.line}: {objection.what}", path, line=objection.line)


def _judged(text: str, record: Record) -> list[Objection]:
    from interlock.artifacts.formats.template_walk import objections

    if len(text) > LONGEST:
        raise LimitPassedError(f"a template of {len(text):,} characters, more than {LONGEST:,}")
    record.budget.spend_bytes(len(text))
    try:
        found = objections(_parsed(text))
    except RecursionError as error:
        raise UnreadableTemplateError("a template that nests deeper than readers can follow") from error
    record.budget.check_time()
    return found


def _parsed(text: str) -> nodes.Template:
    from jinja2 import TemplateError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a hostile text is the file's fault
            return _environment().parse(text)
    except TemplateError as error:
        raise UnreadableTemplateError(f"a template that Jinja cannot parse: {shown(str(error))}") from error
    except (ValueError, OverflowError, MemoryError) as error:
        raise UnreadableTemplateError("a template with a number that no reader can hold") from error


@cache
def _environment() -> Environment:
    """A parser for what transformers and vLLM know: loop controls, ``do`` and ``generation``."""
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class Generation(Extension):
        """``{% generation %}`` marks what an assistant says (transformers' ``AssistantTracker``)."""

        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            self.tags = {"generation"}

        def parse(self, parser: Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)

    # autoescape only matters to what is rendered, and nothing is.
    return Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", Generation]
    )
