"""Asks CPython's own unpickler what bytes would do, and holds it against a profile: the law that no scan may break."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from interlock.artifacts.pickles.judge import _renamed
from interlock.artifacts.pickles.profiles import PROFILES

STUB = ("-I", str(Path(__file__).with_name("oracle.py")))
"""One pickle, from its first byte."""


_HELLO = b"cos\ngetpid\n(tR."


class NoOracleError(RuntimeError):
    """The machine cannot be started, so whatever is held against it would pass."""


class Oracle:
    """The stub machine in a process of its own.

    Args:
        program: Arguments of the interpreter.
    """

    def __init__(self, program: Sequence[str] = STUB) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, data: bytes) -> dict[str, Any]:
        """What loading `data` would name and call; nothing if that kills the machine.

        Raises:
            NoOracleError: The machine is none.
        """
        if self.process is None:
            self._start()
        line = self._asked(data)
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.close()
        return {"names": [], "calls": [], "touched": [], "error": "killed"}

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the machine complains about its own input
        )
        line = self._asked(_HELLO)
        if b'"calls": [["os", "getpid"]]' not in line:
            self.close()
            raise NoOracleError(f"{' '.join(self.program)} does not see a call: {line!r}; run it by hand to see why")

    def _asked(self, data: bytes) -> bytes:
        """The machine's line for `data`, empty if it died; whoever gives up waiting must not get it for the next."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(struct.pack("<I", len(data)) + data)
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except BrokenPipeError:
            return b""
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the machine, if it was asked anything; also while it works on an answer."""
        if self.process is None:
            return
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # what it was not given any more
                stream.close()
        self.process.wait()
        self.process = None


def outside(names: list[list[str]], profile: str) -> list[list[str]]:
    """Globals that the profile does not know, under their Python 2 name or their Python 3 name."""
    table = PROFILES[profile].table
    return [pair for pair in names if tuple(pair) not in table and _renamed(*pair) not in table]


def refused_by_law(answer: dict[str, Any], profile: str, *, storages: bool = False) -> bool:
    """Whether the stub did something that the profile does not allow.

    Args:
        answer: Of the oracle.
        profile: Its name.
        storages: The loader gives storages for persistent ids.
    """
    table = PROFILES[profile].table
    never_called = [
        pair for pair in answer["calls"] if (rule := table.get(tuple(pair))) and not (rule.calls or rule.new)
    ]
    forbidden = {"append", "extend", "add"} if storages else {"append", "extend", "add", "persistent"}
    return bool(outside(answer["names"], profile) or never_called or forbidden.intersection(answer["touched"]))
