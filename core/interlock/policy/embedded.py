"""The embedded engine: the real OPA, as a Go library in a helper process that can be killed.

The library never enters this process. A Go runtime hangs after `os.fork`, and Airflow forks; an evaluation in Go
cannot be interrupted, and a policy may never end. So a helper is spawned on the first question, answers until it is
killed or its parent goes, and is replaced on the next question if it is gone.
"""

from __future__ import annotations

import os
import re
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, cast

from interlock.gate.documents import canonical_json
from interlock.gate.errors import PolicyError
from interlock.gate.settings import Settings
from interlock.gate.values import Json
from interlock.policy.bundle import Bundle, Module
from interlock.policy.engine import Answer
from interlock.policy.forbidden import check_parsed, suspicious
from interlock.policy.helper_process import Helper, start_helper
from interlock.policy.install import Library, locate

START_SECONDS = 60.0
"""How long a helper may take to load the library and the bundle, on a machine that is busy with other things."""

COMPILE_SECONDS = 10.0
"""What a question may take longer the first time that a helper hears it: OPA compiles the bundle for each new one."""

INPUT_LIMIT = 64 * 1024 * 1024
ANSWER_LIMIT = 8 * 1024 * 1024

_PATH = re.compile(r"(data\.)?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_HARMLESS: set[str] = set()  # digests of bundles whose rules were looked through in this process


class EmbeddedEngine:
    """OPA in a helper process; see the module.

    Args:
        bundle: What it evaluates.
        deadline: Seconds that one evaluation may take; then the helper is killed.
        library: The OPA library; found by `interlock.policy.install.locate` when not given.
        answer_limit: Bytes that one answer may have.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        deadline: float = 5.0,
        library: Library | None = None,
        answer_limit: int = ANSWER_LIMIT,
    ) -> None:
        self._bundle = bundle
        self._deadline = deadline
        self._library = library if library is not None else locate(Settings.load())
        self._answer_limit = answer_limit
        self._lock = threading.Lock()
        self._helper: Helper | None = None
        self._keep: Callable[[], object] = lambda: None  # takes back that the helper ends with this object
        self._said: Mapping[str, Json] = {}
        self._number = 0
        self._compiled: set[str] = set()
        _ENGINES.add(self)

    @property
    def name(self) -> str:
        """As in receipts."""
        return "opa-embedded"

    @property
    def version(self) -> str:
        """OPA's version as the library says; empty before the first start."""
        return str(self._said.get("version", ""))

    @property
    def bundle_digest(self) -> str:
        """That of the bundle it was made with."""
        return self._bundle.digest

    @property
    def isolation(self) -> str:
        """What is around the helper: ``bwrap`` or ``process``; empty before the first start."""
        return str(self._said.get("isolation", ""))

    @property
    def network(self) -> str:
        """What the helper can reach: ``none`` or ``host``; empty before the first start."""
        return str(self._said.get("network", ""))

    @property
    def process_id(self) -> int | None:
        """The helper's process id while there is one."""
        return self._helper.process_id if self._helper is not None else None

    def start(self) -> None:
        """Start the helper now, to learn whether it can be.

        Raises:
            PolicyError: The library or the bundle cannot be loaded.
        """
        with self._lock:
            self._exchange(self._ready(), {"kind": "query", "query": "true"}, b"{}", seconds=START_SECONDS)

    def evaluate(self, path: str, document: Mapping[str, Json]) -> Answer:
        """Ask for the document at ``data.<path>``; see `interlock.policy.engine.PolicyEngine`.

        Raises:
            PolicyError: As the protocol says.
        """
        if not _PATH.match(path):
            raise PolicyError("a decision path is dotted names", where=repr(path), next_step="for example data.a.b")
        found = self._ask({"kind": "document", "path": path.removeprefix("data.")}, document)
        if not found:
            return Answer(defined=False, value=None, bundle_digest=self._bundle.digest)
        return Answer(defined=True, value=found[0]["expressions"][0]["value"], bundle_digest=self._bundle.digest)

    def query(self, query: str, document: Json) -> list[dict[str, Any]]:
        """Evaluate any query; the result set in the form of ``opa eval``.

        Args:
            query: Rego, for example ``data.interlock.decision.result`` or ``x := input.y + 1``.
            document: What is read as ``input``.

        Raises:
            PolicyError: As `evaluate`, and for a query that uses a banned builtin.
        """
        if suspicious(query):
            with self._lock:
                source = f"package query\n\nanswer if {{\n{query}\n}}\n"
                self._refuse_banned(self._ready(), Module(path="query", source=source))
        return self._ask({"kind": "query", "query": query}, document)

    def close(self) -> None:
        """End the helper; the next question starts another."""
        with self._lock:
            self._end()

    def _ask(self, request: Mapping[str, Json], document: Json) -> list[dict[str, Any]]:
        body = _encoded(document)
        question = str(request)
        with self._lock:
            helper = self._ready()
            seconds = self._deadline if question in self._compiled else self._deadline + COMPILE_SECONDS
            found = self._exchange(helper, request, body, seconds=seconds)
            if not _is_result_set(found):
                self._end()
                raise PolicyError("the policy engine answered in another shape", where=str(found)[:200])
            self._compiled.add(question)
        return cast("list[dict[str, Any]]", found or [])

    def _ready(self) -> Helper:
        """A helper of this process, alive and with the bundle in it. Called with the lock held."""
        helper = self._helper
        if helper is not None and helper.owner == os.getpid() and helper.alive:
            return helper
        self._end()
        helper, self._said = start_helper(self._library, seconds=START_SECONDS, answer_limit=self._answer_limit)
        self._helper, self._keep = helper, weakref.finalize(self, helper.kill).detach
        try:
            self._load(helper)
        except BaseException:
            self._end()
            raise
        return helper

    def _load(self, helper: Helper) -> None:
        if self._bundle.digest not in _HARMLESS:
            for module in (*self._bundle.modules, *self._bundle.tests):
                if suspicious(module.source):
                    self._refuse_banned(helper, module)
            _HARMLESS.add(self._bundle.digest)
        request = {"kind": "load", "modules": [[module.path, module.source] for module in self._bundle.modules]}
        self._exchange(helper, request, _encoded(self._bundle.data), seconds=START_SECONDS)

    def _refuse_banned(self, helper: Helper, module: Module) -> None:
        question = {"kind": "query", "query": "parsed := rego.parse_module(input.path, input.source)"}
        body = _encoded({"path": module.path, "source": module.source})
        check_parsed(self._exchange(helper, question, body, seconds=START_SECONDS), where=module.path)

    def _exchange(self, helper: Helper, request: Mapping[str, Json], body: bytes, *, seconds: float) -> Json:
        """One question to the helper; whatever goes wrong with the pipes ends the helper."""
        self._number += 1
        head = _encoded({**request, "id": self._number})
        try:
            envelope = _envelope(helper.exchange(head + b"\n" + body + b"\n", seconds=seconds), self._number)
        except BaseException:
            self._end()
            raise
        error = envelope.get("error")
        if error is not None:
            raise _refusal(error)
        return envelope.get("result")

    def _end(self) -> None:
        helper, self._helper = self._helper, None
        self._compiled.clear()
        if helper is not None:
            self._keep()
            helper.kill()

    def _in_forked_child(self) -> None:
        """Leave the helper to the parent: its pipes must not be shared, and its lock may be held by a lost thread."""
        self._lock = threading.Lock()
        helper, self._helper = self._helper, None
        if helper is not None:
            self._keep()
            helper.let_go()


_ENGINES: weakref.WeakSet[EmbeddedEngine] = weakref.WeakSet()


def _after_fork() -> None:
    for engine in tuple(_ENGINES):
        engine._in_forked_child()  # noqa: SLF001


os.register_at_fork(after_in_child=_after_fork)


def _encoded(document: Json) -> bytes:
    try:
        body = canonical_json(document)
    except (TypeError, ValueError, RecursionError) as error:  # NaN and lone surrogates are ValueErrors
        raise PolicyError(f"the input document cannot be written as JSON: {error}") from error
    if len(body) > INPUT_LIMIT:
        raise PolicyError(f"the input document is larger than {INPUT_LIMIT} bytes")
    return body


def _envelope(answer: Json, number: int) -> Mapping[str, Json]:
    if isinstance(answer, Mapping) and answer.get("id") == number:
        envelope = answer.get("envelope")
        if isinstance(envelope, Mapping):
            return envelope
    raise PolicyError("the policy engine answered in another shape", where=str(answer)[:200])


def _is_result_set(found: Json) -> bool:
    """Whether this is OPA's result set: nothing, or rows that each hold at least one expression with its value."""
    if found is None:
        return True
    return isinstance(found, list) and all(
        isinstance(row, Mapping)
        and isinstance(expressions := row.get("expressions"), list)
        and len(expressions) > 0
        and all(isinstance(expression, Mapping) and "value" in expression for expression in expressions)
        for row in found
    )


def _refusal(error: Json) -> PolicyError:
    said = error if isinstance(error, Mapping) else {}
    return PolicyError(
        f"policy cannot be evaluated: {said.get('message', error)}",
        where=str(said.get("code", "")),
        next_step="`interlock policy eval` shows it for one input",
    )
