"""The second layer: pickles that the walk finds harmless are unpickled with stubs, and both must name the same.

The walk is a model of CPython's unpickler. CPython's own, with a `find_class` that imports nothing, is none: in the
sandbox it says which names the bytes ask for. Where the two disagree, one of them was deceived, and that is DENY. Only
what the walk has nothing against is looked at again; joblib's pickles with arrays between the opcodes cannot be.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.artifacts import record as rules
from interlock.artifacts.boxed import BoxError, NotBuiltError, asked, likely_sandbox, sandbox_here
from interlock.artifacts.source import Buffer, stretches
from interlock.gate.errors import UsageError

if TYPE_CHECKING:
    from interlock.artifacts.record import Record
    from interlock.training.sandbox import Sandbox

CHILD = Path(__file__).with_name("stub_unpickler.py")
LARGEST = 256 << 20
"""Bytes of all pickles together that are looked at twice."""

SECONDS = 120.0
NAMED = 5


@dataclass(frozen=True, slots=True)
class _Walked:
    path: str
    names: frozenset[tuple[str, str]]


class SecondLayer:
    """Holds the pickles of one subject until all files were scanned.

    Args:
        sandbox: Finds the sandbox; the best that works here when None.
    """

    def __init__(self, sandbox: Callable[[], Sandbox] | None = None) -> None:
        self._sandbox = sandbox
        self._held: list[_Walked] = []
        self._left_out: list[str] = []
        self._bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> SecondLayer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, data: Buffer, start: int, end: int, *, path: str, names: frozenset[tuple[str, str]]) -> None:
        """Keep a pickle.

        Args:
            data: Around it.
            start: Offset of its first byte.
            end: Offset behind its STOP.
            path: Of the file or member.
            names: What the walk saw it ask for, as they stand in it.
        """
        if self._bytes + end - start > LARGEST:
            self._left_out.append(path)
            return
        self._bytes += end - start
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="interlock-")
        with Path(self._folder.name, str(len(self._held))).open("wb") as file:
            for piece in stretches(data, start, end):
                file.write(piece)
        self._held.append(_Walked(path, names))

    def judge(self, record: Record) -> None:
        """Unpickle them with stubs, and compare.

        Args:
            record: Where a disagreement goes, as an error.
        """
        for path in self._left_out:
            record.warning(rules.SECOND_LAYER, f"not unpickled with stubs: more than {LARGEST:,} bytes", path)
        if self._folder is None:
            return
        try:
            said = self._said(Path(self._folder.name), min(record.budget.limits.seconds, SECONDS))
        except (BoxError, UsageError) as error:
            why = error.what if isinstance(error, UsageError) else str(error)
            for walked in self._held:
                record.fail(walked.path, f"unpickling it with stubs did not end well: {rules.shown(why)}")
            return
        for number, walked in enumerate(self._held):
            self._compare(walked, said.get(str(number)), record)

    def _said(self, folder: Path, seconds: float) -> dict[str, Any]:
        if self._sandbox is None:
            # To find out first which sandbox works here takes as long as the look itself.
            with suppress(NotBuiltError):
                return asked(CHILD, folder, flags=("-S",), seconds=seconds, sandbox=likely_sandbox())
        sandbox = (self._sandbox or sandbox_here)()
        return asked(CHILD, folder, flags=("-S",), seconds=seconds, sandbox=sandbox)

    def _compare(self, walked: _Walked, said: Any, record: Record) -> None:
        if not isinstance(said, dict) or not isinstance(said.get("names"), list):
            why = str(said.get("error", "")) if isinstance(said, dict) else ""
            record.error(
                rules.SECOND_LAYER,
                f"the walk finds it whole, and CPython's unpickler does not: {rules.shown(why) or 'no answer'}",
                walked.path,
            )
            return
        found = frozenset((str(pair[0]), str(pair[1])) for pair in said["names"] if isinstance(pair, list))
        differing = sorted(found ^ walked.names)
        if differing:
            some = ", ".join(rules.shown(".".join(pair)) for pair in differing[:NAMED])
            record.error(
                rules.SECOND_LAYER,
                f"the walk and CPython's unpickler disagree on what it names: {some}",
                walked.path,
            )
