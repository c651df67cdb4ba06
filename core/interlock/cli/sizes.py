"""Sizes as people write them: ``10GiB``, ``500MB``, ``4096``."""

from __future__ import annotations

import re
from typing import Any

import click

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGTP]?)(i?)B?\Z", re.IGNORECASE)


class Size(click.ParamType[int]):
    """A number of bytes, with a decimal (kB, MB) or binary (KiB, MiB) unit of IEC 80000-13, or none."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes.

        Raises:
            click.BadParameter: It is no size, or none.
        """
        if isinstance(value, int):
            return value
        found = _SIZE.match(str(value).strip())
        size = 0
        if found is not None:
            number, unit, binary = found.groups()
            size = int(float(number) * (1024 if binary else 1000) ** " KMGTP".index(unit.upper() or " "))
        if size < 1:
            self.fail(f"{value!r} is no size; write for example 10GiB", param, ctx)
        return size
