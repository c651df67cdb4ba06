"""One helper process with one bundle in it: started when it is asked, killed on its deadline, replaced when gone.

`interlock.policy.engines.embedded` keeps several of these. Each serves one question at a time; whoever uses one holds
it alone.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from interlock.gate.errors import PolicyError
from interlock.gate.values import Json
from interlock.policy.bundles.bundle import Bundle, Module
from interlock.policy.engines.forbidden import check_parsed, suspicious
from interlock.policy.engines.helper_process import Helper, start_helper
from interlock.policy.engines.install import Library
from interlock.policy.engines.question import encoded, refusal, rows_of

START_SECONDS = 60.0
"""How long a helper may take to load the library and the bundle, on a machine that is busy with other things."""

COMPILE_SECONDS = 10.0
"""What a question may take longer the first time that a helper hears it: OPA compiles the bundle for each new one."""

_HARMLESS: set[str] = set()  # digests of bundles whose rules were looked through in this process


class Evaluator:
    """A helper and what it has in it. Not thread safe.

    Args:
        bundle: What it evaluates.
        deadline: Seconds that one evaluation may take; then the helper is killed.
        library: The OPA library.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(self, bundle: Bundle, *, deadline: float, library: Library, answer_limit: int) -> None:
        self._bundle = bundle
        self._deadline = deadline
        self._library = library
        self._answer_limit = answer_limit
        self._helper: Helper | None = None
        self._keep: Callable[[], object] = lambda: None  # takes back that the helper ends with this object
        self._number = 0
        self._compiled: set[str] = set()
        self.said: Mapping[str, Json] = {}

    @property
    def process_id(self) -> int | None:
        """The helper's process id while there is one."""
        helper = self._helper
        return helper.process_id if helper is not None else None

    def start(self) -> None:
        """Start the helper now and load the bundle.

        Raises:
            PolicyError: The library or the bundle cannot be loaded.
        """
        self._exchange(self._ready(), {"kind": "query", "query": "true"}, b"{}", seconds=START_SECONDS)

    def ask(self, request: Mapping[str, Json], body: bytes) -> list[dict[str, Any]]:
        """One question; the result set.

        Raises:
            PolicyError: OPA refuses, the deadline passed, the helper died, or it answered in another shape.
        """
        helper = self._ready()
        question = str(request)
        seconds = self._deadline if question in self._compiled else self._deadline + COMPILE_SECONDS
        found = self._exchange(helper, request, body, seconds=seconds)
        try:
            rows = rows_of(found)
        except PolicyError:
            self.end()
            raise
        self._compiled.add(question)
        return rows

    def refuse_banned(self, module: Module) -> None:
        """Have OPA parse a module, and refuse it when it uses a banned builtin.

        Raises:
            PolicyError: It does, or it cannot be parsed.
        """
        self._refuse_banned(self._ready(), module)

    def end(self) -> None:
        """End the helper; the next question starts another."""
        helper, self._helper = self._helper, None
        self._compiled.clear()
        if helper is not None:
            self._keep()
            helper.kill()

    def let_go(self) -> None:
        """Leave the helper to the process that this one was forked from: its pipes must not be shared."""
        helper, self._helper = self._helper, None
        self._compiled.clear()
        if helper is not None:
            self._keep()
            helper.let_go()

    def _ready(self) -> Helper:
        """A helper of this process, alive and with the bundle in it."""
        helper = self._helper
        if helper is not None and helper.owner == os.getpid() and helper.alive:
            return helper
        self.end()
        helper, self.said = start_helper(self._library, seconds=START_SECONDS, answer_limit=self._answer_limit)
        self._helper, self._keep = helper, weakref.finalize(self, helper.kill).detach
        try:
            self._load(helper)
        except BaseException:
            self.end()
            raise
        return helper

    def _load(self, helper: Helper) -> None:
        if self._bundle.digest not in _HARMLESS:
            for module in (*self._bundle.modules, *self._bundle.tests):
                if suspicious(module.source):
                    self._refuse_banned(helper, module)
            _HARMLESS.add(self._bundle.digest)
        request = {"kind": "load", "modules": [[module.path, module.source] for module in self._bundle.modules]}
        self._exchange(helper, request, encoded(self._bundle.data), seconds=START_SECONDS)

    def _refuse_banned(self, helper: Helper, module: Module) -> None:
        question = {"kind": "query", "query": "parsed := rego.parse_module(input.path, input.source)"}
        body = encoded({"path": module.path, "source": module.source})
        check_parsed(self._exchange(helper, question, body, seconds=START_SECONDS), where=module.path)

    def _exchange(self, helper: Helper, request: Mapping[str, Json], body: bytes, *, seconds: float) -> Json:
        """One question to the helper; whatever goes wrong with the pipes ends the helper."""
        self._number += 1
        head = encoded({**request, "id": self._number})
        try:
            envelope = _envelope(helper.exchange(head + b"\n" + body + b"\n", seconds=seconds), self._number)
        except BaseException:
            self.end()
            raise
        error = envelope.get("error")
        if isinstance(error, Mapping):
            raise refusal(error.get("message", error), where=str(error.get("code", "")))
        if error is not None:
            raise refusal(error)
        return envelope.get("result")


def _envelope(answer: Json, number: int) -> Mapping[str, Json]:
    if isinstance(answer, Mapping) and answer.get("id") == number:
        envelope = answer.get("envelope")
        if isinstance(envelope, Mapping):
            return envelope
    raise PolicyError("the policy engine answered in another shape", where=str(answer)[:200])
