"""The part of the lock that some extras need, hashes and all; it decides which lines, and resolves nothing.

``uv pip compile`` writes behind each pin who asked for it (``# via``), so the lock itself holds the whole graph. The
walk from the packages that `setup.cfg` names for the extras gives every pin that they can need: sometimes one more,
where a package is only asked for by somebody's optional part, and never another version or another hash. Whether
something is missing is for ``uv pip check`` to say, after the installation. Only the standard library is used, as this
runs in the base image before anything is installed.
"""

from __future__ import annotations

import argparse
import configparser
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==\S+")
_ASKED = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[(?P<extras>[^\]]*)\])?")
_VIA = re.compile(r"\s+#\s+(via\s+)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package of the lock.

    Args:
        name: Normalised (PEP 503).
        lines: The requirement with its marker and hashes, as it stands.
        wanted_by: Normalised names of who asked for it.
    """

    name: str
    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def normal(name: str) -> str:
    """A package's name in the form that can be compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lock: str) -> Iterator[Pin]:
    """The packages of a lock that ``uv pip compile --generate-hashes`` wrote."""
    block: list[str] = []
    for line in [*lock.splitlines(), "end==0"]:
        if _PIN.match(line) and block:
            yield _pin(block)
            block = []
        if not line.startswith("#"):
            block.append(line)


def _pin(block: list[str]) -> Pin:
    found = _PIN.match(block[0])
    if found is None:
        raise SystemExit(f"not a lock of `uv pip compile`: {block[0][:80]!r}. Next: make lock")
    notes = [line for line in block if line.lstrip().startswith("#")]
    wanted_by = (_VIA.match(line) for line in notes)
    return Pin(
        name=normal(found["name"]),
        lines=tuple(line for line in block if line.strip() and line not in notes),
        wanted_by=frozenset(normal(match["name"]) for match in wanted_by if match and match["name"] != "via"),
    )


def asked(settings: configparser.ConfigParser, extras: Iterable[str]) -> set[str]:
    """Normalised names of the packages that Interlock itself asks for, with these of its extras.

    Raises:
        SystemExit: `setup.cfg` has no such extra.
    """
    known: Mapping[str, str] = settings["options.extras_require"]
    found: set[str] = set()
    seen: set[str] = set()
    texts = [settings["options"]["install_requires"]]
    waiting = list(extras)
    while texts or waiting:
        if waiting:
            extra = waiting.pop()
            if extra not in known:
                raise SystemExit(f"setup.cfg has no extra {extra!r}. Next: one of {', '.join(sorted(known))}")
            if extra not in seen:
                texts.append(known[extra])
            seen.add(extra)
            continue
        for line in filter(None, map(str.strip, texts.pop().splitlines())):
            match = _ASKED.match(line)
            if match is None:
                continue
            if normal(match["name"]) == "interlock":
                waiting += [part.strip() for part in (match["extras"] or "").split(",")]
            else:
                found.add(normal(match["name"]))
    return found


def needed(lock: str, roots: Iterable[str]) -> tuple[Pin, ...]:
    """Every pin that can be reached from the roots, in the order of the lock.

    Raises:
        SystemExit: The lock does not have one of the roots.
    """
    every = tuple(pins(lock))
    wanted = set(roots)
    if missing := wanted - {pin.name for pin in every}:
        raise SystemExit(f"the lock has no {', '.join(sorted(missing))}. Next: make lock")
    while True:
        more = {pin.name for pin in every if pin.wanted_by & wanted} - wanted
        if not more:
            return tuple(pin for pin in every if pin.name in wanted)
        wanted |= more


def main(arguments: list[str]) -> int:
    """Print the requirements of the extras that are named."""
    parser = argparse.ArgumentParser(description="Print the part of the lock that some extras of Interlock need.")
    parser.add_argument("extras", nargs="*")
    parser.add_argument("--settings", type=Path, default=Path("setup.cfg"))
    parser.add_argument("--lock", type=Path, default=Path("requirements/lock.txt"))
    given = parser.parse_args(arguments)
    settings = configparser.ConfigParser()
    settings.read_string(given.settings.read_text("utf-8"))
    roots = asked(settings, given.extras) - {"opa-golib-python-bindings"}
    for pin in needed(given.lock.read_text("utf-8"), roots):
        sys.stdout.write("\n".join(pin.lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
